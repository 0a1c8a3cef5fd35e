"""Who returns in a later shot of the same source, and which views of them make pairs (OpenSubject, stage ii).

No track connects shots: appearance alone decides, so what is not clearly the best match is no match.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from schemas.config import MiningConfig
from schemas.subject import Embedding
from schemas.video import Footage, Mask
from stages import linking, pairing
from stages.linking import Identity

MAX_SHOTS = 4
"""Shots of one subject that are paired with each other: the surest, so that a subject who is always there costs no
more than one who returns a few times."""

MAX_VIEWS = 2
"""Views per shot that are read for it."""


@dataclass(slots=True)
class Recurring:
    """One individual and the shots it is seen in. Scores and embeddings of its identities are keyed by source frame, so
    no two shots share a key."""

    seen: dict[int, Identity] = field(default_factory=dict)  # shot number -> who it is there

    @property
    def frames(self) -> dict[int, int]:
        """Source frame -> shot number, of the surest views of the surest shots."""
        surest = sorted(self.seen, key=lambda shot: (-max(self.seen[shot].scores.values()), shot))[:MAX_SHOTS]
        return {frame: shot for shot in sorted(surest) for frame in _surest(self.seen[shot])}


def _surest(identity: Identity) -> list[int]:
    return sorted(sorted(identity.scores, key=lambda frame: (-identity.scores[frame], frame))[:MAX_VIEWS])


def recurring(shots: Sequence[Sequence[Identity]], min_similarity: float, margin: float) -> list[Recurring]:
    """Individuals seen in more than one shot, from the identities of each shot: the surest first.

    Matches are taken best first. One that would make two identities of one shot the same individual is dropped.
    """
    likest = [linking.likest(shot) for shot in shots]
    matches = [
        (similarity, (one, a.name), (other, b.name))
        for one in range(len(shots))
        for other in range(one + 1, len(shots))
        for a, b, similarity in linking.match(
            shots[one], shots[other], (likest[one], likest[other]), min_similarity, margin
        )
    ]
    groups = {
        (number, identity.name): Recurring({number: identity})
        for number, identities in enumerate(shots)
        for identity in identities
    }
    matches.sort(key=lambda match: (-match[0], match[1:]))
    for _, first, second in matches:
        one, other = groups[first], groups[second]
        if not one.seen.keys() & other.seen.keys():
            one.seen |= other.seen
            for shot, identity in other.seen.items():
                groups[shot, identity.name] = one
    best_first = {id(group): group for _, first, _ in matches if len((group := groups[first]).seen) > 1}
    return list(best_first.values())


def pairs_of(
    subject: Recurring, shown: dict[int, Mask], footage: Footage, config: MiningConfig
) -> list[pairing.Candidate]:
    """The chosen pairs of a subject, each of two shots. `footage` holds the frames of `subject.frames`, `shown` the
    subject's mask in each of them, by source frame."""
    shot_of = subject.frames
    positions = {frame: position for position, frame in enumerate(footage.indices)}
    views = {frame: subject.seen[shot] for frame, shot in shot_of.items() if frame in positions}
    if not views:
        return []
    whole = Identity(
        next(iter(subject.seen.values())).name,
        next(iter(subject.seen.values())).category,
        {positions[frame]: shown[frame] for frame in views},
        {positions[frame]: identity.scores[frame] for frame, identity in views.items()},
        {positions[frame]: identity.embeddings[frame] for frame, identity in views.items()},
    )
    anchored = replace(footage, anchors=sorted(whole.masks))
    found = [
        each
        for each in pairing.candidates(anchored, [whole], config)
        if shot_of[footage.indices[each.a]] != shot_of[footage.indices[each.b]]
    ]
    return pairing.choose(anchored, found, config)


def packed(embedding: Embedding) -> bytes:
    """A descriptor as it is stored: float16, little-endian."""
    return embedding.astype("<f2").tobytes()


def unpacked(data: bytes) -> Embedding:
    """A stored descriptor, of length 1 again."""
    vector = np.frombuffer(data, "<f2").astype(np.float32)
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), dtype=np.float32)
