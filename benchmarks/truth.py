"""Ground truth of the annotated footage: which clips may be fitted on, masks, the measures J and F, what is what.

TUNING clips may be looked at while constants are chosen; REPORTING clips are only ever measured. The rules for a fair
score, where the annotation is not what a mask of an instance should be:

- *Left out.* On some clips things that are real subjects are not annotated (a second camel, other cars, spectators).
  Where they stand was noted by eye (OMITTED). An instance with at least 70 % of its pixels in such a place and hardly
  any on the annotated subject counts neither way.
- *Unions.* Three clips have one mask for several things (rider and horse; surfer, board and lines; two men and a cart).
  What lies mostly on that mask is judged together: all such instances of a frame get the J of their union. So finding
  only the horse scores what the horse covers of both; how the members are divided is not judged.
- *Carried things.* A girl may be cut out with her backpack or without: the better J counts.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from scipy.optimize import linear_sum_assignment

TUNING = (
    "davis_camel",
    "davis_drift-straight",
    "davis_parkour",
    "davis_libby",
    "davis_schoolgirls_240p",
    "davis_horsejump-high",
)
REPORTING = (
    "davis_car-roundabout",
    "davis_dance-twirl",
    "davis_dog",
    "davis_kite-surf",
    "davis_soapbox",
    "comp_dog_dancer",
)
EXHAUSTIVE = ("comp_dog_dancer", "davis_schoolgirls_240p")
UNIONS = ("davis_horsejump-high", "davis_kite-surf", "davis_soapbox")

Mask = NDArray[np.bool_]
Keyframes = dict[int, tuple[int, int, int, int]]

_ALWAYS = 10**6
OMITTED: dict[str, list[Keyframes]] = {
    # clip -> tracks of boxes (x0, y0, x1, y1), linear between keyframes and absent outside of them
    "davis_camel": [
        {30: (290, 95, 350, 200), 45: (238, 112, 345, 330), 60: (198, 125, 295, 345), 89: (140, 125, 262, 345)}
    ],
    "davis_car-roundabout": [
        {0: (0, 195, 270, 280), 10: (0, 190, 215, 275), 20: (0, 180, 215, 275), 34: (0, 180, 170, 260)},
        {28: (790, 185, 854, 250), 40: (610, 185, 854, 255), 50: (600, 185, 854, 265), 74: (470, 185, 854, 285)},
        {56: (820, 230, 854, 480), 60: (725, 225, 854, 480), 70: (660, 185, 854, 480), 74: (555, 180, 854, 480)},
    ],
    "davis_dance-twirl": [{0: (0, 0, 854, 340), _ALWAYS: (0, 0, 854, 340)}],
    "davis_soapbox": [
        {0: (600, 30, 790, 170), 20: (600, 40, 790, 180), 30: (540, 50, 854, 225), 44: (380, 60, 854, 250)},
        {45: (0, 40, 854, 255), 98: (0, 40, 854, 245)},
    ],
}
_OMITTED_SHARE = 0.7
_ON_SHARE = 0.5  # of a mask's pixels on an object: it shows (part of) that object
_F_TOLERANCE = 0.008  # of the image diagonal, as the DAVIS benchmark has it


@dataclass(frozen=True, slots=True)
class Judged:
    """A found mask: the object it was matched to (0: none), its J and F, and whether it counts."""

    number: int
    j: float
    f: float
    counts: bool


@cache
def objects(videos: Path, clip: str) -> dict[int, str]:
    """Object number -> what it is, as the annotation says."""
    named = json.loads((videos / "masks" / clip / "boxes.json").read_text())["objects"]
    return {int(number): str(text) for number, text in named.items()}


def owners(videos: Path, clip: str) -> dict[int, int]:
    """Number of a carried thing -> number of who carries it."""
    found = {number: re.search(r"of girl (\d+)", text) for number, text in objects(videos, clip).items()}
    return {number: int(match[1]) for number, match in found.items() if match}


@cache
def _labels(videos: Path, clip: str, frame: int) -> NDArray[np.uint8]:
    with PillowImage.open(videos / "masks" / clip / f"{frame:05d}.png") as picture:
        return np.asarray(picture, np.uint8)


def masks_at(videos: Path, clip: str, frame: int) -> dict[int, Mask]:
    """Object number -> (H, W) mask of those seen in that frame of the source."""
    labels = _labels(videos, clip, frame)
    return {number: labels == number for number in objects(videos, clip) if (labels == number).any()}


def omitted_at(clip: str, frame: int, shape: tuple[int, int]) -> Mask:
    """Where, in that frame, something real stands that the annotation leaves out."""
    region = np.zeros(shape, np.bool_)
    for track in OMITTED.get(clip, []):
        times = sorted(track)
        if times[0] <= frame <= times[-1]:
            x0, y0, x1, y1 = (
                round(np.interp(frame, times, [track[time][side] for time in times])) for side in range(4)
            )
            region[y0:y1, x0:x1] = True
    return region


def region_j(a: Mask, b: Mask) -> float:
    """Intersection over union in [0, 1]."""
    union = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / union) if union else 1.0


def boundary_f(found: Mask, true: Mask) -> float:
    """F-measure of the outlines within 0.8 % of the diagonal, in [0, 1] (Perazzi et al., DAVIS, CVPR 2016, 4)."""
    one, other = _outline(found), _outline(true)
    radius = int(np.ceil(_F_TOLERANCE * np.hypot(*true.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    precision = _share(one, cv2.dilate(other.astype(np.uint8), disc) > 0)
    recall = _share(other, cv2.dilate(one.astype(np.uint8), disc) > 0)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _outline(mask: Mask) -> Mask:
    """Pixels whose right, lower or lower right neighbour differs (seg2bmap of the DAVIS toolkit)."""
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    right, below, beyond = padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    return np.asarray((mask ^ right) | (mask ^ below) | (mask ^ beyond), np.bool_)


def _share(mask: Mask, inside: Mask) -> float:
    """Which share of the mask's pixels lies inside the other; 0 for an empty mask."""
    count = np.count_nonzero(mask)
    return float(np.count_nonzero(mask & inside) / count) if count else 0.0


