"""Filling a region of a picture or a video: what is asked of an editor or generator and what it gives back."""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from schemas.edit import Action
from schemas.sample import Plate
from schemas.video import Image, Mask


class Fill(StrEnum):
    OUTPAINT = "outpaint"  # everything but the kept subject, a new background around it
    REPLACE = "replace"  # a different subject of the same category inside the region
    REMOVE = "remove"  # background only inside the region


@dataclass(frozen=True, slots=True)
class Donor:
    """A picture of another source that pixels may be borrowed from, and where its subject is (None: nowhere)."""

    image: Image
    mask: Mask | None
    category: str
    origin: str  # content hash of its source
    others: Mask | None = None  # its other subjects: never borrowed


@dataclass(frozen=True, slots=True)
class FillRequest:
    """Regenerate `region` (True) of `image`; pixels outside it must come back bit-exact.

    rung: 0 for the first try; higher rungs may be simpler and safer.
    """

    image: Image
    region: Mask
    fill: Fill
    prompt: str
    seed: int
    rung: int = 0
    category: str = "subject"
    donors: list[Donor] = field(default_factory=list)
    avoid: Mask | None = None  # other subjects: nothing may be borrowed from there
    plate: Plate | None = None  # what is known to stand behind the subject in the region


@dataclass(frozen=True, slots=True)
class Filled:
    """The whole picture, `region` regenerated. origin: donor content hash, or the model's name.

    replacement_mask: where what stands there now is, or can only be: its own mask where the editor knows it, else every
    pixel the model changed.
    """

    image: Image
    origin: str
    replacement: str = ""  # what stands in the region now (REPLACE)
    replacement_mask: Mask | None = None


NEUTRAL = 127
"""Grey: what lies under a mask where nothing steers what is drawn."""

Homography = NDArray[np.float64]
"""3x3, from pixels (x, y, 1) of one picture to those of another."""


@dataclass(frozen=True, slots=True)
class View:
    """A frame of the clip, the pixels that are no background in it, and the way to the plane of its first frame."""

    image: Image
    subjects: Mask
    to_plane: Homography


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the rest of the clip shows of the place. to_plane: one per frame of the request, into the same plane that
    the views are laid into."""

    to_plane: list[Homography]
    views: list[View]


@dataclass(frozen=True, slots=True)
class VideoFillRequest:
    """Regenerate `masks` (True) of `frames`, one mask per frame, all of one size; pixels outside come back bit-exact.

    prompt: the full description. target: the words as the user said them, "" where something is removed. negative: what
    must not be drawn. controls: pictures of the frames' size (depth, pose) that steer what is drawn under the masks,
    NEUTRAL where it is free; None leaves all of it free. references: what to draw, one subject each, on white.
    subjects: where what is edited stands in each frame; None = wherever the masks are. surroundings: what is known of
    the clip beyond these frames. A generator may leave `subjects` and `surroundings` unused.
    """

    frames: list[Image]
    masks: list[Mask]
    prompt: str
    seed: int
    references: list[Image] = field(default_factory=list)
    controls: list[Image] | None = None
    action: Action = Action.REPLACE
    target: str = ""
    negative: str = ""
    subjects: list[Mask] | None = None
    surroundings: Surroundings | None = None
