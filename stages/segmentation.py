"""Masks without a model: motion and colour evidence of all anchors together, then GrabCut at the edges.

After the initial segmentation of Papazoglou & Ferrari (ICCV 2013): motion says where the subject is in some frames, the
colours learned there say where it is in the others.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.video import Image, Mask
from stages import masks
from stages.motion import Map

_BINS = 16  # per Lab channel
_ROUNDS = 4
_MOTION_LOGIT = (-2.0, 3.0)  # a subject may pause: stillness says less than motion
_COLOUR_LOGIT = 2.5
_PRIOR_LOGIT = -0.5
_MOTION_MIDDLE = (0.33, 0.05)  # middle and width of the step from "does not" to "does"
_COLOUR_MIDDLE = (0.80, 0.04)
_CONTRAST_FLOOR = 0.35


def posterior(images: Sequence[Image], motion: Sequence[Map], allowed: Sequence[Mask]) -> list[Map]:
    """Probability in [0, 1] that each pixel is subject, for frames of one shot that share their colours.

    motion: evidence in [0, 1] per frame; allowed: where subjects may be. All (H, W) of their image.
    """
    codes = [colour_codes(image) for image in images]
    moving = [_motion_logit(each) for each in motion]
    belief = [np.where(where, each, 0).astype(np.float32) for each, where in zip(motion, allowed, strict=True)]
    for _ in range(_ROUNDS):
        colour = _colour_logit(codes, belief)
        belief = []
        for image, code, logit, where in zip(images, codes, moving, allowed, strict=True):
            evidence = smooth(image, logit + colour[code] + _PRIOR_LOGIT)
            belief.append(np.where(where, 1 / (1 + np.exp(-evidence)), 0).astype(np.float32))
    return belief


def _motion_logit(motion: Map) -> Map:
    low, high = _MOTION_LOGIT
    share = np.clip(motion, 0.02, 0.98)
    return np.asarray(np.clip(np.log(share / (1 - share)), low, high), dtype=np.float32)


def colour_codes(image: Image) -> NDArray[np.int32]:
    """(H, W) number of each pixel's coarse Lab colour."""
    lab = cv2.cvtColor(cv2.GaussianBlur(image, (3, 3), 0), cv2.COLOR_RGB2LAB).astype(np.int32)
    # Skin, fur and asphalt differ little in a and b: those channels get their bins from the range that occurs.
    light = lab[..., 0] * _BINS // 256
    green, blue = (np.clip((lab[..., channel] - 128) // 6 + _BINS // 2, 0, _BINS - 1) for channel in (1, 2))
    return np.asarray((light * _BINS + green) * _BINS + blue, dtype=np.int32)


def _colour_logit(codes: Sequence[NDArray[np.int32]], belief: Sequence[Map]) -> NDArray[np.float32]:
    """Log likelihood ratio, subject to background, per colour code."""
    every = np.concatenate([code.ravel() for code in codes])
    weight = np.concatenate([each.ravel() for each in belief])
    subject, background = (
        _histogram(every, share) for share in (np.where(weight > 0.5, weight, 0), np.where(weight < 0.5, 1 - weight, 0))
    )
    ratio = np.log((subject + 1e-5) / (background + 1e-5))
    return np.asarray(np.clip(ratio, -_COLOUR_LOGIT, _COLOUR_LOGIT), dtype=np.float32)


def _histogram(codes: NDArray[np.int32], weights: NDArray[np.float32]) -> NDArray[np.float64]:
    counts = np.bincount(codes, weights=weights, minlength=_BINS**3).reshape(_BINS, _BINS, _BINS)
    for axis in range(3):
        before, after = (np.roll(counts, shift, axis) for shift in (1, -1))
        counts = 0.5 * counts + 0.25 * (before + after)
    flat = counts.ravel()
    return np.asarray(flat / max(float(flat.sum()), 1e-9), dtype=np.float64)


def colour_shares(image: Image, where: Mask) -> NDArray[np.float64]:
    """How the pixels under a mask share out on the colour codes; sums to 1 unless the mask is empty."""
    return _histogram(colour_codes(image)[where], np.ones(masks.area_px(where), np.float32))


def smooth(image: Image, values: Map, radius_px: int = 6, epsilon: float = 0.002) -> Map:
    """`values` smoothed along the edges of `image` (guided filter, He et al., ECCV 2010; grey guide)."""
    guide = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    size = (2 * radius_px + 1, 2 * radius_px + 1)
    mean, mean_values = cv2.blur(guide, size), cv2.blur(values, size)
    variance = cv2.blur(guide * guide, size) - mean * mean
    slope = (cv2.blur(guide * values, size) - mean * mean_values) / (variance + epsilon)
    offset = mean_values - slope * mean
    return np.asarray(cv2.blur(slope, size) * guide + cv2.blur(offset, size), dtype=np.float32)


def refine(image: Image, belief: Map, allowed: Mask) -> Mask:
    """A mask whose edge follows the picture: GrabCut (Rother et al., SIGGRAPH 2004) in a band around `belief` = 1/2.

    image: (H, W, 3); belief, allowed: of any size, brought to the image's.
    """
    height, width = image.shape[:2]
    belief = np.asarray(cv2.resize(belief, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
    rough = belief > 0.5
    band_px = 0.02 * float(np.sqrt(height * width))
    labels = np.where(rough, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[masks.erode(rough, band_px) & (belief > 0.8)] = cv2.GC_FGD
    labels[~masks.dilate(rough, 1.5 * band_px) | ~masks.resize(allowed, height, width)] = cv2.GC_BGD
    sure = (np.count_nonzero(rough), np.count_nonzero(labels == cv2.GC_BGD))
    if min(sure) < 50:
        return np.asarray(rough, dtype=np.bool_)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # GrabCut's k-means draws from the thread's generator
    cv2.grabCut(np.ascontiguousarray(image[..., ::-1]), labels, None, *models, 2, cv2.GC_INIT_WITH_MASK)
    cut = np.asarray((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), dtype=np.bool_)
    return clean(cut)


def clean(mask: Mask) -> Mask:
    """Without specks and threads, small holes closed; sizes relative to the mask's own."""
    total = masks.area_px(mask)
    if not total:
        return mask
    radius_px = 0.03 * float(np.sqrt(total))
    opened = masks.dilate(masks.erode(mask, radius_px), radius_px) & mask
    return masks.fill_holes(opened, max_area_px=max(total // 50, 4))


def measure(image: Image, mask: Mask, motion: Map, others: Mask | None = None) -> dict[str, float]:
    """What speaks for a mask, each in [0, 1]; all arrays (H, W) of one frame.

    colour: how colours inside and around differ (Hellinger distance); motion: evidence inside less that around;
    edges: strength of the picture's edges under the outline; border: share of the outline on the frame's border.
    What other subjects cover (`others`) does not count as around.
    """
    area = masks.area_px(mask)
    radius_px = max(0.15 * float(np.sqrt(area)), 3.0)
    ring = masks.dilate(mask, radius_px) & ~masks.dilate(mask, 1.5)
    if others is not None:
        ring &= ~others
    outline = masks.dilate(mask, 1.0) & ~masks.erode(mask, 1.0)
    if not ring.any() or not area:
        return dict.fromkeys(("colour", "motion", "edges"), 0.0) | {"border": 1.0}
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    edges = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    around = float(edges[masks.dilate(mask, radius_px)].mean())
    return {
        "colour": _separation(image, mask, ring),
        "motion": max(float(motion[mask].mean() - motion[ring].mean()), 0.0),
        "edges": float(np.clip(edges[outline].mean() / (around + 1e-6) / 3, 0, 1)),
        "border": masks.border_share(mask),
    }


def confidence(evidence: dict[str, float]) -> float:
    """How sure a mask is right, in [0, 1], from `measure` and its agreement with the next frame ("stable").

    Something must set the subject off from what is around it: its motion, or colours with a clear edge between. The
    two middles were read off masks of annotated clips: below them lay spray, leaves near the lens and passing poles.
    """
    moves = _above(evidence["motion"], *_MOTION_MIDDLE)
    stands_out = _above(evidence["colour"] * evidence["edges"], *_COLOUR_MIDDLE)
    contrast = _CONTRAST_FLOOR + (1 - _CONTRAST_FLOOR) * max(moves, stands_out)
    return float(np.clip(evidence["stable"] * (1 - evidence["border"]) * contrast, 0, 1))


def _above(value: float, middle: float, width: float) -> float:
    return float(1 / (1 + np.exp(-(value - middle) / width)))


def _separation(image: Image, inside: Mask, outside: Mask) -> float:
    shares = colour_shares(image, inside) * colour_shares(image, outside)
    return float(np.sqrt(max(1 - np.sqrt(shares).sum(), 0)))
