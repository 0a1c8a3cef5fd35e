"""A stand-in for vLLM, which needs a GPU and its own environment: it checks calls against the real signatures.

What it proves: names of arguments, nesting of options and of messages are those of the recorded versions, and answers
come back in order. What it does not: anything about decoding, memory or speed. The signatures in vllm_api.json were
read from the wheels: `python tests/models/fake_vllm.py VERSION FOLDER_OF_THE_WHEEL` reads another one.
"""

import ast
import asyncio
import enum
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

RECORDED = Path(__file__).with_name("vllm_api.json")
SOURCES = {
    "AsyncLLM": "v1/engine/async_llm.py",
    "BaseRenderer": "renderers/base.py",
    "ChatParams": "renderers/params.py",
    "EngineArgs": "engine/arg_utils.py",
    "AsyncEngineArgs": "engine/arg_utils.py",
    "SamplingParams": "sampling_params.py",
    "RequestOutputKind": "sampling_params.py",
    "StructuredOutputsParams": "sampling_params.py",
    "StructuredOutputsConfig": "config/structured_outputs.py",
    "BaseDummyOptions": "config/multimodal.py",
    "ImageDummyOptions": "config/multimodal.py",
    "EngineDeadError": "v1/engine/exceptions.py",
}
CALLED = ("from_engine_args", "generate", "render_chat_async", "shutdown")
TOTAL_BYTES = 80 * 2**30


def read_api(folder: Path) -> dict[str, list[str]]:
    """Class or method -> the names it takes, from the source of an unpacked wheel; and the parts of messages."""
    found: dict[str, list[str]] = {}
    for name, path in SOURCES.items():
        for node in ast.parse((folder / "vllm" / path).read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                found[name] = [field for each in node.body if (field := _field(each))]
                for method in node.body:
                    if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and method.name in CALLED:
                        every = [*method.args.args, *method.args.kwonlyargs]
                        found[f"{name}.{method.name}"] = [each.arg for each in every if each.arg not in ("self", "cls")]
    chat = [*(folder / "vllm").rglob("chat_utils.py"), *(folder / "vllm").rglob("chat_message.py")]
    parts = {part for path in chat for part in ("image_pil", "image_url") if f'"{part}": lambda' in path.read_text()}
    return {**found, "parts": ["text", *sorted(parts)]}


def _field(node: ast.stmt) -> str:
    """The name that a statement of a class gives a value or a type, "" if it does neither."""
    target = (
        node.target if isinstance(node, ast.AnnAssign) else node.targets[0] if isinstance(node, ast.Assign) else None
    )
    return target.id if isinstance(target, ast.Name) and not target.id.startswith("_") else ""


@dataclass
class Calls:
    """What was asked of the engine. failing: texts of prompts that the engine refuses, as it does those too long.
    dead: it answers nothing any more. delays: seconds that the answer to a prompt takes."""

    engine: dict[str, Any] = field(default_factory=dict)
    chats: list[dict[str, Any]] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)
    delays: dict[str, float] = field(default_factory=dict)
    missing: bool = False
    dead: bool = False


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

    class ChatParams(Parameters):
        pass

    class AsyncEngineArgs(SimpleNamespace):
        def __init__(self, **given: Any) -> None:
            own = {name: value for name, value in given.items() if name in api["AsyncEngineArgs"]}
            check("EngineArgs", given.keys() - own.keys())
            check("StructuredOutputsConfig", given["structured_outputs_config"])
            image = given["limit_mm_per_prompt"]["image"]
            assert set(image) <= {*api["BaseDummyOptions"], *api["ImageDummyOptions"]}
            assert given["renderer_num_workers"] == 1 or given["mm_processor_cache_gb"] == 0  # as the real one does
            super().__init__(**given)

    class EngineDeadError(Exception):
        pass

    class Renderer:
        async def render_chat_async(self, conversations: Any, chat_params: Any, **given: Any) -> Any:
            check("BaseRenderer.render_chat_async", given)
            (chat,) = conversations
            parts = [part for message in chat for part in message["content"]]
            assert all(part["type"] in api["parts"] and part["type"] in part for part in parts)
            images = [part for part in parts if part["type"] == "image_pil"]
            if len(images) > calls.engine["limit_mm_per_prompt"]["image"]["count"]:
                raise ValueError("at most 8 image(s) may be provided in one prompt")
            calls.chats.append({"messages": chat, **vars(chat_params)})
            return conversations, [parts[-1]["text"]]

    class AsyncLLMEngine:
        renderer = Renderer()

        @classmethod
        def from_engine_args(cls, engine_args: Any) -> Any:
            asyncio.get_running_loop()
            if calls.missing:
                raise OSError(f"{engine_args.model} is not a local folder\nand is not a valid model identifier")
            calls.engine = vars(engine_args)
            return cls()

        async def generate(self, prompt: Any, sampling_params: Any, request_id: str) -> Any:
            calls.chats[-1].setdefault("sampling_params", sampling_params)
            if calls.dead:
                raise EngineDeadError("EngineCore encountered an issue")
            if prompt in calls.failing:
                raise ValueError("the decoder prompt is longer than the maximum model length")
            await asyncio.sleep(calls.delays.get(prompt, 0))
            text = json.dumps(fitting(sampling_params.structured_outputs.json))
            cut = text[: sampling_params.max_tokens]
            yield SimpleNamespace(outputs=[SimpleNamespace(text=cut, finish_reason="stop")])

    output_kinds = enum.Enum("RequestOutputKind", api["RequestOutputKind"])
    contents: dict[str, dict[str, Any]] = {
        "vllm": {
            "AsyncLLMEngine": AsyncLLMEngine,
            "AsyncEngineArgs": AsyncEngineArgs,
            "SamplingParams": SamplingParams,
        },
        "vllm.sampling_params": {
            "StructuredOutputsParams": StructuredOutputsParams,
            "RequestOutputKind": output_kinds,
        },
        "vllm.renderers": {"ChatParams": ChatParams},
        "vllm.v1": {},
        "vllm.v1.engine": {},
        "vllm.v1.engine.exceptions": {"EngineDeadError": EngineDeadError},
        "vllm.platforms": {},
    }
    modules = {name: ModuleType(name) for name in contents}
    for name, content in contents.items():
        vars(modules[name]).update(content)
    platform = SimpleNamespace(get_device_total_memory=lambda device_id=0: TOTAL_BYTES)
    vars(modules["vllm.platforms"]).update(current_platform=platform)
    return modules


if __name__ == "__main__":
    known = json.loads(RECORDED.read_text("utf-8")) if RECORDED.is_file() else {}
    known[sys.argv[1]] = {name: " ".join(names) for name, names in read_api(Path(sys.argv[2])).items()}
    RECORDED.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
