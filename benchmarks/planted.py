"""A clean sample that faults are planted into, and what faults of several families are made with.

The faults are in `faults_*.py`, one file per family; `faults.py` names them all.
"""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from schemas.config import SynthesisConfig
from schemas.errors import BadInput
from schemas.sample import Draft, Neighbours, Reference
from schemas.video import Image, Mask
from stages import augmentation, masks

MILD, MEDIUM, SEVERE = 0, 1, 2


@dataclass(slots=True)
class Planted:
    """A drafted sample as verification sees it. adjacent: the frame next to B and the subject's mask in it."""

    draft: Draft
    words: dict[str, str]
    seed: int
    adjacent: Sequence[tuple[Image, Mask]] = ()
    near: Neighbours = field(default_factory=Neighbours)  # the frames around A
    strangers: Sequence[tuple[Image, Mask]] = ()  # subjects of other clips, known to nobody
    stored: dict[str, Image] | None = None  # the pictures as read back; None: as drafted

    def with_reference(self, **changes: object) -> "Planted":
        made = copy(self.draft)
        made.references = [replace(made.references[0], **changes), *made.references[1:]]  # type: ignore[arg-type]
        return replace(self, draft=made)

    def with_base(self, image: Image) -> "Planted":
        made = copy(self.draft)
        assert made.base is not None
        inside = masks.mask_of(made.base.box, *image.shape[:2])
        made.base = replace(made.base, image=np.where(inside[..., None], image, made.output))
        return replace(self, draft=made)


Fault = Callable[[Planted, int], Planted | None]
"""Takes a sample and a severity; gives the faulty sample, or None where the fault cannot be planted."""


def luck(sample: Planted) -> float:
    """A number in [0, 1) of the sample's own."""
    return float(np.random.default_rng(sample.seed).random())


def side_of(mask: Mask, share: float, sample: Planted) -> Mask:
    """The part of a mask on one side of a straight line, `share` of its area."""
    angle = 2 * np.pi * luck(sample)
    rows, columns = np.nonzero(mask)
    along = columns * np.cos(angle) + rows * np.sin(angle)
    chosen = along <= np.quantile(along, share)
    part = np.zeros_like(mask)
    part[rows[chosen], columns[chosen]] = True
    return part


def made_again(sample: Planted, source: Image, mask: Mask) -> Planted | None:
    """Reference 0 made from another picture or mask: same backdrop, consistent warp and bytes."""
    first = sample.draft.references[0]
    size = sample.draft.output.shape[1::-1]
    try:
        placement = augmentation.place(mask, size, SynthesisConfig(), sample.seed, 0)
    except BadInput:  # a fault that cannot be placed is not planted
        return None
    pixels, kept = augmentation.warp_subject(source, masks.erode(mask, 1), placement)
    if not kept.any():
        return None
    backdrop = cv2.resize(far_background(first), kept.shape[::-1])
    if source is not first.source:  # what stands still in another frame is not known
        sample = sample.with_reference(still=None)
    return sample.with_reference(
        image=np.where(kept[..., None], pixels, backdrop),
        mask=kept,
        source=source,
        source_mask=mask,
        warp=placement.warp.tolist(),
    )


def far_background(reference: Reference) -> Image:
    """The reference without its subject: Telea's inpainting, at a quarter of the size where it is fast."""
    hole = masks.dilate(reference.mask, 4)
    size = (max(hole.shape[1] // 4, 1), max(hole.shape[0] // 4, 1))
    small = cv2.resize(reference.image, size, interpolation=cv2.INTER_AREA)
    filled = cv2.inpaint(small, masks.resize(hole, size[1], size[0]).astype(np.uint8), 3, cv2.INPAINT_TELEA)
    large = cv2.resize(filled, hole.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.where(hole[..., None], large, reference.image), np.uint8)
