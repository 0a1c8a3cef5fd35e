"""What an individual looks like, without a model: colours and gradient directions on its mask."""

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.subject import Embedding
from schemas.video import Image, Mask
from stages import masks

_SIDE_PX = 96
_COLOUR_BINS = (6, 8, 8)  # L, a, b: light changes more than hue
_ORIENTATIONS = 9
_COLOUR_WEIGHT = 0.8

LENGTH = 4 * _COLOUR_BINS[0] * _COLOUR_BINS[1] * _COLOUR_BINS[2] + _ORIENTATIONS
"""Of a descriptor."""


def describe(image: Image, mask: Mask) -> Embedding:
    """A unit vector for the subject under `mask` ((H, W), of the image's size): Lab histograms of its upper, middle and
    lower third and of the whole, and gradient orientations of the whole.

    Square roots of shares, so that the cosine of two descriptors is a Bhattacharyya coefficient. Raises ValueError for
    an empty mask.
    """
    box = masks.box_of(mask)
    if box is None:
        raise ValueError("an empty mask has no appearance")
    x0, y0, x1, y1 = (int(side) for side in box)
    patch = cv2.resize(image[y0:y1, x0:x1], (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
    inside = masks.resize(mask[y0:y1, x0:x1], _SIDE_PX, _SIDE_PX)
    if not inside.any():
        inside = np.ones_like(inside)
    core = masks.erode(inside, 2.0)
    core = core if core.any() else inside  # the outline mixes in background
    parts = [core, *(core & band for band in _bands())]
    colours = [_colours(patch, part if part.any() else core) for part in parts]
    weights = [0.55, 0.15, 0.15, 0.15]
    pieces = [np.sqrt(_COLOUR_WEIGHT * weight * colour) for weight, colour in zip(weights, colours, strict=True)]
    pieces.append(np.sqrt((1 - _COLOUR_WEIGHT) * _orientations(patch, core)))
    vector = np.concatenate(pieces)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def _bands() -> list[Mask]:
    rows = np.repeat(np.arange(_SIDE_PX)[:, None], _SIDE_PX, axis=1) * 3 // _SIDE_PX
    return [np.asarray(rows == third, dtype=np.bool_) for third in range(3)]


def _colours(patch: Image, inside: Mask) -> NDArray[np.float64]:
    lab = cv2.cvtColor(patch, cv2.COLOR_RGB2LAB)[inside].astype(np.float64)
    lab[:, 1:] = np.clip((lab[:, 1:] - 128) * 2 + 128, 0, 255)  # most colours lie near grey
    counts, _ = np.histogramdd(lab, bins=_COLOUR_BINS, range=[(0, 256)] * 3)
    for axis in range(3):  # neighbouring bins are alike
        padded = np.pad(counts, [(1, 1) if each == axis else (0, 0) for each in range(3)], mode="edge")
        size = counts.shape[axis]
        before, here, after = (padded.take(np.arange(start, start + size), axis=axis) for start in range(3))
        counts = 0.25 * before + 0.5 * here + 0.25 * after
    flat = np.asarray(counts, dtype=np.float64).ravel()
    return np.asarray(flat / max(float(flat.sum()), 1e-9), dtype=np.float64)


def _orientations(patch: Image, inside: Mask) -> NDArray[np.float64]:
    grey = cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY).astype(np.float32)
    dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    angle = np.mod(np.arctan2(dy, dx), np.pi)[inside]
    strength = np.hypot(dx, dy)[inside]
    counts, _ = np.histogram(angle, bins=_ORIENTATIONS, range=(0, np.pi), weights=strength)
    counts = counts.astype(np.float64) + 1e-3
    return np.asarray(counts / counts.sum(), dtype=np.float64)
