"""Masks carried along the flow from one frame of a clip to another, a few frames away."""

from collections import OrderedDict
from collections.abc import Sequence

import cv2
import numpy as np

from schemas.video import Image, Mask
from stages import motion
from stages.motion import Flow, Map

_KEPT_FLOWS = 48  # 40 MB at 240 x 426; neighbouring questions need the same ones
_ALIKE_LEVELS = 45.0  # of blurred colours: exact masks contradict each other by 0.4 % of their area then


class Transport:
    """Flows between frames of one clip, worked out when they are asked for; the latest are kept.

    images: every frame of the clip in time order, reduced (`mining.PASSAGE_SHORT_SIDE_PX`). Masks travel at that size.
    """

    def __init__(self, images: Sequence[Image]) -> None:
        self.images = images
        self._flows: OrderedDict[tuple[int, int], Flow] = OrderedDict()
        self._trusts: OrderedDict[tuple[int, int], Map] = OrderedDict()

    def reduced(self, mask: Mask) -> Map:
        """(h, w) float32 in [0, 1]: the share of each pixel of a reduced image that a mask of any size covers."""
        height, width = self.images[0].shape[:2]
        soft = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(soft, dtype=np.float32)

    def carry(self, values: Map, start: int, end: int) -> Map:
        """(h, w) values of frame `start` brought to the pixels of frame `end`; 0 where they come from outside."""
        return values if start == end else motion.warp(values, self._flow(end, start))

    def trust(self, start: int, end: int) -> Map:
        """(h, w) in [0, 1]: how much the picture of frame `start`, brought to frame `end`, looks like that one.

        Flow that lost its way is not to be believed, nor what is hidden in one of the two.
        """
        key = start, end
        if key not in self._trusts:
            brought = motion.warp(self.images[start], self._flow(end, start)) if start != end else self.images[end]
            away = cv2.blur(brought - self.images[end].astype(np.float32), (3, 3))
            self._trusts[key] = np.exp(-np.square(away / _ALIKE_LEVELS).sum(axis=2)).astype(np.float32)
            while len(self._trusts) > _KEPT_FLOWS:
                self._trusts.popitem(last=False)
        return self._trusts[key]

    def _flow(self, start: int, end: int) -> Flow:
        """Where each pixel of `start` is in `end`: from frame to frame, since flow does not bridge much at once."""
        key = start, end
        if key in self._flows:
            self._flows.move_to_end(key)
            return self._flows[key]
        step = 1 if end > start else -1
        if end - start == step:
            flow = motion.flow_between(self.images[start], self.images[end])
        else:
            nearer = self._flow(start, end - step)
            last = motion.warp(self._flow(end - step, end), nearer)
            flow = nearer + last
        self._flows[key] = flow
        while len(self._flows) > _KEPT_FLOWS:
            self._flows.popitem(last=False)
        return flow


def enlarged(values: Map, height_px: int, width_px: int) -> Map:
    """Values of the reduced size at the size of the masks."""
    full = cv2.resize(values, (width_px, height_px), interpolation=cv2.INTER_LINEAR)
    return np.asarray(full, dtype=np.float32)
