"""Who is who across frames: tracks become identities by appearance and space-time (OpenSubject, stage ii)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from schemas.subject import Embedding, Track
from schemas.video import Mask
from stages import masks

_SPACE_WEIGHT = 0.15  # a jump across the whole frame costs as much as this much similarity
_NEVER = 1e6


@dataclass(slots=True)
class Identity:
    """One individual: its masks, their scores and descriptors, keyed by position in Footage.images."""

    name: str
    category: str
    masks: dict[int, Mask] = field(default_factory=dict)
    scores: dict[int, float] = field(default_factory=dict)
    embeddings: dict[int, Embedding] = field(default_factory=dict)

    def take(self, track: Track, embeddings: dict[int, Embedding]) -> None:
        self.masks.update(track.masks)
        self.scores.update(track.scores)
        self.embeddings.update(embeddings)


def link(tracks: Sequence[Track], embeddings: Sequence[dict[int, Embedding]], min_similarity: float) -> list[Identity]:
    """Joins tracks into identities; a track stays whole, and two tracks seen in the same frame are never the same.

    Tracks are taken in the order in which they begin; those that begin together are assigned to the identities known
    so far at least total cost (Hungarian), the rest found new ones. Names are category and number, in order of
    appearance. `embeddings` holds, per track, a unit vector for every mask of it.
    """
    identities: list[Identity] = []
    starts = sorted({min(track.masks) for track in tracks if track.masks})
    for start in starts:
        fresh = [position for position, track in enumerate(tracks) if track.masks and min(track.masks) == start]
        chosen = _assign([(tracks[each], embeddings[each]) for each in fresh], identities, min_similarity)
        for each, known in zip(fresh, chosen, strict=True):
            identity = known or _newcomer(tracks[each].category, identities)
            if known is None:
                identities.append(identity)
            identity.take(tracks[each], embeddings[each])
    return identities


def _newcomer(category: str, identities: Sequence[Identity]) -> Identity:
    number = sum(other.category == category for other in identities) + 1
    return Identity(f"{category}_{number}", category)


def _assign(
    fresh: Sequence[tuple[Track, dict[int, Embedding]]], identities: Sequence[Identity], min_similarity: float
) -> list[Identity | None]:
    if not identities:
        return [None] * len(fresh)
    cost = np.full((len(fresh), len(identities)), _NEVER)
    for row, (track, vectors) in enumerate(fresh):
        for column, identity in enumerate(identities):
            alike = similarity(vectors, identity.embeddings)
            together = track.masks.keys() & identity.masks.keys()
            if track.category == identity.category and not together and alike >= min_similarity:
                cost[row, column] = 1 - alike + _SPACE_WEIGHT * _jump(track, identity)
    rows, columns = linear_sum_assignment(cost)
    chosen: list[Identity | None] = [None] * len(fresh)
    for row, column in zip(rows, columns, strict=True):
        if cost[row, column] < _NEVER:
            chosen[row] = identities[column]
    return chosen


def similarity(some: dict[int, Embedding], others: dict[int, Embedding]) -> float:
    """The best cosine between two sets of unit vectors, in [-1, 1]: poses differ, one good match is enough."""
    one, other = np.stack(list(some.values())), np.stack(list(others.values()))
    return float(np.clip((one @ other.T).max(), -1, 1))


def _jump(track: Track, identity: Identity) -> float:
    """How far a subject would have moved and grown between its nearest two masks, about 0..2."""
    first, last = min(
        ((position, known) for position in track.masks for known in identity.masks),
        key=lambda pair: (abs(pair[0] - pair[1]), pair),
    )
    one, other = track.masks[first], identity.masks[last]
    distance = float(np.linalg.norm(_centre(one) - _centre(other)) / np.hypot(*one.shape))
    growth = abs(np.log((masks.area_px(one) + 1) / (masks.area_px(other) + 1)))
    return distance + 0.25 * float(min(growth, 4.0))


def _centre(mask: Mask) -> NDArray[np.float64]:
    rows, columns = np.nonzero(mask)
    return np.array([rows.mean(), columns.mean()]) if len(rows) else np.zeros(2)


def match(
    some: Sequence[Identity], others: Sequence[Identity], min_similarity: float, margin: float
) -> list[tuple[Identity, Identity, float]]:
    """Who of `some` is who of `others` by appearance alone, with the similarity of each match.

    Only mutual best matches of one category count, and only those that beat every other candidate on both sides by
    `margin`: of two look-alikes neither is taken.
    """
    alike = np.full((len(some), len(others)), -1.0)
    for row, one in enumerate(some):
        for column, other in enumerate(others):
            if one.category == other.category:
                alike[row, column] = similarity(one.embeddings, other.embeddings)
    found = []
    for row, column in zip(*np.nonzero(alike >= min_similarity), strict=True):
        best = float(alike[row, column])
        rivals = np.concatenate([np.delete(alike[row], column), np.delete(alike[:, column], row)])
        if not len(rivals) or best - rivals.max() >= margin:
            found.append((some[row], others[column], best))
    return found
