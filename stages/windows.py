"""Windows of frames that a generator of bounded length takes one after the other, overlapping so that they can be
joined."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STRIDE = 4  # video models take 4n + 1 frames and pad what is not


@dataclass(frozen=True, slots=True)
class FrameWindow:
    """Frames [start, stop) of the clip."""

    start: int
    stop: int

    @property
    def num_frames(self) -> int:
        return self.stop - self.start


def plan_windows(start: int, stop: int, max_frames: int, overlap: int) -> list[FrameWindow]:
    """Windows that cover [start, stop), in order, each sharing at least `overlap` frames with the next.

    As few as possible, then as short as possible: all of one length 4n + 1 of at most `max_frames`, spread evenly. One
    window alone has whatever length there is. Raises ValueError for an empty span, and for an overlap that leaves a
    window nothing of its own.
    """
    longest = (max_frames - 1) // STRIDE * STRIDE + 1
    if stop <= start or not 0 <= overlap < longest:
        raise ValueError(f"frames {start} to {stop} in windows of {max_frames} that share {overlap}")
    total = stop - start
    if total <= longest:
        return [FrameWindow(start, stop)]
    number = math.ceil((total - overlap) / (longest - overlap))
    least = math.ceil((total + (number - 1) * overlap) / number)
    length = least + (1 - least) % STRIDE
    starts = [start + index * (total - length) // (number - 1) for index in range(number)]
    return [FrameWindow(first, first + length) for first in starts]


def fade_in(num_shared: int) -> NDArray[np.float64]:
    """(num_shared,) weights of the later of two windows on the frames they share, strictly between 0 and 1."""
    return np.arange(1, num_shared + 1) / (num_shared + 1)
