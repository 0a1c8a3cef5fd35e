"""Cutting a subject out of its frame, with an irregular boundary (OpenSubject, third stage: boundary erosion)."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.errors import BadInput
from schemas.reasons import Reason
from schemas.subject import Box
from schemas.video import Mask
from stages import masks

MIN_KEPT_SHARE = 0.87
"""Erosion that takes more of the subject than the rest is made shallower: its area must survive verification."""

SHALLOWER = (1.0, 0.6, 0.3, 0.0)
"""Factors on the depth that are tried in turn; 0 is the one pixel that mixes subject and background."""

THINNEST_KEPT_SHARE = 0.6

MAX_DEPTH_OF_THICKNESS = 0.45
"""Legs, tails and handles keep a core: erosion never takes more than this share of the local half-thickness."""

SPECK_SHARE = 0.02
"""Parts of the mask smaller than this share of it are segmentation noise, or would fly about without the rest."""


@dataclass(frozen=True, slots=True)
class Cutout:
    """The pixels of a frame that are kept as the subject, and their box."""

    mask: Mask
    box: Box


def cut_out(mask: Mask, erosion: float, seed: int) -> Cutout:
    """The subject's mask without specks, its boundary eroded irregularly.

    erosion: mean depth as a share of the subject's equivalent radius sqrt(area / pi), 0..0.2. The result is a subset
    of `mask`. Raises BadInput(SUBJECT_TOO_SMALL) when hardly anything of the subject is left.
    """
    solid = _without_specks(mask)
    kept = solid
    for factor in SHALLOWER if erosion > 0 else ():
        kept = _without_specks(erode_irregularly(solid, max(factor * erosion, 1e-9), seed))
        if masks.area_px(kept) >= MIN_KEPT_SHARE * masks.area_px(solid):
            break
    box = masks.box_of(kept)
    if box is None or masks.area_px(kept) < THINNEST_KEPT_SHARE * masks.area_px(solid):
        raise BadInput(Reason.SUBJECT_TOO_SMALL, "the subject is too thin: erosion leaves too little of it")
    return Cutout(kept, box)


def erode_irregularly(mask: Mask, erosion: float, seed: int) -> Mask:
    """Takes a varying depth off the boundary, so that no editor can learn to trust the exact silhouette.

    The depth varies smoothly between a quarter and seven quarters of its mean along the boundary, and is at least the
    one pixel that mixes subject and background. The frame border is no boundary.
    """
    if erosion <= 0 or not mask.any():
        return mask.copy()
    radius_px = float(np.sqrt(masks.area_px(mask) / np.pi))
    mean_depth_px = erosion * radius_px
    distance = masks.distance_to(~mask)
    depth = mean_depth_px * (0.25 + 1.5 * _smooth_noise(mask.shape, max(radius_px / 3, 4.0), seed))
    reach = 2 * round(mean_depth_px) + 1
    thickness = cv2.dilate(distance, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    depth = np.minimum(np.maximum(depth, 1.0), np.maximum(MAX_DEPTH_OF_THICKNESS * thickness, 1.0))
    return np.asarray(distance > depth, dtype=np.bool_)


def _smooth_noise(shape: tuple[int, ...], period_px: float, seed: int) -> NDArray[np.float32]:
    """Noise in [0, 1] that changes over about `period_px`."""
    height, width = shape[:2]
    knots = (int(height / period_px) + 2, int(width / period_px) + 2)
    coarse = np.random.default_rng(seed).random(knots, dtype=np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(smooth, dtype=np.float32)


def _without_specks(mask: Mask) -> Mask:
    area = masks.area_px(mask)
    parts = masks.components(mask, max(int(SPECK_SHARE * area), 1))
    if len(parts) == 1:
        return parts[0]
    return np.asarray(np.any(parts, axis=0), dtype=np.bool_) if parts else mask.copy()
