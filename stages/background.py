"""The scene without what moves in it, where the camera stands still: what differs from it is a subject.

Motion alone leaves a halo on plain ground and loses a subject that pauses; the picture of the empty scene does
neither. It is the median over time (background subtraction), so it is trusted only where most frames agree on it.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.video import Image, Mask
from stages.motion import Map

_NUM_FRAMES = 31  # the median is taken of
_NUM_LOOKS = 9  # of them tell whether the camera stands
_EDGE_QUANTILE = 0.85
_EDGE_LEVELS = 12.0  # by which an edge may differ and still be the same one
_MIN_STANDING = 0.5  # of a frame's edges that the median has too: 0.5 to 0.98 where the camera stands, else up to 0.44
_BLUR_SIGMA = 1.0
_NOISE_LEVELS = (7.0, 20.0)  # of the worst channel, 0..255: less is noise, more is a subject that comes and goes
_NOISE_FACTOR = 2.5  # times what the scene usually differs by
_MIN_AGREEING = 0.6  # of the frames, for the median to be the background
_SHADED = 0.45  # of a difference counts where the scene is only darker
_SHADE_RANGE = (0.4, 0.97)
_SHADE_LEVELS = 8.0  # by which a shaded colour may be off
_WINDOW = (7, 7)  # differences are averaged over: a subject has pixels of the background's colour
_MIN_DIFFERENT = 0.35  # of what moves in one piece: then the scene knows better than the flow where it ends


def of(images: Sequence[Image]) -> "Background | None":
    """The scene of a passage; None where the camera moves."""
    few = np.stack([_soft(images[at])[::2, ::2] for at in _spread(len(images), _NUM_LOOKS)])
    scene = np.median(few, axis=0).astype(np.float32)
    stands = float(np.median([_standing(each, _apart(each, scene)) for each in few])) >= _MIN_STANDING
    return Background(images) if stands else None


class Background:
    """The median picture of a passage. known: (H, W), where it is the background, since most frames agree."""

    def __init__(self, images: Sequence[Image]) -> None:
        self._images = images
        stack = np.stack([_soft(images[at]) for at in _spread(len(images), _NUM_FRAMES)])
        self._scene = np.median(stack, axis=0).astype(np.float32)
        apart = np.stack([_apart(each, self._scene) for each in stack])
        self._level = np.clip(_NOISE_FACTOR * np.median(apart, axis=0), *_NOISE_LEVELS).astype(np.float32)
        self.known: Mask = np.asarray((apart <= self._level).mean(axis=0) >= _MIN_AGREEING)

    def difference(self, position: int) -> Map:
        """(H, W): log of how much the frame at this position differs from the scene over what noise does."""
        picture = _soft(self._images[position])
        apart = _apart(picture, self._scene)
        apart = np.where(_is_shaded(picture, self._scene), _SHADED * apart, apart).astype(np.float32)
        return np.asarray(np.log((cv2.blur(apart, _WINDOW) + 0.5) / self._level), dtype=np.float32)

    def shaded(self, position: int) -> Mask:
        """(H, W): where the frame at this position shows the scene, only darker."""
        return _is_shaded(_soft(self._images[position]), self._scene)

    def sharpen(self, moving: Map, position: int) -> Map:
        """Evidence of motion (log, 0 = undecided) in the frame at this position, with what the scene says of it.

        A subject that pauses differs from the scene; the ground beside one that moves does not, whatever the flow says.
        """
        differs = self.difference(position)
        both = np.where(self.known, np.maximum(moving, differs), moving)
        _, labels = cv2.connectedComponents((both > 0).astype(np.uint8))
        shares = np.bincount(labels.ravel(), (differs > 0).ravel()) / np.maximum(np.bincount(labels.ravel()), 1)
        told = (shares > _MIN_DIFFERENT)[labels] & (labels > 0) & self.known
        return np.where(told, differs, both).astype(np.float32)


def _spread(num_images: int, num_wanted: int) -> list[int]:
    return [int(at) for at in np.linspace(0, num_images - 1, min(num_wanted, num_images))]


def _apart(picture: Map, scene: Map) -> Map:
    """The difference of the worst channel, less what the exposure changed in the whole picture."""
    gain = np.median(picture[::4, ::4] / np.maximum(scene[::4, ::4], 1), axis=(0, 1))
    return np.asarray(np.abs(picture - scene * gain).max(axis=-1), dtype=np.float32)


def _standing(picture: Map, apart: Map) -> float:
    grey = picture.mean(axis=-1)
    edges = cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    return float((apart[edges > np.quantile(edges, _EDGE_QUANTILE)] <= _EDGE_LEVELS).mean())


def _is_shaded(picture: Map, scene: Map) -> Mask:
    share = picture.sum(axis=-1) / np.maximum(scene.sum(axis=-1), 1.0)
    off = np.abs(picture - scene * share[..., None]).max(axis=-1)
    return np.asarray((share > _SHADE_RANGE[0]) & (share < _SHADE_RANGE[1]) & (off < _SHADE_LEVELS))


def _soft(image: Image) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), _BLUR_SIGMA), dtype=np.float32)
