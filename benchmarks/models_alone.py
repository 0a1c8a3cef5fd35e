"""A role's implementation by itself, in one process: load time, memory and speed, at several batch sizes."""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from actors.profiles import build_role, load_profile
from benchmarks.models_calls import CALLS, Sizes
from pipeline.model_host import METHOD_OF
from schemas.config import RoleConfig
from tests.models import hub

Tell = Callable[..., None]

SECONDS = 4.0  # of each measurement of speed
BATCH_SIZES = {
    "quality": (6, 64, 256),
    "detector": (1, 2, 4, 8, 10),
    "segmenter": (1, 8),
    "depth": (1, 4, 10),
    "embedder": (8, 30, 64, 128),
}
"""Of the roles that take one."""

SHORT_STEPS, LONG_STEPS = 2, 8
"""Of a video: the difference says what a step takes, as fifty would take minutes."""


def role_config(profile: str, name: str) -> RoleConfig:
    return load_profile(profile).roles[name]


def publish(profile: str, name: str, small: bool, tell: Tell, weights: bool = True) -> None:
    """The role's checkpoint, under its production id and revision."""
    role = role_config(profile, name)
    started = time.perf_counter()
    if small:
        from benchmarks.models_small import BUILDERS

        hub.publish(role.model, BUILDERS[name], role.revision)
    else:
        from benchmarks.models_checkpoints import BUILDERS as FULL

        device = ("cuda" if torch.cuda.is_available() else "cpu") if weights else "none"
        hub.publish(role.model, lambda folder: FULL[name](folder, device) and None, role.revision)
    if name == "quality":
        options = role.options
        if small:
            from tests.models.checkpoints.vision_transformers import build_head

            hub.publish(options["head"], build_head, options["head_revision"])
        else:
            from benchmarks.models_checkpoints import aesthetic_head

            hub.publish(
                options["head"], lambda folder: aesthetic_head(folder, "cpu") and None, options["head_revision"]
            )
    _free()
    root = hub.CACHE / f"models--{role.model.replace('/', '--')}"
    gib = sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) / 2**30
    tell("published", seconds=time.perf_counter() - started, gib=gib)


def unpublish(profile: str, name: str) -> None:
    """Disks are small next to all models together."""
    shutil.rmtree(hub.CACHE / f"models--{role_config(profile, name).model.replace('/', '--')}")


def measure(profile: str, name: str, small: bool, tell: Tell) -> None:
    role, sizes = role_config(profile, name), Sizes(small)
    before = used_gib()
    started = time.perf_counter()
    built = build_role(name, role)
    tell("loaded", seconds=time.perf_counter() - started, gib=used_gib())
    if name == "video_generator":
        _measure_video(built, sizes, tell)
    else:
        for size in BATCH_SIZES.get(name, ()):
            if size != role.batch_size:
                built._batch_size = size
                _tell_alone(built, name, sizes, tell, size)
        if name in BATCH_SIZES:
            built._batch_size = role.batch_size
        given = _tell_alone(built, name, sizes, tell, role.batch_size)
        if given:
            tell("forward", **given)
    del built
    _free()
    tell("freed", gib=used_gib() - before)


def _tell_alone(built: Any, name: str, sizes: Sizes, tell: Tell, batch_size: int) -> dict[str, Any]:
    """Speed and the most memory at this batch size; calls of production size, larger where the batch is."""
    _free()
    method = getattr(built, METHOD_OF[name])
    calls = [_grown(CALLS[name](seed, sizes), name, batch_size) for seed in range(2)]
    forward = None if name == "segmenter" else getattr(built, "_model", None)  # its model keeps what it saw
    with _last_inputs(forward) as seen:
        method(*calls[0][0])
    rate, count = timed(lambda turn: method(*calls[turn % 2][0]), calls[0][1])
    tell("alone", batch_size=batch_size, per_second=rate, calls=count, gib=used_gib())
    if not seen:
        return {}
    arguments, named = seen[-1]
    items = len(next(value for value in (*arguments, *named.values()) if torch.is_tensor(value)))
    with torch.inference_mode():
        rate, _ = timed(lambda _: forward(*arguments, **named), items)
    return {"batch_size": items, "per_second": rate}


def _grown(call: tuple[tuple[Any, ...], int], name: str, batch_size: int) -> tuple[tuple[Any, ...], int]:
    """Roles that answer item by item get several calls' items at once, as the model host merges them."""
    (arguments, count) = call
    if name not in {"quality", "embedder"} or batch_size <= count:
        return call
    times = -(-batch_size // count)
    return ([*arguments[0]] * times, *arguments[1:]), count * times


@contextlib.contextmanager
def _last_inputs(model: Any) -> Iterator[list[tuple[Any, Any]]]:
    """The arguments of the model's first forward pass: a full batch, on its device."""
    seen: list[tuple[Any, Any]] = []
    if not isinstance(model, torch.nn.Module):
        yield seen
        return

    def keep(_: Any, arguments: Any, named: Any) -> None:
        if not seen:
            seen.append((arguments, named))

    hook = model.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        yield seen
    finally:
        hook.remove()


def _measure_video(built: Any, sizes: Sizes, tell: Tell) -> None:
    arguments, _ = CALLS["video_generator"](0, sizes)
    seconds = {}
    for steps in (SHORT_STEPS, LONG_STEPS):
        built._num_steps = steps
        started = time.perf_counter()
        built.generate(*arguments)
        seconds[steps] = time.perf_counter() - started
        tell("alone", batch_size=1, steps=steps, per_second=1 / seconds[steps], calls=1, gib=used_gib())
    per_step = (seconds[LONG_STEPS] - seconds[SHORT_STEPS]) / (LONG_STEPS - SHORT_STEPS)
    tell("steps", seconds_per_step=per_step, other_seconds=seconds[SHORT_STEPS] - SHORT_STEPS * per_step)


def timed(call: Callable[[int], Any], items: int) -> tuple[float, int]:
    """Items per second over SECONDS, and calls made; whoever calls has warmed up."""
    _wait()
    started, count = time.perf_counter(), 0
    while count < 2 or time.perf_counter() - started < SECONDS:
        call(count)
        count += 1
        if count % 8 == 0:
            _wait()
    _wait()
    return items * count / (time.perf_counter() - started), count


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _free() -> None:
    import gc

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def used_gib() -> float:
    """Of the whole GPU, the process's context included: what others cannot have. 0 without one."""
    if not torch.cuda.is_available():
        return 0.0
    free, total = torch.cuda.mem_get_info()
    return (total - free) / 2**30
