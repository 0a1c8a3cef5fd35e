"""Leakage between instances: how much of what was drawn for one target lies on another's instance.

MIVE (arXiv 2412.12877) asks a classifier whose look an instance got. Here it is measured on pixels: of all that a pass
changed in the frames, the part on instances that the target is not about.
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
        self._on_instance = np.zeros((len(passes), len(tracks)))
        self._everywhere = np.zeros(len(passes))

    def add(self, number: int, frame: int, before: Image, after: Image) -> None:
        """What pass `number` made of a frame."""
        if not self._tracks or before is after:
            return
        height, width = self._tracks[0].masks.shape[1:]
        difference = cv2.absdiff(before, after).max(axis=2).astype(np.float32)
        difference[difference < CHANGED_LEVELS] = 0
        small = cv2.resize(difference, (width, height), interpolation=cv2.INTER_AREA)
        self._everywhere[number] += float(small.sum())
        for position, track in enumerate(self._tracks):
            self._on_instance[number, position] += float(small[track.masks[frame]].sum())

    def shares(self) -> list[list[float | None]]:
        """Per pass and target, in [0, 1]: the share of the change that is on instances of others; None: no change."""
        return [[self._share(number, target) for target in one.targets] for number, one in enumerate(self._passes)]

    def _share(self, number: int, target: tuple[int, ...]) -> float | None:
        others = [position for position in range(len(self._tracks)) if position not in target]
        everywhere = float(self._everywhere[number])
        return float(self._on_instance[number, others].sum()) / everywhere if everywhere else None
