"""The embedded quality role."""

import cv2
import numpy as np
import pytest

from actors.quality import MeasuredQuality


@pytest.fixture
def picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    picture = cv2.resize(rng.integers(20, 236, (30, 50, 3), np.uint8), (854, 480), interpolation=cv2.INTER_NEAREST)
    return cv2.GaussianBlur(picture, (3, 3), 0)


def quality(image: np.ndarray) -> float:
    scores = MeasuredQuality().score([image])[0]
    assert all(0 <= value <= 1 for value in scores.values())
    return scores["quality"]


@pytest.mark.parametrize(
    "worsen",
    [
        lambda image: cv2.GaussianBlur(image, (0, 0), 12),
        lambda image: image // 12,
        lambda image: 255 - (255 - image) // 12,
        lambda image: image // 8 + 110,
        lambda image: cv2.merge([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)] * 3),
    ],
    ids=["blurred", "dark", "burnt out", "flat", "grey"],
)
def test_worse_pictures_score_lower(picture, worsen):
    assert quality(worsen(picture)) < quality(picture) - 0.05


def test_flat_picture_is_near_zero():
    assert quality(np.zeros((480, 854, 3), np.uint8)) < 0.05


def test_one_answer_per_image_in_order(picture):
    black = np.zeros_like(picture)
    scores = MeasuredQuality().score([picture, black, picture])
    assert scores[0] == scores[2] != scores[1]
    assert MeasuredQuality().score([]) == []


def test_resolution_hardly_matters(picture):
    half = cv2.resize(picture, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    assert quality(half) == pytest.approx(quality(picture), abs=0.1)
