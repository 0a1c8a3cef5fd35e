"""Where a subject is from frame to frame, steadily enough to fix something to it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from schemas.video import Mask

SIGMA_FRAMES = 2.0

Boxes = NDArray[np.float64]
"""(N, 4) x0, y0, x1, y1."""


def steady_boxes(frame_masks: Sequence[Mask], tail: float = 0.01) -> Boxes | None:
    """A box per frame, smooth in time; None when all masks are empty.

    tail: share of the mask left out on every side: a raised arm moves it less than the tightest box. Frames without a
    mask get what lies between those around them.
    """
    found = {number: _quantile_box(mask, tail) for number, mask in enumerate(frame_masks) if mask.any()}
    if not found:
        return None
    times = sorted(found)
    known = np.array([found[time] for time in times])
    every = np.arange(len(frame_masks))
    boxes = np.stack([np.interp(every, times, known[:, side]) for side in range(4)], axis=1)
    return np.asarray(gaussian_filter1d(boxes, SIGMA_FRAMES, axis=0, mode="nearest"))


def _quantile_box(mask: Mask, tail: float) -> tuple[float, float, float, float]:
    x0, x1 = _between(mask.sum(axis=0), tail)
    y0, y1 = _between(mask.sum(axis=1), tail)
    return x0, y0, x1, y1


def _between(counts: NDArray[np.int64], tail: float) -> tuple[float, float]:
    """Where the cumulated counts pass `tail` and 1 - `tail`, to fractions of a pixel."""
    cumulated = np.concatenate([[0.0], np.cumsum(counts)]) / counts.sum()
    at = np.arange(len(counts) + 1, dtype=np.float64)
    inside = slice(int(np.searchsorted(cumulated, 0.0, side="right")) - 1, int(np.searchsorted(cumulated, 1.0)) + 1)
    low, high = np.interp([tail, 1 - tail], cumulated[inside], at[inside])
    return float(low), float(high)
