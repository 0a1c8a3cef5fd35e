"""What the embedded detector and segmenter both see in a passage: the individuals that move on their own.

Both roles need the same answer for the same footage, one right after the other; it is worked out once. A detector and
a segmenter with models of their own need none of this.
"""

from dataclasses import dataclass

import numpy as np

from schemas.video import Footage, Mask, Passage
from stages import confidence, foreground, instances, masks, segmentation
from stages.foreground import Foreground
from stages.instances import Instance


@dataclass(slots=True)
class Moving:
    """keys_at: per anchor (position in Footage.images), the number of its key; an individual per element."""

    found: Foreground | None
    individuals: list[Instance]
    keys_at: dict[int, int]


_latest: tuple[Passage, Moving] | None = None


def of(footage: Footage) -> Moving:
    """The individuals of a clip; none when its passage has fewer than two frames."""
    global _latest  # noqa: PLW0603
    if _latest is None or _latest[0] is not footage.passage:
        _latest = (footage.passage, _look(footage))
    return _latest[1]


def _look(footage: Footage) -> Moving:
    images, indices = footage.passage.images, footage.passage.indices
    if len(images) < 2:
        return Moving(None, [], {})
    positions = {anchor: indices.index(footage.indices[anchor]) for anchor in footage.anchors}
    found = foreground.find(images, set(positions.values()))
    keys_at = {anchor: found.keys.index(position) for anchor, position in positions.items()}
    return Moving(found, instances.follow(found), keys_at)


def mask_at(footage: Footage, moving: Moving, own: Instance, anchor: int) -> tuple[Mask, dict[str, float]]:
    """The mask of an individual in an anchor, at full size, and what speaks for it (`confidence.measure`)."""
    assert moving.found is not None
    number = moving.keys_at[anchor]
    rough = own.masks[number]
    others: Mask = np.zeros_like(rough)
    for other in moving.individuals:
        if other is not own and number in other.masks:
            others |= other.masks[number]
    mask = segmentation.refine(footage.images[anchor], rough, others, moving.found.evidence[number])
    return mask, confidence.measure(moving.found, own, number, masks.resize(mask, *rough.shape), others)
