"""What the demo clips are made of: cut-outs and backgrounds from the photographs inside the scikit-image wheel.

The photographs are in the public domain or CC0 (see `skimage.data`); nothing is downloaded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

from schemas.video import Image

Float = NDArray[np.float32]


@dataclass(frozen=True)
class CutOut:
    """A subject: colours and alpha of a photograph, and a relief that makes turning it more than a flat card's."""

    category: str
    image: Float  # (H, W, 3), 0..255
    alpha: Float  # (H, W), 0..1, soft edge
    relief: Float  # (H, W), 0 = the rim, 1 = what sticks out most
    stands: float = 1.0  # height of the anchor: 1 = the lowest row, 0.5 = the middle


ASTRONAUT_OUTLINE = (
    "170,40 171,45 156,58 154,64 154,92 157,104 170,116 170,121 174,128 182,132 184,147 153,151 140,158 123,178 "
    "119,194 115,196 113,204 109,207 108,215 76,235 60,253 54,267 44,282 39,306 30,329 30,342 28,344 24,378 24,397 "
    "20,402 20,415 24,432 23,460 26,484 30,495 37,502 41,511 496,511 496,505 491,502 489,491 487,490 490,473 487,471 "
    "490,461 489,455 495,454 496,449 494,426 488,405 478,384 455,361 436,351 418,345 393,344 365,349 360,344 359,336 "
    "362,330 357,324 356,302 352,287 347,282 340,262 318,242 303,233 299,219 289,203 276,189 255,172 256,163 264,149 "
    "266,137 275,134 290,117 299,97 300,81 296,58 286,40 276,31 248,18 241,19 237,16 227,16 212,22 205,21 193,29 "
    "185,38 "
)


def _cut_out(
    category: str, image: Image, mask: NDArray[Any], relief: Float | None = None, stands: float = 1.0
) -> CutOut:
    inside = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8))  # no rim of the old background
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if relief is None:
        distance = cv2.distanceTransform(np.pad(inside[window], 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
        relief = cv2.GaussianBlur(np.sqrt(distance / distance.max()), (0, 0), 12)
    else:
        relief = relief[window]
    alpha = cv2.GaussianBlur(inside[window].astype(np.float32), (0, 0), 0.8)
    return CutOut(category, image[window].astype(np.float32), alpha, relief.astype(np.float32), stands)


@cache
def subject(name: str) -> CutOut:
    return {"astronaut": _astronaut, "cup": _cup, "motorcycle": _motorcycle, "planet": _planet}[name]()


def _astronaut() -> CutOut:
    image = data.astronaut()[..., :3]
    points = [[int(value) for value in pair.split(",")] for pair in ASTRONAUT_OUTLINE.split()]
    mask = cv2.fillPoly(np.zeros(image.shape[:2], np.uint8), [np.array(points, np.int32)], 1)
    return _cut_out("person", image, mask)


def _cup() -> CutOut:
    image = data.coffee()
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.ellipse(mask, ((279, 221), (402, 328), 9), 1, -1)  # saucer
    cv2.ellipse(mask, ((291, 112), (237, 189), 4), 1, -1)  # rim
    cv2.fillPoly(mask, [np.array([(397, 68), (405, 66), (422, 69), (424, 75), (414, 118), (395, 130)])], 1)  # spoon
    return _cut_out("cup", image, mask, stands=0.5)


def _motorcycle() -> CutOut:
    """Cut along its measured disparity, which also is its relief."""
    image, _, disparity = data.stereo_motorcycle()
    disparity = np.where(np.isfinite(disparity), disparity, 0).astype(np.float32)
    y, x = np.mgrid[: disparity.shape[0], : disparity.shape[1]]
    floor = -0.003787 * x + 0.180538 * y - 31.6157  # plane fitted to the floor left of and before the wheels
    mask = cv2.medianBlur(((disparity > np.maximum(floor + 1.2, 36)) & (x < 686)).astype(np.uint8), 5)
    mask = _largest_part(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)))
    mask = 1 - _without_specks(1 - mask, min_area_px=60)
    known = cv2.GaussianBlur(disparity * mask, (0, 0), 3) / np.maximum(
        cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 3), 1e-3
    )
    return _cut_out("motorcycle", image[..., :3], mask, np.clip((known - 36) / 24, 0, 1).astype(np.float32))


def _planet() -> CutOut:
    """A fundus photograph passes for a planet."""
    image = cv2.resize(data.retina()[..., :3], (470, 470), interpolation=cv2.INTER_AREA)
    mask = cv2.circle(np.zeros((470, 470), np.uint8), (234, 235), 226, 1, -1)
    return _cut_out("planet", image, mask, stands=0.5)


def _largest_part(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    return (labels == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])).astype(np.uint8)


def _without_specks(mask: NDArray[np.uint8], min_area_px: int) -> NDArray[np.uint8]:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    large = stats[:, cv2.CC_STAT_AREA] >= min_area_px
    large[0] = False
    return large[labels].astype(np.uint8)


@cache
def background(name: str) -> Float:
    """(H, W, 3), 0..255, larger than any frame."""
    makers: dict[str, Callable[[], Image | Float]] = {
        "stars": data.hubble_deep_field,
        "launch": _launch,
        "cat": lambda: cv2.resize(data.chelsea(), None, fx=1.8, fy=1.8, interpolation=cv2.INTER_CUBIC),
        "meadow": lambda: _wide(_tinted(data.grass(), (78, 100, 46))),
        "pebbles": lambda: _wide(_tinted(data.gravel(), (148, 136, 120))),
        "wall": _wall,
        "bank": lambda: _ground((92, 84, 78), (1280, 70)),
    }
    return np.asarray(makers[name](), np.float32)


def _tinted(grey: NDArray[np.uint8], rgb: tuple[int, int, int]) -> Float:
    return np.clip(grey[..., None].astype(np.float32) / grey.mean() * np.array(rgb, np.float32), 0, 255)


def _wide(image: Float) -> Float:
    return cv2.copyMakeBorder(image, 0, 0, 250, 250, cv2.BORDER_REFLECT_101)


def _ground(rgb: tuple[int, int, int], size: tuple[int, int]) -> Float:
    """Pebbles in perspective, seen from above a little."""
    width, height = size
    corners = np.array([[0, 0], [1012, 0], [1012, 512], [0, 512]], np.float32)
    onto = np.array([[0, 0], [width, 0], [1.33 * width, height], [-0.33 * width, height]], np.float32)
    pebbles = _wide(_tinted(data.gravel(), rgb))
    return cv2.warpPerspective(pebbles, cv2.getPerspectiveTransform(corners, onto), size)


def _wall() -> Float:
    bricks = cv2.resize(np.rot90(_tinted(data.brick(), (158, 96, 74))), (640, 512))
    bricks = np.hstack([bricks, bricks[:, ::-1]])[:330]
    return np.vstack([bricks, _ground((138, 128, 116), (1280, 210))])


def _launch() -> Float:
    sky = cv2.resize(data.rocket(), None, fx=1.45, fy=1.45, interpolation=cv2.INTER_CUBIC)[:585]
    return np.vstack([sky, _ground((70, 66, 72), (sky.shape[1], 130))])
