"""A region of a picture as a generative model gets it: cropped with context, at a size the model works at; and back.

Diffusion pipelines floor sizes to multiples of their token without a word. Here sizes are always chosen, never floored:
what comes back is laid over exactly the pixels it was made from.
"""

import math

import cv2
import numpy as np

from schemas.video import Image, Mask
from stages import masks

Crop = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, ends exclusive."""

CONTEXT = 0.5  # of the region's box, on every side: what a model needs to go on with the place
MIN_CONTEXT_PX = 64
MAX_ASPECT = 2.0  # of a crop, where the picture allows
MIN_SIDE_PX = 64  # less is refused by some pipelines
MAX_ENLARGEMENT = 2.0
PADDING = 255  # references stand on white


def context_crop(region: Mask) -> Crop:
    """The box of `region` (True) and its surroundings, inside the picture. Raises ValueError for an empty region."""
    box = masks.box_of(region)
    if box is None:
        raise ValueError("an empty region has no crop")
    x0, y0, x1, y1 = (int(side) for side in box)
    wide, tall = (max(round(side * (1 + 2 * CONTEXT)), side + 2 * MIN_CONTEXT_PX) for side in (x1 - x0, y1 - y0))
    wide, tall = max(wide, math.ceil(tall / MAX_ASPECT)), max(tall, math.ceil(wide / MAX_ASPECT))
    left, right = _span(x0, x1, wide, region.shape[1])
    top, bottom = _span(y0, y1, tall, region.shape[0])
    return left, top, right, bottom


def _span(start: int, stop: int, length: int, limit: int) -> tuple[int, int]:
    """`length` pixels around [start, stop), moved to lie in [0, limit); all of these when there are not enough."""
    length = min(length, limit)
    low = min(max((start + stop - length) // 2, 0), limit - length)
    return low, low + length


def working_size(
    height_px: int, width_px: int, max_pixels: int, multiple: int = 16, max_enlargement: float = MAX_ENLARGEMENT
) -> tuple[int, int]:
    """Height and width, multiples of `multiple` and at least MIN_SIDE_PX, at which a model works on such a crop.

    As large as `max_pixels` allow, but at most `max_enlargement` times the crop: models are weak at small sizes, and
    more than that only costs time. `max_pixels` must hold a square of MIN_SIDE_PX.
    """
    scale = min(math.sqrt(max_pixels / (height_px * width_px)), max_enlargement)
    longest = max_pixels // MIN_SIDE_PX // multiple * multiple
    sides = [
        min(max(round(side * scale / multiple) * multiple, MIN_SIDE_PX), longest) for side in (height_px, width_px)
    ]
    long = int(sides[1] > sides[0])
    sides[long] = min(sides[long], max_pixels // sides[1 - long] // multiple * multiple)
    return sides[0], sides[1]


def resize(image: Image, height_px: int, width_px: int) -> Image:
    """The picture at another size, and itself at its own."""
    if image.shape[:2] == (height_px, width_px):
        return image
    method = cv2.INTER_AREA if height_px * width_px < image.shape[0] * image.shape[1] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width_px, height_px), interpolation=method), dtype=np.uint8)


def cover(mask: Mask, height_px: int, width_px: int, reach_px: int = 0) -> Mask:
    """The mask at another size: every pixel that any of it falls on, and `reach_px` more around, in a square.

    A model that paints whole tokens needs a reach of one: a token it keeps must not show any of the region.
    """
    for axis, length in enumerate((height_px, width_px)):
        edges = np.arange(length + 1) * mask.shape[axis]
        starts, stops = edges[:-1] // length, -(-edges[1:] // length)
        padding = [(0, 0), (0, 0)]
        padding[axis] = (1, 0)
        sums = np.pad(np.cumsum(mask, axis=axis), padding)
        mask = np.take(sums, stops, axis=axis) > np.take(sums, starts, axis=axis)
    if reach_px:
        square = np.ones((2 * reach_px + 1,) * 2, np.uint8)
        mask = cv2.dilate(mask.astype(np.uint8), square) > 0
    return np.asarray(mask, dtype=np.bool_)


def paste_back(image: Image, region: Mask, crop: Crop, painted: Image) -> Image:
    """`image` with the pixels of `region` inside `crop` taken from `painted`, which is the crop at whatever size."""
    x0, y0, x1, y1 = crop
    result = image.copy()
    inside = region[y0:y1, x0:x1, None]
    result[y0:y1, x0:x1] = np.where(inside, resize(painted, y1 - y0, x1 - x0), image[y0:y1, x0:x1])
    return result


def on_white(image: Image, height_px: int, width_px: int) -> Image:
    """The whole picture, as large as fits, in the middle of a white canvas: nothing is cut off or stretched."""
    scale = min(height_px / image.shape[0], width_px / image.shape[1])
    tall, wide = (max(round(side * scale), 1) for side in image.shape[:2])
    top, left = (height_px - tall) // 2, (width_px - wide) // 2
    canvas: Image = np.full((height_px, width_px, 3), PADDING, np.uint8)
    canvas[top : top + tall, left : left + wide] = resize(image, tall, wide)
    return canvas
