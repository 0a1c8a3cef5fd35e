"""Who is who from frame to frame: names that changed places in a clip are found, and given back where that is clear."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from schemas.tracks import InstanceTrack
from stages import masks
from stages.motion import Map
from stages.transport import Transport

_MEMORY_FRAMES = 12  # so long a mask is carried along, while nothing is seen of its instance
_CLEAR_GAIN = 0.15  # in IoU, per name that changes, for the change to be believed

Values = NDArray[np.float64]
Order = NDArray[np.int64]
"""(N,): per name, the number of the track that holds its mask."""


@dataclass(frozen=True, slots=True)
class Swap:
    """Names that changed places at a frame. repaired: False where it may have happened, but nothing tells."""

    frame: int
    names: tuple[str, ...]
    repaired: bool


def unswap(tracks: Sequence[InstanceTrack], transport: Transport) -> tuple[list[InstanceTrack], list[Swap]]:
    """Every mask given to the name whose last mask, carried along the flow, it covers; and where that changed anything.

    A change that agrees clearly better is believed. Where two masks fit both names about equally (they lay on each
    other), names stay, and the first such frame is reported as not repaired. A track keeps the name that most of its
    masks had. Nothing that was absent is made up, no mask is altered.
    """
    if len(tracks) < 2:
        return list(tracks), []
    present = np.stack([each.masks.any(axis=(1, 2)) for each in tracks])
    small = [
        {int(at): transport.reduced(each.masks[at]) for at in np.flatnonzero(there)}
        for each, there in zip(tracks, present, strict=True)
    ]
    orders, swaps = np.empty(present.shape, np.int64), []
    now, last = np.arange(len(tracks)), dict[int, int]()
    doubted: set[tuple[int, int]] = set()
    for frame in range(present.shape[1]):
        fits = _fits(small, transport, orders, last, frame)
        chosen = _best(fits, now)
        moved = [int(who) for who in np.flatnonzero(chosen != now) if present[[chosen[who], now[who]], frame].any()]
        if moved:
            swaps.append(Swap(frame, tuple(tracks[who].name for who in moved), repaired=True))
        now = chosen
        orders[:, frame] = now
        doubts = _doubts(fits, now)
        swaps += [Swap(frame, (tracks[a].name, tracks[b].name), repaired=False) for a, b in sorted(doubts - doubted)]
        doubted = doubts
        last |= {who: frame for who in range(len(tracks)) if present[now[who], frame]}
    return _renamed(tracks, _by_majority(orders, present)), swaps


def _fits(
    small: Sequence[dict[int, Map]], transport: Transport, orders: Order, last: dict[int, int], frame: int
) -> Values:
    """(names, tracks) IoU of each name's last mask, carried here, with each track's mask; NaN where there is none."""
    fits = np.full((len(small), len(small)), np.nan)
    here = [each[frame] > 0.5 if frame in each else None for each in small]
    for who, before in last.items():
        if frame - before <= _MEMORY_FRAMES:
            carried = transport.carry(small[orders[who, before]][before], before, frame) > 0.5
            fits[who] = [0.0 if mask is None else masks.iou(carried, mask) for mask in here]
    return fits


def _best(fits: Values, now: Order) -> Order:
    """The order that fits best, if clearly better than the one so far."""
    known = np.nan_to_num(fits)
    who = np.arange(len(now))
    favoured = known.copy()
    favoured[who, now] += 1e-6
    _, chosen = linear_sum_assignment(-favoured)
    gain = known[who, chosen].sum() - known[who, now].sum()
    changed = np.count_nonzero(chosen != now)
    return chosen if changed and gain > _CLEAR_GAIN * changed else now


def _doubts(fits: Values, now: Order) -> set[tuple[int, int]]:
    """Pairs of names whose masks would fit nearly as well the other way round."""
    found = set()
    for a in range(len(now)):
        for b in range(a + 1, len(now)):
            kept = fits[a, now[a]] + fits[b, now[b]]
            other = fits[a, now[b]] + fits[b, now[a]]
            if other > 0 and kept - other < 2 * _CLEAR_GAIN:
                found.add((a, b))
    return found


def _by_majority(orders: Order, present: NDArray[np.bool_]) -> Order:
    """(tracks, T): the rows of `orders` in the place of the track they mostly consist of."""
    count = len(orders)
    shared = np.array([[np.count_nonzero((row == own) & present[own]) for row in orders] for own in range(count)])
    shared = shared * 2 + np.eye(count, dtype=np.int64)  # as it is, when nothing speaks against it
    _, rows = linear_sum_assignment(-shared)
    return np.asarray(orders[rows], dtype=np.int64)


def _renamed(tracks: Sequence[InstanceTrack], orders: Order) -> list[InstanceTrack]:
    frames = np.arange(orders.shape[1])
    whole = [np.stack([getattr(each, field) for each in tracks]) for field in ("seen", "scores", "nearness")]
    renamed = []
    for own, (track, order) in enumerate(zip(tracks, orders, strict=True)):
        video = track.masks.copy()
        for frame in np.flatnonzero(order != own):
            video[frame] = tracks[order[frame]].masks[frame]
        seen, scores, nearness = (each[order, frames] for each in whole)
        renamed.append(replace(track, masks=video, seen=seen, scores=scores, nearness=nearness))
    return renamed
