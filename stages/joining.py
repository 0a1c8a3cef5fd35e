"""Joining neighbouring windows of a generated clip: the later one takes on the colours of the earlier, then they are
faded over on the frames both have.

A generator draws every window a little lighter or redder than the one before, and drifts within it. The difference is
measured on the frames that both generated, taken out there, and let go of linearly until the window's end: so there is
no step at the joint, and what is wrong with one window does not pile up over the clip.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.video import Image, Mask
from stages.windows import fade_in

GAIN_RANGE = (0.8, 1.25)
MAX_OFFSET = 48.0  # levels at the middle of the colours: more is another picture, not another tint
MIN_PIXELS = 64
MAX_SAMPLES = 60_000
ROUNDS, OUTLIER = 4, 2.5  # of the fit, and times the median error: pixels that are off by more are left out


@dataclass(frozen=True, slots=True)
class ColourFit:
    """new -> old, per channel: old = gain * new + offset, in levels 0..255."""

    gain: NDArray[np.float64]
    offset: NDArray[np.float64]

    def apply(self, image: Image, strength: float) -> Image:
        """`image` with the fit applied by `strength` in [0, 1]."""
        levels = np.arange(256)[:, None]
        table = levels + strength * (self.gain * levels + self.offset - levels)
        lookup = np.clip(np.rint(table), 0, 255).astype(np.uint8)
        return np.asarray(cv2.LUT(image, lookup[:, None, :]), np.uint8)


SAME = ColourFit(np.ones(3), np.zeros(3))


def fit_colour(new: Sequence[Image], old: Sequence[Image], where: Sequence[Mask]) -> ColourFit:
    """How the colours of `new` become those of `old` under the masks, frame by frame the same scene.

    By medians and interquartile ranges, not pixel by pixel: two windows never draw quite the same, and regression on
    what is shifted gives too small a gain.
    """
    step = max(sum(map(np.count_nonzero, where)) // MAX_SAMPLES, 1)
    new_pixels, old_pixels = (
        np.concatenate([image[mask] for image, mask in zip(images, where, strict=True)])[::step]
        for images in (new, old)
    )
    fit = SAME
    alike = np.ones(len(new_pixels), np.bool_)
    for _ in range(ROUNDS):
        if np.count_nonzero(alike) < MIN_PIXELS:
            break
        fit = _matched(new_pixels[alike], old_pixels[alike])
        # What the two drew differently is no matter of colour.
        off = np.abs(fit.gain * new_pixels + fit.offset - old_pixels).max(axis=1)
        alike = off <= OUTLIER * np.median(off) + 2
    return fit


def _matched(new: NDArray[np.uint8], old: NDArray[np.uint8]) -> ColourFit:
    """The fit that gives the colours (N, 3) of `new` the middle and the spread of those of `old`."""
    new_quartiles, old_quartiles = (np.quantile(each, [0.25, 0.5, 0.75], axis=0) for each in (new, old))
    spread = (old_quartiles[2] - old_quartiles[0] + 4) / (new_quartiles[2] - new_quartiles[0] + 4)
    gain = np.clip(spread, *GAIN_RANGE)
    # Means are finer than medians of whole levels; the middle half keeps outliers out.
    shift = np.array([_middle(old[:, c]) - gain[c] * _middle(new[:, c]) for c in range(3)])
    at_middle = gain * new_quartiles[1] + shift - new_quartiles[1]
    return ColourFit(gain, shift + np.clip(at_middle, -MAX_OFFSET, MAX_OFFSET) - at_middle)


def _middle(values: NDArray[np.uint8]) -> float:
    """Mean of the values between the quartiles."""
    ordered = np.sort(values)
    return float(ordered[len(ordered) // 4 : max(3 * len(ordered) // 4, len(ordered) // 4 + 1)].mean())


def join(old: Sequence[Image], new: Sequence[Image], where: Sequence[Mask]) -> list[Image]:
    """The frames of `new`, the first len(old) of them faded over from `old`, which shows the same frames.

    where: the generated region of every frame of `new`; outside it both show the source and nothing changes.
    """
    if not old:
        return list(new)
    shared = len(old)
    fit = fit_colour(new[:shared], old, where[:shared])
    strengths = np.concatenate([np.ones(shared), np.linspace(1, 0, len(new) - shared + 1)[1:]])
    fitted = [
        np.where(mask[..., None], fit.apply(image, strength), image)
        for image, mask, strength in zip(new, where, strengths, strict=True)
    ]
    for number, weight in enumerate(fade_in(shared)):
        fitted[number] = cv2.addWeighted(old[number], 1 - weight, fitted[number], weight, 0)
    return [np.asarray(image, np.uint8) for image in fitted]


def recolour(images: Sequence[Image], where: Sequence[Mask], cast: NDArray[np.float64]) -> list[Image]:
    """The images with `cast` (3,) levels added under the masks."""
    if not cast.any():
        return list(images)
    fit = ColourFit(np.ones(3), cast)
    return [np.where(mask[..., None], fit.apply(image, 1.0), image) for image, mask in zip(images, where, strict=True)]
