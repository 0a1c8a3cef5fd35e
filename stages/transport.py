"""Masks carried along the flow from one frame of a clip to another, a few frames away."""

from collections import OrderedDict
from collections.abc import Sequence

import cv2
import numpy as np

from schemas.video import Image, Mask
from stages import motion
from stages.motion import Flow, Map

_KEPT_FLOWS = 48  # 40 MB at 240 x 426; neighbouring questions need the same ones


class Transport:
    """Flows between frames of one clip, worked out when they are asked for; the latest are kept.

    images: every frame of the clip in time order, reduced (`mining.PASSAGE_SHORT_SIDE_PX`). Masks may be larger: what
    they are carried by is scaled up.
    """

    def __init__(self, images: Sequence[Image]) -> None:
        self._images = images
        self._flows: OrderedDict[tuple[int, int], Flow] = OrderedDict()

    def __len__(self) -> int:
        return len(self._images)

    def carry(self, mask: Mask, start: int, end: int) -> Map:
        """(H, W) float32 in [0, 1]: how far the pixels of frame `end` belong to what `mask` shows in frame `start`."""
        if start == end:
            return mask.astype(np.float32)
        return motion.warp(mask.astype(np.float32), self._scaled(end, start, mask.shape))

    def _scaled(self, start: int, end: int, shape: tuple[int, ...]) -> Flow:
        flow = self._flow(start, end)
        height, width = flow.shape[:2]
        if (height, width) == shape[:2]:
            return flow
        scaled = cv2.resize(flow, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
        scaled *= np.array([shape[1] / width, shape[0] / height], np.float32)
        return np.asarray(scaled, dtype=np.float32)

    def _flow(self, start: int, end: int) -> Flow:
        """Where each pixel of `start` is in `end`: from frame to frame, since flow does not bridge much at once."""
        key = start, end
        if key in self._flows:
            self._flows.move_to_end(key)
            return self._flows[key]
        step = 1 if end > start else -1
        if end - start == step:
            flow = motion.flow_between(self._images[start], self._images[end])
        else:
            nearer = self._flow(start, end - step)
            last = motion.warp(self._flow(end - step, end), nearer)
            flow = nearer + last
        self._flows[key] = flow
        while len(self._flows) > _KEPT_FLOWS:
            self._flows.popitem(last=False)
        return flow
