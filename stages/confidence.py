"""How sure a mask is right: what can be measured without knowing the truth, and what it says together."""

from collections.abc import Mapping

import cv2
import numpy as np

from schemas.video import Mask
from stages import masks, motion
from stages.foreground import Foreground
from stages.instances import Instance

_RING_SHARE = 0.25  # of the square root of the mask's area
_BIAS = -9.69
_WEIGHTS = {"edges": 2.14, "belief_around": -13.07, "motion_inside": 1.21, "stable": 5.8, "life": 4.83}

_MIN_KNOWN_SHARE = 0.75
_MAX_SHADED = 0.8  # shadows have 1.0, dark suits on grey film up to 0.64
# By hand, not fitted: of the tuning clips only schoolgirls has a camera that stands, and few masks as good as these.
_SCENE_BIAS = -21.0
_SCENE_WEIGHTS = {"scene": 4.0, "stable": 12.0, "edges": 4.0}


def measure(found: Foreground, own: Instance, number: int, fine: Mask, others: Mask) -> dict[str, float]:
    """What speaks for and against the mask of one key; all sizes are the passage's.

    fine: the refined mask; others: what belongs to other individuals of that key, which does not count as around.
    """
    area = masks.area_px(fine)
    if not area:
        return {}
    away_px = masks.distance_to(fine)
    ring = (away_px > 2) & (away_px <= max(_RING_SHARE * float(np.sqrt(area)), 4.0)) & ~others
    if not ring.any():
        return {}
    outline = (away_px <= 1) & ~masks.erode(fine, 1.0)
    grey = cv2.cvtColor(found.images[number], cv2.COLOR_RGB2GRAY).astype(np.float32)
    edges = cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    evidence = {
        "edges": float(np.log((edges[outline].mean() + 1) / (edges[ring | fine].mean() + 1))),
        "belief_around": float(found.belief[number][ring].mean()),
        "motion_inside": float(np.clip(found.evidence[number][fine], -3, 3).mean()),
        "stable": _stability(found, own, number),
        "life": len(own.masks) / len(found.keys),
    }
    return evidence | _scene(found, number, fine, ring)


def _scene(found: Foreground, number: int, fine: Mask, ring: Mask) -> dict[str, float]:
    """How much more the mask differs from the empty scene than what is around it, and the share of it that is the scene
    in the shade; nothing where the scene is not known."""
    if found.scene is None:
        return {}
    known = found.scene.known
    inside, around = fine & known, ring & known
    if masks.area_px(inside) < _MIN_KNOWN_SHARE * masks.area_px(fine) or not around.any():
        return {}
    position = found.keys[number]
    shaded = masks.area_px(inside & found.scene.shaded(position)) / masks.area_px(inside)
    differs = found.scene.difference(position)
    return {"scene": float(differs[inside].mean() - differs[around].mean()), "shaded": shaded}


def _stability(found: Foreground, own: Instance, number: int) -> float:
    """Mean IoU with the masks of the keys before and after, carried here by the flow; 0 when there is neither."""
    agreements = []
    for other, flows in ((number - 1, found.backward), (number + 1, found.forward)):
        if other in own.masks:
            carried = motion.warp(own.masks[other].astype(np.float32), flows[min(number, other)])
            agreements.append(masks.iou(np.asarray(carried > 0.5), own.masks[number]))
    return float(np.mean(agreements)) if agreements else 0.0


def score(evidence: Mapping[str, float]) -> float:
    """The probability in [0, 1] that a mask has an IoU of at least 0.7 with the truth; 0 without evidence.

    A logistic model fitted to masks of annotated clips (`benchmarks/mask_confidence.py`). Where the camera stands the
    empty scene is the better witness, also of a subject that only passes through.
    """
    if not evidence:
        return 0.0
    logit = _BIAS + sum(weight * evidence[name] for name, weight in _WEIGHTS.items())
    if evidence.get("shaded", 0.0) > _MAX_SHADED:
        return 0.0  # a shadow is no subject
    if "scene" in evidence:
        logit = max(logit, _SCENE_BIAS + sum(weight * evidence[name] for name, weight in _SCENE_WEIGHTS.items()))
    return float(1 / (1 + np.exp(-logit)))
