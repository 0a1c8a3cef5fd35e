"""Look for one subject anywhere in another picture: masked template matching, then alignment at the best place."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.video import Image, Mask
from stages import alignment, masks

SEARCH_SIDE_PX = 160  # pictures are searched at this size
SCALES = (0.4, 0.5, 0.63, 0.8, 1.0, 1.26, 1.6)  # of the subject, against its size in its own picture
MIN_TEMPLATE_PX = 6


@dataclass(frozen=True, slots=True)
class Sighting:
    """A place that resembles the subject. ncc: masked, in [-1, 1]; mask: the subject's shape there, full size."""

    ncc: float
    mask: Mask


def sightings(
    subject: Image,
    subject_mask: Mask,
    picture: Image,
    forbidden: Mask | None = None,
    scales: tuple[float, ...] = SCALES,
) -> list[Sighting]:
    """The best place per scale where `picture` resembles the subject, best first.

    forbidden: where the subject may be (its own place in a reference); places that lie on it are not looked at.
    """
    shrink = SEARCH_SIDE_PX / max(picture.shape[:2])
    small = _resized(picture, shrink)
    blocked = masks.resize(forbidden, *small.shape[:2]) if forbidden is not None else None
    found = [_best_place(subject, subject_mask, small, shrink, scale, blocked, picture.shape[:2]) for scale in scales]
    return sorted((place for place in found if place is not None), key=lambda place: -place.ncc)


def likeness(subject: Image, subject_mask: Mask, picture: Image, places: list[Sighting]) -> float:
    """Correlation in [-1, 1] of the subject with the best place, after the best similarity transform there."""
    if not places or not places[0].mask.any():
        return -1.0
    best = places[0]
    return max(best.ncc, alignment.align(subject, subject_mask, picture, best.mask).ncc)


def _best_place(
    subject: Image,
    subject_mask: Mask,
    small: NDArray[np.float32],
    shrink: float,
    scale: float,
    blocked: Mask | None,
    full_size: tuple[int, ...],
) -> Sighting | None:
    box = masks.box_of(subject_mask)
    if box is None:
        return None
    x0, y0, x1, y1 = (int(side) for side in box)
    template = _resized(subject[y0:y1, x0:x1], shrink * scale)
    height, width = template.shape[:2]
    if min(height, width) < MIN_TEMPLATE_PX or height > small.shape[0] or width > small.shape[1]:
        return None
    shape = masks.resize(subject_mask[y0:y1, x0:x1], height, width)
    if np.count_nonzero(shape) < MIN_TEMPLATE_PX**2 or float(template[shape].std()) < 2.0:
        return None
    weights = np.repeat(shape.astype(np.float32)[..., None], 3, axis=2)
    response = cv2.matchTemplate(small, template, cv2.TM_CCOEFF_NORMED, mask=weights)
    response[~np.isfinite(response) | (np.abs(response) > 1.001)] = -1.0  # flat windows divide by zero
    if blocked is not None:
        covered = cv2.matchTemplate(blocked.astype(np.float32), shape.astype(np.float32), cv2.TM_CCORR)
        response[covered > 0.3 * np.count_nonzero(shape)] = -1.0
    row, column = np.unravel_index(int(response.argmax()), response.shape)
    placed: Mask = np.zeros(small.shape[:2], np.bool_)
    placed[row : row + height, column : column + width] = shape
    return Sighting(float(response[row, column]), masks.resize(placed, full_size[0], full_size[1]))


def _resized(image: Image, scale: float) -> NDArray[np.float32]:
    size = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=method), np.float32)
