"""Planted faults of the reference's subject: a copy, mirrored, redrawn, somebody else, too large, in part."""

import cv2
import numpy as np
from planted import MEDIUM, MILD, Planted, far_background, luck, made_again, side_of

from schemas.sample import Reference
from schemas.video import Image, Mask
from stages import masks


def copy_of_output(sample: Planted, severity: int) -> Planted | None:
    """The reference is made from the output itself (severe), from it after blur, gain and noise (medium), or from the
    frame next to it (mild)."""
    draft = sample.draft
    if severity == MILD:
        return made_again(sample, *sample.adjacent[0]) if sample.adjacent else None
    image = draft.output
    if severity == MEDIUM:
        noise = np.random.default_rng(sample.seed).normal(0, 6, image.shape)
        soft = cv2.GaussianBlur(image, (0, 0), 1.2).astype(np.float64)
        image = np.clip(soft * np.array([1.1, 0.95, 0.85]) + 8 + noise, 0, 255).astype(np.uint8)
    return made_again(sample, image, draft.output_masks[0])


def mirrored(sample: Planted, severity: int) -> Planted:
    """The reference's subject is flipped under a warp that does not say so; blurred (medium), recoloured (mild) too."""
    first = sample.draft.references[0]
    image, mask = first.image[:, ::-1].copy(), first.mask[:, ::-1].copy()
    if severity <= MEDIUM:
        image = np.where(mask[..., None], cv2.GaussianBlur(image, (0, 0), 2.0), image)
    if severity == MILD:
        image = _recoloured(image, mask, 12.0, sample)
    return sample.with_reference(image=image, mask=mask)


def drift(sample: Planted, severity: int) -> Planted:
    """The subject was redrawn: its colours moved by 8, 16 or 32 (CIE Lab) and its shape bent by 2, 4 or 8 % of its
    size."""
    first = sample.draft.references[0]
    bent = _bent(first, (0.02, 0.04, 0.08)[severity], sample)
    image = _recoloured(bent, first.mask, (8.0, 16.0, 32.0)[severity], sample)
    return sample.with_reference(image=np.where(first.mask[..., None], image, first.image))


def another_individual(sample: Planted, severity: int) -> Planted | None:
    """Frame A shows somebody else: a subject of another clip (severe), that subject in the true one's colours (medium),
    or the true one recoloured by 25 (mild), with masks and warp that are all consistent."""
    first = sample.draft.references[0]
    if severity == MILD:
        return made_again(sample, _recoloured(first.source, first.source_mask, 25.0, sample), first.source_mask)
    if not sample.strangers:
        return None
    lender, mask = sample.strangers[0]
    if severity == MEDIUM:
        own = first.source[first.source_mask].astype(np.float64)
        theirs = lender[mask].astype(np.float64)
        scaled = (lender - theirs.mean(axis=0)) / (theirs.std(axis=0) + 1) * own.std(axis=0) + own.mean(axis=0)
        lender = np.clip(scaled, 0, 255).astype(np.uint8)
    return made_again(sample, lender, mask)


def expanded(sample: Planted, severity: int) -> Planted:
    """The editor went on painting the subject beyond its mask: its area grew by 40, 70 or 120 %."""
    first = sample.draft.references[0]
    grow = float(np.sqrt(1 + (0.4, 0.7, 1.2)[severity]))
    x0, y0, x1, y1 = masks.box_of(first.mask) or (0, 0, 1, 1)
    move = cv2.getRotationMatrix2D(((x0 + x1) / 2, (y0 + y1) / 2), 0, grow)
    size = first.mask.shape[::-1]
    larger = cv2.warpAffine(first.image, move, size)
    where = (cv2.warpAffine(first.mask.astype(np.uint8), move, size) > 0) & ~first.mask
    return sample.with_reference(image=np.where(where[..., None], larger, first.image))


def painted_over(sample: Planted, severity: int) -> Planted:
    """A side of the subject, 25, 40 or 60 % of its area, was lost to background, and the mask does not say so."""
    first = sample.draft.references[0]
    lost = side_of(first.mask, (0.25, 0.4, 0.6)[severity], sample)
    filled = cv2.resize(far_background(first), first.mask.shape[::-1])
    return sample.with_reference(image=np.where(lost[..., None], filled, first.image))


def _recoloured(image: Image, mask: Mask, distance: float, sample: Planted) -> Image:
    """The pixels under the mask moved by `distance` in CIE Lab: mostly in a and b, as a wrong tint, a little in L."""
    angle = 2 * np.pi * luck(sample)
    shift = distance * np.array([0.3, np.cos(angle) * 0.95, np.sin(angle) * 0.95], np.float32)
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) + shift
    moved = np.clip(cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB) * 255, 0, 255).astype(np.uint8)
    return np.asarray(np.where(mask[..., None], moved, image), np.uint8)


def _bent(reference: Reference, share: float, sample: Planted) -> Image:
    """The reference bent smoothly by up to `share` of the subject's size."""
    height, width = reference.mask.shape
    rng = np.random.default_rng(sample.seed)
    reach = share * float(np.sqrt(masks.area_px(reference.mask)))
    field_y, field_x = (
        cv2.resize(
            rng.uniform(-reach, reach, (6, 6)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
        )
        for _ in range(2)
    )
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return np.asarray(cv2.remap(reference.image, columns + field_x, rows + field_y, cv2.INTER_LINEAR), np.uint8)
