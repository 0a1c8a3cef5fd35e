"""Masks: run-length code, boxes, overlap and the morphology that every stage shares."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from schemas.subject import Box, Rle, Track
from schemas.video import Mask


def encode(mask: Mask) -> Rle:
    """COCO compressed run-length code of an (H, W) mask: size [h, w], counts as ASCII text."""
    code = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return Rle(size=[int(side) for side in code["size"]], counts=code["counts"].decode("ascii"))


def decode(code: Rle) -> Mask:
    """The (H, W) mask of a run-length code.

    Raises ValueError when the runs do not add up to the size: the reference codec itself would read past the end.
    """
    height, width = (int(side) for side in code["size"])
    runs = _runs(code["counts"])
    if min([height, width, *runs], default=0) < 0 or sum(runs) != height * width:
        raise ValueError(f"a mask of {height}x{width} whose runs cover {sum(runs)} pixels")
    decoded = coco.decode({"size": [height, width], "counts": code["counts"].encode("ascii")})
    return np.ascontiguousarray(decoded).astype(np.bool_)


def _runs(counts: str) -> list[int]:
    """Run lengths of COCO's compressed counts: 5 bits per character, from the third on as differences to two back."""
    runs: list[int] = []
    value, shift = 0, 0
    for character in counts:
        bits = ord(character) - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value |= -1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value, shift = 0, 0
    return runs


def area_px(mask: Mask) -> int:
    return int(np.count_nonzero(mask))


def box_of(mask: Mask) -> Box | None:
    """The tightest box around a mask; None when it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def mask_of(box: Box, height_px: int, width_px: int) -> Mask:
    """True inside a box: its corners are rounded, the parts outside the frame cut off."""
    x0, y0, x1, y1 = (max(round(side), 0) for side in box)
    mask: Mask = np.zeros((height_px, width_px), np.bool_)
    mask[y0:y1, x0:x1] = True
    return mask


def iou(a: Mask, b: Mask) -> float:
    """Intersection over union in [0, 1]; two empty masks are the same (1)."""
    union = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / union) if union else 1.0


def box_iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, in [0, 1]."""
    shared = _extent(max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    union = _extent(*a) + _extent(*b) - shared
    return shared / union if union > 0 else 0.0


def _extent(x0: float, y0: float, x1: float, y1: float) -> float:
    return max(x1 - x0, 0.0) * max(y1 - y0, 0.0)


def grow_box(box: Box, margin: float, height_px: int, width_px: int) -> Box:
    """The box with `margin` of its own size added on every side (negative: taken off), clipped to the frame."""
    dx, dy = margin * (box[2] - box[0]), margin * (box[3] - box[1])
    x0, x1 = (min(max(x, 0.0), float(width_px)) for x in (box[0] - dx, box[2] + dx))
    y0, y1 = (min(max(y, 0.0), float(height_px)) for y in (box[1] - dy, box[3] + dy))
    return x0, y0, max(x0, x1), max(y0, y1)


def scale_box(box: Box, scale: float) -> Box:
    """The box in a picture `scale` times as large."""
    return box[0] * scale, box[1] * scale, box[2] * scale, box[3] * scale


def distance_to(mask: Mask) -> NDArray[np.float32]:
    """(H, W) pixels from each pixel to the nearest of the mask: 0 on it, infinite when it is empty."""
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    distance = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance, dtype=np.float32)


def signed_distance(mask: Mask) -> NDArray[np.float32]:
    """(H, W) pixels to the outline, positive on the mask; infinite where there is none."""
    return distance_to(~mask) - distance_to(mask)


def dilate(mask: Mask, radius_px: float) -> Mask:
    """Every pixel within `radius_px` of the mask; nothing is assumed outside the frame."""
    if radius_px <= 0 or not mask.any():
        return mask.copy()
    near = _around(mask, math.ceil(radius_px))
    grown: Mask = np.zeros_like(mask)
    grown[near] = distance_to(mask[near]) <= radius_px
    return grown


