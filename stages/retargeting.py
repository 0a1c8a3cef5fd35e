"""Masks retargeted to what is to be drawn: where a generator may paint, per instance and frame.

VACE's own preprocessing draws the margin anew in every frame, so its masks jitter. Here the margin depends on the
instance alone, it is the same in every run, and neighbours keep what is theirs. The union over groups of frames that
the model's latent grid needs is made by the generator (`actors/models/latent_frames.py`), for itself:
results are pasted back by the masks made here.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.edit import Action, Bound, Edit
from schemas.tracks import InstanceTrack, MaskVideo
from schemas.video import Mask
from stages import masks, mining


class Shape(StrEnum):
    """What the new subject's outline has to do with the old one's."""

    SILHOUETTE = "silhouette"  # the same: other colours, other cloth, nothing at all
    HULL = "hull"  # another one of about the same size
    BOX = "box"  # unknown, or larger


_MARGINS = {Shape.SILHOUETTE: 0.03, Shape.HULL: 0.06, Shape.BOX: 0.10}  # of the root of the instance's area
_REMOVAL_MARGIN = 0.08  # soft edges and motion blur must go with it
_SMOOTH_FRAMES = 8.0  # standard deviation, of sizes and boxes over time
_ROUNDING = 1e-3  # pixels; so much less is a rounding error

Series = NDArray[np.float64]


def shape_for(edit: Edit, category: str) -> Shape:
    """How far the target's outline may differ, as the words tell.

    The same noun, a part, an addition or nothing at all keep the silhouette. Another noun needs the hull; a subject
    whose category nobody named (`subject`) may become anything: the box.
    """
    source, target = mining.fold(edit.selector.phrase or category), [mining.fold(word) for word in edit.target.split()]
    if edit.action in (Action.REMOVE, Action.ADD) or edit.selector.part or source.split()[-1:] == target[-1:]:
        return Shape.SILHOUETTE
    return Shape.BOX if mining.fold(category) == "subject" else Shape.HULL


def retarget(tracks: Sequence[InstanceTrack], bound: Sequence[Bound]) -> dict[int, MaskVideo]:
    """Position of every bound instance -> (T, H, W) where it is to be generated.

    Every mask covers the instance's own and overlaps no other instance's mask, nor another one made here; it is empty
    where the instance is absent. Of several edits of one instance the widest shape counts.
    """
    wanted: dict[int, tuple[Shape, float]] = {}
    for each in bound:
        for position in each.instances:
            shape = shape_for(each.edit, tracks[position].category)
            margin = _REMOVAL_MARGIN if each.edit.action is Action.REMOVE else _MARGINS[shape]
            before = wanted.get(position, (Shape.SILHOUETTE, 0.0))
            wanted[position] = max(before[0], shape, key=list(Shape).index), max(before[1], margin)
    grown = {position: grow(tracks[position].masks, *how) for position, how in wanted.items()}
    return keep_apart(grown, [each.masks for each in tracks])


def backdrop(tracks: Sequence[InstanceTrack]) -> MaskVideo:
    """(T, H, W) what no instance covers: where another background is to be generated.

    Raises ValueError without tracks: the size of the clip is not known then.
    """
    if not tracks:
        raise ValueError("a backdrop needs the instances in front of it")
    return np.asarray(~np.logical_or.reduce([each.masks for each in tracks]), dtype=np.bool_)


def placed(bound: Bound, tracks: Sequence[InstanceTrack]) -> MaskVideo:
    """(T, H, W) where something is added: `bound.place` in the box of each instance it is added to, steady over time;
    in the whole picture where it is added to nothing. Empty where the instance is absent.

    Raises ValueError without a place, or without tracks, which say the size of the clip.
    """
    if bound.place is None or not tracks:
        raise ValueError("nothing says where it is added")
    region: MaskVideo = np.zeros_like(tracks[0].masks)
    height, width = region.shape[1:]
    x0, y0, x1, y1 = bound.place
    owners: list[tuple[NDArray[np.int64], Series]] = [
        (frames, _steady_boxes(tracks[at].masks, frames).astype(np.float64))
        for at in bound.instances
        if len(frames := np.flatnonzero(tracks[at].masks.any(axis=(1, 2))))
    ]
    everywhere = np.arange(len(region)), np.tile([0.0, 0.0, width, height], (len(region), 1))
    for frames, boxes in owners if bound.instances else [everywhere]:
        for frame, (left, top, right, bottom) in zip(frames, boxes, strict=True):
            columns = np.clip(np.rint([left + x0 * (right - left), left + x1 * (right - left)]), 0, width).astype(int)
            rows = np.clip(np.rint([top + y0 * (bottom - top), top + y1 * (bottom - top)]), 0, height).astype(int)
            region[frame, rows[0] : rows[1], columns[0] : columns[1]] = True
    return region


def grow(video: MaskVideo, shape: Shape, margin: float) -> MaskVideo:
    """The masks with their hull or box filled and a margin around it: `margin` times the root of the smoothed area.

    Growth never shrinks a mask; an empty one stays empty. Boxes are smoothed over time, outwards only.
    """
    frames = np.flatnonzero(video.any(axis=(1, 2)))
    grown = video.copy()
    if not len(frames):
        return grown
    radii_px = margin * _smooth(np.sqrt(video[frames].sum(axis=(1, 2), dtype=np.float64)), frames)
    boxes = _steady_boxes(video, frames) if shape is Shape.BOX else None
    for number, frame in enumerate(frames):
        whole = video[frame]
        if shape is Shape.HULL:
            whole = hull(whole)
        elif boxes is not None:
            x0, y0, x1, y1 = boxes[number]
            whole = whole.copy()
            whole[y0:y1, x0:x1] = True
        grown[frame] = masks.dilate(whole, round(float(radii_px[number]), 3)) | video[frame]
    return grown


def hull(mask: Mask) -> Mask:
    """The pixels whose centres lie in the convex hull of those of the mask, in whole numbers: mirrored input gives
    mirrored output."""
    box = masks.box_of(mask)
    if box is None:
        return mask.copy()
    x0, y0, x1, y1 = (int(side) for side in box)
    points = np.argwhere(mask[y0:y1, x0:x1])[:, ::-1].astype(np.int32)
    corners = cv2.convexHull(points).reshape(-1, 2).astype(np.int64)
    rows, columns = np.arange(y1 - y0)[:, None], np.arange(x1 - x0)[None, :]
    low, high = np.ones((y1 - y0, x1 - x0), np.bool_), np.ones((y1 - y0, x1 - x0), np.bool_)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        side = (bx - ax) * (rows - ay) - (by - ay) * (columns - ax)
        low &= side >= 0
        high &= side <= 0
    whole = mask.copy()
    whole[y0:y1, x0:x1] |= low | high  # whichever way round the corners are
    return whole


def _steady_boxes(video: MaskVideo, frames: NDArray[np.int64]) -> NDArray[np.int64]:
    """(F, 4) boxes x0, y0, x1, y1 that cover the masks' own and whose sides move smoothly."""
    own = np.array([masks.box_of(video[frame]) for frame in frames], np.float64)
    smooth = np.stack([_smooth(side, frames) for side in own.T], axis=1)
    low = np.minimum(own[:, :2], np.floor(smooth[:, :2] + _ROUNDING))
    high = np.maximum(own[:, 2:], np.ceil(smooth[:, 2:] - _ROUNDING))
    limit = [video.shape[2], video.shape[1]]
    return np.asarray(np.concatenate([np.clip(low, 0, limit), np.clip(high, 0, limit)], axis=1), dtype=np.int64)


