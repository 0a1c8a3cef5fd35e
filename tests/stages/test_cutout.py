"""Cutting out: the eroded mask stays inside the subject, keeps thin parts, and its boundary is irregular."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import BadInput
from schemas.reasons import Reason
from schemas.video import Mask
from stages import masks
from stages.cutout import cut_out, erode_irregularly


def ellipse(height: int, width: int, angle: float = 0.0) -> Mask:
    canvas = np.zeros((height, width), np.uint8)
    cv2.ellipse(canvas, (width // 2, height // 2), (width // 3, height // 4), angle, 0, 360, 1, -1)
    return canvas.astype(bool)


@given(
    height=st.integers(60, 200),
    width=st.integers(60, 200),
    angle=st.floats(0, 180),
    erosion=st.floats(0.005, 0.2),
    seed=st.integers(0, 2**40),
)
@settings(max_examples=40)
def test_the_cutout_is_a_proper_part_of_the_subject(height, width, angle, erosion, seed):
    mask = ellipse(height, width, angle)
    cut = cut_out(mask, erosion, seed)
    assert not (cut.mask & ~mask).any()
    assert 0.6 * mask.sum() <= cut.mask.sum() < mask.sum()
    assert cut.box == masks.box_of(cut.mask)


def test_erosion_depth_varies_along_the_boundary():
    mask = ellipse(300, 300)
    kept = erode_irregularly(mask, 0.06, 7)
    distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    rim = kept & ~masks.erode(kept, 1)
    depths = distance[rim]
    assert depths.min() >= 1.0
    assert depths.max() > 2 * depths.min()


def test_a_seed_repeats_and_another_differs():
    mask = ellipse(200, 200)
    assert np.array_equal(erode_irregularly(mask, 0.05, 3), erode_irregularly(mask, 0.05, 3))
    assert not np.array_equal(erode_irregularly(mask, 0.05, 3), erode_irregularly(mask, 0.05, 4))


def test_thin_legs_survive_deep_erosion():
    mask = ellipse(300, 300)
    mask[200:290, 120:128] = True
    kept = erode_irregularly(mask, 0.1, 1)
    assert kept[230:280, 120:128].any(axis=1).all()


def test_the_frame_border_is_no_boundary():
    mask = np.zeros((200, 200), bool)
    mask[80:, 60:140] = True
    kept = erode_irregularly(mask, 0.05, 1)
    assert kept[-1, 70:130].all()


def test_specks_are_left_out():
    mask = ellipse(200, 200)
    mask[5:8, 5:8] = True
    assert not cut_out(mask, 0.02, 1).mask[:10, :10].any()


def test_no_erosion_keeps_every_pixel():
    mask = ellipse(200, 200)
    assert np.array_equal(cut_out(mask, 0.0, 1).mask, mask)


def test_a_subject_of_threads_is_refused():
    mask = np.zeros((100, 100), bool)
    mask[10:90, 50:52] = True
    with pytest.raises(BadInput) as caught:
        cut_out(mask, 0.02, 1)
    assert caught.value.reason is Reason.SUBJECT_TOO_SMALL
