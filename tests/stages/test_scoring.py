"""Scores move the right way when a picture gets worse, and only then."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.scoring import (
    blockiness,
    burnt_in_text,
    chroma_noise,
    content_box,
    cropped,
    hash_distance,
    motion,
    noise,
    percentile_of_bytes,
    perceptual_hash,
    sample_of,
    sharpness,
    spread,
)

FULL_RANGE = np.arange(256, dtype=np.uint8)


def scene(seed: int = 0, height: int = 240, width: int = 428) -> np.ndarray:
    """A smooth random landscape with some hard edges, RGB."""
    rng = np.random.default_rng(seed)
    small = rng.integers(30, 226, (6, 9, 3)).astype(np.float32)
    picture = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    for _ in range(6):
        x, y = rng.integers(0, width - 60), rng.integers(0, height - 60)
        picture[y : y + 50, x : x + 50] = rng.integers(0, 256, 3)
    return picture


def gray(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)


def test_blur_lowers_sharpness():
    assert sharpness(gray(scene())) > 0.3
    assert sharpness(cv2.GaussianBlur(gray(scene()), (0, 0), 5)) < 0.06


@pytest.mark.parametrize("sigma", [5.0, 12.0])
def test_noise_is_measured_in_its_own_unit(sigma):
    noisy = gray(scene()) * 0.5 + 64 + np.random.default_rng(1).normal(0, sigma, (240, 428))
    assert noise(noisy.clip(0, 255).astype(np.uint8)) * 255 == pytest.approx(sigma, rel=0.3)
    assert noise(gray(scene())) * 255 < 1


def test_colour_speckle_is_noise_and_grey_grain_is_not():
    rng = np.random.default_rng(2)
    speckled = (scene() + rng.normal(0, 20, (240, 428, 3))).clip(0, 255).astype(np.uint8)
    grain = (scene() * 0.6 + 50 + rng.normal(0, 10, (240, 428, 1))).clip(0, 255).astype(np.uint8)
    assert chroma_noise(scene()) < 0.004
    assert chroma_noise(grain) < 0.008 < chroma_noise(speckled)


def test_coarse_compression_shows_its_grid():
    _, coded = cv2.imencode(".jpg", scene(), [cv2.IMWRITE_JPEG_QUALITY, 5])
    blocky = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    assert blockiness(gray(scene())) < 0.3
    assert blockiness(gray(blocky)) > 1


def test_content_box_is_the_picture_inside_the_bars():
    framed = np.zeros((480, 854, 3), np.uint8)
    framed[60:420, 107:747] = cv2.resize(scene(), (640, 360)).clip(50, 255)
    samples = [sample_of(0, cv2.resize(framed, (428, 240)), gray(framed), FULL_RANGE)]
    assert content_box(samples) == (107, 60, 747, 420)
    assert cropped(samples[0].small, content_box(samples), 854, 480).min() > 20


def test_a_dark_scene_with_one_light_has_no_bars():
    dark = np.zeros((480, 854, 3), np.uint8)
    dark[30:300, 500:840] = 200
    assert content_box([sample_of(0, dark[::2, ::2], gray(dark), FULL_RANGE)]) == (0, 0, 854, 480)


def test_motion_is_zero_for_one_picture_and_sees_a_small_subject():
    still = gray(scene())
    moved = still.copy()
    moved[100:130, 200:230] = 255 - moved[100:130, 200:230] // 2
    assert motion([still] * 4) == 0
    assert motion([still, still, moved]) > 0.05


def pan(num_frames: int, overlay: bool) -> list[np.ndarray]:
    wide = cv2.resize(np.random.default_rng(3).integers(0, 200, (24, 90), np.uint8), (900, 240))
    frames = [np.ascontiguousarray(wide[:, 40 * i : 40 * i + 428]) for i in range(num_frames)]
    for frame in frames if overlay else []:
        cv2.putText(frame, "BREAKING NEWS", (20, 220), cv2.FONT_HERSHEY_SIMPLEX, 1.4, 255, 3)
    return frames


def test_overlay_before_a_moving_picture_is_text():
    assert burnt_in_text(pan(8, overlay=False)) < 0.004 < burnt_in_text(pan(8, overlay=True))


def test_a_still_background_is_not_text():
    assert burnt_in_text([gray(scene())] * 8) == 0


def test_hash_survives_resizing_and_recoding_and_tells_scenes_apart():
    original = perceptual_hash(scene())
    _, coded = cv2.imencode(".jpg", cv2.resize(scene(), (320, 180)), [cv2.IMWRITE_JPEG_QUALITY, 30])
    assert hash_distance(original, perceptual_hash(cv2.imdecode(coded, cv2.IMREAD_COLOR))) <= 6
    assert min(hash_distance(original, perceptual_hash(scene(seed))) for seed in range(1, 20)) > 10
    assert len(original) == 16
    assert perceptual_hash(np.full((90, 160, 3), 128, np.uint8)) is None


@given(st.integers(1, 40), st.integers(1, 40))
def test_spread_takes_as_many_as_there_are_in_order(num_items, count):
    taken = spread(range(num_items), count)
    assert len(taken) == min(count, num_items)
    assert taken == sorted(set(taken))


@given(st.lists(st.integers(0, 255), min_size=1, max_size=60), st.integers(1, 100))
def test_percentile_of_bytes_is_numpys(values, percent):
    expected = np.percentile(values, percent, method="inverted_cdf")
    assert percentile_of_bytes(np.array([values], np.uint8), percent) == expected
