"""Another place behind the subjects: a picture, or one drawn from words, that moves as the camera moves."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.fill import Homography
from schemas.keys import seed_of
from schemas.video import Image
from stages import camera, regions
from stages.appearance import Colour, look_of

HORIZON = 0.46  # of the height
ROOM = 0.12  # of the height, above and below what a frame shows, for the camera to look up and down


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
    """A picture for words: the place they name, in the light they name, else a place in the colours that they have."""
    found = re.findall(r"[a-z]+", words.lower())
    named = [PLACES[word] for word in found if word in PLACES]
    light = next((place for place in named if place in _LIGHTS), None)
    look = look_of(words)
    invented = Place((150, 180, 210), (214, 220, 226), look.base, look.second, look.second, 0.2)
    place = next((place for place in named if place not in _LIGHTS), light or invented)
    if light is not None and place is not light:
        place = _in_light(place, light)
    return _drawn(place, height_px, width_px, np.random.default_rng(seed_of(" ".join(found), 0, "backdrop")))


_LIGHTS = {_SUNSET: 0.62, _NIGHT: 0.3}
"""Times of day, and how light the ground is then."""


def _in_light(place: Place, light: Place) -> Place:
    def dim(colour: Colour) -> Colour:
        red, green, blue = (round(_LIGHTS[light] * value) for value in colour)
        return red, green, blue

    ridge = dim(place.ridge) if place.ridge else None
    return replace(place, sky=light.sky, haze=light.haze, ground=dim(place.ground), near=dim(place.near), ridge=ridge)


def _drawn(place: Place, height: int, width: int, rng: np.random.Generator) -> Image:
    horizon = round(HORIZON * height)
    picture = np.concatenate(
        [_blend(place.sky, place.haze, horizon, width), _blend(place.ground, place.near, height - horizon, width)]
    )
    # Texture grows towards the viewer: the ground is seen from the side.
    grain = _fractal(rng, height, width)
    depth = np.clip((np.arange(height)[:, None] - horizon) / max(height - horizon, 1), -0.25, 1)
    weight = np.where(depth > 0, 6 + 26 * depth, 10 * -depth * 2)
    picture *= 1 + (weight * grain)[..., None] / 190
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
    """The backdrop as each frame (height, width) sees it: it goes by as the place did that the camera was pointed at.

    to_plane: from pixels of each frame to a common plane; plane_px: height and width of the clip's frames there. Only
    shifts are followed, up and down only within what the backdrop has: homographies of one plane, such as the ground,
    turn and zoom as nothing far away does. To the sides it goes on mirrored.
    """
    height, width = plane_px
    room = round(ROOM * height)
    fitted = _covering(backdrop, height + 2 * room, width)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = []
    for matrix in to_plane:
        # A background is all of the frame, though the generator may be shown it at another scale.
        centre = np.array([[(frame_px[1] - 1) / 2, (frame_px[0] - 1) / 2]])
        x, y = camera.mapped(matrix, centre)[0]
        down = (height - 1) / 2 + room * np.tanh((y - (height - 1) / 2) / max(room, 1))
        scale_x, scale_y = width / frame_px[1], height / frame_px[0]
        shift = np.array([[scale_x, 0, x - scale_x * centre[0, 0]], [0, scale_y, room + down - scale_y * centre[0, 1]]])
        size = (frame_px[1], frame_px[0])
        one = cv2.warpAffine(fitted, shift, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
        seen.append(np.asarray(one, np.uint8))
    return seen


def _covering(picture: Image, height: int, width: int) -> Image:
    """The middle of the picture at the size that just covers height x width."""
    scale = max(height / picture.shape[0], width / picture.shape[1])
    tall, wide = max(round(picture.shape[0] * scale), height), max(round(picture.shape[1] * scale), width)
    top, left = (tall - height) // 2, (wide - width) // 2
    return regions.resize(picture, tall, wide)[top : top + height, left : left + width]
