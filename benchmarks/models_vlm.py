"""The verification question: vLLM and transformers, each raw and through our classes, and through the actors."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from actors.models.conversations import conversation
from actors.profiles import build_role, load_profile
from benchmarks import models_alone, models_shared
from benchmarks.models_calls import Sizes, verdict
from schemas.config import RoleConfig
from schemas.questions import Question, Unusable

Tell = Callable[..., None]

ANSWER_TOKENS = 96
BATCHES = (256, 128, 64, 16)
VLLM_GB = 60.0
PLAIN_BATCHES = (8, 32, 64)
CALLERS = [252, 120, 60, 24]  # multiples of the calling processes
MAX_PIXELS = 1_048_576
TRANSFORMERS = "models.vlm_transformers:TransformersVlm"


class Fresh:
    """Questions that were never asked before, so that no cache of prompts or pictures answers."""

    def __init__(self, small: bool) -> None:
        self._sizes, self._next = Sizes(small), 0

    def take(self, count: int) -> list[Question]:
        self._next += count
        return [verdict(seed, self._sizes) for seed in range(self._next - count, self._next)]


def measure_vllm(profile: str, small: bool, tell: Tell) -> None:
    """vLLM's offline engine with everything in one call: answers of a fixed length, and under our schema."""
    import vllm

    from actors.models import vlm_vllm

    models_alone.publish(profile, "vlm", small, tell, weights=False)
    role = _dummy(load_profile(profile).roles["vlm"], batch_size=max(BATCHES), gpu_memory_gb=VLLM_GB)
    started = time.perf_counter()
    engine = vllm.LLM(
        role.model,
        revision=role.revision,
        tokenizer_revision=role.revision,
        dtype=role.dtype,
        load_format="dummy",
        max_model_len=16_384,
        max_num_seqs=role.batch_size,
        limit_mm_per_prompt={"image": {"count": 8, "width": 1024, "height": 1024}, "video": 0},
        structured_outputs_config={"backend": "guidance", "disable_any_whitespace": True},
        **vlm_vllm._memory(role.gpu_memory_gb),
    )
    tell("loaded", seconds=time.perf_counter() - started, gib=models_alone.used_gib(), gpu_memory_gb=role.gpu_memory_gb)
    fixed = vllm.SamplingParams(temperature=0.0, max_tokens=ANSWER_TOKENS, ignore_eos=True)
    fresh = Fresh(small)

    def raw(size: int, under_schema: bool) -> None:
        questions = fresh.take(size)
        chats = [conversation(each, vlm_vllm._shown, MAX_PIXELS) for each in questions]
        sampling = [vlm_vllm._sampling(each) for each in questions] if under_schema else fixed
        began = time.perf_counter()
        outputs = engine.chat(chats, sampling, use_tqdm=False, chat_template_content_format="openai")
        seconds = time.perf_counter() - began
        kind = "raw_schema" if under_schema else "raw_fixed"
        tell(kind, batch_size=size, per_second=size / seconds, **_lengths(outputs))

    raw(max(BATCHES), under_schema=True)  # warm-up, and said as one
    for size in BATCHES:
        for under_schema in (True, False):
            raw(size, under_schema)


def measure_vllm_alone(profile: str, small: bool, tell: Tell) -> None:
    """`VllmVlm`, asked by so many threads, a question each at a time."""
    models_alone.publish(profile, "vlm", small, tell, weights=False)
    role = _dummy(load_profile(profile).roles["vlm"], batch_size=max(BATCHES), gpu_memory_gb=VLLM_GB)
    started = time.perf_counter()
    vlm = build_role("vlm", role)
    tell("loaded", seconds=time.perf_counter() - started, gib=models_alone.used_gib(), gpu_memory_gb=role.gpu_memory_gb)
    fresh = Fresh(small)
    vlm.ask(fresh.take(max(BATCHES)))  # warm-up
    for size in BATCHES:
        questions = fresh.take(2 * size)
        began = time.perf_counter()
        with ThreadPoolExecutor(size) as callers:
            answers = list(callers.map(lambda question: vlm.ask([question])[0], questions))
        seconds = time.perf_counter() - began
        unusable = [each.message for each in answers if isinstance(each, Unusable)]
        speed = {"batch_size": size, "per_second": len(questions) / seconds}
        tell("alone", **speed, unusable=len(unusable), first=unusable[:1])


