"""Another place behind the subjects: a picture, or one drawn from words, that moves as the camera moves."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.fill import Homography
from schemas.keys import seed_of
from schemas.video import Image
from stages import camera, regions
from stages.appearance import Colour, look_of

HORIZON = 0.46  # of the height


@dataclass(frozen=True, slots=True)
class Place:
    """Colours from top to bottom, and what stands or lies there."""

    sky: Colour
    haze: Colour  # above the horizon
    ground: Colour
    near: Colour  # at the lower edge
    ridge: Colour | None = None  # trees, hills or houses at the horizon
    jagged: float = 0.0  # 0 hills, 1 trees
    dots: Colour | None = None  # snow flakes, stars


_SNOW = Place((176, 196, 216), (226, 232, 238), (222, 230, 240), (244, 246, 250), (92, 110, 116), 1.0, (250, 250, 252))
_FOREST = Place((150, 186, 200), (196, 214, 196), (74, 96, 48), (48, 62, 30), (34, 60, 36), 1.0)
_MEADOW = Place((96, 156, 220), (200, 220, 236), (110, 150, 62), (74, 112, 40), (84, 116, 84), 0.15)
_SEA = Place((104, 160, 216), (206, 222, 232), (38, 104, 140), (20, 74, 110))
_BEACH = Place((104, 168, 224), (210, 226, 236), (60, 140, 166), (218, 196, 150))
_DESERT = Place((120, 168, 216), (226, 214, 190), (214, 176, 116), (188, 142, 84), (186, 142, 92), 0.0)
_CITY = Place((150, 170, 192), (208, 208, 206), (112, 112, 114), (84, 84, 88), (96, 102, 114), 2.0)
_SUNSET = Place((70, 74, 130), (246, 150, 80), (70, 52, 56), (36, 28, 36), (52, 38, 52), 0.1)
_NIGHT = Place((8, 12, 30), (26, 34, 62), (20, 26, 32), (10, 12, 18), (12, 16, 26), 0.3, (230, 232, 244))
_SPACE = Place((6, 6, 16), (10, 10, 26), (12, 10, 30), (6, 6, 14), None, 0.0, (236, 236, 250))
PLACES: dict[str, Place] = {
    "snow": _SNOW, "snowy": _SNOW, "winter": _SNOW, "ice": _SNOW, "forest": _FOREST, "jungle": _FOREST,
    "woods": _FOREST, "trees": _FOREST, "meadow": _MEADOW, "grass": _MEADOW, "field": _MEADOW, "park": _MEADOW,
    "hills": _MEADOW, "mountain": _MEADOW, "mountains": _MEADOW, "sea": _SEA, "ocean": _SEA, "water": _SEA,
    "lake": _SEA, "beach": _BEACH, "island": _BEACH, "desert": _DESERT, "sand": _DESERT, "dunes": _DESERT,
    "savanna": _DESERT, "city": _CITY, "street": _CITY, "town": _CITY, "sunset": _SUNSET, "dusk": _SUNSET,
    "dawn": _SUNSET, "night": _NIGHT, "space": _SPACE, "stars": _SPACE, "moon": _SPACE,
}  # fmt: skip


def backdrop_of(words: str, height_px: int, width_px: int) -> Image:
    """A picture for words: the first place they name, else a place in the colours that the words have."""
    found = re.findall(r"[a-z]+", words.lower())
    places = [PLACES[word] for word in found if word in PLACES]
    look = look_of(words)
    sky: Colour = (150, 180, 210)
    place = places[0] if places else Place(sky, (214, 220, 226), look.base, look.second, look.second, 0.2)
    return _drawn(place, height_px, width_px, np.random.default_rng(seed_of(" ".join(found), 0, "backdrop")))


def _drawn(place: Place, height: int, width: int, rng: np.random.Generator) -> Image:
    horizon = round(HORIZON * height)
    picture = np.concatenate(
        [_blend(place.sky, place.haze, horizon, width), _blend(place.ground, place.near, height - horizon, width)]
    )
    # Texture grows towards the viewer: the ground is seen from the side.
    grain = _fractal(rng, height, width)
    depth = np.clip((np.arange(height)[:, None] - horizon) / max(height - horizon, 1), -0.25, 1)
    weight = np.where(depth > 0, 6 + 26 * depth, 10 * -depth * 2)
    picture += (weight * grain)[..., None]
    if place.ridge is not None:
        top = horizon - _ridge(rng, width, height, place.jagged)
        standing = (np.arange(height)[:, None] >= top[None]) & (np.arange(height)[:, None] < horizon + 0.015 * height)
        soft = cv2.GaussianBlur(standing.astype(np.float32), (0, 0), max(height / 400, 0.6))[..., None]
        picture = (1 - soft) * picture + soft * (np.array(place.ridge) + 14 * grain[..., None])
    if place.dots is not None:
        dots = (rng.random((height, width)) > 0.9985).astype(np.float32)
        dots = np.clip(cv2.GaussianBlur(dots, (0, 0), max(height / 480, 0.7)) * 7, 0, 1)[..., None]
        picture = (1 - dots) * picture + dots * np.array(place.dots)
    return np.asarray(np.clip(np.rint(picture), 0, 255), np.uint8)


def _blend(top: Colour, bottom: Colour, height: int, width: int) -> NDArray[np.float64]:
    share = np.linspace(0, 1, max(height, 1))[:, None, None]
    return np.broadcast_to((1 - share) * np.array(top) + share * np.array(bottom), (max(height, 1), width, 3)).copy()


def _fractal(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """Noise of unit variance with detail at every scale, stretched to the sides."""
    total = np.zeros((height, width))
    for octave in range(6):
        knots = (min(6 << octave, height), min(5 << octave, width))
        coarse = rng.normal(size=knots).astype(np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) / 1.5**octave
    return np.asarray(total / total.std())


def _ridge(rng: np.random.Generator, width: int, height: int, jagged: float) -> NDArray[np.float64]:
    """(width,) height in pixels of what stands at the horizon."""
    hills = cv2.resize(rng.random((1, 7)).astype(np.float32), (width, 1), interpolation=cv2.INTER_CUBIC)[0]
    line = 0.05 + 0.09 * hills
    if jagged > 1:  # houses
        steps = np.repeat(rng.random(width // max(width // 26, 1) + 1), max(width // 26, 1))[:width]
        return np.asarray(height * (0.06 + 0.22 * steps))
    for period, share in ((width / 34, 0.10), (width / 90, 0.05)):  # trees behind trees
        knots = np.arange(0, width + 2 * period, period)
        wobble = np.interp(np.arange(width), knots, rng.random(len(knots)))
        crown = 1 - np.abs((np.arange(width) / period + wobble) % 1 - 0.5) * 2
        line = line + jagged * share * crown * (0.6 + 0.8 * wobble)
    return np.asarray(height * line)


def behind(
    backdrop: Image, to_plane: Sequence[Homography], frame_px: tuple[int, int], plane_px: tuple[int, int]
) -> list[Image]:
    """The backdrop as each frame (height, width) sees it, fixed in the plane that `to_plane` leads to.

    plane_px: height and width of the frame that the plane was taken from; the backdrop covers it. Beyond, it goes on
    mirrored. Of the camera's way only shift, turn and zoom are followed: a backdrop is far away.
    """
    fitted = _covering(backdrop, *plane_px)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (frame_px[1], frame_px[0])
    return [
        np.asarray(
            cv2.warpAffine(fitted, _similarity(matrix, frame_px), size, flags=flags, borderMode=cv2.BORDER_REFLECT_101),
            np.uint8,
        )
        for matrix in to_plane
    ]


def _covering(picture: Image, height: int, width: int) -> Image:
    """The middle of the picture at the size that just covers height x width."""
    scale = max(height / picture.shape[0], width / picture.shape[1])
    tall, wide = max(round(picture.shape[0] * scale), height), max(round(picture.shape[1] * scale), width)
    top, left = (tall - height) // 2, (wide - width) // 2
    return regions.resize(picture, tall, wide)[top : top + height, left : left + width]


def _similarity(matrix: Homography, frame_px: tuple[int, int]) -> NDArray[np.float64]:
    """(2, 3): shift, turn and scale nearest to a homography on the corners of the frame (least squares)."""
    corners = camera.corners_of(frame_px)
    wanted = camera.mapped(matrix, corners)
    centre, wanted_centre = corners.mean(axis=0), wanted.mean(axis=0)
    a, b = corners - centre, wanted - wanted_centre
    norm = float((a * a).sum())
    cosine, sine = float((a * b).sum()) / norm, float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / norm
    linear = np.array([[cosine, -sine], [sine, cosine]])
    return np.column_stack([linear, wanted_centre - linear @ centre])
