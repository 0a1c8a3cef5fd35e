"""Another colour or texture on a subject that keeps its shape, light and shade."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.video import Image, Mask
from stages import anchors
from stages.appearance import TILE_PX, Look, tile

TILES_PER_SUBJECT = 1.0  # along the longer side of its box
SHADE = 0.9  # of the source's differences in lightness that stay, on a mid-tone
SHADE_AT_ENDS = 0.45  # the same on black and on white, which have less room
TINT = 0.2  # of the source's differences in hue that stay
EDGE_SIGMA_PX = 0.8
MAX_SAMPLES = 40_000

Lab = NDArray[np.float32]
"""CIE L*a*b* of D65, L in 0..100."""


def retexture(frames: Sequence[Image], subjects: Sequence[Mask], look: Look) -> list[Image]:
    """The frames with `look` on the subject (True), fixed to it: it moves and grows as the subject does.

    Lightness varies around the look's as the source's varies around its own median over all frames, so that the light
    changes as it did.
    """
    boxes = anchors.steady_boxes(subjects, tail=0.02)
    if boxes is None:
        return list(frames)
    usual = _usual(frames, subjects)
    painted = tile(look)
    return [
        _painted(frame, subject, box, painted, usual) if subject.any() else frame
        for frame, subject, box in zip(frames, subjects, boxes, strict=True)
    ]


def _usual(frames: Sequence[Image], subjects: Sequence[Mask]) -> NDArray[np.float64]:
    """(3,) median Lab of the subject over all frames."""
    step = max(sum(map(np.count_nonzero, subjects)) // MAX_SAMPLES, 1)
    pixels = np.concatenate([frame[subject] for frame, subject in zip(frames, subjects, strict=True)])[::step]
    return np.asarray(np.median(_lab(pixels[None]), axis=(0, 1)), np.float64)


def _painted(
    frame: Image, subject: Mask, box: NDArray[np.float64], painted: NDArray[np.float32], usual: NDArray[np.float64]
) -> Image:
    rows, columns = np.flatnonzero(subject.any(axis=1)), np.flatnonzero(subject.any(axis=0))
    near = (slice(max(rows[0] - 4, 0), rows[-1] + 5), slice(max(columns[0] - 4, 0), columns[-1] + 5))
    source, texture = _lab(frame[near]), _lab(_sampled(painted, box, near, subject.shape))
    room = 1 - np.abs(texture[..., 0] - 50) / 50
    shade = SHADE_AT_ENDS + (SHADE - SHADE_AT_ENDS) * room
    light = np.clip(texture[..., 0] + shade * (source[..., 0] - usual[0]), 2, 99)
    # A colour in the shade is less of a colour, and one in full light too.
    darker = light / np.maximum(texture[..., 0], 1)
    lighter = (100 - light) / np.maximum(100 - texture[..., 0], 1)
    strength = np.clip(np.minimum(darker, lighter), 0.25, 1.0)[..., None]
    tinted = texture[..., 1:] * strength + TINT * (source[..., 1:] - usual[1:])
    result = _rgb(np.dstack([light, tinted]).astype(np.float32))
    alpha = cv2.GaussianBlur(subject[near].astype(np.float32), (0, 0), EDGE_SIGMA_PX)[..., None]
    out = frame.copy()
    out[near] = np.rint(alpha * result + (1 - alpha) * frame[near]).astype(np.uint8)
    return out


def _sampled(
    painted: NDArray[np.float32], box: NDArray[np.float64], near: tuple[slice, slice], shape: tuple[int, ...]
) -> Image:
    """The texture as it lies on the subject in this box, for the pixels of `near`."""
    x0, y0, x1, y1 = box
    scale = TILES_PER_SUBJECT * TILE_PX / max(x1 - x0, y1 - y0, 1.0)
    height, width = shape
    columns = (np.arange(width, dtype=np.float32)[near[1]] - np.float32((x0 + x1) / 2)) * np.float32(scale)
    rows = (np.arange(height, dtype=np.float32)[near[0]] - np.float32((y0 + y1) / 2)) * np.float32(scale)
    across, down = np.meshgrid(columns % TILE_PX, rows % TILE_PX)
    wrapped = np.pad(painted, ((0, 1), (0, 1), (0, 0)), mode="wrap")
    return np.asarray(np.rint(cv2.remap(wrapped, across, down, cv2.INTER_LINEAR)), np.uint8)


def _lab(image: Image) -> Lab:
    return np.asarray(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def _rgb(lab: Lab) -> NDArray[np.float32]:
    return np.clip(255 * np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.float32), 0, 255)
