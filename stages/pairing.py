"""Diversity-aware pairing: which two frames show the same subjects most differently (OpenSubject, stage ii)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.config import MiningConfig
from schemas.subject import Pair, Subject
from schemas.video import Footage, Image, Mask
from stages import alignment, masks
from stages.linking import Identity

_SIDE_PX = 64
_MIN_WHOLE_SHARE = 0.8  # of a mask, in its largest piece
_WEIGHTS = {"pose": 0.45, "scale": 0.15, "place": 0.15, "time": 0.05, "background": 0.20}


@dataclass(frozen=True, slots=True)
class Candidate:
    """Two positions in Footage.images and the identities seen in both; position a becomes frame A."""

    a: int
    b: int
    identities: tuple[Identity, ...]
    similarity: float  # the least of its subjects
    confidence: float  # of the worst of its masks
    diversity: float


@dataclass(frozen=True, slots=True)
class View:
    """What two sights of a subject are compared by. centre: row and column as shares of the frame's diagonal; grey,
    silhouette: (S, S), its centroid in the middle and its area a fixed share; picture, covered: (S, S, 3) and (S, S),
    the whole frame and where the subject is in it.
    """

    seconds: float
    area_px: int
    centre: NDArray[np.float64]
    grey: NDArray[np.float32]
    silhouette: Mask
    picture: NDArray[np.float32]
    covered: Mask

    @classmethod
    def of(cls, image: Image, mask: Mask, seconds: float) -> "View":
        rows, columns = np.nonzero(mask)
        middle_px = np.array([rows.mean(), columns.mean()])
        centre = middle_px / np.hypot(*mask.shape)
        size = (_SIDE_PX, _SIDE_PX)
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        return cls(seconds, len(rows), centre, *_aligned(image, mask, middle_px), small, masks.resize(mask, *size))


def is_usable(mask: Mask, score: float, config: MiningConfig) -> bool:
    """Sure enough, neither too small nor too large, in one piece, and not cut off by the frame's border."""
    share = masks.area_px(mask) / mask.size
    return (
        score >= config.min_mask_score
        and config.min_area_share <= share <= config.max_area_share
        and masks.border_share(mask) <= config.max_border_share
        and _is_whole(mask)
    )


def _is_whole(mask: Mask) -> bool:
    """Is most of it one piece? Two pieces are two individuals, or one behind something."""
    parts = masks.components(mask)
    return masks.area_px(parts[0]) >= _MIN_WHOLE_SHARE * masks.area_px(mask)


def candidates(footage: Footage, identities: Sequence[Identity], config: MiningConfig) -> list[Candidate]:
    """Every pair of anchors with every usable identity alone, and with all that both frames share."""
    usable = {
        identity.name: {
            position for position, mask in identity.masks.items() if is_usable(mask, identity.scores[position], config)
        }
        for identity in identities
    }
    views = {
        (each.name, at): View.of(footage.images[at], each.masks[at], footage.seconds[at])
        for each in identities
        for at in usable[each.name]
    }
    span_seconds = max(footage.seconds[-1] - footage.seconds[0], 1e-6)
    found: list[Candidate] = []
    for a, b in combinations(footage.anchors, 2):
        shared = [each for each in identities if a in usable[each.name] and b in usable[each.name]]
        alike = [each for each in shared if _cosine(each, a, b) >= config.min_similarity]
        largest = sorted(alike, key=lambda each: (-masks.area_px(each.masks[a]), each.name))
        groups: list[tuple[Identity, ...]] = [(each,) for each in alike]
        groups += [tuple(largest[:number]) for number in range(2, min(len(largest), config.max_subjects_per_pair) + 1)]
        apart = {each.name: diversity(views[each.name, a], views[each.name, b], span_seconds) for each in alike}
        found += [_candidate(a, b, group, apart) for group in groups]
    return [each for each in found if each.diversity >= config.min_diversity]


def _cosine(identity: Identity, a: int, b: int) -> float:
    return float(np.clip(identity.embeddings[a] @ identity.embeddings[b], -1, 1))


def _candidate(a: int, b: int, group: tuple[Identity, ...], apart: Mapping[str, float]) -> Candidate:
    # References are cut out of A, and B only has to be looked at: A gets the surer masks.
    sure = {position: min(each.scores[position] for each in group) for position in (a, b)}
    if sure[b] > sure[a]:
        a, b = b, a
    return Candidate(
        a=a,
        b=b,
        identities=group,
        similarity=min(_cosine(each, a, b) for each in group),
        confidence=min(sure.values()),
        diversity=float(np.mean([apart[each.name] for each in group])),
    )


def diversity(one: View, other: View, span_seconds: float) -> float:
    """How differently two frames of footage that spans so long show a subject, in [0, 1]: pose (after alignment of the
    two silhouettes, so that a shifted or scaled copy counts as the same), scale, place, time and background."""
    parts = {
        "pose": _pose_difference(one, other),
        "scale": min(abs(float(np.log2(one.area_px / other.area_px))) / 2, 1.0),
        "place": min(2 * float(np.linalg.norm(one.centre - other.centre)), 1.0),
        "time": min(abs(one.seconds - other.seconds) / span_seconds, 1.0),
        "background": _background_difference(one, other),
    }
    return sum(_WEIGHTS[name] * value for name, value in parts.items())


