"""What callers' threads prepare on the GPU while the model computes there."""

import contextlib
from collections.abc import Iterator
from functools import cache

import torch


@contextlib.contextmanager
def beside_the_model() -> Iterator[None]:
    """What is put on the GPU within is there at the end, and did not wait for the model: on the stream that both would
    use otherwise, a copy from a caller's thread stands behind everything the model has been given so far.

    The model may use it from any stream, and must be done with it (have its answer on the CPU) when it lets go of it.
    """
    if not torch.cuda.is_available():
        yield
        return
    stream, done = _stream(), torch.cuda.Event()
    with torch.cuda.stream(stream):
        yield
        done.record(stream)
    done.synchronize()


@cache
def _stream() -> torch.cuda.Stream:
    return torch.cuda.Stream()
