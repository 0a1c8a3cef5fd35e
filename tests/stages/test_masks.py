"""Masks: the code round-trips, morphology is monotone, boxes fit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

from schemas.video import Mask
from stages import masks

shapes = st.tuples(st.integers(1, 24), st.integers(1, 24))
some_masks = shapes.flatmap(lambda shape: arrays.arrays(np.bool_, shape))
radii = st.floats(0, 6)


@given(some_masks)
def test_code_round_trips_and_is_what_coco_writes(mask: Mask) -> None:
    code = masks.encode(mask)
    assert code["size"] == list(mask.shape)
    assert isinstance(code["counts"], str)
    assert np.array_equal(masks.decode(code), mask)
    assert coco.area({"size": code["size"], "counts": code["counts"].encode()}) == mask.sum()


def test_long_runs_round_trip() -> None:
    mask = np.zeros((700, 900), np.bool_)
    mask[100:650, 3] = True
    mask[5, 200:880] = True
    assert np.array_equal(masks.decode(masks.encode(mask)), mask)


@given(some_masks, st.integers(1, 5))
def test_code_of_another_size_is_refused(mask: Mask, extra: int) -> None:
    code = masks.encode(mask)
    code["size"][0] += extra
    with pytest.raises(ValueError, match="runs cover"):
        masks.decode(code)


@given(some_masks)
def test_box_is_tight(mask: Mask) -> None:
    box = masks.box_of(mask)
    if box is None:
        assert not mask.any()
        return
    x0, y0, x1, y1 = (int(side) for side in box)
    inner = mask[y0:y1, x0:x1]
    assert inner.sum() == mask.sum()
    assert inner[0].any()
    assert inner[-1].any()
    assert inner[:, 0].any()
    assert inner[:, -1].any()
    assert np.array_equal(masks.mask_of(box, *mask.shape) & mask, mask)


@given(some_masks, radii, radii)
def test_dilation_grows_and_erosion_shrinks_with_the_radius(mask: Mask, one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert not (mask & ~masks.dilate(mask, small)).any()
    assert not (masks.dilate(mask, small) & ~masks.dilate(mask, large)).any()
    assert not (masks.erode(mask, small) & ~mask).any()
    assert not (masks.erode(mask, large) & ~masks.erode(mask, small)).any()


def test_distance_is_zero_on_a_mask_and_infinite_from_an_empty_one() -> None:
    mask = masks.mask_of((2, 2, 4, 4), 6, 9)
    distance = masks.distance_to(mask)
    assert distance[2, 2] == 0
    assert distance[2, 8] == 5
    assert np.isinf(masks.distance_to(np.zeros_like(mask))).all()


@given(some_masks, st.integers(1, 6))
def test_erosion_is_dilation_of_the_complement(mask: Mask, radius_px: int) -> None:
    if mask.all():
        assert masks.erode(mask, radius_px).all()
    else:
        assert np.array_equal(masks.erode(mask, radius_px), ~masks.dilate(~mask, radius_px))


@given(some_masks)
def test_iou_is_one_with_itself_and_zero_with_its_complement(mask: Mask) -> None:
    assert masks.iou(mask, mask) == 1
    assert masks.iou(mask, ~mask) == 0


@given(some_masks)
def test_filling_adds_only_what_is_enclosed(mask: Mask) -> None:
    filled = masks.fill_holes(mask)
    assert not (mask & ~filled).any()
    added = filled & ~mask
    for edge in (added[0], added[-1], added[:, 0], added[:, -1]):
        assert not edge.any()
    assert np.array_equal(masks.fill_holes(filled), filled)
    assert np.array_equal(masks.fill_holes(mask, 0), mask)


def test_a_ring_becomes_a_disc_unless_its_hole_is_too_large() -> None:
    disc = np.hypot(*np.mgrid[-20:21, -20:21]) < 15
    ring = disc & ~(np.hypot(*np.mgrid[-20:21, -20:21]) < 5)
    assert np.array_equal(masks.fill_holes(ring), disc)
    assert np.array_equal(masks.fill_holes(ring, max_area_px=20), ring)


@given(some_masks)
def test_components_partition_the_mask_largest_first(mask: Mask) -> None:
    parts = masks.components(mask)
    assert sum((part.astype(int) for part in parts), np.zeros(mask.shape, int)).tolist() == mask.astype(int).tolist()
    areas = [masks.area_px(part) for part in parts]
    assert areas == sorted(areas, reverse=True)


@given(shapes.flatmap(lambda shape: st.lists(arrays.arrays(np.bool_, shape), min_size=1, max_size=4)))
def test_separated_masks_share_no_pixel_and_lose_none(many: list[Mask]) -> None:
    apart = masks.separate(many)
    assert np.stack(apart).sum(axis=0).max() <= 1
    assert np.array_equal(np.stack(apart).any(axis=0), np.stack(many).any(axis=0))
    assert all(not (after & ~before).any() for before, after in zip(many, apart, strict=True))


def test_resizing_keeps_place_and_share() -> None:
    mask = np.zeros((48, 64), np.bool_)
    mask[12:36, 16:48] = True
    for height, width in ((96, 128), (24, 32), (37, 51)):
        scaled = masks.resize(mask, height, width)
        assert scaled.shape == (height, width)
        assert scaled.mean() == pytest.approx(mask.mean(), abs=0.03)
        box = masks.box_of(scaled)
        assert box is not None
        assert box[0] / width == pytest.approx(0.25, abs=0.03)
        assert box[3] / height == pytest.approx(0.75, abs=0.03)


def test_border_share_tells_a_cut_subject_from_a_whole_one() -> None:
    whole = np.zeros((40, 60), np.bool_)
    whole[10:30, 20:40] = True
    cut = np.roll(whole, 20, axis=1)
    assert masks.border_share(whole) == 0
    assert masks.border_share(cut) > 0.2


def test_boxes_overlap_and_grow_inside_the_frame() -> None:
    assert masks.box_iou((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert masks.box_iou((0, 0, 10, 10), (10, 0, 20, 10)) == 0
    assert masks.grow_box((10, 10, 20, 20), 0.5, 22, 100) == (5, 5, 25, 22)
