"""Parts of one body that move each their own way: instances that stay joined, in one colour, are one subject.

Motion tells individuals apart (stages/instances.py), and so it parts a woman who gestures with both arms. Individuals
that touch do so for a while and seldom match in colour where they meet.
"""

from collections.abc import Sequence
from itertools import combinations

import cv2
import numpy as np

from schemas.subject import Track
from schemas.video import Image, Mask
from stages import masks

REACH = 0.015  # of the picture's long side: how near outlines must be to touch
MIN_CONTACT = 0.05  # of the shorter outline
MIN_JOINED_SHARE = 0.6  # of the frames that show both
MIN_FRAMES = 3
MAX_COLOUR_DISTANCE = 16.0  # Lab levels between the medians on both sides of the contact


def whole(tracks: Sequence[Track], images: Sequence[Image]) -> list[Track]:
    """The tracks, with parts of one body made one track: the union, where all parts are seen, as sure as the least sure
    of them.

    images: by position, as the masks of the tracks.
    """
    joined = list(tracks)
    while (found := next((two for two in combinations(joined, 2) if _are_parts(*two, images)), None)) is not None:
        joined = [_union(*found) if each is found[0] else each for each in joined if each is not found[1]]
    return joined


def _are_parts(one: Track, other: Track, images: Sequence[Image]) -> bool:
    shared = sorted(one.masks.keys() & other.masks.keys())
    if len(shared) < MIN_FRAMES or one.category != other.category:
        return False
    num_joined = sum(_is_joined(one.masks[at], other.masks[at], images[at]) for at in shared)
    return num_joined >= MIN_JOINED_SHARE * len(shared)


def _is_joined(one: Mask, other: Mask, image: Image) -> bool:
    """Whether the masks touch along more than a point and have one colour there."""
    reach = REACH * max(one.shape)
    seams = [_outline(a) & masks.dilate(b, reach) for a, b in ((one, other), (other, one))]
    outlines = [masks.area_px(_outline(mask)) for mask in (one, other)]
    if max(masks.area_px(seam) for seam in seams) < MIN_CONTACT * min(outlines):
        return False
    near = [masks.dilate(seam, 2 * reach) & mask for seam, mask in zip(seams, (one, other), strict=True)]
    if not all(side.any() for side in near):
        return False
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    first, second = (np.median(lab[side], axis=0) for side in near)
    return float(np.abs(first - second).max()) <= MAX_COLOUR_DISTANCE


def _outline(mask: Mask) -> Mask:
    return np.asarray(mask & ~masks.erode(mask, 1.5), np.bool_)


def _union(one: Track, other: Track) -> Track:
    shared = sorted(one.masks.keys() & other.masks.keys())
    return Track(
        one.category,
        {at: _sewn(one.masks[at], other.masks[at]) for at in shared},
        {at: min(one.scores[at], other.scores[at]) for at in shared},
    )


def _sewn(one: Mask, other: Mask) -> Mask:
    """Both parts and the gap between them."""
    reach, both = REACH * max(one.shape), np.asarray(one | other, np.bool_)
    between = masks.dilate(one, reach) & masks.dilate(other, reach)
    closed = masks.erode(masks.dilate(both, reach), reach)
    return masks.fill_holes(np.asarray(both | (closed & between), np.bool_))
