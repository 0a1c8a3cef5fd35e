"""Planted faults of number: a reference that shows more than the one subject it is for."""

from copy import copy
from dataclasses import replace

import cv2
import numpy as np
from planted import Planted, far_background, made_again, side_of

from schemas.video import Image, Mask
from stages import masks


def second_copy(sample: Planted, severity: int) -> Planted | None:
    """The subject appears again in the reference's background, at 50, 75 or 100 % of its height."""
    first = sample.draft.references[0]
    return _beside(sample, first.image, first.mask, (0.5, 0.75, 1.0)[severity])


def another_known(sample: Planted, severity: int) -> Planted | None:
    """The other subject of the scene is seen in the reference's background, at 50, 75 or 100 % of the height."""
    draft = sample.draft
    if len(draft.references) < 2:
        return None
    other = draft.references[1]
    return _beside(sample, other.source, other.source_mask, (0.5, 0.75, 1.0)[severity])


def subject_of_donor(sample: Planted, severity: int) -> Planted | None:
    """The subject of a borrowed background is seen in it, at 50, 75 or 100 % of the subject's height."""
    known = sample.draft.strangers
    return _beside(sample, *known[0], (0.5, 0.75, 1.0)[severity]) if known else None


def unknown_stranger(sample: Planted, severity: int) -> Planted | None:
    """As above, but nobody knows that subject: the donor's frame was mined without finding it."""
    made = subject_of_donor(sample, severity)
    if made is None:
        return None
    draft = copy(made.draft)
    draft.strangers = draft.strangers[1:]
    return replace(made, draft=draft)


def joined_mask(sample: Planted, severity: int) -> Planted | None:
    """The mask in frame A takes in 30, 60 or 100 % of another subject of the scene."""
    draft = sample.draft
    if len(draft.references) < 2:
        return None
    first, other = draft.references[0], draft.references[1].source_mask
    share = (0.3, 0.6, 1.0)[severity]
    part = side_of(other, share, sample) if share < 1 else other
    return made_again(sample, first.source, first.source_mask | part)


def _beside(sample: Planted, image: Image, mask: Mask, height_share: float) -> Planted | None:
    """A subject put beside the one of reference 0, the canvas widened where there is no room."""
    first = sample.draft.references[0]
    own, theirs = masks.box_of(first.mask), masks.box_of(mask)
    if own is None or theirs is None:
        return None
    scale = height_share * (own[3] - own[1]) / (theirs[3] - theirs[1])
    x0, y0, x1, y1 = (int(side) for side in theirs)
    size = (max(int((x1 - x0) * scale), 2), max(int((y1 - y0) * scale), 2))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    pixels = cv2.resize(image[y0:y1, x0:x1], size, interpolation=method)
    shape = masks.resize(mask[y0:y1, x0:x1], size[1], size[0])
    height, width = first.mask.shape
    extra = size[0] + 8
    canvas = cv2.copyMakeBorder(first.image, 0, 0, 0, extra, cv2.BORDER_REFLECT_101) if extra < width else None
    if canvas is None:
        return None
    wide = np.zeros((height, width + extra), np.bool_)
    wide[:, :width] = first.mask
    reflected = np.zeros_like(wide)
    reflected[:, width:] = first.mask[:, width - 1 - extra : width - 1][:, ::-1]
    if reflected.any():  # the border repeats the subject itself: paint it over with the backdrop
        backdrop = cv2.resize(far_background(first), (width + extra, height))
        canvas = np.where(masks.dilate(reflected, 4)[..., None] & ~wide[..., None], backdrop, canvas)
    top = int(min(max(own[3] - size[1], 0), height - size[1]))
    if top < 0 or size[1] > height:
        return None
    spot = canvas[top : top + size[1], width + 4 : width + 4 + size[0]]
    spot[shape] = pixels[shape]
    return sample.with_reference(image=np.ascontiguousarray(canvas), mask=wide)