def erode(mask: Mask, radius_px: float) -> Mask:
    """Pixels of the mask farther than `radius_px` from what is not mask; outside the frame counts as mask."""
    if radius_px <= 0 or not mask.any():
        return mask.copy()
    near = _around(mask, 1)  # what is not mask is nowhere nearer than just outside the mask's box
    shrunk: Mask = np.zeros_like(mask)
    shrunk[near] = distance_to(~mask[near]) > radius_px
    return shrunk


def _around(mask: Mask, margin_px: int) -> tuple[slice, slice]:
    """Rows and columns of a mask that is not empty, with `margin_px` more on every side."""
    x0, y0, x1, y1 = (int(side) for side in box_of(mask) or (0, 0, 0, 0))
    return slice(max(y0 - margin_px, 0), y1 + margin_px), slice(max(x0 - margin_px, 0), x1 + margin_px)


def resize(mask: Mask, height_px: int, width_px: int) -> Mask:
    """The mask at another size; its edge stays where linear interpolation of the mask crosses one half."""
    if mask.shape == (height_px, width_px):
        return mask.copy()
    method = cv2.INTER_AREA if height_px < mask.shape[0] else cv2.INTER_LINEAR
    resized = cv2.resize(mask.astype(np.float32), (width_px, height_px), interpolation=method)
    return np.asarray(resized >= 0.5, dtype=np.bool_)


def fill_holes(mask: Mask, max_area_px: int | None = None) -> Mask:
    """Closes background regions that the mask encloses; with `max_area_px` only those not larger than that.

    A region that reaches the frame border is not enclosed.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    x, y, width, height, area = stats.T
    enclosed = (x > 0) & (y > 0) & (x + width < mask.shape[1]) & (y + height < mask.shape[0])
    if max_area_px is not None:
        enclosed &= area <= max_area_px
    enclosed[0] = False  # label 0 is the mask itself
    return np.asarray(mask | enclosed[labels], dtype=np.bool_)


def components(mask: Mask, min_area_px: int = 1) -> list[Mask]:
    """8-connected parts of at least `min_area_px`, largest first (ties: topmost, then leftmost)."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    order = sorted(range(1, count), key=lambda label: (-int(stats[label, cv2.CC_STAT_AREA]), label))
    return [
        np.asarray(labels == label, dtype=np.bool_) for label in order if stats[label, cv2.CC_STAT_AREA] >= min_area_px
    ]


def border_share(mask: Mask) -> float:
    """Which share of the mask's outline lies on the border of the frame, in [0, 1].

    A subject cut off by the frame has a long straight edge there; one that only touches it has a few pixels.
    """
    if not mask.any():
        return 0.0
    outline = int(np.count_nonzero(mask & ~_all_neighbours(np.pad(mask, 1))))
    edges: list[NDArray[np.bool_]] = [mask[0], mask[-1], mask[:, 0], mask[:, -1]]
    return min(sum(int(np.count_nonzero(edge)) for edge in edges) / max(outline, 1), 1.0)


def _all_neighbours(padded: Mask) -> Mask:
    """Pixels (without the padding) whose four neighbours are all set."""
    return np.asarray(
        padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:],
        dtype=np.bool_,
    )


def separate(masks: list[Mask]) -> list[Mask]:
    """The same masks without overlaps: a pixel that several claim goes to the smallest of them (earliest on ties).

    What is smaller is usually in front, or a part wrongly swallowed by a larger mask.
    """
    order = sorted(range(len(masks)), key=lambda position: (area_px(masks[position]), position))
    separated = [mask.copy() for mask in masks]
    taken: Mask | None = None
    for position in order:
        if taken is None:
            taken = separated[position].copy()
            continue
        separated[position] &= ~taken
        taken |= separated[position]
    return separated


def separate_tracks(tracks: Sequence[Track]) -> None:
    """Make masks of different tracks exclusive in every frame, in place; what is left empty goes, with its score."""
    for at in sorted({at for track in tracks for at in track.masks}):
        here = [track for track in tracks if at in track.masks]
        for track, mask in zip(here, separate([track.masks[at] for track in here]), strict=True):
            track.masks[at] = mask
            if not mask.any():
                del track.masks[at], track.scores[at]