def judge(videos: Path, clip: str, frame: int, found: Sequence[Mask]) -> list[Judged]:
    """Every mask found in one frame against the truth, one to one (Hungarian on J), by the rules above."""
    true = masks_at(videos, clip, frame)
    if clip in UNIONS:
        return [_judged(clip, frame, mask, *target) for mask, target in _of_union(found, true)]
    targets = _assigned(videos, clip, found, true)
    return [_judged(clip, frame, mask, *target) for mask, target in zip(found, targets, strict=True)]


Target = tuple[int, Mask | None, Mask]
"""Object number (0: none), its true mask, and the mask that is compared with it."""


def _of_union(found: Sequence[Mask], true: dict[int, Mask]) -> list[tuple[Mask, Target]]:
    everything = np.logical_or.reduce(list(true.values())) if true else None
    on = [everything is not None and _share(mask, everything) >= _ON_SHARE for mask in found]
    merged = np.logical_or.reduce([mask for mask, is_on in zip(found, on, strict=True) if is_on]) if any(on) else None
    return [
        (mask, (1, everything, merged) if is_on and merged is not None else (0, everything, mask))
        for mask, is_on in zip(found, on, strict=True)
    ]


def _assigned(videos: Path, clip: str, found: Sequence[Mask], true: dict[int, Mask]) -> list[Target]:
    nothing = np.logical_or.reduce(list(true.values())) if true else None
    targets: list[Target] = [(0, nothing, mask) for mask in found]
    if not found or not true:
        return targets
    numbers = list(true)
    carried = owners(videos, clip)
    forms = {
        number: [
            true[number],
            *(true[number] | true[it] for it, who in carried.items() if who == number and it in true),
        ]
        for number in numbers
    }
    best = [[max(forms[number], key=lambda form: region_j(mask, form)) for number in numbers] for mask in found]
    score = np.array([[region_j(mask, form) for form in row] for mask, row in zip(found, best, strict=True)])
    for row, column in zip(*linear_sum_assignment(-score), strict=True):
        if score[row, column] > 0.05:
            targets[row] = (numbers[column], best[row][column], found[row])
    return targets


def _judged(clip: str, frame: int, mask: Mask, number: int, true: Mask | None, compared: Mask) -> Judged:
    j = region_j(compared, true) if number and true is not None else 0.0
    on_truth = _share(mask, true) if true is not None else 0.0
    if on_truth < 0.1 and _share(mask, omitted_at(clip, frame, mask.shape)) >= _OMITTED_SHARE:
        return Judged(0, 0.0, 0.0, False)
    return Judged(number, j, boundary_f(compared, true) if number and true is not None else 0.0, True)


def who(videos: Path, clip: str, frame: int, mask: Mask) -> int:
    """The object most of the mask's pixels lie on; 0: none. What is carried counts as its owner."""
    carried = owners(videos, clip)
    pixels: dict[int, float] = {}
    for number, true in masks_at(videos, clip, frame).items():
        owner = carried.get(number, number)
        pixels[owner] = pixels.get(owner, 0.0) + _share(mask, true)
    best = max(pixels, key=lambda number: pixels[number], default=0)
    return best if best and pixels[best] >= _ON_SHARE else 0


def match_cuts(
    found: list[int], true: list[int], ignore: list[tuple[int, int]], slack: int = 2
) -> tuple[int, int, int]:
    """True positives, false positives and false negatives, within `slack` frames, one to one.

    Found cuts within `slack` of an inclusive range of `ignore` (gradual transitions) count neither way.
    """
    left = sorted(true)
    hits = misses = 0
    for cut in sorted(found):
        near = [t for t in left if abs(t - cut) <= slack]
        if near:
            left.remove(min(near, key=lambda t: abs(t - cut)))
            hits += 1
        elif not any(first - slack <= cut <= last + slack for first, last in ignore):
            misses += 1
    return hits, misses, len(left)
