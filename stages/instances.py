"""One mask per individual and frame: connected parts of what moves, followed along the flow through a passage."""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.video import Mask
from stages import masks, motion, segmentation
from stages.foreground import Foreground

_MIN_AREA_SHARE = 0.0025  # of the frame
_MAX_HOLE_SHARE = 0.15  # of a part: a car's windows are the car, the ground between two legs of a horse is not
_JOINING_SHARE = 0.3  # of a part, or of what is expected of an individual, that both share
_SHARED_SHARE = 0.5  # of each of two individuals in one part, for it to be cut in two
_MAX_GAP_SHARE = 0.04  # of the frame's width, between parts of one behind a pole
_MAX_DRIFT_SHARE = 0.3  # of how both move against the background: parts of one move alike
_MIN_LIFE_SHARE = 0.15  # of the keys
_MIN_LIFE_KEYS = 3


@dataclass(slots=True)
class Instance:
    """One individual; masks by number of the key, at the passage's size. Masks of different ones never overlap."""

    masks: dict[int, Mask] = field(default_factory=dict)


def follow(found: Foreground) -> list[Instance]:
    """The individuals that move in a passage and last, the largest first.

    A part goes to the individual whose mask, carried along by the flow, covers it; parts of one that a pole cuts in two
    stay together, and a part that two share is divided between them, each pixel to the nearer one. Where the empty
    scene is known, parts that leave each other are two from then on. One that is not seen for a key is lost.
    """
    individuals: list[Instance] = []
    # Before a camera that moves a mask may have patches elsewhere for a key or two.
    limit_px = _MAX_GAP_SHARE * found.images[0].shape[1] if found.scene else float("inf")
    for number, belief in enumerate(found.belief):
        parts = sorted(_parts(found, number, belief), key=masks.area_px, reverse=True)
        expected = {
            order: np.asarray(motion.warp(each.masks[number - 1].astype(np.float32), found.backward[number - 1]) > 0.5)
            for order, each in enumerate(individuals)
            if number - 1 in each.masks
        }
        for part in parts:
            for order, own in _owners(part, expected):
                before = None if order is None else individuals[order].masks.get(number)
                if order is None or (before is not None and _gap(before, own) > limit_px):
                    individuals.append(Instance({number: own}))
                else:
                    individuals[order].masks[number] = own if before is None else before | own
    individuals = _rejoined(individuals, found)
    for number in range(len(found.keys)):
        here = [each for each in individuals if number in each.masks]
        for each, mask in zip(here, masks.separate([each.masks[number] for each in here]), strict=True):
            each.masks[number] = mask
    needed = max(_MIN_LIFE_KEYS, _MIN_LIFE_SHARE * len(found.keys))
    lasting = [each for each in individuals if len(each.masks) >= min(needed, len(found.keys))]
    return sorted(lasting, key=lambda each: -sum(masks.area_px(mask) for mask in each.masks.values()))


def _parts(found: Foreground, number: int, belief: motion.Map) -> list[Mask]:
    mask = np.asarray(segmentation.smooth(found.images[number], belief, radius_px=3) > 0.5)
    parts = masks.components(segmentation.clean(mask), max(int(_MIN_AREA_SHARE * mask.size), 1))
    return [masks.fill_holes(part, int(_MAX_HOLE_SHARE * masks.area_px(part))) for part in parts]


def _owners(part: Mask, expected: dict[int, Mask]) -> list[tuple[int | None, Mask]]:
    """Who a part belongs to (None: a newcomer), with what of it; several when it is divided."""
    area = masks.area_px(part)
    shared = {order: masks.area_px(part & mask) for order, mask in expected.items()}
    claims = {
        order: overlap
        for order, overlap in shared.items()
        if overlap > _JOINING_SHARE * min(area, masks.area_px(expected[order]))
    }
    if not claims:
        return [(None, part)]
    firm = [order for order in claims if shared[order] > _SHARED_SHARE * masks.area_px(expected[order])]
    if len(firm) < 2:
        return [(max(claims, key=lambda order: (claims[order], -order)), part)]
    nearest = np.argmin([_distance(expected[order]) for order in firm], axis=0)
    return [(order, part & (nearest == place)) for place, order in enumerate(firm) if (part & (nearest == place)).any()]


def _rejoined(individuals: list[Instance], found: Foreground) -> list[Instance]:
    """The individuals, with those joined that go side by side, a narrow gap between them, as one body would."""
    joined: list[Instance] = []
    for each in sorted(individuals, key=lambda one: (min(one.masks), -len(one.masks))):
        whole = next((other for other in joined if _is_one(each, other, found)), None)
        if whole is None:
            joined.append(each)
            continue
        for number, mask in each.masks.items():
            whole.masks[number] = whole.masks[number] | mask if number in whole.masks else mask
    return joined


def _is_one(one: Instance, other: Instance, found: Foreground) -> bool:
    """Judged where both are seen; False when that is in fewer than three keys."""
    common = sorted((one.masks.keys() & other.masks.keys()) - {len(found.keys) - 1})
    if len(common) < _MIN_LIFE_KEYS:
        return False
    gaps = [_gap(one.masks[number], other.masks[number]) for number in common]
    if np.median(gaps) > _MAX_GAP_SHARE * found.images[0].shape[1]:
        return False
    drifts, motions = [], []
    for number in common:
        flow, still = found.forward[number], found.belief[number] < 0.5
        ground = np.median(flow[still], axis=0) if still.any() else np.zeros(2)
        first, second = (np.median(flow[each.masks[number]], axis=0) - ground for each in (one, other))
        drifts.append(float(np.linalg.norm(first - second)))
        motions.append(float(max(np.linalg.norm(first), np.linalg.norm(second))))
    return bool(np.median(drifts) <= _MAX_DRIFT_SHARE * np.median(motions))


def _gap(one: Mask, other: Mask) -> float:
    return float(_distance(one)[other].min())


def _distance(mask: Mask) -> NDArray[np.float32]:
    return np.asarray(cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3), dtype=np.float32)
