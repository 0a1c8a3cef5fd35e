"""Who stands still is still there: masks from motion end when their subject stops, though nothing left the picture."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from schemas.tracks import InstanceTrack
from schemas.video import Mask
from stages import masks, motion
from stages.motion import Map
from stages.transport import Transport, enlarged

_ALIKE_LEVELS = 16.0  # mean over the channels: light that wavers, coding
_MIN_ALIKE = 0.75  # of the mask's pixels; who breathes and looks around changes the others
_MAX_BORDER_SHARE = 0.02  # of the mask's outline: a little noise
_MIN_STANDING = 0.5  # IoU with the mask it is compared with: who moves on is followed by others


def stay(track: InstanceTrack, transport: Transport) -> InstanceTrack:
    """The track with its gaps of any length filled in, from both ends, for as long as the picture where it was stays
    the same; such frames are not `seen`.

    A subject that went away leaves other colours behind. At the border of the picture nothing is filled in: there it
    may have left, over ground that looks the same all along.
    """
    there = track.masks.any(axis=(1, 2))
    filled = track.masks.copy()
    for before, after in pairwise(map(int, np.flatnonzero(there))):
        forwards, backwards = range(before + 1, after), range(after - 1, before, -1)
        reached = _reach(track.masks[after], after, backwards, transport)
        reached |= {  # the nearer end has a frame that both reach
            at: mask
            for at, mask in _reach(track.masks[before], before, forwards, transport).items()
            if at not in reached or at - before <= after - at
        }
        for at, mask in reached.items():
            filled[at] = mask
    return replace(track, masks=filled, seen=track.seen & there)


def _reach(mask: Mask, end: int, frames: Sequence[int], transport: Transport) -> dict[int, Mask]:
    """The mask of frame `end` in each of `frames`, up to the first that shows something else there."""
    reached: dict[int, Mask] = {}
    if not frames or masks.border_share(mask) > _MAX_BORDER_SHARE:
        return reached
    small = transport.reduced(mask)
    for frame in frames:
        still = _still(small, end, frame, transport)
        if still is None:
            break
        reached[frame] = np.asarray(enlarged(still, *mask.shape) > 0.5, dtype=np.bool_)
    return reached


def _still(small: Map, end: int, frame: int, transport: Transport) -> Map | None:
    """(h, w) the reduced mask of one frame where another has it; None when the picture is another there."""
    flow = motion.flow_between(transport.images[frame], transport.images[end])
    moved, before = motion.warp(small, flow), small > 0.5
    now = moved > 0.5
    if not now.any() or masks.iou(now, before) < _MIN_STANDING:
        return None
    change = np.abs(motion.warp(transport.images[end], flow) - transport.images[frame]).mean(axis=2)
    return moved if float((change[now] < _ALIKE_LEVELS).mean()) >= _MIN_ALIKE else None
