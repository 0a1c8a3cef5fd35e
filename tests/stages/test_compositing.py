"""Compositing: free windows are free and largest, kept pixels are kept, seams close."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import compositing, masks


@given(
    x=st.integers(0, 300),
    y=st.integers(0, 200),
    w=st.integers(1, 200),
    h=st.integers(1, 150),
    aspect=st.sampled_from([0.6, 1.0, 16 / 9]),
)
@settings(max_examples=60)
def test_a_free_window_touches_nothing_taken(x, y, w, h, aspect):
    taken = masks.mask_of((x, y, x + w, y + h), 250, 420)
    window = compositing.free_window(taken, 250, 420, aspect)
    if window is None:
        return
    inside = masks.mask_of(window, 250, 420)
    assert not (inside & taken).any()
    assert (window[2] - window[0]) / (window[3] - window[1]) == pytest.approx(aspect, rel=0.15)


def test_the_largest_free_window_is_found():
    taken = masks.mask_of((0, 0, 160, 240), 240, 480)
    assert compositing.free_window(taken, 240, 480, 4 / 3) == (160, 0, 480, 240)


def test_without_a_subject_the_window_has_full_height():
    window = compositing.free_window(None, 240, 480, 1.0)
    assert window is not None
    assert window[3] - window[1] == 240


def test_no_window_where_everything_is_taken():
    assert compositing.free_window(np.ones((240, 480), bool), 240, 480, 1.0) is None


def test_a_soft_edge_changes_only_background_near_the_subject():
    mask = masks.mask_of((30, 30, 70, 70), 100, 100)
    subject = np.full((100, 100, 3), 200, np.uint8)
    background = np.full((100, 100, 3), 20, np.uint8)
    result = compositing.soften_edge(background, subject, mask)
    assert (result[mask] == 200).all()
    assert (result[~masks.dilate(mask, 3)] == 20).all()
    assert 20 < result[50, 70, 0] < 200


def test_the_shadow_lies_below_the_feet_only():
    mask = masks.mask_of((40, 20, 60, 80), 120, 100)
    background = np.full((120, 100, 3), 200, np.uint8)
    shaded = compositing.contact_shadow(background, mask, 0.5)
    assert shaded[81, 50, 0] < 180
    assert (shaded[:40] == 200).all()
    assert (shaded[115:] == 200).all()


def test_a_subject_that_leaves_the_frame_casts_no_shadow():
    mask = masks.mask_of((40, 60, 60, 120), 120, 100)
    background = np.full((120, 100, 3), 200, np.uint8)
    assert (compositing.contact_shadow(background, mask, 0.5) == 200).all()


def test_colour_matching_moves_towards_the_wanted_colour_without_clipping():
    image = np.random.default_rng(0).integers(40, 120, (50, 50, 3)).astype(np.uint8)
    everywhere = np.ones((50, 50), bool)
    own = compositing.mean_colour(image, everywhere)
    brighter = compositing.match_colour(image, own, np.full(3, 160.0), 0.5)
    assert (compositing.mean_colour(brighter, everywhere) > own + 5).all()
    assert np.array_equal(compositing.match_colour(image, own, own, 1.0), image)


def test_a_seam_is_closed_smoothly():
    image = np.full((80, 120, 3), 120, np.uint8)
    filled = image.copy()
    filled[20:60, 30:90] = 100
    closed = compositing.close_seam(image, filled, (30, 20, 90, 60))
    inside = closed[20:60, 30:90].astype(int)
    assert np.abs(inside - 120).max() <= 2
    outside = ~masks.mask_of((30, 20, 90, 60), 80, 120)
    assert np.array_equal(closed[outside], image[outside])


def test_the_seam_of_a_gradient_stays_a_gradient():
    image = np.repeat(np.linspace(50, 200, 120).astype(np.uint8)[None, :, None], 80, 0).repeat(3, 2)
    filled = image.copy()
    filled[20:60, 30:90] = 125
    closed = compositing.close_seam(image, filled, (30, 20, 90, 60))
    rim_step = np.abs(closed[20:60, 30].astype(int) - image[20:60, 29]).max()
    assert rim_step < np.abs(filled[20:60, 30].astype(int) - image[20:60, 29]).max() / 2


def test_a_fade_keeps_the_outside_and_hides_what_must_not_shine_through():
    image = np.full((80, 120, 3), 200, np.uint8)
    filled = np.full((80, 120, 3), 40, np.uint8)
    region, hidden = masks.mask_of((30, 20, 120, 60), 80, 120), masks.mask_of((30, 30, 50, 40), 80, 120)
    faded = compositing.fade_in(image, filled, region, hidden)
    assert (faded[~region] == 200).all()
    assert (faded[hidden] == 40).all()
    assert 40 < faded[22, 80, 0] < 200
    assert (faded[28:52, 60:] == 40).all()  # the right side is the frame's


def test_alike_colours_overlap_and_different_ones_do_not():
    left, right = masks.mask_of((0, 0, 50, 50), 50, 100), masks.mask_of((50, 0, 100, 50), 50, 100)
    image = np.zeros((50, 100, 3), np.uint8)
    image[left], image[right] = (220, 30, 30), (30, 30, 220)
    assert compositing.colour_overlap(image, left, image, right) < 0.1
    assert compositing.colour_overlap(image, left, image, left) == pytest.approx(1.0)
