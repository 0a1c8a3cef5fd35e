"""What words say of how a thing looks, without a model: named colours and materials, else a look of the words' own.

"a red car" is red; "zebra" has black and white stripes; "gorilla", which says nothing here, gets a pattern and colours
that follow from the word alone: the same in every window, frame and run, and plainly not a gorilla.
"""

import colorsys
import re
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.keys import seed_of

Colour = tuple[int, int, int]
"""RGB, 0..255."""

TILE_PX = 256

COLOURS: dict[str, Colour] = {
    "black": (28, 28, 30), "white": (238, 238, 234), "grey": (128, 128, 128), "gray": (128, 128, 128),
    "silver": (186, 190, 196), "brown": (118, 74, 40), "beige": (214, 196, 164), "tan": (196, 156, 110),
    "cream": (240, 228, 198), "chocolate": (84, 50, 30), "red": (200, 32, 36), "crimson": (168, 20, 48),
    "maroon": (110, 20, 30), "orange": (236, 128, 28), "golden": (212, 164, 44), "gold": (212, 164, 44),
    "bronze": (160, 108, 52), "copper": (184, 104, 66), "yellow": (240, 208, 40), "lime": (150, 210, 50),
    "green": (48, 140, 62), "olive": (112, 116, 48), "emerald": (20, 148, 96), "teal": (20, 128, 128),
    "turquoise": (50, 190, 186), "cyan": (40, 190, 214), "blue": (40, 84, 190), "navy": (28, 40, 96),
    "indigo": (66, 44, 140), "purple": (124, 52, 160), "violet": (140, 90, 200), "magenta": (200, 44, 150),
    "pink": (238, 140, 176), "snow": (236, 240, 244), "ice": (190, 220, 236), "polar": (236, 232, 220),
}  # fmt: skip


class Pattern(StrEnum):
    PLAIN = "plain"
    STRIPES = "stripes"
    SPOTS = "spots"
    CHECKS = "checks"
    VEINS = "veins"


PATTERNS: dict[str, Pattern] = {
    "striped": Pattern.STRIPES, "stripes": Pattern.STRIPES, "wooden": Pattern.STRIPES, "wood": Pattern.STRIPES,
    "spotted": Pattern.SPOTS, "spots": Pattern.SPOTS, "dotted": Pattern.SPOTS, "checkered": Pattern.CHECKS,
    "plaid": Pattern.CHECKS, "tartan": Pattern.CHECKS, "marble": Pattern.VEINS, "stone": Pattern.VEINS,
    "rock": Pattern.VEINS, "granite": Pattern.VEINS, "lava": Pattern.VEINS,
}  # fmt: skip

LOOKS: dict[str, tuple[Pattern, str, str]] = {
    "zebra": (Pattern.STRIPES, "white", "black"), "tiger": (Pattern.STRIPES, "orange", "black"),
    "leopard": (Pattern.SPOTS, "tan", "chocolate"), "cheetah": (Pattern.SPOTS, "golden", "black"),
    "giraffe": (Pattern.CHECKS, "tan", "brown"), "dalmatian": (Pattern.SPOTS, "white", "black"),
    "wood": (Pattern.STRIPES, "tan", "brown"), "wooden": (Pattern.STRIPES, "tan", "brown"),
    "marble": (Pattern.VEINS, "white", "grey"), "stone": (Pattern.VEINS, "grey", "black"),
    "rock": (Pattern.VEINS, "grey", "brown"), "granite": (Pattern.VEINS, "grey", "black"),
    "lava": (Pattern.VEINS, "maroon", "orange"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Look:
    """A pattern of two colours (of a plain one only the first counts). seed: of its irregularities."""

    pattern: Pattern
    base: Colour
    second: Colour
    seed: int


def look_of(words: str) -> Look:
    """The look that words stand for; of several things named the first."""
    found = re.findall(r"[a-z]+", words.lower())
    seed = seed_of(" ".join(found), 0, "look")
    named = [COLOURS[word] for word in found if word in COLOURS]
    pattern = next((PATTERNS[word] for word in found if word in PATTERNS), None)
    thing = next((LOOKS[word] for word in found if word in LOOKS), None)
    if thing is not None and not named:
        return Look(thing[0], COLOURS[thing[1]], COLOURS[thing[2]], seed)
    if named:
        two = len(named) > 1 and pattern is not None
        return Look(pattern or Pattern.PLAIN, named[0], named[1] if two else _beside(named[0]), seed)
    return _invented(seed, pattern)


def _beside(colour: Colour) -> Colour:
    """A colour to draw a pattern with on another: darker, or lighter where that is dark."""
    factor = 0.45 if sum(colour) > 240 else 2.6
    red, green, blue = (min(round(value * factor) + 8, 255) for value in colour)
    return red, green, blue


def _invented(seed: int, pattern: Pattern | None) -> Look:
    rng = np.random.default_rng(seed)
    hue = float(rng.random())
    base, second = (
        colorsys.hsv_to_rgb(at % 1, saturation, value)
        for at, saturation, value in ((hue, 0.55, 0.80), (hue + 0.35 + 0.3 * float(rng.random()), 0.65, 0.40))
    )
    drawn = list(Pattern)[1 + int(rng.integers(len(Pattern) - 1))]
    return Look(pattern or drawn, _levels(base), _levels(second), seed)


def _levels(colour: tuple[float, float, float]) -> Colour:
    red, green, blue = (round(255 * value) for value in colour)
    return red, green, blue


def tile(look: Look) -> NDArray[np.float32]:
    """(TILE_PX, TILE_PX, 3) RGB levels that go on seamlessly over every side."""
    share = _share(look)[..., None]
    mixed = (1 - share) * np.array(look.base, np.float32) + share * np.array(look.second, np.float32)
    return np.asarray(mixed, np.float32)


def _share(look: Look) -> NDArray[np.float32]:
    """How much of the second colour each pixel of the tile has, 0..1."""
    if look.pattern is Pattern.PLAIN:
        return np.zeros((TILE_PX, TILE_PX), np.float32)
    rng = np.random.default_rng(look.seed)
    across, down = np.meshgrid(np.arange(TILE_PX) / TILE_PX, np.arange(TILE_PX) / TILE_PX)
    bend = _noise(rng, 28.0)
    if look.pattern is Pattern.STRIPES:
        height = np.sin(2 * np.pi * (6 * across + down + 0.35 * bend))
    elif look.pattern is Pattern.SPOTS:
        height = 1.4 * (_noise(rng, 9.0) - 0.8)
    elif look.pattern is Pattern.CHECKS:
        height = np.sin(2 * np.pi * 5 * across + 0.5 * bend) * np.sin(2 * np.pi * 5 * down + 0.5 * bend)
    else:
        height = 0.45 - 3.2 * np.abs(_noise(rng, 16.0))
    return np.asarray(1 / (1 + np.exp(-np.clip(8 * height, -30, 30))), np.float32)


def _noise(rng: np.random.Generator, sigma_px: float) -> NDArray[np.float64]:
    """(TILE_PX, TILE_PX) smooth noise of unit variance that repeats seamlessly."""
    raw = rng.normal(size=(TILE_PX, TILE_PX))
    wide = cv2.GaussianBlur(np.tile(raw, (3, 3)), (0, 0), sigma_px)[TILE_PX : 2 * TILE_PX, TILE_PX : 2 * TILE_PX]
    return np.asarray((wide - wide.mean()) / wide.std())
