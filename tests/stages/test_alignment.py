"""The best similarity transform finds copies whatever their scale and turn, and tells them from other poses."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_draft import HEIGHT, SKINS, WIDTH, paint, shape, texture

from stages import alignment, search

MASK = shape(150, 150, 140)
PICTURE = paint(texture(1), MASK, texture(10, SKINS[0]))


def moved(scale: float, degrees: float, shift: tuple[float, float] = (0.0, 0.0)):
    matrix = cv2.getRotationMatrix2D((150, 150), degrees, scale)
    matrix[:, 2] += shift
    image = cv2.warpAffine(PICTURE, matrix, (WIDTH, HEIGHT))
    return image, cv2.warpAffine(MASK.astype(np.uint8), matrix, (WIDTH, HEIGHT)) > 0, matrix


@settings(max_examples=8, derandomize=True)
@given(st.floats(0.6, 1.4), st.floats(-14, 14), st.floats(-20, 40))
def test_a_copy_is_recognised_at_any_scale_turn_and_place(scale, degrees, shift):
    image, mask, matrix = moved(scale, degrees, (shift, 0.0))
    found = alignment.align(PICTURE, MASK, image, mask)
    assert found.ncc > 0.9
    assert np.linalg.det(found.matrix[:, :2]) > 0
    middle = np.array([150, 150, 1.0])
    assert np.linalg.norm(found.matrix @ middle - matrix @ middle) < 6
    assert np.sqrt(np.linalg.det(found.matrix[:, :2])) == pytest.approx(scale, rel=0.08)


def test_a_mirrored_subject_never_fits_by_mirroring():
    found = alignment.align(PICTURE[:, ::-1], MASK[:, ::-1], PICTURE, MASK)
    assert found.ncc < 0.8
    assert np.linalg.det(found.matrix[:, :2]) > 0


def test_other_texture_in_the_same_outline_is_no_copy():
    other = paint(texture(1), MASK, texture(11, SKINS[0]))
    assert alignment.align(PICTURE, MASK, other, MASK).ncc < 0.6


def test_an_empty_mask_is_an_error():
    with pytest.raises(ValueError, match="empty"):
        alignment.align(PICTURE, np.zeros_like(MASK), PICTURE, MASK)


def test_correlation_ignores_gain_and_offset():
    brighter = (PICTURE * 0.5 + 60).astype(np.uint8)
    assert alignment.align(PICTURE, MASK, brighter, MASK).ncc > 0.98
    assert alignment.align(PICTURE, MASK, 255 - PICTURE, MASK).ncc < 0.5


def test_a_flat_subject_correlates_with_nothing():
    flat = np.full_like(PICTURE, 90)
    assert alignment.align(flat, MASK, PICTURE, MASK).ncc == 0
    assert alignment.align(PICTURE, MASK, flat, MASK).ncc == 0


def test_features_agree_on_the_same_place_from_elsewhere_only():
    everywhere = np.ones((HEIGHT, WIDTH), bool)
    here = alignment.features(texture(1), everywhere)
    image, _, _ = moved(0.8, 9)
    there = alignment.features(image, everywhere)
    elsewhere = alignment.features(texture(2), everywhere)
    assert alignment.agreement(here, there).share > 0.2
    assert alignment.agreement(here, elsewhere).share == 0
    nothing = alignment.features(texture(1), ~everywhere)
    assert alignment.agreement(here, nothing).share == 0


def test_blocks_are_found_where_texture_is():
    everywhere = np.ones((HEIGHT, WIDTH), bool)
    assert alignment.found_blocks(texture(1), everywhere, np.roll(texture(1), 30, axis=1)) > 0.7
    assert alignment.found_blocks(texture(1), everywhere, texture(2)) == 0
    slope = np.repeat(np.linspace(0, 200, WIDTH)[None, :, None], HEIGHT, axis=0).repeat(3, axis=2).astype(np.uint8)
    assert alignment.found_blocks(slope, everywhere, slope) == 0


def test_search_finds_a_smaller_copy_elsewhere_and_nothing_where_it_is_forbidden():
    image, mask, _ = moved(0.6, 0, (120, 0))
    scene = np.where(mask[..., None], image, texture(3))
    places = search.sightings(PICTURE, MASK, scene)
    assert search.likeness(PICTURE, MASK, scene, places) > 0.9
    assert (places[0].mask & mask).sum() > 0.6 * mask.sum()
    hidden = search.sightings(PICTURE, MASK, scene, forbidden=mask)
    assert search.likeness(PICTURE, MASK, scene, hidden) < 0.8
    absent = search.sightings(PICTURE, MASK, texture(3))
    assert search.likeness(PICTURE, MASK, texture(3), absent) < 0.8
