"""Planted faults of the background: a reference that shows frame A's place, or the output's."""

import cv2
import numpy as np
from planted import SEVERE, Planted, luck, made_again

from schemas.sample import Draft
from schemas.video import Image
from stages import masks, plates


def leak_around(sample: Planted, severity: int) -> Planted | None:
    """A sector of the surroundings, 15, 35 or 100 % of the turn around the subject, shows frame A's own place."""
    first = sample.draft.references[0]
    height, width = first.mask.shape
    warped = cv2.warpPerspective(first.source, np.asarray(first.warp), (width, height))
    inside = cv2.warpPerspective(np.ones(first.source.shape[:2], np.uint8), np.asarray(first.warp), (width, height)) > 0
    x0, y0, x1, y1 = masks.box_of(first.mask) or (0, 0, 1, 1)
    rows, columns = np.mgrid[:height, :width]
    turn = (np.arctan2(rows - (y0 + y1) / 2, columns - (x0 + x1) / 2) / (2 * np.pi) + luck(sample)) % 1
    reach = masks.dilate(first.mask, 0.25 * float(np.sqrt(masks.area_px(first.mask))) if severity < SEVERE else 1e4)
    where = (turn < (0.15, 0.35, 1.0)[severity]) & reach & inside & ~first.mask
    return sample.with_reference(image=np.where(where[..., None], warped, first.image)) if where.any() else None


def leak_elsewhere(sample: Planted, severity: int) -> Planted:
    """15, 35 or 100 % of the reference's width shows the output's place, in its own scale, subjects cut away."""
    first, draft = sample.draft.references[0], sample.draft
    height, width = first.mask.shape
    place = _covering(_emptied(draft), width, height)
    share = (0.15, 0.35, 1.0)[severity]
    start = int(luck(sample) * (1 - share) * width)
    where = np.zeros_like(first.mask)
    where[:, start : start + int(share * width)] = True
    where &= ~first.mask
    return sample.with_reference(image=np.where(where[..., None], place, first.image))


def loose_mask(sample: Planted, severity: int) -> Planted | None:
    """The mask took a blob of frame A's place beside the subject along, as large as 15, 35 or 80 % of the subject."""
    first = sample.draft.references[0]
    if not (sample.near.before or sample.near.after):
        return None
    wanted = (1.15, 1.35, 1.8)[severity] * masks.area_px(first.source_mask)
    rows, columns = np.nonzero(first.source_mask & ~masks.erode(first.source_mask, 1.5))
    place = int(luck(sample) * len(rows)) % max(len(rows), 1)
    down, right = np.mgrid[: first.source_mask.shape[0], : first.source_mask.shape[1]]
    distance = np.hypot(down - rows[place], right - columns[place])
    outside = np.sort(distance[~first.source_mask])
    extra = int(min(wanted - masks.area_px(first.source_mask), len(outside) - 1))
    loose = first.source_mask | (distance <= outside[extra])
    everyone = np.logical_or.reduce([loose, *(one.source_mask for one in sample.draft.references[1:])])
    made = made_again(sample, first.source, loose)
    return made and made.with_reference(still=plates.still_ground(first.source, everyone, sample.near))


def _emptied(draft: Draft) -> Image:
    hole = masks.dilate(np.logical_or.reduce([*draft.output_masks, *draft.scene_masks]), 6)
    return np.asarray(cv2.inpaint(draft.output, hole.astype(np.uint8), 3, cv2.INPAINT_TELEA), np.uint8)


def _covering(image: Image, width: int, height: int) -> Image:
    """The middle of a picture, as large as fits, at another size: its aspect stays."""
    scale = max(width / image.shape[1], height / image.shape[0])
    size = max(round(image.shape[1] * scale), width), max(round(image.shape[0] * scale), height)
    large = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return np.asarray(large[top : top + height, left : left + width], np.uint8)
