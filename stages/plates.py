"""Clean plates: what stands behind a subject, seen in the frames before and after.

Frames are chained to the wanted one by homographies of their background (SIFT features, RANSAC), laid over it, and per
pixel the frame is taken that most of the others agree with and that does not look like the subject. One plane stands
for the whole background: where depth makes it wrong the frames disagree, and the pixel stays unknown.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.sample import Neighbours, Plate
from schemas.video import Image, Mask
from stages import alignment, leaks, masks

OFFSETS_SECONDS = (0.125, 0.33, 0.66, 1.15, 2.0)
"""Before and after the wanted frame: near enough to be chained, far enough to see behind."""

FEW_OFFSETS_SECONDS = OFFSETS_SECONDS[:3]
"""To see whether a mask took some background along, a little movement is enough."""

REACH = 0.4  # of the subject's box on every side: the part of the frame a plate is made for

FREE_MARGIN = 0.15  # around where the subject was, of the root of its area: features there are not trusted
AGREE = 17  # levels of the worst channel, after a light blur
WINDOW_SIGMA = 0.012  # of the long side: one frame is chosen for a neighbourhood, not for a pixel
MIN_AGREEING = 1.0  # other frames, on the mean of the window
COLOUR_BINS = 12
SUBJECT_PENALTY = 3.0
MOVING_PENALTY = (3.0, 0.5)  # where the subject stands, and elsewhere: there the frame itself is a witness
OWN_VOTE = 2.0
MOVING_PX = 1.5  # of flow that is left between two frames laid over each other, at FLOW_SIDE_PX: not background
FLOW_SIDE_PX = 256
BRIDGE_PX = 5.0
STILL_MARGIN_PX = 4.0
STILL_SHARE = 0.7
STILL_LEVELS = 11
MIN_CAMERA = 0.03  # of the long side
MIN_REGISTERED = 0.3  # of the matches must follow the homography


@dataclass(slots=True)
class _Laid:
    """A neighbour laid over the wanted frame, and where it covers it."""

    image: Image
    covers: Mask
    moved_px: float  # by which the camera shifted the middle of the window


def clean_plate(image: Image, subject: Mask, near: Neighbours) -> Plate:
    """`image` with what neighbouring frames show behind `subject` and around it; known: where they do.

    subject: every subject of the frame. Away from it the plate is made of neighbours too, so that nothing in it draws
    the subject's outline. Farther away than REACH, and without neighbours that can be laid over, nothing is known.
    """
    plate, known = image.copy(), np.zeros(subject.shape, np.bool_)
    window, laid = _laid_over(image, subject, near)
    if len(laid) < 2:
        return Plate(image, known)
    scores = _scores(image[window], subject[window], laid, _subject_colours(image, subject))
    best = scores.argmax(axis=0)
    here = _connected(scores.max(axis=0) >= MIN_AGREEING, subject[window])
    stack = np.stack([one.image for one in laid])
    chosen = np.take_along_axis(stack, best[None, ..., None], axis=0)[0]
    plate[window] = np.where(here[..., None], chosen, image[window])
    known[window] = here
    return Plate(plate, known)


def still_ground(image: Image, subject: Mask, near: Neighbours) -> Mask:
    """Where `image` itself shows, on and around `subject`, what most frames around it show at the same place, though
    the camera moved: background, whatever a mask says."""
    still = np.zeros(subject.shape, np.bool_)
    window, laid = _laid_over(image, subject, near)
    still[window] = _still(image[window], [one for one in laid if one.moved_px > MIN_CAMERA * max(image.shape)])
    return still


def _laid_over(image: Image, subject: Mask, near: Neighbours) -> tuple[tuple[slice, slice], list[_Laid]]:
    """The window around the subject, and the neighbours, in time order, that can be laid over it there."""
    box = masks.box_of(subject)
    if box is None or not (near.before or near.after):
        return (slice(0, 0), slice(0, 0)), []
    x0, y0, x1, y1 = (int(side) for side in masks.grow_box(box, REACH, *subject.shape))
    around = masks.dilate(subject, FREE_MARGIN * float(np.sqrt(masks.area_px(subject))))
    ground = alignment.features(image, ~around)
    before, after = (_chain(ground, around, neighbours) for neighbours in (near.before, near.after))
    laid = [_laid(neighbour, warp, (x0, y0, x1, y1)) for neighbour, warp in [*before[::-1], *after]]
    return (slice(y0, y1), slice(x0, x1)), laid


def _still(image: Image, laid: list[_Laid]) -> Mask:
    """Where most of the frames that cover it, and at least two, show the same colours at the same place.

    Under a camera that stands, a subject that pauses looks just so: only frames that were shifted tell ground from it.
    """
    if len(laid) < 2:
        return np.zeros(image.shape[:2], np.bool_)
    alike, covered = np.zeros((2, *image.shape[:2]), np.int32)
    own = cv2.GaussianBlur(image, (0, 0), 1.5)
    for one in laid:
        alike += _agree(cv2.GaussianBlur(one.image, (0, 0), 1.5), own, STILL_LEVELS) & one.covers
        covered += one.covers
    still = (alike >= 2) & (alike >= STILL_SHARE * covered)
    # A single pixel agrees by chance, a neighbourhood does not.
    return np.asarray(cv2.blur(still.astype(np.float32), (9, 9)) > 0.8, np.bool_)


def without_still_parts(plate: Plate, image: Image, subject: Mask) -> Plate:
    """The plate, unknown where under `subject` it shows just what `image` does: a foot that stands on the ground while
    the rest moves on. (Or background that the mask took along, which does not matter here.)"""
    still, _ = leaks.same_places(image, plate.image, plate.known & subject)
    return Plate(plate.image, plate.known & ~(masks.dilate(still, STILL_MARGIN_PX) & subject))


def _connected(known: Mask, subject: Mask) -> Mask:
    """`known` without islands amid the subject: what nobody sees the surroundings of is the subject's own middle."""
    solid = known & ~(subject & ~masks.erode(known, BRIDGE_PX))  # islands are cut off where a thin bridge holds them
    count, labels = cv2.connectedComponents(solid.astype(np.uint8))
    reaches_out = np.zeros(count, np.bool_)
    reaches_out[np.unique(labels[solid & ~subject])] = True
    reaches_out[0] = False
    return np.asarray(known & masks.dilate(np.asarray(reaches_out[labels], np.bool_), BRIDGE_PX + 1), np.bool_)


