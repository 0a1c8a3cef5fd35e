"""Temporal priors of an edit's masks: dropouts filled, flicker and noise voted out.

IMAGEdit (arXiv 2510.01186) calls this prior-based mask retargeting; its priors are not published. Ours are the flow
between neighbouring frames, and that subjects neither appear nor vanish in the middle of a picture.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.tracks import InstanceTrack, MaskVideo
from schemas.video import Mask
from stages import masks, segmentation
from stages.motion import Map
from stages.naming import Swap, unswap
from stages.transport import Transport, enlarged

MAX_GAP_FRAMES = 12  # half a second: who is away for longer has left
_MIN_LIFE_FRAMES = 3
_REACH_FRAMES = 3  # before and after, whose masks vote
_OWN_VOTE = 1.5  # against 1 for each neighbour
_MIN_SURVIVING = 0.3  # IoU of what both ends of a gap expect in its middle: less, and it was not there
_STRANGE = 0.5  # IoU with what both neighbours expect
_AGREED = 0.7  # of what they expect
_THREAD_SHARE = 0.035  # of the root of the mask's area: radius of a disc that fits into what may change
_SPECK_SHARE = 0.01  # of the mask
_SURE_PX = 4.0  # inside or outside of the outline: more says no more
_COLOUR_WEIGHT = 0.5
_COLOUR_LIMIT = 4.0
_RING_SHARE = 0.4  # of the root of the area: what counts as surroundings


def repair(tracks: Sequence[InstanceTrack], transport: Transport) -> tuple[list[InstanceTrack], list[Swap]]:
    """The tracks as they most likely were, and where names had changed places; see the single steps.

    Masks of different instances may overlap afterwards: `ownership.share_out` settles that. A track of which nothing
    is left is dropped.
    """
    named, swaps = unswap(tracks, transport)
    lasting = [without_flicker(each, transport) for each in named]
    filled = [fill(each, transport) for each in lasting if each.masks.any()]
    return [steady(each, transport) for each in filled], swaps


def without_flicker(track: InstanceTrack, transport: Transport) -> InstanceTrack:
    """The track without what shows up for less than three frames and is gone for long before and after, and without
    single masks that neither neighbour expects although they agree."""
    kept = track.masks.copy()
    for life in _lives(kept):
        if life[-1] - life[0] + 1 < _MIN_LIFE_FRAMES and len(kept) >= _MIN_LIFE_FRAMES:
            kept[life] = False
        for before, frame, after in zip(life, life[1:], life[2:], strict=False):
            if _is_strange(kept, before, frame, after, transport):
                kept[frame] = False
    return _with_masks(track, kept, track.seen)


def _lives(video: MaskVideo) -> list[list[int]]:
    """Frames that show the instance, apart wherever it is away for too long to be a dropout."""
    lives: list[list[int]] = []
    for frame in _present(video):
        if not lives or frame - lives[-1][-1] > MAX_GAP_FRAMES + 1:
            lives.append([])
        lives[-1].append(frame)
    return lives


def _is_strange(video: MaskVideo, before: int, frame: int, after: int, transport: Transport) -> bool:
    if after - before > 2 * _REACH_FRAMES or not video[before].any():
        return False
    if masks.iou(video[before], video[frame]) >= _STRANGE:
        return False  # cheap, and nearly always the answer
    own, one, other = (_carried(video, each, frame, transport) for each in (frame, before, after))
    return masks.iou(one, other) >= _AGREED and max(masks.iou(one, own), masks.iou(other, own)) < _STRANGE


def _carried(video: MaskVideo, start: int, end: int, transport: Transport) -> Mask:
    return np.asarray(transport.carry(transport.reduced(video[start]), start, end) > 0.5, dtype=np.bool_)


def fill(track: InstanceTrack, transport: Transport) -> InstanceTrack:
    """The track with its gaps of at most MAX_GAP_FRAMES filled in, which are then not `seen`.

    The masks on both sides are carried into the gap along the flow, and blended by their signed distances: the nearer
    in time counts more. Where they differ, colours count as well. If they have little in common in the middle, the
    instance was away, and stays so.
    """
    filled = track.masks.copy()
    for life in _lives(track.masks):
        for before, after in pairwise(life):
            if after - before > 1:
                filled[before + 1 : after] = _between(track.masks, before, after, transport)
    return _with_masks(track, filled, track.seen & track.masks.any(axis=(1, 2)))


def _between(video: MaskVideo, before: int, after: int, transport: Transport) -> MaskVideo:
    """(after - before - 1, H, W): the masks of the frames in between; empty ones where the two do not fit together."""
    span, middle = after - before, (before + after) // 2
    found: MaskVideo = np.zeros((span - 1, *video.shape[1:]), np.bool_)
    if masks.iou(*(_carried(video, each, middle, transport) for each in (before, after))) < _MIN_SURVIVING:
        return found
    for frame in range(before + 1, after):
        later = (frame - before) / span
        one, other = (_carried(video, each, frame, transport) for each in (before, after))
        if one.any() and other.any():
            inside = np.tanh(((1 - later) * _inside_px(one) + later * _inside_px(other)) / _SURE_PX)
            looks = _looks_like(video, before, frame, after, transport)
            inside = np.where(one ^ other, inside + _COLOUR_WEIGHT * looks, inside)
            found[frame - before - 1] = enlarged(inside.astype(np.float32), *video.shape[1:]) > 0
    return found


def _inside_px(mask: Mask) -> Map:
    """Signed distance that is finite for a mask that fills the frame."""
    return np.clip(masks.signed_distance(mask), -1e4, 1e4)


def _looks_like(video: MaskVideo, before: int, frame: int, after: int, transport: Transport) -> Map:
    """(h, w) how much more the colours of a frame are those of the instance than of its surroundings, as log likelihood
    ratio, learned from the frames on both sides of a gap."""
    ends = [transport.reduced(video[each]) > 0.5 for each in (before, after)]
    rings = [
        (away > 1) & (away < _RING_SHARE * np.sqrt(masks.area_px(end)))
        for end in ends
        for away in [masks.distance_to(end)]
    ]
    blank = np.zeros_like(ends[0])
    ratio = segmentation.colour_ratio(
        np.vstack([transport.images[each] for each in (before, frame, after)]),
        np.vstack([ends[0], blank, ends[1]]),
        np.vstack([rings[0], blank, rings[1]]),
    )
    own = np.clip(ratio[len(blank) : 2 * len(blank)], -_COLOUR_LIMIT, _COLOUR_LIMIT)
    return np.asarray(cv2.blur(own, (5, 5)), dtype=np.float32)


def steady(track: InstanceTrack, transport: Transport) -> InstanceTrack:
    """The track with every mask outvoted by its neighbours': what only one frame says is noise.

    Three frames before and three after vote with their masks, carried along the flow; a pixel belongs to the instance
    with half of the votes of the frames that show it. Only what is as thick as noise is changed: flow is not as exact
    as a good mask's outline. An instance that is not in the picture stays out of it.
    """
    voted = track.masks.copy()
    present = _present(track.masks)
    small = {frame: transport.reduced(track.masks[frame]) for frame in present}
    for frame in present:
        near = [each for each in range(frame - _REACH_FRAMES, frame + _REACH_FRAMES + 1) if each in small]
        votes = np.zeros_like(small[frame])
        for each in near:
            if each != frame:
                votes = votes + transport.carry(small[each], each, frame)
        all_votes = enlarged(votes, *voted.shape[1:]) + _OWN_VOTE * track.masks[frame]
        outcome = _without_specks(_thickly(track.masks[frame], all_votes > (_OWN_VOTE + len(near) - 1) / 2))
        if outcome.any():
            voted[frame] = outcome
    return _with_masks(track, voted, track.seen)


def _thickly(mask: Mask, voted: Mask) -> Mask:
    """The mask, changed to what was voted where the difference is more than a thread along the outline."""
    differs = mask ^ voted
    radius_px = _THREAD_SHARE * float(np.sqrt(masks.area_px(mask)))
    return np.asarray(mask ^ (masks.dilate(masks.erode(differs, radius_px), 2 * radius_px) & differs), dtype=np.bool_)


def _without_specks(mask: Mask) -> Mask:
    """Without small parts, and without small holes; a hull would take everything up to a speck along."""
    limit_px = int(_SPECK_SHARE * masks.area_px(mask))
    kept: Mask = np.zeros_like(mask)
    for part in masks.components(mask, limit_px + 1):
        kept |= part
    return masks.fill_holes(kept, limit_px)


def _present(video: MaskVideo) -> list[int]:
    return [int(frame) for frame in np.flatnonzero(video.any(axis=(1, 2)))]


def _with_masks(track: InstanceTrack, video: MaskVideo, seen: NDArray[np.bool_]) -> InstanceTrack:
    found = seen & video.any(axis=(1, 2))
    return replace(track, masks=video, seen=found, scores=np.where(found, track.scores, 0).astype(np.float32))
