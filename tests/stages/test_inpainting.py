"""Hole filling: known pixels are kept, texture is continued, nothing is borrowed from forbidden places."""

import numpy as np
import pytest

from schemas.errors import BadInput
from schemas.reasons import Reason
from stages import masks
from stages.inpainting import fill_hole

NOTHING = np.zeros((160, 240), bool)


def bands() -> np.ndarray:
    """Sky, a dark fence, ground: horizontal structure with texture."""
    noise = np.random.default_rng(0).integers(-6, 7, (160, 240, 3))
    image = np.zeros((160, 240, 3), int)
    image[:60], image[60:80], image[80:] = (120, 160, 220), (40, 40, 40), (150, 130, 90)
    return (image + noise).clip(0, 255).astype(np.uint8)


def test_bands_go_on_through_the_hole():
    image, hole = bands(), masks.mask_of((90, 30, 150, 120), 160, 240)
    damaged = image.copy()
    damaged[hole] = (255, 0, 255)
    filled = fill_hole(damaged, hole, NOTHING, 1)
    assert np.array_equal(filled[~hole], damaged[~hole])
    error = np.abs(filled[hole].astype(int) - image[hole])
    assert np.median(error) <= 10
    assert (error.max(axis=1) > 60).mean() < 0.1


def test_nothing_comes_from_forbidden_places():
    image, hole = bands(), masks.mask_of((90, 60, 150, 120), 160, 240)
    forbidden = masks.mask_of((180, 40, 225, 140), 160, 240)
    image[forbidden] = (255, 0, 0)
    image[hole] = (255, 0, 255)
    filled = fill_hole(image, hole, forbidden, 1)
    red = (filled[..., 0] > 230) & (filled[..., 1] < 40)
    assert not (red & hole).any()


def test_a_hole_at_the_frame_border_is_filled():
    image, hole = bands(), masks.mask_of((190, 90, 240, 160), 160, 240)
    damaged = image.copy()
    damaged[hole] = (255, 0, 255)
    filled = fill_hole(damaged, hole, NOTHING, 1)
    assert np.median(np.abs(filled[hole].astype(int) - image[hole])) <= 12


def test_an_irregular_hole_leaves_its_surroundings_alone():
    image = bands()
    rows, columns = np.mgrid[:160, :240]
    hole = (rows - 80) ** 2 + (columns - 100) ** 2 < 30**2
    filled = fill_hole(image, hole, NOTHING, 3)
    assert np.array_equal(filled[~hole], image[~hole])


def test_the_same_seed_gives_the_same_pixels():
    image, hole = bands(), masks.mask_of((90, 30, 150, 120), 160, 240)
    assert np.array_equal(fill_hole(image, hole, NOTHING, 5), fill_hole(image, hole, NOTHING, 5))


def test_no_hole_changes_nothing():
    assert np.array_equal(fill_hole(bands(), NOTHING, NOTHING, 1), bands())


def test_a_picture_that_is_all_hole_has_nothing_to_learn_from():
    with pytest.raises(BadInput) as caught:
        fill_hole(bands(), ~NOTHING, NOTHING, 1)
    assert caught.value.reason is Reason.NO_ROOM
