"""What an individual looks like, without a model: colours where they are, and gradient directions on a grid."""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.subject import Embedding
from schemas.video import Image, Mask
from stages import masks

_SIDE_PX = 96
_CORE_PX = 3.0  # of the patch: the outline mixes in background
_BINS = (6, 12, 12)  # L, a, b: light changes more than hue
_CHROMA = 25.0  # of a and b at three quarters of the scale: most colours lie near grey
_SMOOTHING = np.array([0.11, 0.78, 0.11])  # neighbouring bins are alike
_BANDS = 3
_USUAL_COLOUR = ((50.0, 22.0), (2.0, 6.0), (6.0, 9.0))  # mean and deviation of L, a, b: what most things look like
_CELLS, _DIRECTIONS = 4, 8
_WEIGHTS = {"whole": 0.51, "bands": 0.34, "gradients": 0.15}
_BASELINE = 2 / 3

LENGTH = (1 + _BANDS) * _BINS[0] * _BINS[1] * _BINS[2] + _CELLS * _CELLS * _DIRECTIONS + 1
"""Of a descriptor."""


def describe(image: Image, mask: Mask) -> Embedding:
    """A unit vector for the subject under `mask` ((H, W), of the image's size): Lab histograms of the whole and of its
    upper, middle and lower third, and gradient directions on a 4 x 4 grid of its box (Dalal and Triggs 2005).

    Histograms are square roots of shares, less what they have in common with the usual greys and browns: that share
    says nothing about who it is, and it made a shirt look like a dog. A constant part lifts the cosine of unrelated
    subjects to about 0.75 and keeps it above 0.5. Raises ValueError for an empty mask.
    """
    box = masks.box_of(mask)
    if box is None:
        raise ValueError("an empty mask has no appearance")
    x0, y0, x1, y1 = (int(side) for side in box)
    patch = cv2.resize(image[y0:y1, x0:x1], (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
    inside = masks.resize(mask[y0:y1, x0:x1], _SIDE_PX, _SIDE_PX)
    if not inside.any():
        inside = np.ones_like(inside)
    core = masks.erode(inside, _CORE_PX)
    core = core if np.count_nonzero(core) > 40 else inside
    bins = _bins_of(patch)
    pieces = [np.sqrt(_WEIGHTS["whole"]) * _colours(bins, core)]
    for band in np.array_split(np.arange(_SIDE_PX), _BANDS):
        part = np.zeros_like(core)
        part[band] = core[band]
        seen = part if np.count_nonzero(part) > 20 else core
        pieces.append(np.sqrt(_WEIGHTS["bands"] / _BANDS) * _colours(bins, seen))
    pieces.append(np.sqrt(_WEIGHTS["gradients"]) * _gradients(patch, core))
    told = _unit(np.concatenate(pieces))
    return np.asarray([*(np.sqrt(1 - _BASELINE) * told), np.sqrt(_BASELINE)], dtype=np.float32)


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), dtype=np.float64)


def _bins_of(patch: Image) -> NDArray[np.int64]:
    """(H, W): the number of every pixel's colour bin."""
    lab = cv2.cvtColor(patch.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    shares = _shares(lab)
    places = [np.clip((shares[..., axis] * size).astype(np.int64), 0, size - 1) for axis, size in enumerate(_BINS)]
    return np.asarray((places[0] * _BINS[1] + places[1]) * _BINS[2] + places[2])


def _shares(lab: NDArray[np.float32]) -> NDArray[np.float64]:
    """(..., 3) L in 0..100, a and b, each to [0, 1]."""
    scaled = lab.astype(np.float64)
    scaled[..., 0] /= 100
    scaled[..., 1:] = np.tanh(scaled[..., 1:] / _CHROMA) / 2 + 0.5
    return scaled


def _colours(bins: NDArray[np.int64], inside: Mask) -> NDArray[np.float64]:
    counts = np.bincount(bins[inside], minlength=int(np.prod(_BINS))).astype(np.float64)
    found = _rooted(counts.reshape(_BINS))
    usual = _usual()
    return _unit(found - float(found @ usual) * usual)


def _rooted(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Square roots of smoothed shares, flat."""
    for axis in range(3):
        padded = np.pad(counts, [(1, 1) if each == axis else (0, 0) for each in range(3)], mode="edge")
        size = counts.shape[axis]
        parts = [padded.take(np.arange(start, start + size), axis=axis) for start in range(3)]
        counts = np.asarray(sum(weight * part for weight, part in zip(_SMOOTHING, parts, strict=True)))
    return np.sqrt(counts.ravel() / max(float(counts.sum()), 1e-9))


@cache
def _usual() -> NDArray[np.float64]:
    """The histogram of _USUAL_COLOUR, as a unit vector."""
    levels = [np.linspace(mean - 3 * deviation, mean + 3 * deviation, 41) for mean, deviation in _USUAL_COLOUR]
    weights = np.exp(-(np.linspace(-3, 3, 41) ** 2) / 2)
    lab = np.stack(np.meshgrid(*levels, indexing="ij"), axis=-1).astype(np.float32)
    weight = np.einsum("i,j,k->ijk", weights, weights, weights)
    shares = _shares(lab).reshape(-1, 3)
    counts, _ = np.histogramdd(shares, bins=_BINS, range=[(0, 1)] * 3, weights=weight.ravel())
    return _unit(_rooted(counts))


def _gradients(patch: Image, inside: Mask) -> NDArray[np.float64]:
    """Strength of each direction in each cell, neighbours sharing, square roots around their mean."""
    grey = cv2.GaussianBlur(cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1)
    dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    strength = np.hypot(dx, dy) * inside
    angle = np.mod(np.arctan2(dy, dx), np.pi) / np.pi * _DIRECTIONS
    cell = _SIDE_PX // _CELLS
    found = []
    for direction in range(_DIRECTIONS):
        away = np.abs(angle - direction)
        share = np.clip(1 - np.minimum(away, _DIRECTIONS - away), 0, 1) * strength
        found.append(cv2.GaussianBlur(share.astype(np.float32), (0, 0), cell / 2)[cell // 2 :: cell, cell // 2 :: cell])
    roots = np.sqrt(np.stack(found, axis=-1).astype(np.float64).ravel() + 1e-3)
    return _unit(roots - roots.mean())