def _chain(
    ground: alignment.Features, around: Mask, neighbours: list[Image]
) -> list[tuple[Image, NDArray[np.float64]]]:
    """The neighbours, nearest first, each with its homography to the wanted frame, as far as each fits the one before.

    ground: features of the wanted frame away from its subject, which is somewhere in `around`.
    """
    size = (around.shape[1], around.shape[0])
    known, to_image = ground, np.eye(3)
    chain = []
    for neighbour in neighbours:
        # Where the subject stands now is not known: near where it stood last.
        expected = cv2.warpPerspective(around.astype(np.uint8), np.linalg.inv(to_image), size) > 0
        own = alignment.features(neighbour, ~np.asarray(expected, np.bool_))
        step = alignment.homography(own, known, MIN_REGISTERED)
        if step is None:
            break
        to_image = to_image @ step
        to_image /= to_image[2, 2]
        known = own
        chain.append((neighbour, to_image))
    return chain


def _laid(neighbour: Image, warp: NDArray[np.float64], window: tuple[int, int, int, int]) -> _Laid:
    x0, y0, x1, y1 = window
    shift = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1.0]]) @ warp
    pixels = cv2.warpPerspective(neighbour, shift, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
    covers = cv2.warpPerspective(np.ones(neighbour.shape[:2], np.uint8), shift, (x1 - x0, y1 - y0)) > 0
    middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2, 1.0])
    there = np.linalg.inv(warp) @ middle
    moved_px = float(np.linalg.norm(there[:2] / there[2] - middle[:2]))
    return _Laid(np.asarray(pixels, np.uint8), masks.erode(np.asarray(covers, np.bool_), 2), moved_px)


