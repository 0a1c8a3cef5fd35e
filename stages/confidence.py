"""How sure a mask is right: what can be measured without knowing the truth, and what it says together."""

from collections.abc import Mapping

import cv2
import numpy as np

from schemas.video import Mask
from stages import masks, motion, segmentation
from stages.foreground import Foreground
from stages.instances import Instance

_RING_SHARE = 0.25  # of the square root of the mask's area
_FAR_KEYS = 4
_BIAS = -9.69
_WEIGHTS = {"edges": 2.14, "belief_around": -13.07, "motion_inside": 1.21, "stable": 5.8, "life": 4.83}


def measure(found: Foreground, own: Instance, number: int, fine: Mask, others: Mask) -> dict[str, float]:
    """What speaks for and against the mask of one key; all sizes are the passage's.

    fine: the refined mask; others: what belongs to other individuals of that key, which does not count as around.
    """
    image, rough = found.images[number], own.masks[number]
    area = masks.area_px(fine)
    if not area:
        return {}
    width_px = max(_RING_SHARE * float(np.sqrt(area)), 4.0)
    ring = masks.dilate(fine, width_px) & ~masks.dilate(fine, 2.0) & ~others
    near = masks.dilate(fine, 4.0) & ~masks.dilate(fine, 1.0) & ~others
    skin = fine & ~masks.erode(fine, 3.0)
    if not ring.any():
        return {}
    moved, belief = np.clip(found.evidence[number], -3, 3), found.belief[number]
    outline = masks.dilate(fine, 1.0) & ~masks.erode(fine, 1.0)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    edges = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    areas = [masks.area_px(mask) for key, mask in own.masks.items() if abs(key - number) <= _FAR_KEYS]
    hull = cv2.convexHull(cv2.findNonZero(fine.astype(np.uint8)))
    return {
        "stable": _stability(found, own, number, 1),
        "stable_far": _stability(found, own, number, _FAR_KEYS),
        "refined": masks.iou(fine, rough),
        "moving": masks.iou(fine, np.asarray(moved > 0) & masks.dilate(fine, width_px) & ~others),
        "motion_inside": float(moved[fine].mean()),
        "motion_around": float(moved[ring].mean()),
        "motion_step": float(moved[skin].mean() - moved[near].mean()) if near.any() and skin.any() else 0.0,
        "belief_inside": float(belief[fine].mean()),
        "belief_around": float(belief[ring].mean()),
        "colour": segmentation.colour_distance(image, fine, ring),
        "edges": float(np.log((edges[outline].mean() + 1) / (edges[ring | fine].mean() + 1))),
        "border": masks.border_share(fine),
        "log_area": float(np.log10(area / fine.size)),
        "area_change": float(abs(np.log((masks.area_px(rough) + 1) / (np.median(areas) + 1)))),
        "solid": area / max(float(cv2.contourArea(hull)), 1.0),
        "life": len(own.masks) / len(found.keys),
    }


def _stability(found: Foreground, own: Instance, number: int, distance: int) -> float:
    """Mean IoU with the masks `distance` keys before and after (nearer ones at the ends), carried here by the flow."""
    agreements = []
    for sign, flows in ((-1, found.backward), (1, found.forward)):
        reachable = distance
        while reachable and number + sign * reachable not in own.masks:
            reachable -= 1
        if not reachable:
            continue
        carried = own.masks[number + sign * reachable].astype(np.float32)
        for step in range(reachable, 0, -1):
            carried = motion.warp(carried, flows[number - step if sign < 0 else number + step - 1])
        agreements.append(masks.iou(np.asarray(carried > 0.5), own.masks[number]))
    return float(np.mean(agreements)) if agreements else 0.0


def score(evidence: Mapping[str, float]) -> float:
    """The probability in [0, 1] that a mask has an IoU of at least 0.7 with the truth; 0 without evidence.

    A logistic model fitted to masks of annotated clips (`benchmarks/mask_confidence.py`).
    """
    if not evidence:
        return 0.0
    logit = _BIAS + sum(weight * evidence[name] for name, weight in _WEIGHTS.items())
    return float(1 / (1 + np.exp(-logit)))
