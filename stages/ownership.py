"""Whose a contested pixel is: what several instances of a frame claim goes to the nearer one, unless colours object."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.tracks import InstanceTrack
from schemas.video import Image, Mask
from stages import masks, segmentation

_WINDOW_FRAMES = 12  # before and after, over which the order of two instances is one
_COLOUR_STEPS = range(-12, 13, 4)  # frames that teach colours: in one alone two may be too much in each other's way
_DEPTH_VOTE = 0.5  # of a logarithm of colour likelihoods: twins are told by depth alone
_COLOUR_LIMIT = 4.0
_MIN_SOLE_PX = 40  # that only one of the two claims: fewer teach no colours


def share_out(tracks: Sequence[InstanceTrack], images: Sequence[Image]) -> list[InstanceTrack]:
    """The tracks with every pixel of a frame given to at most one of them; a pixel that one claims goes to one.

    Of two that claim a pixel the nearer has it, by depth over half a second before and after, so that noise of single
    frames does not flip the order; unless the pixel looks clearly more like the other where that one is alone. What
    was seen goes before what was filled in. images: all frames, at any size.
    """
    if len(tracks) < 2:
        return list(tracks)
    order = nearer(tracks)
    claims = np.stack([each.masks for each in tracks])
    shared = claims.copy()
    for frame in map(int, np.flatnonzero((shared.sum(axis=0, dtype=np.uint8) > 1).any(axis=(1, 2)))):
        seen = [bool(each.seen[frame]) for each in tracks]
        near = [frame + step for step in _COLOUR_STEPS if 0 <= frame + step < len(images)]
        near.sort(key=lambda at: at != frame)  # the frame itself first
        shared[:, frame] = _shared_at(claims[:, near], seen, order[:, :, frame], [images[at] for at in near])
    return [replace(each, masks=own) for each, own in zip(tracks, shared, strict=True)]


def nearer(tracks: Sequence[InstanceTrack]) -> NDArray[np.float32]:
    """(N, N, T): by how much the first is nearer than the second (median over a window); 0 where they never meet.

    Only frames in which both were seen tell; where a window has none, the nearest such frame does.
    """
    num_frames = len(tracks[0].seen)
    order = np.zeros((len(tracks), len(tracks), num_frames), np.float32)
    for a, b in combinations(range(len(tracks)), 2):
        both = np.flatnonzero(tracks[a].seen & tracks[b].seen)
        if not len(both):
            continue
        difference = (tracks[a].nearness - tracks[b].nearness)[both]
        for frame in range(num_frames):
            away = np.abs(both - frame)
            order[a, b, frame] = np.median(difference[away <= max(_WINDOW_FRAMES, int(away.min()))])
        order[b, a] = -order[a, b]
    return order


def _shared_at(
    near: NDArray[np.bool_], seen: Sequence[bool], order: NDArray[np.float32], images: Sequence[Image]
) -> NDArray[np.bool_]:
    """(N, H, W) masks of one frame without overlaps. near: (N, K, H, W), the claims of that frame and of some around
    it; images: theirs."""
    claims = near[:, 0]
    lost = np.zeros_like(claims)
    areas = claims.sum(axis=(1, 2))
    for a, b in combinations(range(len(claims)), 2):
        contested = claims[a] & claims[b]
        if not contested.any():
            continue
        if seen[a] != seen[b]:
            is_first: bool | Mask = seen[a]
        else:  # an order that nothing tells: the smaller is in front
            vote = float(np.sign(order[a, b])) or float(np.sign(areas[b] - areas[a])) or 1.0
            is_first = _looks_like(images, near, a, b) + _DEPTH_VOTE * vote > 0
        lost[a] |= contested & ~np.asarray(is_first)
        lost[b] |= contested & np.asarray(is_first)
    shared = claims & ~lost
    # Three may each lose to another: the one that is nearer than most has what nobody kept.
    nobody = claims.any(axis=0) & ~shared.any(axis=0)
    for each in np.argsort(-np.sign(order).sum(axis=1), kind="stable") if nobody.any() else ():
        shared[each] |= nobody & claims[each]
        nobody &= ~claims[each]
    return shared


def _looks_like(images: Sequence[Image], near: NDArray[np.bool_], a: int, b: int) -> NDArray[np.float32]:
    """(H, W) how much more a pixel of the first image looks like what only the first of two claims, in all of them,
    than like what only the second does."""
    others = np.delete(near, [a, b], axis=0).any(axis=0)
    height, width = images[0].shape[:2]
    sole = [
        np.vstack([masks.resize(each, height, width) for each in near[one] & ~near[two] & ~others])
        for one, two in ((a, b), (b, a))
    ]
    if min(masks.area_px(each) for each in sole) < _MIN_SOLE_PX:
        return np.zeros(near.shape[2:], np.float32)
    ratio = segmentation.colour_ratio(np.vstack(images), *sole)[:height]
    soft = cv2.blur(np.clip(ratio, -_COLOUR_LIMIT, _COLOUR_LIMIT), (5, 5))
    full = cv2.resize(soft, (near.shape[3], near.shape[2]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(full, dtype=np.float32)
