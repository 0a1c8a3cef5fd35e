"""Where the camera stands, the scene without its subjects is known, and what differs from it is told."""

import cv2
import numpy as np
import pytest

from schemas.video import Image
from stages import background

HEIGHT, WIDTH, NUM_FRAMES = 90, 160, 24


def ground(seed: int = 0) -> Image:
    noise = np.random.default_rng(seed).uniform(40, 210, (HEIGHT + 60, WIDTH + 60, 3)).astype(np.float32)
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 2.5) * 2.5 - 190, 0, 255).astype(np.uint8)


def frames(pan_px: int = 0, light: float = 0.0) -> list[Image]:
    """A white block passes in front of a textured ground; the camera pans by pan_px, the light changes, per frame."""
    scene, found = ground(), []
    for number in range(NUM_FRAMES):
        picture = scene[10 : 10 + HEIGHT, (start := 5 + pan_px * number // 4) : start + WIDTH].astype(np.float32)
        picture = picture * (1 + light * number / NUM_FRAMES)
        x = 5 * number
        picture[30:60, x : x + 30] = 250
        found.append(np.clip(picture, 0, 255).astype(np.uint8))
    return found


def test_a_camera_that_pans_has_no_scene() -> None:
    assert background.of(frames(pan_px=5)) is None


@pytest.mark.parametrize("light", [0.0, 0.15])
def test_what_passes_differs_and_the_ground_does_not(light: float) -> None:
    images = frames(light=light)
    scene = background.of(images)
    assert scene is not None
    assert scene.known.mean() > 0.95
    differs = scene.difference(12)
    assert (differs[33:57, 64:86] > 0).mean() > 0.95
    away = np.ones((HEIGHT, WIDTH), np.bool_)
    away[22:68, 52:98] = False
    assert (differs[away] > 0).mean() < 0.02


def test_flow_that_bleeds_into_the_ground_is_corrected_and_a_pause_is_seen() -> None:
    images = frames()
    scene = background.of(images)
    assert scene is not None
    halo = np.full((HEIGHT, WIDTH), -1.0, np.float32)
    halo[24:66, 54:96] = 1.0
    told = scene.sharpen(halo, 12)
    assert told[35:55, 66:84].min() > 0
    assert told[25, 55] < 0
    still = scene.sharpen(np.full((HEIGHT, WIDTH), -2.0, np.float32), 12)
    assert still[35:55, 66:84].min() > 0


def test_a_shadow_counts_less_than_an_object_as_dark() -> None:
    images = frames()
    shaded = images[12].astype(np.float32)
    shaded[10:25, 10:50] *= 0.7
    images[12] = shaded.astype(np.uint8)
    scene = background.of(images)
    assert scene is not None
    assert scene.difference(12)[12:23, 14:46].mean() < scene.difference(12)[35:55, 66:84].mean() - 1


def test_where_somebody_stays_the_median_is_not_trusted() -> None:
    images = frames()
    for number in range(0, NUM_FRAMES, 2):
        images[number][70:85, 100:130] = 0
    scene = background.of(images)
    assert scene is not None
    assert not scene.known[73:82, 104:126].any()
