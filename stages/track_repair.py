"""Temporal priors of an edit's masks: dropouts filled, flicker and noise voted out.

IMAGEdit (arXiv 2510.01186) calls this prior-based mask retargeting; its priors are not published. Ours are the flow
between neighbouring frames, and that subjects neither appear nor vanish in the middle of a picture.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from schemas.tracks import InstanceTrack, MaskVideo
from schemas.video import Mask
from stages import masks
from stages.motion import Map
from stages.naming import Swap, unswap
from stages.transport import Transport

MAX_GAP_FRAMES = 12  # half a second: who is away for longer has left
_MIN_LIFE_FRAMES = 3
_REACH_FRAMES = 2  # before and after, whose masks vote
_OWN_VOTE = 1.5  # against 1 for each neighbour: a frame keeps what two of four confirm
_MIN_SURVIVING = 0.3  # IoU of what both ends of a gap expect in its middle: less, and it was not there
_STRANGE = 0.5  # IoU with what both neighbours expect
_AGREED = 0.7  # of what they expect


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
    areas = [masks.area_px(video[each]) for each in (before, frame, after)]
    if areas[1] > _AGREED * min(areas[0], areas[2]) and _AGREED * areas[1] < max(areas[0], areas[2]):
        return False  # cheap, and nearly always the answer
    one, other = (transport.carry(video[each], each, frame) > 0.5 for each in (before, after))
    return masks.iou(one, other) >= _AGREED and max(masks.iou(one, video[frame]), masks.iou(other, video[frame])) < (
        _STRANGE
    )


def fill(track: InstanceTrack, transport: Transport) -> InstanceTrack:
    """The track with its gaps of at most MAX_GAP_FRAMES filled in, which are then not `seen`.

    The masks on both sides are carried into the gap along the flow, and blended by their signed distances: the nearer
    in time counts more. What both sides do not agree on was away, and stays so.
    """
    filled = track.masks.copy()
    for life in _lives(track.masks):
        for before, after in pairwise(life):
            if after - before > 1:
                filled[before + 1 : after] = _between(track.masks[before], track.masks[after], before, after, transport)
    return _with_masks(track, filled, track.seen & track.masks.any(axis=(1, 2)))


def _between(first: Mask, last: Mask, before: int, after: int, transport: Transport) -> MaskVideo:
    """(after - before - 1, H, W): the masks of the frames in between; empty ones where the two do not fit together."""
    span, middle = after - before, (before + after) // 2
    blank: MaskVideo = np.zeros((span - 1, *first.shape), np.bool_)
    if masks.iou(*(transport.carry(*each, middle) > 0.5 for each in ((first, before), (last, after)))) < _MIN_SURVIVING:
        return blank
    for frame in range(before + 1, after):
        later = (frame - before) / span
        one, other = transport.carry(first, before, frame) > 0.5, transport.carry(last, after, frame) > 0.5
        if one.any() and other.any():
            blank[frame - before - 1] = (1 - later) * _inside_px(one) + later * _inside_px(other) > 0
    return blank


def _inside_px(mask: Mask) -> Map:
    """Signed distance that is finite for a mask that fills the frame."""
    return np.clip(masks.signed_distance(mask), -1e4, 1e4)


def steady(track: InstanceTrack, transport: Transport) -> InstanceTrack:
    """The track with every mask outvoted by its neighbours': what only one frame says is noise.

    Two frames before and two after vote with their masks, carried along the flow; a pixel belongs to the instance with
    half of the votes of the frames that show it. An instance that is not in the picture stays out of it.
    """
    voted = track.masks.copy()
    present = set(_present(track.masks))
    for frame in present:
        near = [each for each in range(frame - _REACH_FRAMES, frame + _REACH_FRAMES + 1) if each in present]
        votes = sum(
            ((_OWN_VOTE if each == frame else 1.0) * transport.carry(track.masks[each], each, frame) for each in near),
            np.zeros(voted.shape[1:], np.float32),
        )
        outcome = votes > (_OWN_VOTE + len(near) - 1) / 2
        if outcome.any():
            voted[frame] = outcome
    return _with_masks(track, voted, track.seen)


def _present(video: MaskVideo) -> list[int]:
    return [int(frame) for frame in np.flatnonzero(video.any(axis=(1, 2)))]


def _with_masks(track: InstanceTrack, video: MaskVideo, seen: NDArray[np.bool_]) -> InstanceTrack:
    found = seen & video.any(axis=(1, 2))
    return replace(track, masks=video, seen=found, scores=np.where(found, track.scores, 0).astype(np.float32))
