"""Edges of masks."""

import numpy as np
import pytest
from synthetic_shot import Disc, frame_of

from stages import masks, motion, segmentation

DISC = Disc((150, 120), (0, 0), 40)


@pytest.mark.parametrize("wrong_by_px", [-3, 3])
def test_refining_snaps_a_sloppy_mask_to_the_edge(wrong_by_px: int) -> None:
    image, (mask,) = frame_of(0, [DISC])
    sloppy = masks.dilate(mask, 3) if wrong_by_px > 0 else masks.erode(mask, 3)
    refined = segmentation.refine(image, sloppy)
    assert masks.iou(refined, mask) > max(masks.iou(sloppy, mask), 0.93)


def test_a_small_mask_is_refined_at_the_size_of_the_picture() -> None:
    image, (mask,) = frame_of(0, [DISC])
    refined = segmentation.refine(image, masks.resize(mask, 60, 80))
    assert refined.shape == mask.shape
    assert masks.iou(refined, mask) > 0.93


def test_what_belongs_to_others_is_left_to_them() -> None:
    image, (mask,) = frame_of(0, [DISC])
    left, right = mask.copy(), mask.copy()
    left[:, 150:], right[:, :150] = False, False
    assert not (segmentation.refine(image, left, right) & right & ~masks.dilate(left, 2)).any()


def test_refining_is_repeatable_and_nothing_stays_nothing() -> None:
    image, (mask,) = frame_of(0, [DISC])
    once, again = (segmentation.refine(image, mask) for _ in range(2))
    assert np.array_equal(once, again)
    assert not segmentation.refine(image, np.zeros_like(mask)).any()


def test_a_box_holds_what_differs_from_its_surroundings() -> None:
    image, (mask,) = frame_of(0, [DISC])
    box = masks.box_of(mask)
    assert box is not None
    found = segmentation.from_box(motion.shrink(image, 240), masks.grow_box(box, -0.1, *mask.shape), box)
    assert masks.iou(found, mask) > 0.9
