"""Leakage between instances: how much of what was drawn for one target lies on another's instance.

MIVE (arXiv 2412.12877) calls it the cross-instance problem. Here it is measured on pixels: the change that a pass made,
summed over the masks of all instances, and the part of it on instances that the target is not about.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from schemas.passes import EditPass
from schemas.tracks import InstanceTrack
from schemas.video import Image

CHANGED_LEVELS = 6.0  # of the worst channel: less is rounding and cannot be seen


class Leakage:
    """Takes down what passes changed, frame by frame. Joint passes draw every target on all of their instances."""

    def __init__(self, tracks: Sequence[InstanceTrack], passes: Sequence[EditPass]) -> None:
        self._tracks, self._passes = tracks, passes
        self._changed = np.zeros((len(passes), len(tracks)))

    def add(self, number: int, frame: int, before: Image, after: Image) -> None:
        """What pass `number` made of a frame."""
        if not self._tracks or before is after:
            return
        height, width = self._tracks[0].masks.shape[1:]
        difference = cv2.absdiff(before, after).max(axis=2).astype(np.float32)
        difference[difference < CHANGED_LEVELS] = 0
        small = cv2.resize(difference, (width, height), interpolation=cv2.INTER_AREA)
        for position, track in enumerate(self._tracks):
            self._changed[number, position] += float(small[track.masks[frame]].sum())

    def shares(self) -> list[list[float | None]]:
        """Per pass and target, in [0, 1]: the share of the change that is on instances of others; None: no change."""
        return [
            [_outside(self._changed[number], target) for target in one.targets]
            for number, one in enumerate(self._passes)
        ]


def _outside(changed: np.ndarray[tuple[int], np.dtype[np.float64]], target: tuple[int, ...]) -> float | None:
    total = float(changed.sum())
    return float(1 - changed[list(target)].sum() / total) if total else None
