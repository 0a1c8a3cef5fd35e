"""The empty place of a whole window of frames: one picture of the background, in which every frame looks the same.

Views from all over the clip are laid into the plane of the middle frame and the median of what they show beside their
subjects is taken; what none of them shows is filled by patches, once. Frames get their background out of this one
picture, so it cannot flicker. (Per frame, for still pictures: stages/plates.py.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from schemas.errors import BadInput
from schemas.fill import Homography, Surroundings
from schemas.video import Image, Mask
from stages import camera, inpainting, masks, regions

MARGIN = 0.012  # around subjects in the views, of the long side: their soft edge and a little shadow
MAX_CANVAS = 2.5  # of the frame's sides: beyond it the camera has turned too far for one plane
MAX_SIDE_PX = 1600
GAIN_RANGE = (0.7, 1.4)
LIGHT_STEP = 8  # pixels: light changes slowly over the picture
LIGHT_REACHES = ((0.03, 1.0), (0.12, 1e-2), (0.5, 1e-4))  # of the long side, and how much each counts
LIGHT_SIGMA_FRAMES = 3.0


@dataclass(slots=True)
class Mosaic:
    """image: (H, W, 3), to_mosaic: per frame of the window, its pixels in those of the image."""

    image: Image
    to_mosaic: list[Homography]

    def seen_in(self, number: int, shape: tuple[int, ...]) -> Image:
        """The empty place as frame `number` would show it."""
        size = (shape[1], shape[0])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        seen = cv2.warpPerspective(
            self.image, self.to_mosaic[number], size, flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(seen, np.uint8)


def background_of(frames: Sequence[Image], hidden: Sequence[Mask], known: Surroundings, seed: int) -> Mosaic:
    """The place behind `hidden` (True) in every frame. Raises BadInput NO_ROOM when nothing is left to fill from."""
    middle = len(frames) // 2
    to_middle = [np.linalg.inv(known.to_plane[middle]) @ matrix for matrix in known.to_plane]
    needed = _bounds(to_middle, frames[0].shape)
    scale = min(MAX_SIDE_PX / max(needed[2] - needed[0], needed[3] - needed[1]), 1.0)
    onto = np.array([[scale, 0, -needed[0] * scale], [0, scale, -needed[1] * scale], [0, 0, 1.0]])
    size = (round((needed[2] - needed[0]) * scale), round((needed[3] - needed[1]) * scale))
    to_canvas = [onto @ matrix for matrix in to_middle]
    into = onto @ np.linalg.inv(known.to_plane[middle])
    views = [(view.image, view.subjects, into @ view.to_plane) for view in known.views]
    canvas, seen = _median(views, size)
    wanted = _wanted(hidden, to_canvas, size)
    unseen = np.asarray(wanted & ~seen, np.bool_)
    if unseen.any():
        try:
            canvas = inpainting.fill_hole(canvas, unseen, ~seen & ~unseen, seed)
        except BadInput:
            rest = cv2.inpaint(canvas, unseen.astype(np.uint8), 5, cv2.INPAINT_TELEA)
            canvas = np.asarray(rest, np.uint8)
    return Mosaic(canvas, to_canvas)


def _bounds(to_middle: Sequence[Homography], shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """The box in the middle frame's plane that all frames lie in, or as much of it as MAX_CANVAS allows."""
    height, width = shape[:2]
    corners = np.concatenate([camera.mapped(matrix, camera.corners_of(shape)) for matrix in to_middle])
    reach_x, reach_y = (MAX_CANVAS - 1) / 2 * width, (MAX_CANVAS - 1) / 2 * height
    x0, y0 = np.maximum(np.floor(corners.min(axis=0)), [-reach_x, -reach_y])
    x1, y1 = np.minimum(np.ceil(corners.max(axis=0)), [width + reach_x, height + reach_y])
    return float(x0), float(y0), float(x1), float(y1)


