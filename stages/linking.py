"""Who is who across frames and shots (OpenSubject, stage ii).

Within a shot an unbroken track is the evidence: it stays one individual. Appearance joins what was interrupted, where
place agrees, and finds who returns in another shot; it must be clear then, since a wrong pair teaches a model that one
dog is another. Whoever has a look-alike nearby is left alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.subject import Embedding, Track
from schemas.video import Mask
from stages import masks

_REACH = 0.75  # of a subject's side: how far away it may go on
_MAX_GROWTH = 1.5  # of its area meanwhile
_SUDDEN = 1.8  # growth of an area from sight to sight that is no approach
_BEST_VIEWS = 3  # of two sets of views that are compared: poses differ, a few good matches are enough


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


def unbroken(tracks: Sequence[Track]) -> list[Track]:
    """The tracks, cut wherever the mask grows or shrinks too much from one sight to the next: there one has run into
    another, or out of it, and who goes on under the track's name is anyone's guess."""
    whole: list[Track] = []
    for track in tracks:
        pieces: list[list[int]] = []
        for position in sorted(track.masks):
            if not pieces or _is_sudden(track.masks[pieces[-1][-1]], track.masks[position]):
                pieces.append([])
            pieces[-1].append(position)
        whole += [
            Track(track.category, {at: track.masks[at] for at in piece}, {at: track.scores[at] for at in piece})
            for piece in pieces
        ]
    return whole


def _is_sudden(mask: Mask, following: Mask) -> bool:
    areas = sorted((masks.area_px(mask), masks.area_px(following)))
    return areas[1] > _SUDDEN * max(areas[0], 1)


def link(
    tracks: Sequence[Track],
    embeddings: Sequence[dict[int, Embedding]],
    min_similarity: float,
    margin: float,
    anywhere: bool = False,
) -> list[Identity]:
    """Joins tracks into identities; a track stays whole, and two tracks seen in the same frame are never the same.

    The most similar tracks are joined first, if they are of one category, alike by `min_similarity`, and one goes on
    about where the other stopped: a look-alike that stood still all the while may never have been found, so appearance
    alone is not enough. Nor is both when a look-alike is seen: somebody beside one of the two, and so somebody else,
    who is as similar to the other but for `margin`. anywhere: who left the picture may come back in another place.
    Names are category and number, in order of appearance. `embeddings`
    holds, per track, a unit vector for every mask of it.
    """
    some = [position for position, track in enumerate(tracks) if track.masks]
    alike = _similarities(tracks, embeddings, some)
    together = {(a, b): bool(tracks[a].masks.keys() & tracks[b].masks.keys()) for a in some for b in some}
    group_of = {each: [each] for each in some}
    order = sorted((-alike[a, b], a, b) for a in some for b in some if a < b and alike[a, b] >= min_similarity)
    for negative, a, b in order:
        one, other = group_of[a], group_of[b]
        if one is other or any(together[x, y] for x in one for y in other):
            continue
        if (anywhere or _goes_on(tracks, one, other)) and not _has_rival(
            one, other, -negative - margin, alike, together
        ):
            one += other
            group_of.update(dict.fromkeys(other, one))
    return _named(tracks, embeddings, list({id(group): sorted(group) for group in group_of.values()}.values()))


Pairwise = dict[tuple[int, int], float]


def _similarities(tracks: Sequence[Track], embeddings: Sequence[dict[int, Embedding]], some: Sequence[int]) -> Pairwise:
    """Of every two tracks; -1 for those of different categories."""
    return {
        (a, b): similarity(embeddings[a], embeddings[b]) if tracks[a].category == tracks[b].category else -1.0
        for a in some
        for b in some
    }


def _goes_on(tracks: Sequence[Track], one: Sequence[int], other: Sequence[int]) -> bool:
    """Are the two nearest masks of both groups in about the same place, and of about the same size?"""
    seen, seen_of_other = (
        {at: mask for each in group for at, mask in tracks[each].masks.items()} for group in (one, other)
    )
    _, first, last = min((abs(a - b), a, b) for a in seen for b in seen_of_other)
    a, b = seen[first], seen_of_other[last]
    sizes = sorted((float(masks.area_px(a)), float(masks.area_px(b))))
    reach = _REACH * float(np.sqrt(sizes[1]))
    return sizes[1] <= _MAX_GROWTH * sizes[0] and float(np.linalg.norm(_centre(a) - _centre(b))) <= reach


def _centre(mask: Mask) -> NDArray[np.float64]:
    rows, columns = np.nonzero(mask)
    return np.array([rows.mean(), columns.mean()]) if len(rows) else np.zeros(2)


def _has_rival(
    one: Sequence[int],
    other: Sequence[int],
    least: float,
    alike: Pairwise,
    together: dict[tuple[int, int], bool],
) -> bool:
    """Is somebody who stands beside one of the two groups as similar to the other group as `least`?"""
    for mine, theirs in ((one, other), (other, one)):
        beside = {z for (z, y), both in together.items() if both and y in theirs and z not in theirs}
        if any(alike[x, z] > least for x in mine for z in beside - set(mine)):
            return True
    return False


def _named(
    tracks: Sequence[Track], embeddings: Sequence[dict[int, Embedding]], groups: Sequence[Sequence[int]]
) -> list[Identity]:
    identities: list[Identity] = []
    for group in sorted(groups, key=lambda group: (min(min(tracks[each].masks) for each in group), group)):
        category = tracks[group[0]].category
        number = sum(other.category == category for other in identities) + 1
        identity = Identity(f"{category}_{number}", category)
        for each in group:
            identity.take(tracks[each], embeddings[each])
        identities.append(identity)
    return identities


def similarity(some: dict[int, Embedding], others: dict[int, Embedding]) -> float:
    """How alike two sets of unit vectors are, in [-1, 1]: the mean of the best cosines, each view taken once."""
    one, other = np.stack(list(some.values())), np.stack(list(others.values()))
    cosines: NDArray[np.float32] = one @ other.T
    best: list[float] = []
    while len(best) < _BEST_VIEWS and cosines.size:
        row, column = np.unravel_index(int(cosines.argmax()), cosines.shape)
        best.append(float(cosines[row, column]))
        cosines = np.delete(np.delete(cosines, row, 0), column, 1)
    return float(np.clip(np.mean(best), -1, 1))


def likest(identities: Sequence[Identity]) -> list[float]:
    """How like each of them its likest other is, in [-1, 1]; -1 for one without another of its category."""
    alike = _across(identities, identities) - 2 * np.eye(len(identities))
    return [float(row.max(initial=-1.0)) for row in alike]


def match(
    some: Sequence[Identity],
    others: Sequence[Identity],
    likest_of: tuple[Sequence[float], Sequence[float]],
    min_similarity: float,
    margin: float,
) -> list[tuple[Identity, Identity, float]]:
    """Who of `some` is who of `others` by appearance alone, with the similarity of each match. likest_of: `likest` of
    both.

    Only mutual best matches of one category count, and only those that beat every other candidate on both sides by
    `margin`, and that are not so similar to anybody of their own side: of two look-alikes neither is taken.
    """
    alike = _across(some, others)
    found = []
    for row, column in zip(*np.nonzero(alike >= min_similarity), strict=True):
        best = float(alike[row, column])
        rivals = np.concatenate([np.delete(alike[row], column), np.delete(alike[:, column], row)])
        if best - max(rivals.max(initial=-1.0), likest_of[0][row], likest_of[1][column]) >= margin:
            found.append((some[row], others[column], best))
    return found


def _across(some: Sequence[Identity], others: Sequence[Identity]) -> NDArray[np.float64]:
    alike = np.full((len(some), len(others)), -1.0)
    for row, one in enumerate(some):
        for column, other in enumerate(others):
            if one.category == other.category:
                alike[row, column] = similarity(one.embeddings, other.embeddings)
    return alike
