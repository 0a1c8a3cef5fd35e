"""A picture of another subject carried along where the old one goes: cut out, scaled, lit as the old one was."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.video import Image, Mask
from stages import anchors, compositing, masks

PLAIN_LEVELS = 14  # by which a plain background may differ from its colour
PLAIN_SHARE = 0.8  # of the picture's border, for its background to be plain
INSET = 0.03  # of the sides: where a picture with a busy background has its subject
SHADOW = 0.35
LIGHT_SIGMA = 0.12  # of the box's longer side: light and shade of the old subject, none of its pattern
LIGHT_RANGE = (0.72, 1.3)
LIGHT_STRENGTH = 0.7
MAX_STRETCH = 1.15  # of its shape: less than a turn of the head


def cut_out(reference: Image) -> Mask:
    """Where the subject of a reference picture is: what differs from its plain border, else what GrabCut finds."""
    border = np.concatenate([reference[0], reference[-1], reference[:, 0], reference[:, -1]]).astype(np.int16)
    plain = np.median(border, axis=0)
    if (np.abs(border - plain).max(axis=1) <= PLAIN_LEVELS).mean() >= PLAIN_SHARE:
        alike = np.abs(reference.astype(np.int16) - plain).max(axis=2) <= PLAIN_LEVELS
        # Only what is connected to the border is background: a white shirt on white paper stays.
        _, labels = cv2.connectedComponents(np.pad(alike, 1, constant_values=True).astype(np.uint8), connectivity=4)
        subject = np.asarray((labels != labels[0, 0])[1:-1, 1:-1], np.bool_)
    else:
        subject = _grabcut(reference)
    parts = masks.components(subject, max(subject.size // 200, 1))
    return np.asarray(np.any(parts, axis=0), np.bool_) if parts else np.ones(subject.shape, np.bool_)


def _grabcut(reference: Image) -> Mask:
    height, width = reference.shape[:2]
    x, y = max(round(INSET * width), 1), max(round(INSET * height), 1)
    labels = np.zeros((height, width), np.uint8)
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(
        np.ascontiguousarray(reference),
        labels,
        (x, y, width - 2 * x, height - 2 * y),
        *models,
        4,
        cv2.GC_INIT_WITH_RECT,
    )
    return np.asarray((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), np.bool_)


def carry(reference: Image, frames: Sequence[Image], empty: Sequence[Image], subjects: Sequence[Mask]) -> list[Image]:
    """`empty` frames (the place without the old subject) with the reference's subject where the old one was.

    It stands on the lower edge of the old one's steady box, as large as fits it, and is as light from frame to frame
    and from side to side as the old one in `frames`.
    """
    boxes = anchors.steady_boxes(subjects)
    if boxes is None:
        return list(empty)
    cutout = cut_out(reference)
    x0, y0, x1, y1 = (int(side) for side in masks.box_of(cutout) or (0, 0, 1, 1))
    picture, shape = reference[y0:y1, x0:x1], cutout[y0:y1, x0:x1]
    usual = np.median([compositing.mean_colour(f, s).mean() for f, s in zip(frames, subjects, strict=True) if s.any()])
    return [
        _pasted(picture, shape, frame, ground, subject, box, float(usual)) if subject.any() else ground
        for frame, ground, subject, box in zip(frames, empty, subjects, boxes, strict=True)
    ]


def _pasted(
    picture: Image, shape: Mask, frame: Image, ground: Image, subject: Mask, box: NDArray[np.float64], usual: float
) -> Image:
    placed, alpha = _placed(picture, shape, box, subject.shape)
    light = _light(frame, subject, max(box[2] - box[0], box[3] - box[1]), usual)
    shaded = compositing.contact_shadow(ground, alpha > 0.5, SHADOW)
    lit = np.clip(placed * light[..., None], 0, 255)
    mixed = alpha[..., None] * lit + (1 - alpha[..., None]) * shaded
    return np.asarray(np.rint(mixed), np.uint8)


def _placed(
    picture: Image, shape: Mask, box: NDArray[np.float64], size: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The picture in the box, and its soft outline, on a canvas of `size`; to fractions of a pixel."""
    x0, y0, x1, y1 = box
    tall, wide = shape.shape
    scales = np.array([(x1 - x0) / wide, (y1 - y0) / tall])
    scale_x, scale_y = np.clip(scales, None, MAX_STRETCH * scales.min())
    # Many pixels for one make it glitter: shrunk first, then moved.
    factor = min(max(scale_x, scale_y), 1.0)
    small = (max(round(wide * factor), 1), max(round(tall * factor), 1))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    pixels = cv2.resize(picture, small, interpolation=method).astype(np.float32)
    outline = cv2.resize(masks.erode(np.pad(shape, 1), 1)[1:-1, 1:-1].astype(np.float32), small, interpolation=method)
    left, top = (x0 + x1) / 2 - scale_x * wide / 2, y1 - scale_y * tall
    matrix = np.array([[scale_x * wide / small[0], 0, left], [0, scale_y * tall / small[1], top]])
    flat = (size[1], size[0])
    placed = cv2.warpAffine(pixels, matrix, flat, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(outline, matrix, flat, flags=cv2.INTER_LINEAR)
    return np.asarray(placed, np.float32), np.asarray(np.clip(alpha, 0, 1), np.float32)


def _light(frame: Image, subject: Mask, side_px: float, usual: float) -> NDArray[np.float32]:
    """(H, W) factors: how light the old subject was around each pixel, of what it usually is."""
    inside = subject.astype(np.float32)
    luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) * inside
    sigma = max(LIGHT_SIGMA * side_px, 2.0)
    weight, level = (cv2.GaussianBlur(each, (0, 0), sigma) for each in (inside, luma))
    ratio = (level + 0.02 * usual + 4) / (weight * usual + 0.02 * usual + 4)
    return np.asarray(np.clip(ratio**LIGHT_STRENGTH, *LIGHT_RANGE), np.float32)
