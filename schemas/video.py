"""Video as the stages see it: upright, square pixels, RGB, frame indices and seconds of the source."""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""(H, W, 3) uint8 RGB, upright."""

Mask = NDArray[np.bool_]
"""(H, W) bool; True = the subject (or: the region to generate)."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What a container says of its video stream, after rotation and pixel aspect are applied."""

    width: int
    height: int
    fps: float  # average; 0 when the container does not say
    duration_seconds: float | None
    codec: str
    rotation: int = 0  # degrees clockwise that were applied: 0, 90, 180, 270
    pixel_aspect: float = 1.0
    is_hdr: bool = False
    has_audio: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded frame. `index` counts decoded frames of the source from 0; `seconds` comes from its pts."""

    index: int
    seconds: float
    image: Image


@dataclass(frozen=True, slots=True)
class Shot:
    """Frames [start_frame, end_frame) between two cuts."""

    start_frame: int
    end_frame: int
    start_seconds: float
    end_seconds: float

    @property
    def num_frames(self) -> int:
        return self.end_frame - self.start_frame


@dataclass(slots=True)
class Passage:
    """A run of frames of one clip in time order, as dense as memory allows, at a reduced size: what flow and tracking
    work on. All pictures have one size.
    """

    images: list[Image] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Footage:
    """The frames of one clip that are looked at, in time order, full size; and the passage they were taken from.

    `anchors` are the positions in `images` at which boxes and masks are wanted. Every anchor is also in the passage,
    with the same index; a passage may be empty where only still pictures are known.
    """

    images: list[Image]
    indices: list[int]
    seconds: list[float]
    anchors: list[int] = field(default_factory=list)
    frame_px: tuple[int, int] = (0, 0)  # height and width of the whole frame, letterbox bars included
    passage: Passage = field(default_factory=Passage)


class OutputFormat(StrEnum):
    """How an edited video is written."""

    H264 = "h264"  # plays anywhere
    PRORES = "prores"  # for editing programs
    FFV1 = "ffv1"  # lossless: untouched samples are the source's
    PNG = "png"  # a folder of pictures, upright, with timestamps.csv
