"""From a rough mask at a small size to one whose edge follows the full picture."""

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.subject import Box
from schemas.video import Image, Mask
from stages import masks
from stages.motion import Map

_FINE_SHORT_SIDE_PX = 360  # of the whole frame, while edges are looked for
_CROP_MARGIN = 0.35  # of the mask's box, around it: background to learn from
_BAND_SHARE = 0.09  # of the square root of the mask's area: how far its edge may be off
_BAND_PX = (3.0, 14.0)
_RING_SHARE = 0.3  # likewise: what counts as surroundings
_LIMB_SHARE = 0.35  # likewise: how far out what moves may belong
_ALIEN_RATIO = -1.0
_MIN_PX = 50


def smooth(image: Image, values: Map, radius_px: int = 6, epsilon: float = 0.002) -> Map:
    """`values` smoothed along the edges of `image` (guided filter, He et al., ECCV 2010; grey guide)."""
    guide = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    size = (2 * radius_px + 1, 2 * radius_px + 1)
    mean, mean_values = cv2.blur(guide, size), cv2.blur(values, size)
    variance = cv2.blur(guide * guide, size) - mean * mean
    slope = (cv2.blur(guide * values, size) - mean * mean_values) / (variance + epsilon)
    offset = mean_values - slope * mean
    return np.asarray(cv2.blur(slope, size) * guide + cv2.blur(offset, size), dtype=np.float32)


def refine(image: Image, rough: Mask, others: Mask | None = None, moving: Map | None = None) -> Mask:
    """A mask of the image's size whose edge follows the picture: GrabCut (Rother et al., SIGGRAPH 2004) in a band.

    image: (H, W, 3). At any other size, the same view: rough; others, what belongs to other subjects; moving, evidence
    of own motion (> 0: it moves), which widens the band where heads and hands stick out.
    """
    height, width = image.shape[:2]
    outline = masks.box_of(masks.resize(rough, height, width))
    if outline is None:
        return np.zeros((height, width), np.bool_)
    x0, y0, x1, y1 = (round(side) for side in masks.grow_box(outline, _CROP_MARGIN, height, width))
    scale = min(_FINE_SHORT_SIDE_PX / min(height, width), 1.0)
    size = (max(round((x1 - x0) * scale), 1), max(round((y1 - y0) * scale), 1))
    crop = np.asarray(cv2.resize(image[y0:y1, x0:x1], size, interpolation=cv2.INTER_AREA), dtype=np.uint8)

    def view(values: NDArray[np.float32]) -> Map:
        full = cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)[y0:y1, x0:x1]
        return np.asarray(cv2.resize(full, size, interpolation=cv2.INTER_AREA), dtype=np.float32)

    near = view(rough.astype(np.float32)) >= 0.5
    labels = _labels(crop, near, None if moving is None else view(moving))
    if others is not None:
        labels[(view(others.astype(np.float32)) >= 0.5) & ~near] = cv2.GC_BGD
    cut = _grabcut(crop, labels, 2, np.asarray(near))
    refined: Mask = np.zeros((height, width), np.bool_)
    refined[y0:y1, x0:x1] = masks.resize(cut, y1 - y0, x1 - x0)
    return refined


def _labels(image: Image, rough: Mask, moving: Map | None) -> NDArray[np.uint8]:
    """What GrabCut starts from. Inside, the colours of the surroundings are in doubt: ground between two legs."""
    reach = float(np.sqrt(masks.area_px(rough)))
    band_px = float(np.clip(_BAND_SHARE * reach, *_BAND_PX))
    labels = np.where(rough, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    away_px = masks.distance_to(rough)
    around = np.asarray((away_px > 2) & (away_px <= _RING_SHARE * reach))
    alien = cv2.blur(colour_ratio(image, rough, around), (5, 5)) < _ALIEN_RATIO
    labels[masks.erode(rough, band_px)] = cv2.GC_FGD
    labels[rough & alien] = cv2.GC_PR_BGD
    allowed = away_px <= band_px
    if moving is not None:
        allowed |= (away_px <= _LIMB_SHARE * reach) & (moving > 0)
    labels[~allowed] = cv2.GC_BGD
    return labels


def _grabcut(image: Image, labels: NDArray[np.uint8], num_rounds: int, otherwise: Mask) -> Mask:
    inside = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    if min(np.count_nonzero(inside), np.count_nonzero(~inside)) < _MIN_PX:
        return otherwise
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # GrabCut's k-means draws from the thread's generator
    cv2.grabCut(np.ascontiguousarray(image[..., ::-1]), labels, None, *models, num_rounds, cv2.GC_INIT_WITH_MASK)
    return clean(np.asarray((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), dtype=np.bool_))


def from_box(image: Image, inner: Box, outer: Box) -> Mask:
    """What the colours say is the subject of a box, by GrabCut: background outside `outer`, doubt between the two."""
    height, width = image.shape[:2]
    inside, allowed = masks.mask_of(inner, height, width), masks.mask_of(outer, height, width)
    labels = np.where(inside, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[~allowed] = cv2.GC_BGD
    return _grabcut(image, labels, 3, inside)


def clean(mask: Mask) -> Mask:
    """Without specks and threads, small holes closed; sizes relative to the mask's own."""
    total = masks.area_px(mask)
    if not total:
        return mask
    radius_px = 0.03 * float(np.sqrt(total))
    opened = masks.dilate(masks.erode(mask, radius_px), radius_px) & mask
    return masks.fill_holes(opened, max_area_px=max(total // 50, 4))


def colour_ratio(image: Image, inside: Mask, outside: Mask) -> Map:
    """(H, W) log likelihood ratio of each pixel's colour, inside to outside."""
    codes = _colour_codes(image)
    ratio = np.log((_shares(codes[inside]) + 1e-4) / (_shares(codes[outside]) + 1e-4))
    return np.asarray(ratio[codes], dtype=np.float32)


def _colour_codes(image: Image) -> NDArray[np.int32]:
    """(H, W) number of each pixel's coarse Lab colour."""
    lab = cv2.cvtColor(cv2.GaussianBlur(image, (3, 3), 0), cv2.COLOR_RGB2LAB).astype(np.int32)
    light = lab[..., 0] // 16
    green, blue = (np.clip((lab[..., channel] - 128) // 6 + 8, 0, 15) for channel in (1, 2))
    return np.asarray((light * 16 + green) * 16 + blue, dtype=np.int32)


def _shares(codes: NDArray[np.int32]) -> NDArray[np.float64]:
    counts = np.bincount(codes, minlength=16**3).reshape(16, 16, 16).astype(np.float64)
    for axis in range(3):
        before, after = (np.roll(counts, shift, axis) for shift in (1, -1))
        counts = 0.5 * counts + 0.25 * (before + after)
    flat = counts.ravel()
    return np.asarray(flat / max(float(flat.sum()), 1e-9), dtype=np.float64)
