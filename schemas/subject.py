"""Subjects: where something is in one frame, through a clip, and in a pair of frames."""

from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from schemas.video import Mask

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels of the upright frame; x1, y1 exclusive."""

Embedding = NDArray[np.float32]


class Rle(TypedDict):
    """COCO run-length mask: size [h, w], counts as compressed ASCII."""

    size: list[int]
    counts: str


@dataclass(frozen=True, slots=True)
class Detection:
    """A box that answers a phrase in one frame; score in [0, 1]."""

    box: Box
    phrase: str
    score: float


@dataclass(slots=True)
class Track:
    """One instance through a clip. Keys of `masks` and `scores` are positions in Footage.images."""

    category: str
    masks: dict[int, Mask] = field(default_factory=dict)
    scores: dict[int, float] = field(default_factory=dict)  # confidence in [0, 1] that the mask is right


@dataclass(frozen=True, slots=True)
class Subject:
    """The same identity in both frames of a pair. similarity: cosine in [-1, 1]."""

    identity: str
    category: str
    box_a: Box
    box_b: Box
    mask_a: Rle
    mask_b: Rle
    similarity: float


@dataclass(frozen=True, slots=True)
class Pair:
    """Two frames that show the same subjects differently. Frame numbers are source-video indices."""

    frame_a: int
    frame_b: int
    seconds_a: float
    seconds_b: float
    subjects: list[Subject]
    diversity: float  # 0 = the same picture, 1 = as different as can be