def _lengths(outputs: Sequence[Any]) -> dict[str, float]:
    return {
        "prompt_tokens": sum(len(each.prompt_token_ids) for each in outputs) / len(outputs),
        "answer_tokens": sum(len(each.outputs[0].token_ids) for each in outputs) / len(outputs),
    }


def measure_actor(profile: str, small: bool, tell: Tell) -> None:
    """The verification step: the question made, asked through the pool, the answer judged."""
    models_alone.publish(profile, "vlm", small, tell, weights=small)
    given = load_profile(profile)
    role = given.roles["vlm"]
    if small:
        role = role.model_copy(update={"implementation": TRANSFORMERS, "dtype": "float32"})
    else:
        role = _dummy(role, batch_size=max(BATCHES), gpu_memory_gb=VLLM_GB)
    callers = [2, 4] if small else CALLERS
    models_shared.ask_through_pool(given.model_copy(update={"roles": {"vlm": role}}), "vlm", small, tell, callers)


def _dummy(role: RoleConfig, **update: Any) -> RoleConfig:
    return role.model_copy(update={"options": {**role.options, "load_format": "dummy"}, **update})


def measure_transformers(profile: str, small: bool, tell: Tell) -> None:
    """Ours, and plain `generate` of the same prompts for as many steps as ours took."""
    models_alone.publish(profile, "vlm", small, tell)
    role = load_profile(profile).roles["vlm"]
    role = role.model_copy(update={"implementation": TRANSFORMERS, "batch_size": max(PLAIN_BATCHES)})
    role = role.model_copy(update={"dtype": "float32"}) if small else role
    started = time.perf_counter()
    vlm = build_role("vlm", role)
    tell("loaded", seconds=time.perf_counter() - started, gib=models_alone.used_gib())
    fresh, warm = Fresh(small), False
    for size in (2, 4) if small else PLAIN_BATCHES:
        models_alone._free()
        vlm._batch_size = size
        if not warm:
            warm = True
            vlm.ask(fresh.take(size))  # warm-up
        steps, generate = [], vlm._model.generate

        def counted(*arguments: Any, _generate: Any = generate, _steps: list[int] = steps, **named: Any) -> Any:
            written = _generate(*arguments, **named)
            _steps.append(written.shape[1] - named["input_ids"].shape[1])
            return written

        vlm._model.generate = counted
        questions = fresh.take(size)
        began = time.perf_counter()
        answers = vlm.ask(questions)
        ours = time.perf_counter() - began
        vlm._model.generate = generate
        usable = sum(not isinstance(each, Unusable) for each in answers)
        plain = _plain(vlm, fresh.take(size), sum(steps))
        speeds = {"ours_per_second": size / ours, "plain_per_second": size / plain}
        fixed = _plain(vlm, fresh.take(size), ANSWER_TOKENS)
        tell("generate", batch_size=size, steps=sum(steps), **speeds, usable=usable, gib=models_alone.used_gib())
        tell("generate_fixed", batch_size=size, steps=ANSWER_TOKENS, per_second=size / fixed)


def _plain(vlm: Any, questions: list[Question], steps: int) -> float:
    """Seconds of plain `generate`, pictures and words prepared by the processor."""
    import torch

    began = time.perf_counter()
    inputs = vlm._inputs(questions).to(vlm._model.device)
    with torch.inference_mode():
        written = vlm._model.generate(**inputs, max_new_tokens=steps, min_new_tokens=steps)
    vlm._processor.batch_decode(written[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return time.perf_counter() - began