def _pose_difference(one: View, other: View) -> float:
    """1 - the agreement of silhouette and of shading, after moving both subjects to the same centre and size."""
    both = one.silhouette & other.silhouette
    if both.sum() < 16:
        return 1.0
    first, second = (each.grey[both] - each.grey[both].mean() for each in (one, other))
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    correlation = max(float(first @ second) / norm, 0.0) if norm > 1e-6 else 1.0
    return float(np.clip(1 - 0.5 * (masks.iou(one.silhouette, other.silhouette) + correlation), 0, 1))


def _aligned(image: Image, mask: Mask, middle_px: NDArray[np.float64]) -> tuple[NDArray[np.float32], Mask]:
    """Grey values and mask of a subject, its centroid at the centre of a square and its area a fixed share of it."""
    scale = _SIDE_PX * 0.5 / float(np.sqrt(masks.area_px(mask)))
    row, column = _SIDE_PX / 2 - scale * middle_px
    move, size = np.array([[scale, 0, column], [0, scale, row]]), (_SIDE_PX, _SIDE_PX)
    grey = cv2.warpAffine(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), move, size, flags=cv2.INTER_AREA)
    shape = cv2.warpAffine(mask.astype(np.float32), move, size, flags=cv2.INTER_LINEAR) >= 0.5
    return cv2.GaussianBlur(grey.astype(np.float32), (3, 3), 0), np.asarray(shape, dtype=np.bool_)


def _background_difference(one: View, other: View) -> float:
    """Mean difference of the two pictures where neither shows the subject, in [0, 1] (1: a fifth of the range)."""
    outside = ~(one.covered | other.covered)
    if not outside.any():
        return 0.0
    return min(float(np.abs(one.picture - other.picture)[outside].mean()) / 51, 1.0)


def choose(footage: Footage, found: Sequence[Candidate], config: MiningConfig) -> list[Candidate]:
    """At most `max_pairs_per_clip` by greedy maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998).

    Relevance: similarity and confidence against diversity, `diversity_weight` of the latter; redundancy: frames and
    identities shared with pairs already chosen. The best pair of several subjects is among them when there is one.
    Pairs in which a subject is the same picture but for scale, turn and place are passed over: a model would learn to
    copy.
    """
    left = sorted(found, key=lambda each: (each.a, each.b, [identity.name for identity in each.identities]))
    chosen: list[Candidate] = []
    while left and len(chosen) < config.max_pairs_per_clip:
        # One subject or several: kinds not yet represented go first.
        kinds = {len(each.identities) > 1 for each in chosen}
        waiting = [each for each in left if (len(each.identities) > 1) not in kinds] or left
        best = max(waiting, key=lambda each: _relevance(each, config) - 0.5 * _redundancy(each, chosen))
        left.remove(best)
        if not _is_copy(footage, best, config.max_alike):
            chosen.append(best)
    return chosen


def _is_copy(footage: Footage, candidate: Candidate, max_alike: float) -> bool:
    a, b = candidate.a, candidate.b
    return any(
        alignment.align(footage.images[a], each.masks[a], footage.images[b], each.masks[b]).ncc > max_alike
        for each in candidate.identities
    )


def _relevance(candidate: Candidate, config: MiningConfig) -> float:
    weight = config.diversity_weight
    return (1 - weight) * candidate.similarity * candidate.confidence + weight * candidate.diversity


def _redundancy(candidate: Candidate, chosen: Sequence[Candidate]) -> float:
    return max((_overlap(candidate, other) for other in chosen), default=0.0)


def _overlap(one: Candidate, other: Candidate) -> float:
    frames = len({one.a, one.b} & {other.a, other.b}) / 2
    names, others = ({identity.name for identity in each.identities} for each in (one, other))
    return 0.5 * frames + 0.5 * len(names & others) / len(names | others)


def pair_of(candidate: Candidate, footage: Footage) -> Pair:
    """The pair in numbers of the source: boxes and run-length masks per subject, largest subject of A first."""
    ordered = sorted(candidate.identities, key=lambda each: (-masks.area_px(each.masks[candidate.a]), each.name))
    return Pair(
        frame_a=footage.indices[candidate.a],
        frame_b=footage.indices[candidate.b],
        seconds_a=footage.seconds[candidate.a],
        seconds_b=footage.seconds[candidate.b],
        subjects=[_subject(each, candidate.a, candidate.b) for each in ordered],
        diversity=candidate.diversity,
    )


def _subject(identity: Identity, a: int, b: int) -> Subject:
    boxes = masks.box_of(identity.masks[a]), masks.box_of(identity.masks[b])
    assert boxes[0] is not None
    assert boxes[1] is not None
    return Subject(
        identity=identity.name,
        category=identity.category,
        box_a=boxes[0],
        box_b=boxes[1],
        mask_a=masks.encode(identity.masks[a]),
        mask_b=masks.encode(identity.masks[b]),
        similarity=_cosine(identity, a, b),
    )
