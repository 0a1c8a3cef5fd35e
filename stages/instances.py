"""One mask per individual: connected parts to boxes; where two subjects touch, cut in two by colour and motion."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from schemas.subject import Box
from schemas.video import Image, Mask
from stages import masks, segmentation
from stages.motion import Flow

_MIN_PROTOTYPE_SHARE = 0.015  # of the frame, for a subject's colours to be learned from
_MIN_DISTANCE = 0.6  # Hellinger, between the colours of two subjects that can be told apart
_MAX_BORDER_SHARE = 0.15  # of such a subject: what hangs on the frame's border is often background
_MIN_PART_SHARE = 0.15  # of a part, for each of the two it is cut into
_MIN_CORES_SHARE = 0.65  # of a part in the two cores: windows and body of a car lie in each other, two subjects do not
_MAX_CONTACT_SHARE = 0.5  # of the smaller one's outline
_MIN_DIFFERENCE_SHARE = 0.004  # of the short side, between the motions of two subjects: a shirt moves with its trousers
_SMOOTHING_SHARE = 0.02  # of the frame's short side


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two subjects of one frame whose colours differ: log likelihood ratio, first to second, per colour code."""

    ratio: NDArray[np.float32]
    distance: float


def parts_in_boxes(mask: Mask, boxes: Sequence[Box], min_area_px: int) -> dict[int, Mask]:
    """The parts of a mask per box (by position in `boxes`): each connected part goes to the box it lies in most.

    Parts that lie mostly outside every box belong to none.
    """
    found: dict[int, Mask] = {}
    for part in masks.components(mask, min_area_px):
        shares = [_share_inside(part, box) for box in boxes]
        if shares and max(shares) > 0.5:
            best = int(np.argmax(shares))
            found[best] = found[best] | part if best in found else part
    return found


def _share_inside(part: Mask, box: Box) -> float:
    inside = masks.mask_of(box, *part.shape) & part
    return masks.area_px(inside) / max(masks.area_px(part), 1)


@dataclass(frozen=True, slots=True)
class Sight:
    """One frame: its picture, the mask of all its subjects, its boxes, and its flow (of any size) to a frame nearby."""

    image: Image
    mask: Mask
    boxes: Sequence[Box]
    flow: Flow | None


def strongest_contrast(sights: Sequence[Sight]) -> Contrast | None:
    """The two boxes of one frame whose subjects move apart and differ most in colour, over all frames.

    Pixels that two boxes share teach nothing. None when no two differ enough.
    """
    found = [contrast for sight in sights for contrast in _contrasts(sight)]
    return max(found, key=lambda each: each.distance, default=None)


def _contrasts(sight: Sight) -> list[Contrast]:
    inside = [masks.mask_of(box, *sight.mask.shape) for box in sight.boxes]
    own = [sight.mask & each & ~_any(other for other in inside if other is not each) for each in inside]
    least = _MIN_PROTOTYPE_SHARE * sight.mask.size
    contrasts = []
    for first, second in combinations([each for each in own if _is_prototype(each, least)], 2):
        if not _move_apart(sight.flow, first, second):
            continue
        one, other = (segmentation.colour_shares(sight.image, each) for each in (first, second))
        distance = float(np.sqrt(max(1 - np.sqrt(one * other).sum(), 0)))
        if distance >= _MIN_DISTANCE:
            contrasts.append(Contrast(np.log((one + 1e-4) / (other + 1e-4)).astype(np.float32), distance))
    return contrasts


def _is_prototype(mask: Mask, min_area_px: float) -> bool:
    return masks.area_px(mask) >= min_area_px and masks.border_share(mask) <= _MAX_BORDER_SHARE


def _contact_share(one: Mask, other: Mask) -> float:
    """How much of the smaller mask's outline lies at the larger one."""
    small, large = (one, other) if masks.area_px(one) <= masks.area_px(other) else (other, one)
    outline = small & ~masks.erode(small, 1.0)
    return masks.area_px(outline & masks.dilate(large, 2.5)) / max(masks.area_px(outline), 1)


def _move_apart(flow: Flow | None, one: Mask, other: Mask) -> bool:
    if flow is None:
        return False
    small = [masks.resize(each, *flow.shape[:2]) for each in (one, other)]
    if not all(each.any() for each in small):
        return False
    first, second = (np.median(flow[each], axis=0) for each in small)
    return bool(np.linalg.norm(first - second) >= _MIN_DIFFERENCE_SHARE * min(flow.shape[:2]))


def _any(several: Iterable[Mask]) -> Mask | np.bool_:
    combined: Mask | np.bool_ = np.False_
    for each in several:
        combined = combined | each
    return combined


def split(sight: Sight, part: Mask, contrast: Contrast) -> list[Mask]:
    """The part cut into the two subjects of `contrast` where both have a good share of it and move apart; or itself.

    The largest region of each colour is a subject's core; what is left joins the core it touches most, so that a leg
    goes with its own body though its colour is the neighbour's.
    """
    radius_px = max(round(_SMOOTHING_SHARE * min(part.shape)), 2)
    evidence = segmentation.smooth(sight.image, contrast.ratio[segmentation.colour_codes(sight.image)], radius_px)
    cores = [masks.components(segmentation.clean(part & side)) for side in (evidence > 0, evidence <= 0)]
    if not all(cores) or min(masks.area_px(core[0]) for core in cores) < _MIN_PART_SHARE * masks.area_px(part):
        return [part]
    one, other = cores[0][0], cores[1][0]
    covered = masks.area_px(one | other) >= _MIN_CORES_SHARE * masks.area_px(part)
    if not (covered and _contact_share(one, other) <= _MAX_CONTACT_SHARE and _move_apart(sight.flow, one, other)):
        return [part]
    for rest in masks.components(part & ~one & ~other):
        near = masks.dilate(rest, 2.0)
        if masks.area_px(near & one) >= masks.area_px(near & other):
            one = one | rest
        else:
            other = other | rest
    return [one, other]
