"""Clean plates: what neighbouring frames show behind a subject is found, what nobody shows stays unknown."""

import cv2
import numpy as np
from synthetic_draft import HEIGHT, SKINS, WIDTH, paint, shape, texture

from schemas.sample import Neighbours
from stages import plates

WIDE = texture(1, (130, 150, 170), (HEIGHT, 2 * WIDTH))


def frame(pan_px: int, x: int, tall: int = 150) -> tuple[np.ndarray, np.ndarray]:
    """A subject at `x` of a camera that has panned: (picture, mask)."""
    mask = shape(x, 160, tall)
    return paint(WIDE[:, 100 + pan_px : 100 + pan_px + WIDTH], mask, texture(10, SKINS[0])), mask


def neighbours(step_px: int) -> Neighbours:
    """Three before and three after; the camera pans by 8 px a frame, the subject moves by `step_px`."""
    before = [frame(-8 * number, 200 - step_px * number)[0] for number in (1, 2, 3)]
    return Neighbours(before, [frame(8 * number, 200 + step_px * number)[0] for number in (1, 2, 3)])


def test_the_place_behind_a_moving_subject_is_found():
    image, mask = frame(0, 200)
    plate = plates.clean_plate(image, mask, neighbours(60))
    truth = WIDE[:, 100 : 100 + WIDTH]
    behind = plate.known & mask
    assert behind.sum() > 0.6 * mask.sum()
    error = np.abs(plate.image[behind].astype(int) - truth[behind]).mean()
    assert error < 8
    assert np.abs(image[behind].astype(int) - truth[behind]).mean() > 3 * error


def test_behind_a_subject_that_moves_with_the_camera_nothing_is_known():
    image, mask = frame(0, 200)
    plate = plates.clean_plate(image, mask, neighbours(-8))
    inner = cv2.erode(mask.astype(np.uint8), np.ones((15, 15))) > 0
    stuck = plates.without_still_parts(plate, image, mask)
    assert (stuck.known & inner).sum() < 0.1 * inner.sum()


def test_background_that_a_mask_took_along_stands_still():
    image, mask = frame(0, 200)
    loose = mask | shape(270, 160, 150)
    still = plates.still_ground(image, loose, neighbours(60))
    assert still[loose & ~mask].mean() > 0.5
    assert still[mask].mean() < 0.1


def test_without_neighbours_nothing_is_known_and_nothing_changes():
    image, mask = frame(0, 200)
    plate = plates.clean_plate(image, mask, Neighbours())
    assert not plate.known.any()
    assert np.array_equal(plate.image, image)
    assert not plates.still_ground(image, mask, Neighbours()).any()


def test_frames_of_another_place_are_not_laid_over():
    image, mask = frame(0, 200)
    strange = [texture(seed, (120, 120, 120)) for seed in (71, 72, 73)]
    assert not plates.clean_plate(image, mask, Neighbours(strange, strange)).known.any()