def _smooth(values: Series, frames: NDArray[np.int64]) -> Series:
    """Gaussian mean over time; frames that are far away in time do not count."""
    weights = np.exp(-(np.subtract.outer(frames, frames) ** 2) / (2 * _SMOOTH_FRAMES**2))
    return np.asarray(weights @ values / weights.sum(axis=1), dtype=np.float64)


def keep_apart(grown: Mapping[int, MaskVideo], territories: Sequence[MaskVideo]) -> dict[int, MaskVideo]:
    """The grown masks, none on another instance's territory, and what two grew into divided: to each what is nearer.

    territories: the instances' own masks, which overlap nowhere; grown masks are numbered by them. Growth that a
    neighbour cuts off from its instance goes.
    """
    apart = dict(grown)
    everyone = np.logical_or.reduce(list(territories)) if territories else None
    if everyone is not None:
        apart = {position: video & (~everyone | territories[position]) for position, video in apart.items()}
    for frame in range(len(everyone) if everyone is not None else 0):
        here = [position for position, video in apart.items() if video[frame].any()]
        own = [territories[each][frame] for each in here]
        for position, part, mask in zip(here, _divided([apart[each][frame] for each in here], own), own, strict=True):
            apart[position][frame] = _attached(part, mask)
    return apart


def _divided(grown: Sequence[Mask], own: Sequence[Mask]) -> list[Mask]:
    """The masks without overlaps: a pixel that several grew into goes to the nearest of their instances."""
    claims = np.stack(grown) if grown else np.zeros((0, 1, 1), np.bool_)
    if not (claims.sum(axis=0) > 1).any():
        return list(grown)
    away = np.where(claims, np.stack([masks.distance_to(mask) for mask in own]), np.inf)
    nearest = away.argmin(axis=0)
    return [mask & (nearest == number) for number, mask in enumerate(grown)]


def _attached(mask: Mask, own: Mask) -> Mask:
    """The parts of a mask that hold something of the instance."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    if count <= 2:
        return mask
    holding = np.zeros(count, np.bool_)
    holding[np.unique(labels[own])] = True
    holding[0] = False
    return np.asarray(holding[labels], dtype=np.bool_)
