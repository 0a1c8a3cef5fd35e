"""What a clip shows of its place, in one look beforehand: the camera's path and some frames to borrow background from.

Every frame is laid onto a key frame by the homography of its background (SIFT, RANSAC); a new key frame is only taken
when the camera has left the old one. So errors do not add up from frame to frame, and a standing camera has none.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.fill import Homography, View
from schemas.tracks import MaskVideo
from schemas.video import Image, Mask
from stages import alignment, masks
from stages.paste_back import upsampled

MIN_REGISTERED = 0.3  # of the matches must follow the homography
NEW_KEY = 0.25  # of the frame's width, by which the camera may shift before another key frame is taken
STILL_PX = 0.6  # corners that move less did not move: nothing is resampled for noise
MARGIN = 0.02  # around subjects, of the long side: features there are not trusted
NUM_VIEWS = 16


@dataclass(frozen=True, slots=True)
class Survey:
    """to_plane: per frame of the clip, its pixels in those of the first. views: frames spread over the clip."""

    to_plane: list[Homography]
    views: list[View]


def survey(frames: Iterable[Image], territories: Sequence[MaskVideo]) -> Survey:
    """Reads a clip once. territories: (T, h, w) masks of all its instances, at working size.

    Where too little can be recognised the camera is taken to have stood still since the frame before.
    """
    if not territories:
        raise ValueError("a survey needs the masks of at least one instance")
    num_frames = len(territories[0])
    chosen = {round(at) for at in np.linspace(0, num_frames - 1, min(NUM_VIEWS, num_frames))}
    path, views = _Path(), []
    for number, frame in enumerate(frames):
        everyone = np.logical_or.reduce([each[number] for each in territories])
        subjects = upsampled(np.asarray(everyone, np.bool_), *frame.shape[:2])
        path.add(frame, subjects)
        if number in chosen:
            views.append(View(frame, subjects, path.to_plane[-1]))
    return Survey(path.to_plane, views)


class _Path:
    """Frames in time order, each laid onto its key frame and so onto the first."""

    def __init__(self) -> None:
        self.to_plane: list[Homography] = []
        self._key: alignment.Features | None = None
        self._key_to_plane: Homography = np.eye(3)
        self._last: alignment.Features | None = None

    def add(self, frame: Image, subjects: Mask) -> None:
        own = alignment.features(frame, ~masks.dilate(subjects, MARGIN * max(subjects.shape)))
        if self._key is None:
            self._key, self._last = own, own
            self.to_plane.append(np.eye(3))
            return
        to_key = alignment.homography(own, self._key, MIN_REGISTERED)
        if to_key is not None and _shift(to_key, subjects.shape) < STILL_PX:
            to_key = np.eye(3)
        if to_key is None:  # the camera turned away: on from the frame before
            self._key, self._key_to_plane = self._last or own, self.to_plane[-1]
            to_key = alignment.homography(own, self._key, MIN_REGISTERED)
        to_plane = self._key_to_plane @ (np.eye(3) if to_key is None else to_key)
        self.to_plane.append(to_plane / to_plane[2, 2])
        if to_key is None or _shift(to_key, subjects.shape) > NEW_KEY * subjects.shape[1]:
            self._key, self._key_to_plane = own, self.to_plane[-1]
        self._last = own


def _shift(matrix: Homography, shape: tuple[int, ...]) -> float:
    """Pixels by which the corner that moves most is moved."""
    corners = corners_of(shape)
    return float(np.linalg.norm(mapped(matrix, corners) - corners, axis=1).max())


def corners_of(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """(4, 2) x, y of the corners of a picture."""
    height, width = shape[:2]
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)


def mapped(matrix: Homography, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2) points after the homography."""
    lifted = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return np.asarray(lifted[:, :2] / lifted[:, 2:])