def _scores(image: Image, subject: Mask, laid: list[_Laid], like: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, H, W): how many other frames agree with each, less where it has the subject's colours."""
    sigma = max(WINDOW_SIGMA * max(subject.shape), 3.0)
    near = masks.dilate(subject, 4)
    votes = _votes(image, near, laid)
    distrust = np.where(near, *MOVING_PENALTY).astype(np.float32)
    moving = _moving([one.image for one in laid])
    for number, one in enumerate(laid):
        votes[number] -= SUBJECT_PENALTY * like[_indices(one.image)] + distrust * moving[number]
        score = cv2.GaussianBlur(votes[number] * one.covers, (0, 0), sigma)
        votes[number] = np.where(one.covers, score, np.float32(-9))
    return votes


def _votes(image: Image, near: Mask, laid: list[_Laid]) -> NDArray[np.float32]:
    """(N, H, W): how many other frames show the same as each. The frame itself, where it shows no subject, is one more
    witness."""
    soft = [cv2.GaussianBlur(one.image, (0, 0), 1.2) for one in laid]
    own = cv2.GaussianBlur(image, (0, 0), 1.2)
    votes = np.stack([OWN_VOTE * (_agree(pixels, own, AGREE) & ~near) for pixels in soft]).astype(np.float32)
    for one, other in itertools.combinations(range(len(laid)), 2):
        same = _agree(soft[one], soft[other], AGREE)
        votes[one] += same & laid[other].covers
        votes[other] += same & laid[one].covers
    return votes


def _agree(first: NDArray[Any], second: NDArray[Any], levels: int) -> Mask:
    """Where no channel differs by more than `levels`."""
    return np.asarray(cv2.inRange(cv2.absdiff(first, second), (0, 0, 0), (levels, levels, levels)), np.bool_)


def _moving(stack: list[Image]) -> list[Mask]:
    """Per picture of a stack in time order: what moved against both the one before and the one after.

    Against one alone it may be background that the other hides. Large even subjects agree with themselves for long;
    only that they move gives them away.
    """
    scale = min(FLOW_SIDE_PX / max(stack[0].shape[:2]), 1.0)
    grey = [
        cv2.resize(cv2.cvtColor(one, cv2.COLOR_RGB2GRAY), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        for one in stack
    ]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    found = []
    for number, one in enumerate(grey):
        others = [near for near in (number - 1, number + 1) if 0 <= near < len(grey)]
        if len(others) == 1 and len(grey) > 2:
            others.append(number + 2 * (others[0] - number))
        small = np.min([np.linalg.norm(flow.calc(one, grey[other], None), axis=2) for other in others], axis=0)
        found.append(masks.resize(small > MOVING_PX, *stack[0].shape[:2]))
    return found


def _indices(image: Image) -> NDArray[np.int32]:
    bins = (cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.int32) * COLOUR_BINS) >> 8
    return np.asarray((bins[..., 0] * COLOUR_BINS + bins[..., 1]) * COLOUR_BINS + bins[..., 2], np.int32)


def _subject_colours(image: Image, subject: Mask) -> NDArray[np.float32]:
    """Per colour, 0..1: 1 when it is seen on the subject alone, 0 when it is no more frequent there than elsewhere."""
    index = _indices(image)
    on, off = (_histogram(index[where]) for where in (subject, ~masks.dilate(subject, 4)))
    return np.asarray(np.clip(2 * on / (on + off + 1e-5) - 1, 0, 1), np.float32)


def _histogram(index: NDArray[np.int32]) -> NDArray[np.float64]:
    counts = np.bincount(index, minlength=COLOUR_BINS**3).astype(np.float64)
    cube = counts.reshape((COLOUR_BINS,) * 3)
    for axis in range(3):
        cube = cube + 0.5 * (np.roll(cube, 1, axis) + np.roll(cube, -1, axis))
    return np.asarray(cube.ravel() / max(float(cube.sum()), 1.0))
