"""Gradual transitions: fades to and from a flat picture, and dissolves of one scene into another.

Every other frame is remembered as a thumbnail around its mean, for as long as a transition may last. The frames between
two of them are a transition when they are mixtures of both, in growing share (twin comparison, Zhang et al. 1993, on
pixels), and when contrast and detail sink in the middle: a moving camera changes the picture too, but keeps its
contrast, while mixing two scenes that have nothing to do with each other halves the variance (Alattar 1993). Where both
scenes move fast the second is what tells. Wipes are not found.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.video import Image

STRIDE_FRAMES = 2
MAX_FRAMES = 36
"""The longest transition that is seen as one piece; longer fades are found piece by piece."""

_SPANS = (4, 6, 9, 13, 18)  # samples between the two frames that are compared
_LONG_SIDE_PX, _SHORT_SIDE_PX = 24, 14
_MIN_DEVIATION, _FLAT_DEVIATION = 15.0, 4.0  # levels: a picture; next to nothing
_MAX_CORRELATION = 0.5  # of two scenes that have nothing to do with each other
_MAX_STEP, _MIN_STEP = 0.45, -0.08  # of the share from sample to sample: a cut or a flash is not gradual
_MAX_FADE_RESIDUAL, _MAX_RESIDUAL = 0.06, 0.42  # of the squared difference of both frames
_MAX_DIP, _MAX_DETAIL_DIP = 0.66, 0.66  # of contrast and of detail, over what lies around
_MAX_ANY_DIP, _MIN_DIP = 0.95, 0.2
_EDGE = 0.04  # a share below it, or that near to 1, is no mixture


@dataclass(frozen=True, slots=True)
class Transition:
    """First and last mixed frame. is_whole: unmixed frames were seen on both sides, so the extent is right."""

    first: int
    last: int
    is_whole: bool


def merged(found: Sequence[Transition]) -> list[Transition]:
    """Overlapping sightings as one each: the narrowest that is whole, or all of them together when none is."""
    groups: list[list[Transition]] = []
    for each in sorted(found, key=lambda each: (each.first, each.last)):
        if groups and each.first <= max(other.last for other in groups[-1]):
            groups[-1].append(each)
        else:
            groups.append([each])
    return [_one_of(group) for group in groups]


def _one_of(group: Sequence[Transition]) -> Transition:
    whole = [each for each in group if each.is_whole]
    if whole:
        return min(whole, key=lambda each: (each.last - each.first, each.first))
    return Transition(group[0].first, max(each.last for each in group), False)


class GradualFinder:
    """Streaming; holds a few thumbnails whatever the length of the video."""

    def __init__(self) -> None:
        size = max(_SPANS) + 1
        self._vectors = np.zeros((2 * size, 3 * _LONG_SIDE_PX * _SHORT_SIDE_PX), np.float32)  # each twice: no seam
        self._num_pushed = 0
        self._indices: deque[int] = deque(maxlen=size)
        self._details: deque[float] = deque(maxlen=size)
        self._products = np.zeros((size, size))  # mean product of every two thumbnails, oldest first

    def push(self, index: int, small: Image) -> list[Transition]:
        """Takes frame `index` ((h, w, 3) uint8, every frame, in order); returns the transitions seen up to it.

        The same one may be returned again, in another extent.
        """
        if index % STRIDE_FRAMES:
            return []
        height, width = small.shape[:2]
        size = (_LONG_SIDE_PX, _SHORT_SIDE_PX) if width >= height else (_SHORT_SIDE_PX, _LONG_SIDE_PX)
        # A box and a linear look-up: a third of the time of INTER_AREA, and as good here.
        thumbnail = cv2.resize(cv2.blur(small, (5, 5)), size, interpolation=cv2.INTER_LINEAR).astype(np.float32)
        vector = (thumbnail - np.asarray(cv2.mean(thumbnail)[:3], np.float32)).ravel()
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        steps = cv2.norm(grey[1:], grey[:-1], cv2.NORM_L2SQR) + cv2.norm(grey[:, 1:], grey[:, :-1], cv2.NORM_L2SQR)
        self._remember(index, vector, steps / grey.size)
        return [found for span in _SPANS if span < len(self._indices) and (found := self._within(span)) is not None]

    def _remember(self, index: int, vector: NDArray[np.float32], detail: float) -> None:
        if len(self._indices) == self._indices.maxlen:
            self._products[:-1, :-1] = self._products[1:, 1:]
        self._indices.append(index)
        self._details.append(detail)
        last, size = len(self._indices) - 1, len(self._products)
        place = self._num_pushed % size + size
        self._vectors[place] = self._vectors[place - size] = vector
        self._num_pushed += 1
        products = self._vectors[place - last : place + 1] @ vector / len(vector)
        self._products[last, : last + 1] = self._products[: last + 1, last] = products

    def _within(self, span: int) -> Transition | None:
        """The mixed frames between the newest sample and the one `span` before it, if that is what lies between."""
        last = len(self._indices) - 1
        first = last - span
        before, after = float(self._products[first, first]), float(self._products[last, last])
        if max(before, after) < _MIN_DEVIATION**2:
            return None
        is_fade = min(before, after) < _FLAT_DEVIATION**2
        middle = float(self._products[last - span // 2, last - span // 2])
        if not is_fade:
            alike = float(self._products[first, last])
            if min(before, after) < _MIN_DEVIATION**2 or alike > _MAX_CORRELATION * np.sqrt(before * after):
                return None
            if middle > 0.9 * max(before, after):  # the cheap look first
                return None
        return self._mixed(first, last, is_fade)

    def _mixed(self, first: int, last: int, is_fade: bool) -> Transition | None:
        products, between = self._products, np.arange(first + 1, last)
        before, after, across = products[first, first], products[last, last], products[first, last]
        difference = before + after - 2 * across
        onto = products[between, last] - products[between, first] - across + before
        share = onto / difference
        away = products[between, between] + before - 2 * products[between, first]
        residual = np.maximum(away - share**2 * difference, 0) / difference
        inner = (share > 0.25) & (share < 0.75)
        steps = np.diff(np.concatenate([[0.0], share, [1.0]]))
        if inner.sum() < 2 or steps.max() > _MAX_STEP or steps.min() < _MIN_STEP:
            return None
        if residual[inner].mean() > (_MAX_FADE_RESIDUAL if is_fade else _MAX_RESIDUAL):
            return None
        if not is_fade and not self._dips(first, last, between[inner], share[inner]):
            return None
        mixed = between[(share > _EDGE) & (share < 1 - _EDGE)]
        # Samples lie STRIDE_FRAMES apart: the frames beside them may be mixed too.
        reach = STRIDE_FRAMES - 1
        is_whole = bool(share[0] < 2 * _EDGE and share[-1] > 1 - 2 * _EDGE)
        return Transition(self._indices[int(mixed[0])] - reach, self._indices[int(mixed[-1])] + reach, is_whole)

    def _dips(self, first: int, last: int, inner: NDArray[np.int64], share: NDArray[np.float64]) -> bool:
        contrast = np.diag(self._products)
        detail = np.asarray(self._details)
        for values, limit in ((contrast, _MAX_DIP), (detail, _MAX_DETAIL_DIP)):
            sunk = values[inner] / np.maximum((1 - share) * values[first] + share * values[last], 1e-6)
            if float(sunk.mean()) > limit or float(sunk.max()) > _MAX_ANY_DIP:  # all of them: a flash is one
                return False
            if float(sunk.min()) < _MIN_DIP:  # not a mixture of both: something flat between them
                return False
        return True
