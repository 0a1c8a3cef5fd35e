"""Augmentation: the placed subject is whole, never mirrored, large enough, and stands in the lower half."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.config import SynthesisConfig
from schemas.errors import BadInput
from schemas.reasons import Reason
from stages import augmentation, masks

CONFIG = SynthesisConfig()
STRONG = SynthesisConfig(max_rotation_degrees=40, max_perspective=0.2, scale_range=(0.3, 3.0))


def blob(height: int, width: int, x0: int, y0: int, w: int, h: int) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[y0 : y0 + h, x0 : x0 + w] = True
    mask[y0 : y0 + h // 3, x0 : x0 + w // 3] = False  # no symmetry
    return mask


boxes = st.tuples(st.integers(5, 200), st.integers(5, 120), st.integers(80, 300), st.integers(80, 200))


@given(
    box=boxes,
    seed=st.integers(0, 2**50),
    rung=st.integers(0, 2),
    config=st.sampled_from([CONFIG, STRONG]),
    output=st.sampled_from([(854, 480), (480, 854), (1024, 1024), (640, 360)]),
)
@example(box=(179, 24, 80, 80), seed=2048, rung=0, config=STRONG, output=(854, 480))
@settings(max_examples=80)
def test_the_subject_is_whole_and_not_mirrored(box, seed, rung, config, output):
    mask = blob(360, 640, *box)
    placement = augmentation.place(mask, output, config, seed, rung)
    assert augmentation.min_determinant(placement.warp, mask) > 0
    points = np.argwhere(mask)[:, ::-1]
    moved = np.column_stack([points, np.ones(len(points))]) @ placement.warp.T
    assert (moved[:, 2] > 0).all()
    x, y = moved[:, 0] / moved[:, 2], moved[:, 1] / moved[:, 2]
    assert x.min() >= 0
    assert y.min() >= 0
    assert x.max() <= placement.width_px - 1
    assert y.max() <= placement.height_px - 1
    assert y.max() > placement.height_px / 2
    assert placement.width_px * placement.height_px <= 1.05 * output[0] * output[1]
    assert placement.scale <= augmentation.MAX_ENLARGEMENT


@given(seed=st.integers(0, 2**50))
@settings(max_examples=20)
def test_the_warped_mask_covers_what_geometry_says(seed):
    mask = blob(360, 640, 200, 80, 160, 200)
    image = np.full((360, 640, 3), 90, np.uint8)
    image[mask] = (200, 30, 60)
    placement = augmentation.place(mask, (854, 480), CONFIG, seed, 0)
    pixels, warped = augmentation.warp_subject(image, masks.erode(mask, 2), placement)
    assert warped.sum() == pytest.approx(mask.sum() * placement.scale**2, rel=0.15)
    # Nothing of the source's background is under the mask; resampling may ring by a few levels.
    assert (np.abs(pixels[warped].astype(int) - (200, 30, 60)) <= 12).all()


def test_a_calmer_rung_turns_less():
    mask = blob(360, 640, 200, 80, 160, 200)
    wild, calm = (augmentation.place(mask, (854, 480), CONFIG, 11, rung).rotation_degrees for rung in (0, 2))
    assert abs(calm) < abs(wild)


def test_a_subject_cut_by_the_frame_meets_the_canvas_border():
    mask = blob(360, 640, 200, 160, 160, 200)
    placement = augmentation.place(mask, (854, 480), CONFIG, 5, 0)
    _, warped = augmentation.warp_subject(np.zeros((360, 640, 3), np.uint8), mask, placement)
    assert placement.rotation_degrees == 0
    assert warped[-1].any()


def test_a_subject_from_side_to_side_has_no_room():
    mask = np.zeros((360, 640), bool)
    mask[100:200] = True
    with pytest.raises(BadInput) as caught:
        augmentation.place(mask, (854, 480), CONFIG, 1, 0)
    assert caught.value.reason is Reason.NO_ROOM


def test_a_tiny_subject_is_refused():
    mask = blob(360, 640, 100, 100, 12, 15)
    with pytest.raises(BadInput) as caught:
        augmentation.place(mask, (854, 480), CONFIG, 1, 0)
    assert caught.value.reason is Reason.SUBJECT_TOO_SMALL


def test_a_mirroring_warp_is_recognised():
    mask = blob(100, 100, 20, 20, 50, 50)
    assert augmentation.min_determinant(np.diag([-1.0, 1.0, 1.0]), mask) < 0
