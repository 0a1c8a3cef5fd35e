"""What moves on its own in a passage of frames, as a belief per pixel: motion, colours and graph together.

After Papazoglou & Ferrari (ICCV 2013): motion says where subjects are in some frames, the colours learned there say
where they are in the others, and a graph over superpixels of all frames makes both agree.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from schemas.video import Image
from stages import background
from stages.background import Background
from stages.motion import Flow, Map, OwnMotion
from stages.superpixels import Superpixels, Values, walk

_DENSE_KEYS = 60  # a passage longer than this is segmented at every second frame
_MOTION_LOGIT = (-2.0, 3.0)  # a subject may pause: stillness says less than motion
_COLOUR_WEIGHT = 0.6
_COLOUR_LOGIT = 2.5
_BORDER_LOGIT = -1.0  # at the frame's border
_BORDER_SHARE = 0.08  # of the frame's sides
_ROUNDS = 2
_MEMORY_KEYS = 8.0  # how far colours learned in one frame count in others
_LASTING = 0.15  # of them wherever they are
_BINS = 16  # per Lab channel


@dataclass(frozen=True, slots=True)
class Trust:
    """How much evidence counts: its weight, the logit it starts from, and the strength of both against the graph."""

    weight: float
    prior_logit: float
    strength: float


_IN_MOTION = Trust(1.5, -0.5, 2.5)
_IN_SCENE = Trust(2.5, 0.0, 5.0)  # where the camera stands the empty scene is known


@dataclass(slots=True)
class Foreground:
    """Per key: its position in the passage, picture, belief in [0, 1], evidence of motion (log, 0 = undecided).

    forward, backward: flow from each key to the next, and from each next one back; one less than keys.
    scene: what they move in, where the camera stands.
    """

    keys: list[int]
    images: list[Image]
    belief: list[Map]
    evidence: list[Map]
    forward: list[Flow]
    backward: list[Flow]
    scene: Background | None = None


def find(images: Sequence[Image], wanted: Collection[int]) -> Foreground:
    """What moves on its own in consecutive frames of one size; `wanted`: positions that have to be keys.

    Raises ValueError when there are fewer than two frames.
    """
    step = 1 if len(images) <= _DENSE_KEYS else 2
    keys = sorted({*range(0, len(images), step), *wanted})
    motion = OwnMotion(images, keys)
    forward = [motion.flow(one, other) for one, other in pairwise(keys)]
    backward = [motion.flow(other, one) for one, other in pairwise(keys)]
    lag = motion.telling_lag()
    scene = background.of(images)
    trust = _IN_SCENE if scene else _IN_MOTION
    evidence = _told(motion.evidence(lag), scene, keys)
    pixels = Superpixels([images[key] for key in keys])
    links = pixels.link(forward)
    border = _BORDER_LOGIT * (1 - np.clip(np.minimum(pixels.place, 1 - pixels.place).min(axis=1) / _BORDER_SHARE, 0, 1))
    moving = _motion_logit(pixels, evidence, trust)
    colours = Colours(pixels)
    belief = walk(links, _share(moving + border), trust.strength)
    for turn in range(_ROUNDS):
        if turn == 1:  # the camera's motion is told better without the subject
            moved = motion.evidence(lag, [pixels.paint(belief, number) for number in range(len(keys))])
            evidence = _told(moved, scene, keys)
            moving = _motion_logit(pixels, evidence, trust)
        looks = _COLOUR_WEIGHT * colours.ratio(belief)
        belief = walk(links, _share(moving + border + looks + trust.prior_logit), trust.strength)
    painted = [pixels.paint(belief, number) for number in range(len(keys))]
    return Foreground(keys, [images[key] for key in keys], painted, evidence, forward, backward, scene)


def _told(moved: list[Map], scene: Background | None, keys: Sequence[int]) -> list[Map]:
    if scene is None:
        return moved
    return [scene.sharpen(each, key) for each, key in zip(moved, keys, strict=True)]


def _motion_logit(pixels: Superpixels, evidence: Sequence[Map], trust: Trust) -> Values:
    return np.asarray(np.clip(trust.weight * pixels.mean(evidence), *_MOTION_LOGIT), dtype=np.float64)


def _share(logit: Values) -> Values:
    return np.asarray(1 / (1 + np.exp(-logit)), dtype=np.float64)


class Colours:
    """How much more likely a superpixel's colour is on a subject than beside it, as learned from a belief."""

    def __init__(self, pixels: Superpixels) -> None:
        self._pixels = pixels
        lab = pixels.colour
        # Skin, fur and asphalt differ little in a and b: those channels get their bins from the range that occurs.
        bins = np.stack([lab[:, 0] // 16, (lab[:, 1] - 128) // 6 + 8, (lab[:, 2] - 128) // 6 + 8], axis=1)
        codes = np.clip(bins, 0, _BINS - 1).astype(np.int64) @ np.array([_BINS * _BINS, _BINS, 1])
        known, self._code = np.unique(codes, return_inverse=True)
        centres = np.stack([known // _BINS**2, known // _BINS % _BINS, known % _BINS], axis=1).astype(np.float64)
        apart = ((centres[:, None] - centres[None]) ** 2).sum(axis=2)
        self._nearby = np.where(apart <= 4, np.exp(-apart), 0.0)
        gaps = np.subtract.outer(np.arange(len(pixels.counts)), np.arange(len(pixels.counts)))
        self._memory = np.exp(-(gaps**2) / (2 * _MEMORY_KEYS**2)) + _LASTING

    def ratio(self, belief: Values) -> Values:
        """(N,) log likelihood ratio, subject to background; clipped."""
        subject = self._histograms(np.where(belief > 0.5, belief, 0))
        background = self._histograms(np.where(belief < 0.5, 1 - belief, 0))
        ratio = np.log((subject + 1e-4) / (background + 1e-4))
        own = ratio[self._pixels.frame, self._code]
        return np.asarray(np.clip(own, -_COLOUR_LOGIT, _COLOUR_LOGIT), dtype=np.float64)

    def _histograms(self, weights: Values) -> NDArray[np.float64]:
        """(frames, codes): colours around each frame's time, weighted by belief and area; rows sum to 1."""
        num_codes = len(self._nearby)
        places = self._pixels.frame * num_codes + self._code
        counts = np.bincount(places, weights * self._pixels.area_px, len(self._memory) * num_codes)
        spread = self._memory @ counts.reshape(len(self._memory), num_codes) @ self._nearby
        return np.asarray(spread / np.maximum(spread.sum(axis=1, keepdims=True), 1e-9), dtype=np.float64)
