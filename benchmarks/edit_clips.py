"""Annotated clips with all their frames and true masks, at one reduced size, for the benchmarks of edit's masks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import truth
from numpy.typing import NDArray

from schemas.tracks import InstanceTrack
from schemas.video import Image, Mask
from stages import masks, media, mining

SINGLES = ("camel", "dog", "libby", "parkour", "dance-twirl", "car-roundabout", "drift-straight")
"""Clips of one subject, "davis_" apart: nothing beside it is annotated, so its mask is all there is to judge."""


@dataclass(frozen=True, slots=True)
class TrueClip:
    """small: every frame at the size flow is computed at; true: object -> frame -> mask of that size."""

    name: str
    small: list[Image]
    true: dict[int, dict[int, Mask]]

    @property
    def shape(self) -> tuple[int, int]:
        return self.small[0].shape[0], self.small[0].shape[1]


def read(videos: Path, name: str) -> TrueClip:
    path = next((videos / "clips").glob(f"{name}.*"))
    small = [frame.image for frame in media.decode(str(path), mining.PASSAGE_SHORT_SIDE_PX)]
    true: dict[int, dict[int, Mask]] = {}
    for at in range(len(small)):
        for number, mask in truth.masks_at(videos, name, at).items():
            reduced = masks.resize(mask, *small[at].shape[:2])
            if reduced.any():
                true.setdefault(number, {})[at] = reduced
    return TrueClip(name, small, true)


def as_track(
    name: str,
    found: dict[int, Mask],
    num_frames: int,
    shape: tuple[int, int],
    nearness: NDArray[np.float32] | None = None,
) -> InstanceTrack:
    """Masks by frame as a track of the whole clip. nearness: (T,), 0 when nobody asks."""
    video = np.zeros((num_frames, *shape), np.bool_)
    for at, mask in found.items():
        video[at] = mask
    seen = video.any(axis=(1, 2))
    near = np.zeros(num_frames, np.float32) if nearness is None else nearness
    return InstanceTrack(name, "subject", video, seen, seen.astype(np.float32), near)


def jitter(found: NDArray[np.bool_], true: dict[int, Mask]) -> tuple[float, float]:
    """Mean change from frame to frame of (found - true), in area as a share of the instance's median true area and in
    centroid as a share of its root; frames that show both."""
    errors = {}
    area = float(np.median([mask.sum() for mask in true.values()]))
    for at, mask in true.items():
        if found[at].any():
            off = np.argwhere(found[at]).mean(axis=0) - np.argwhere(mask).mean(axis=0)
            errors[at] = np.array([(float(found[at].sum()) - float(mask.sum())) / area, *(off / np.sqrt(area))])
    steps = [errors[at + 1] - errors[at] for at in errors if at + 1 in errors]
    if not steps:
        return 0.0, 0.0
    return float(np.mean([abs(each[0]) for each in steps])), float(np.mean([np.hypot(*each[1:]) for each in steps]))


def mean_j(found: NDArray[np.bool_], true: dict[int, Mask], frames: set[int] | None = None) -> float:
    judged = [truth.region_j(found[at], mask) for at, mask in true.items() if frames is None or at in frames]
    return float(np.mean(judged)) if judged else 0.0
