"""Batches that survive their worst item: one that is too large, or that makes the model raise, falls alone."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from schemas.errors import BadInput, RecastError
from schemas.reasons import Reason

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "status_alloc_failed")


def batched(
    call: Callable[[list[Item]], Sequence[Answer]], items: Sequence[Item], batch_size: int
) -> list[Answer | BadInput]:
    """What `call` answers for `items`, in order, asked in slices of at most `batch_size`.

    A slice that runs out of memory is halved, and so are those after it in this call. One that raises is bisected. An
    item that cannot be done even alone is answered with BadInput as a value (OUT_OF_MEMORY, MODEL_FAILED, or the
    BadInput that `call` raised); the others are not touched by it. What every single item raises is a bug, and is
    raised; so are other errors of Recast's, and a broken accelerator, which only a new process mends.
    """
    answers: dict[int, Answer | BadInput] = {}
    bugs: list[Exception] = []
    size = max(1, batch_size)
    waiting = [range(len(items))]
    while waiting:
        span = waiting.pop()
        now, later = span[:size], span[size:]
        if later:
            waiting.append(later)
        if not now:
            continue
        given, error = _tried(call, [items[number] for number in now])
        if error is None:
            answers.update(zip(now, given, strict=True))
        elif len(now) > 1:
            half = len(now) // 2
            size = half if is_out_of_memory(error) else size
            waiting += [now[half:], now[:half]]
        else:
            answers[now[0]] = _bad_input(error)
            bugs += [] if isinstance(error, BadInput) or is_out_of_memory(error) else [error]
    if bugs and len(bugs) == len(items):
        raise bugs[0]
    return [answers[number] for number in range(len(items))]


def all_batched(call: Callable[[list[Item]], Sequence[Answer]], items: Sequence[Item], batch_size: int) -> list[Answer]:
    """`batched` for items that are of use only together, such as the frames of a clip: raises the first BadInput."""
    answers: list[Answer] = []
    for answer in batched(call, items, batch_size):
        if isinstance(answer, BadInput):
            raise answer
        answers.append(answer)
    return answers


def is_out_of_memory(error: Exception) -> bool:
    """Whether this is what torch, its libraries or numpy raise when memory cannot be had, on a GPU or a CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _NO_MEMORY)


def _tried(
    call: Callable[[list[Item]], Sequence[Answer]], batch: list[Item]
) -> tuple[Sequence[Answer], Exception | None]:
    try:
        return call(batch), None
    except Exception as raised:
        error = raised
    if not is_out_of_memory(error):
        if isinstance(error, torch.AcceleratorError) or (
            isinstance(error, RecastError) and not isinstance(error, BadInput)
        ):
            raise error
        return [], error
    error.__traceback__ = error.__context__ = None  # its frames hold the tensors that did not fit
    torch.cuda.empty_cache()
    return [], error


def _bad_input(error: Exception) -> BadInput:
    if isinstance(error, BadInput):
        return error
    if is_out_of_memory(error):
        return BadInput(Reason.OUT_OF_MEMORY)
    return BadInput(Reason.MODEL_FAILED, f"{type(error).__name__}: {error}")
