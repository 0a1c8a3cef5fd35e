"""What moves on its own: dense flow against the camera's motion (after Papazoglou & Ferrari, ICCV 2013)."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.video import Image

Flow = NDArray[np.float32]
"""(H, W, 2) displacement in pixels, x then y."""

Map = NDArray[np.float32]
"""(H, W) values."""

_PATCH_STRIDE_PX, _NUM_REFINEMENTS = 4, 2  # the preset's 3 and 5 bring the other frame back no better
_GRID_PX = 8  # samples of the flow that the camera's motion is fitted to
_ROUNDS = 8
_FIRST_SCALE_PX = 4.0  # residuals below it count in the first round; it shrinks by _SHRINKING per round
_SHRINKING = 0.6
_LEAST_SCALE_PX = 0.3  # noise of dense flow at the sizes used here
_LAGS = (1, 2, 6)  # in frames of the passage
_KEYS_PER_LOOK = 4  # of them one is looked at to choose the lag
_CLEAR_PX = 2.0  # a lag at which subjects move so far (97th percentile) needs no longer one
_TAIL_SHARE = 0.2  # of what the most moving parts move by: less is not the subject
_NOISE_FACTOR = 3.0  # times what half of the picture moves by
_NOISE_LEVELS = 3.0  # of colour, 0..255
_UNSEEN = 0.3  # of motion that leaves the colours unchanged counts: flow bleeds into plain ground beside a subject
_FLOOR_PX = 0.15  # less is never motion


def shrink(image: Image, short_side_px: int) -> Image:
    """The image with its short side at `short_side_px`; smaller ones stay as they are."""
    height, width = image.shape[:2]
    scale = short_side_px / min(height, width)
    if scale >= 1:
        return image
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def flow_between(image: Image, other: Image) -> Flow:
    """Where each pixel of `image` is in `other` (DIS, Kroeger et al., ECCV 2016), three fifths of the preset's work."""
    engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    engine.setPatchStride(_PATCH_STRIDE_PX)
    engine.setVariationalRefinementIterations(_NUM_REFINEMENTS)
    grey, other_grey = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (image, other))
    return np.asarray(engine.calc(grey, other_grey, None), dtype=np.float32)


def warp(values: Map | Image, flow: Flow) -> NDArray[np.float32]:
    """`values` of the other frame, brought to this frame's pixels by this frame's flow; 0 where it left the frame."""
    height, width = flow.shape[:2]
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    moved = cv2.remap(
        values.astype(np.float32), columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, borderValue=0
    )
    return np.asarray(moved, dtype=np.float32)