def _wanted(hidden: Sequence[Mask], to_canvas: Sequence[Homography], size: tuple[int, int]) -> Mask:
    """Where the canvas is looked at by any frame."""
    union = np.zeros((size[1], size[0]), np.uint8)
    for mask, matrix in zip(hidden, to_canvas, strict=True):
        union |= cv2.warpPerspective(mask.astype(np.uint8), matrix, size, flags=cv2.INTER_LINEAR)
    return masks.dilate(union > 0, 2)


def _median(views: Sequence[tuple[Image, Mask, Homography]], size: tuple[int, int]) -> tuple[Image, Mask]:
    """Per pixel the median of the views that show background there; and where any does."""
    laid, shown = [], []
    for image, subjects, matrix in views:
        free = (~masks.dilate(subjects, MARGIN * max(subjects.shape))).astype(np.uint8)
        free[[0, -1]], free[:, [0, -1]] = 0, 0
        laid.append(cv2.warpPerspective(image, matrix, size, flags=cv2.INTER_LINEAR))
        shown.append(cv2.warpPerspective(free, matrix, size, flags=cv2.INTER_NEAREST) > 0)
    pixels, there = np.stack(laid), np.stack(shown)
    result = np.zeros((size[1], size[0], 3), np.uint8)
    counts = there.sum(axis=0)
    for row in range(size[1]):  # a row at a time: the whole stack in floats would not fit
        values = np.where(there[:, row, :, None], pixels[:, row].astype(np.int16), np.int16(999))
        ordered = np.sort(values, axis=0)
        at = np.maximum(counts[row] - 1, 0) // 2
        result[row] = np.minimum(np.take_along_axis(ordered, at[None, :, None].repeat(3, axis=2), axis=0)[0], 255)
    return result, np.asarray(counts > 0, np.bool_)


def in_the_light_of(frames: Sequence[Image], hidden: Sequence[Mask], seen: Sequence[Image]) -> list[Image]:
    """The backgrounds `seen`, each as light as its frame is around the hidden part (True), from place to place.

    The ratio is measured where both show the place, carried on smoothly below the hidden part, and evened over time.
    """
    ratios = [_ratio(*each) for each in zip(frames, hidden, seen, strict=True)]
    even = gaussian_filter1d(np.stack(ratios), LIGHT_SIGMA_FRAMES, axis=0, mode="nearest")
    height, width = frames[0].shape[:2]
    lit = []
    for image, ratio in zip(seen, even, strict=True):
        gain = cv2.resize(ratio, (width, height), interpolation=cv2.INTER_LINEAR)
        lit.append(np.clip(np.rint(image * gain), 0, 255).astype(np.uint8))
    return lit


def _ratio(frame: Image, hidden: Mask, seen: Image) -> NDArray[np.float32]:
    """(H / LIGHT_STEP, W / LIGHT_STEP, 3) factors from `seen` to `frame`."""
    height, width = hidden.shape
    size = (max(width // LIGHT_STEP, 1), max(height // LIGHT_STEP, 1))
    small, wanted = (
        cv2.resize(each, size, interpolation=cv2.INTER_AREA).astype(np.float32) + 8 for each in (seen, frame)
    )
    free = ~regions.cover(masks.dilate(hidden, 3), size[1], size[0])
    quotient = np.clip(wanted / small, *GAIN_RANGE)
    # Far from where both are seen the neighbourhood is widened until something is.
    total, weight = np.zeros((size[1], size[0], 3)), np.zeros((size[1], size[0]))
    for reach, trust in LIGHT_REACHES:
        sigma = reach * max(size)
        weight += trust * cv2.GaussianBlur(free.astype(np.float64), (0, 0), sigma)
        total += trust * cv2.GaussianBlur(np.where(free[..., None], quotient, 0).astype(np.float64), (0, 0), sigma)
    return np.asarray((total + 1e-6) / (weight + 1e-6)[..., None], np.float32)
