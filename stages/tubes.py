"""The tube: the part of a window of frames that the generator gets to see, and the exact way back.

A box of one size for the whole window, around the subjects and what surrounds them. It stands still unless moving
along with the subjects makes it much smaller; then its path is smooth and in whole pixels, so that nothing is
resampled. Where it would cover most of the frame it is the whole frame.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from schemas.fill import Homography
from schemas.video import Image, Mask
from stages import masks, regions

MULTIPLE = 16  # a token of the generators is 16 pixels wide
CONTEXT, MIN_CONTEXT_PX = 0.25, 32  # around the subjects, of their box, on every side
MOST = 0.7  # of the frame: a tube that large saves nothing
MOVING_SAVES = 0.75  # a tube moves when it is then smaller than this share of a standing one
PATH_SIGMA_FRAMES = 6.0


class Sizing(StrEnum):
    FAST = "fast"  # pixels of the source, each side rounded up to a multiple of 16
    SHARP = "sharp"  # as many pixels as the generator works at natively


@dataclass(frozen=True, slots=True)
class Tube:
    """A box of `height_px` x `width_px` at `corners` (x, y of its upper left pixel, per frame; it may reach beyond the
    frame), shown to the generator at `shown_px` (height, width)."""

    height_px: int
    width_px: int
    corners: tuple[tuple[int, int], ...]
    shown_px: tuple[int, int]

    def take(self, image: Image, frame: int) -> Image:
        """What the generator sees of a frame; beyond the frame its edge is mirrored."""
        inside, beyond = self._parts(frame, image.shape[0], image.shape[1])
        padded = np.pad(image[inside], (*beyond, (0, 0)), mode="symmetric")
        return regions.resize(padded, *self.shown_px)

    def take_mask(self, mask: Mask, frame: int) -> Mask:
        """Every pixel shown that any of the mask falls on; none beyond the frame."""
        inside, beyond = self._parts(frame, *mask.shape)
        return regions.cover(np.pad(mask[inside], beyond), *self.shown_px)

    def put_back(self, image: Image, shown: Image, frame: int) -> Image:
        """`image` with the tube's part of it taken from `shown`: bit-exact what take() gave at the source's size."""
        inside, beyond = self._parts(frame, image.shape[0], image.shape[1])
        (top, bottom), (left, right) = beyond
        part = regions.resize(shown, self.height_px, self.width_px)
        result = image.copy()
        result[inside] = part[top : self.height_px - bottom, left : self.width_px - right]
        return result

    def to_shown(self, frame: int) -> Homography:
        """From pixels of the frame to pixels shown. Pixel centres are whole numbers."""
        x, y = self.corners[frame]
        scale_y, scale_x = self.shown_px[0] / self.height_px, self.shown_px[1] / self.width_px
        return np.array(
            [
                [scale_x, 0, (0.5 - x) * scale_x - 0.5],
                [0, scale_y, (0.5 - y) * scale_y - 0.5],
                [0, 0, 1.0],
            ]
        )

    def _parts(
        self, frame: int, height_px: int, width_px: int
    ) -> tuple[tuple[slice, slice], tuple[tuple[int, int], tuple[int, int]]]:
        """The part of the frame inside the tube, and how far the tube reaches beyond it: above, below, left, right."""
        x, y = self.corners[frame]
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + self.width_px, width_px), min(y + self.height_px, height_px)
        beyond = ((y0 - y, y + self.height_px - y1), (x0 - x, x + self.width_px - x1))
        return (slice(y0, y1), slice(x0, x1)), beyond


def plan_tube(frame_masks: Sequence[Mask], sizing: Sizing, native_pixels: int) -> Tube:
    """The tube around the masks of a window's frames, all of one size; native_pixels: what `sharp` shows.

    Raises ValueError when every mask is empty.
    """
    height, width = frame_masks[0].shape
    boxes = _boxes(frame_masks)
    union = np.array([*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)])
    margin = np.maximum(CONTEXT * (boxes[:, 2:] - boxes[:, :2]).max(axis=0), MIN_CONTEXT_PX)
    standing = _sides(union[2:] - union[:2] + 2 * margin, width, height)
    moving = _sides((boxes[:, 2:] - boxes[:, :2]).max(axis=0) + 2 * margin, width, height)
    moves = moving[0] * moving[1] < MOVING_SAVES * standing[0] * standing[1]
    wide, tall = moving if moves else standing
    if wide * tall >= MOST * width * height:
        wide, tall = _rounded(width), _rounded(height)
        corners = np.zeros((len(boxes), 2), int)
    else:
        path = boxes if moves else np.broadcast_to(union, boxes.shape)
        corners = np.stack(
            [
                _path(path[:, axis], path[:, axis + 2], side, limit)
                for axis, side, limit in ((0, wide, width), (1, tall, height))
            ],
            axis=1,
        )
    shown = (
        (tall, wide) if sizing is Sizing.FAST else regions.working_size(tall, wide, native_pixels, MULTIPLE, math.inf)
    )
    return Tube(tall, wide, tuple((int(x), int(y)) for x, y in corners), shown)


def _boxes(frame_masks: Sequence[Mask]) -> NDArray[np.float64]:
    """(N, 4) boxes; where a mask is empty the one of the nearest frame that has any."""
    found = [masks.box_of(mask) for mask in frame_masks]
    known = [number for number, box in enumerate(found) if box is not None]
    if not known:
        raise ValueError("there is no tube around nothing")
    nearest = [min(known, key=lambda other: abs(other - number)) for number in range(len(found))]
    return np.array([found[number] for number in nearest], np.float64)


def _sides(wanted: NDArray[np.float64], width_px: int, height_px: int) -> tuple[int, int]:
    return _rounded(min(float(wanted[0]), width_px)), _rounded(min(float(wanted[1]), height_px))


def _rounded(side: float) -> int:
    return math.ceil(side / MULTIPLE) * MULTIPLE


def _path(low: NDArray[np.float64], high: NDArray[np.float64], side: int, limit: int) -> NDArray[np.int64]:
    """Where a box of this side begins, frame by frame: smooth, around [low, high), inside the frame where it fits."""
    # Smoothing must not lose the subject: it may come as near to the tube's edge as is left on both sides at best.
    wanted = (
        gaussian_filter1d((low + high - side) / 2, PATH_SIGMA_FRAMES, mode="nearest")
        if len(low) > 1
        else (low + high - side) / 2
    )
    held = np.clip(wanted, high - side, low)
    if side > limit:
        return np.zeros(len(low), np.int64)
    within = np.clip(np.rint(held), np.maximum(np.ceil(high - side), 0), np.minimum(np.floor(low), limit - side))
    return np.asarray(within, dtype=np.int64)