def camera_flow(flow: Flow, subject: Map | None = None) -> Flow:
    """The part of a flow that the camera explains: a quadratic in x and y per component, fitted robustly.

    Quadratics hold what a turning, zooming camera does to a distant scene and to a plane; iterated reweighting (Geman &
    McClure) lets go of what moves otherwise. The picture's border counts more, because subjects are rarely there;
    `subject` (probability per pixel, if known) counts less.
    """
    height, width = flow.shape[:2]
    rows, columns = (
        axis.ravel() for axis in np.mgrid[_GRID_PX // 2 : height : _GRID_PX, _GRID_PX // 2 : width : _GRID_PX]
    )
    x, y = columns / width * 2 - 1, rows / height * 2 - 1
    terms, wanted = _terms(x, y), flow[rows, columns].astype(np.float64)
    prior = 0.3 + 0.7 * np.clip((np.maximum(np.abs(x), np.abs(y)) - 0.4) / 0.4, 0, 1)
    if subject is not None:
        prior = prior * (1.01 - subject[rows, columns])
    outer = prior > 0.5
    weights = prior
    for turn in range(_ROUNDS):
        weighted = terms * weights[:, None]
        fit = np.linalg.solve(terms.T @ weighted + 1e-6 * np.eye(6), weighted.T @ wanted)
        residual = np.hypot(*(wanted - terms @ fit).T)
        typical = 1.5 * float(np.median(residual[outer] if outer.sum() > 20 else residual))
        scale = max(typical, _LEAST_SCALE_PX, _FIRST_SCALE_PX * _SHRINKING**turn if turn < 6 else 0.0)
        weights = prior * (scale**2 / (scale**2 + residual**2)) ** 2
    return _quadratic(fit, height, width)


def _terms(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)


def _quadratic(fit: NDArray[np.float64], height: int, width: int) -> Flow:
    """The polynomials of `fit` (6 terms, 2 components) at every pixel, as products of powers of y and of x."""
    x, y = (np.vander(np.arange(size) / size * 2 - 1, 3, increasing=True) for size in (width, height))
    factors = np.zeros((2, 3, 3))
    factors[:, [0, 0, 1, 0, 1, 2], [0, 1, 0, 2, 1, 0]] = fit.T  # powers of y and of x in the order of _terms
    return np.asarray(cv2.merge(list((y @ factors @ x.T).astype(np.float32))), dtype=np.float32)


class OwnMotion:
    """How much more than the camera the pixels of some frames of a passage move; flows are computed once."""

    def __init__(self, images: Sequence[Image], keys: Sequence[int]) -> None:
        """keys: the positions in `images` that are asked about."""
        self._images, self._keys = images, keys
        self._flows: dict[tuple[int, int], Flow] = {}

    def flow(self, start: int, end: int) -> Flow:
        if (start, end) not in self._flows:
            self._flows[start, end] = flow_between(self._images[start], self._images[end])
        return self._flows[start, end]

    def telling_lag(self) -> int:
        """The first lag at which something moves clearly, or else the one at which most does; some keys tell.

        Raises ValueError when there are fewer than two frames.
        """
        if len(self._images) < 2:
            raise ValueError("motion needs two frames")
        tail_at: dict[int, float] = {}
        for lag in _LAGS:
            moved = [self._moved(number, lag, None) for number in range(0, len(self._keys), _KEYS_PER_LOOK)]
            tails = [_quantiles(each)[1] for each in moved if each is not None]
            tail_at[lag] = float(np.median(tails)) if tails else 0.0
            if tail_at[lag] > _CLEAR_PX:
                break
        return max(tail_at, key=lambda lag: tail_at[lag])

    def evidence(self, lag: int, subject: Sequence[Map] | None = None) -> list[Map]:
        """Per key, the logarithm of own motion over the motion that a subject would at least have; 0 = undecided.

        Of the flows to a frame `lag` before and one after the smaller motion counts, because flow is wrong where
        background is covered or uncovered on one side.
        """
        moved = [self._moved(number, lag, subject) for number in range(len(self._keys))]
        quantiles = [_quantiles(each) for each in moved if each is not None]
        least = [max(_TAIL_SHARE * high, _NOISE_FACTOR * middle, _FLOOR_PX) for middle, high in quantiles]
        usual, own = float(np.median(least)) if least else _FLOOR_PX, iter(least)
        blank = np.zeros(self._images[0].shape[:2], np.float32)
        return [
            blank if each is None else np.log((each + 0.02) / np.sqrt(next(own) * usual)).astype(np.float32)
            for each in moved
        ]

    def _moved(self, number: int, lag: int, subject: Sequence[Map] | None) -> Map | None:
        """Own motion in pixels, less where the camera alone explains the colours; None without a frame at that lag."""
        here = self._keys[number]
        known = None if subject is None else subject[number]
        moved, changed = [], []
        for there in (here - lag, here + lag):
            if 0 <= there < len(self._images):
                flow = self.flow(here, there)
                camera = camera_flow(flow, known)
                moved.append(cv2.magnitude(*cv2.split(flow - camera)))
                difference = cv2.absdiff(warp(self._images[there], camera), self._images[here].astype(np.float32))
                changed.append(cv2.blur(np.maximum.reduce(cv2.split(difference)), (5, 5)))
        if not moved:
            return None
        change = np.minimum.reduce(changed)
        level = max(float(np.median(change[::3, ::3])), _NOISE_LEVELS)
        seen = change**2 / (change**2 + (2 * level) ** 2)
        return np.asarray(np.minimum.reduce(moved) * (_UNSEEN + (1 - _UNSEEN) * seen), dtype=np.float32)


def _quantiles(moved: Map) -> tuple[float, float]:
    middle, high = np.quantile(moved[::3, ::3], [0.5, 0.97])
    return float(middle), float(high)
