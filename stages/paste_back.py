"""Laying what was generated over the source: under the mask and a feather of stated width around it, nowhere else.

The generator is asked for the mask grown by the feather, so that both pictures are there where one fades into the
other. Every pixel farther than `feather_px` from its frame's own mask is the source's, bit for bit.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.video import Image, Mask
from stages import masks

FEATHER = 0.006  # of the short side
MIN_FEATHER_PX = 2
NEIGHBOUR_EDGE_PX = 2.0  # inside the mask, where it ends at another instance: that one's pixels stay as they are
MAX_CAST, MAX_CAST_SPREAD = 14.0, 10.0  # levels
MIN_RING_PX = 200
REACH_PX = 4.0  # of the signed distance that carries a mask to another size


def feather_px(height_px: int, width_px: int) -> int:
    """Width of the feather, outside the mask: 3 at 480p, 6 at 1080p."""
    return max(round(FEATHER * min(height_px, width_px)), MIN_FEATHER_PX)


def upsampled(mask: Mask, height_px: int, width_px: int) -> Mask:
    """A mask of working size at the size of the frames, its edge smooth: the zero line of the distance to it."""
    if mask.shape == (height_px, width_px) or not mask.any():
        return masks.resize(mask, height_px, width_px)
    distance = np.clip(masks.signed_distance(mask), -REACH_PX, REACH_PX)
    soft = cv2.GaussianBlur(distance, (0, 0), 0.6)
    return np.asarray(cv2.resize(soft, (width_px, height_px), interpolation=cv2.INTER_CUBIC) > 0, np.bool_)


def generation_mask(mask: Mask, others: Mask) -> Mask:
    """What must be generated so that the mask can be feathered: never what is another instance's."""
    return np.asarray(masks.dilate(mask, feather_px(*mask.shape)) & ~others, np.bool_)


def coverage(mask: Mask, others: Mask) -> NDArray[np.float32]:
    """(H, W) in [0, 1], how much of each pixel is generated: 1 on the mask, 0 from `feather_px` outside it on.

    others: pixels of other instances, where it is 0; towards them it fades inside the mask.
    """
    feather = feather_px(*mask.shape)
    alpha = np.zeros(mask.shape, np.float32)
    box = masks.box_of(mask)
    if box is None:
        return alpha
    x0, y0, x1, y1 = (int(side) for side in box)
    near = (slice(max(y0 - feather, 0), y1 + feather), slice(max(x0 - feather, 0), x1 + feather))
    outwards = 1 - masks.distance_to(mask[near]) / feather
    inwards = masks.distance_to(others[near]) / NEIGHBOUR_EDGE_PX
    alpha[near] = np.clip(np.minimum(outwards, inwards), 0, 1)
    return alpha


def colour_cast(source: Sequence[Image], generated: Sequence[Image], where: Sequence[Mask]) -> NDArray[np.float64]:
    """(3,) levels by which what was generated is off, told by the ring around the masks of a window's frames.

    where: the ring of each frame: generated, though it should look like the source. Where the two differ there by much,
    or from pixel to pixel, something else was drawn, and it tells nothing: then 0.
    """
    differences = [
        one[ring].astype(np.int16) - other[ring]
        for one, other, ring in zip(source, generated, where, strict=True)
        if ring.any()
    ]
    if sum(map(len, differences)) < MIN_RING_PX:
        return np.zeros(3)
    values = np.concatenate(differences)
    typical = np.median(values, axis=0)
    spread = np.median(np.abs(values - typical), axis=0)
    if spread.max() > MAX_CAST_SPREAD or np.abs(typical).max() > MAX_CAST:
        return np.zeros(3)
    return np.asarray(typical, np.float64)


def paste_back(source: Image, generated: Image, alpha: NDArray[np.float32]) -> Image:
    """`generated` over `source` by `alpha` (H, W) in [0, 1]; where that is 0 bit-exact the source."""
    box = masks.box_of(alpha > 0)
    if box is None:
        return source
    x0, y0, x1, y1 = (int(side) for side in box)
    near = (slice(y0, y1), slice(x0, x1))
    weight = alpha[near][..., None]
    result = source.copy()
    result[near] = np.rint(weight * generated[near] + (1 - weight) * source[near]).astype(np.uint8)
    return result
