"""A stand-in for vLLM, which needs a GPU and its own environment: it checks calls against the real signatures.

What it proves: names of arguments, nesting of options and of messages are those of the recorded versions, and answers
come back in order. What it does not: anything about decoding, memory or speed. The signatures in vllm_api.json were
read from the wheels: `python tests/models/fake_vllm.py VERSION FOLDER_OF_THE_WHEEL` reads another one.
"""

import ast
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

RECORDED = Path(__file__).with_name("vllm_api.json")
SOURCES = {
    "LLM": "entrypoints/llm.py",
    "EngineArgs": "engine/arg_utils.py",
    "SamplingParams": "sampling_params.py",
    "StructuredOutputsParams": "sampling_params.py",
    "StructuredOutputsConfig": "config/structured_outputs.py",
    "BaseDummyOptions": "config/multimodal.py",
    "ImageDummyOptions": "config/multimodal.py",
}
TOTAL_BYTES = 80 * 2**30


def read_api(folder: Path) -> dict[str, list[str]]:
    """Class or method -> the names it takes, from the source of an unpacked wheel; and the parts of messages."""
    found: dict[str, list[str]] = {}
    for name, path in SOURCES.items():
        for node in ast.parse((folder / "vllm" / path).read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                found[name] = [each.target.id for each in node.body if _is_field(each)]
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and method.name in ("__init__", "chat"):
                        every = [*method.args.args, *method.args.kwonlyargs]
                        found[f"{name}.{method.name}"] = [each.arg for each in every if each.arg != "self"]
    chat = [*(folder / "vllm").rglob("chat_utils.py"), *(folder / "vllm").rglob("chat_message.py")]
    parts = {part for path in chat for part in ("image_pil", "image_url") if f'"{part}": lambda' in path.read_text()}
    return {**found, "parts": ["text", *sorted(parts)]}


def _is_field(node: ast.stmt) -> bool:
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and not node.target.id.startswith("_")


@dataclass
class Calls:
    """What was asked of the engine. failing: texts of prompts that the engine refuses, as it does those too long."""

    engine: dict[str, Any] = field(default_factory=dict)
    chats: list[dict[str, Any]] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)
    missing: bool = False


def fake_vllm(version: str, calls: Calls) -> dict[str, ModuleType]:
    """Modules to put into sys.modules."""
    from synthetic_endpoint import fitting

    api = {name: names.split() for name, names in json.loads(RECORDED.read_text("utf-8"))[version].items()}

    def check(name: str, given: Any) -> None:
        unknown = set(given) - set(api[name])
        assert not unknown, f"vLLM {version}: {name} takes no {sorted(unknown)}"

    class Parameters(SimpleNamespace):
        def __init__(self, **given: Any) -> None:
            check(type(self).__name__, given)
            super().__init__(**given)

    class StructuredOutputsParams(Parameters):
        pass

    class SamplingParams(Parameters):
        pass

    class LLM:
        def __init__(self, model: str, **given: Any) -> None:
            own = {name: value for name, value in given.items() if name in api["LLM.__init__"]}
            check("EngineArgs", given.keys() - own.keys())
            check("StructuredOutputsConfig", given["structured_outputs_config"])
            image = given["limit_mm_per_prompt"]["image"]
            assert set(image) <= {*api["BaseDummyOptions"], *api["ImageDummyOptions"]}
            if calls.missing:
                raise OSError(f"{model} is not a local folder\nand is not a valid model identifier")
            calls.engine = {"model": model, **given}

        def chat(self, messages: Any, sampling_params: Any = None, **given: Any) -> list[Any]:
            check("LLM.chat", given)
            assert len(messages) == len(sampling_params)
            calls.chats.append({"messages": messages, "sampling_params": sampling_params, **given})
            return [self._one(*each) for each in zip(messages, sampling_params, strict=True)]

        def _one(self, chat: Any, parameters: Any) -> Any:
            parts = [part for message in chat for part in message["content"]]
            assert all(part["type"] in api["parts"] and part["type"] in part for part in parts)
            images = [part for part in parts if part["type"] == "image_pil"]
            if len(images) > calls.engine["limit_mm_per_prompt"]["image"]["count"]:
                raise ValueError("at most 8 image(s) may be provided in one prompt")
            if parts[-1]["text"] in calls.failing:
                raise ValueError("the decoder prompt is longer than the maximum model length")
            text = json.dumps(fitting(parameters.structured_outputs.json))
            return SimpleNamespace(outputs=[SimpleNamespace(text=text[: parameters.max_tokens], finish_reason="stop")])

    modules = {name: ModuleType(name) for name in ("vllm", "vllm.sampling_params", "vllm.platforms")}
    vars(modules["vllm"]).update(LLM=LLM, SamplingParams=SamplingParams)
    vars(modules["vllm.sampling_params"]).update(StructuredOutputsParams=StructuredOutputsParams)
    platform = SimpleNamespace(get_device_total_memory=lambda device_id=0: TOTAL_BYTES)
    vars(modules["vllm.platforms"]).update(current_platform=platform)
    return modules


if __name__ == "__main__":
    known = json.loads(RECORDED.read_text("utf-8")) if RECORDED.is_file() else {}
    known[sys.argv[1]] = {name: " ".join(names) for name, names in read_api(Path(sys.argv[2])).items()}
    RECORDED.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
