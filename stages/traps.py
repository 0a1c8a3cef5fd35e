"""What would make a sample harmful to train on, measured: one function per trap, each a score.

The traps follow OpenSubject's verification (arXiv 2512.08294, stage 4). Thresholds live in VerificationThresholds;
stages/verification.py compares and names the reasons.
"""

from collections.abc import Callable, Sequence
from itertools import permutations

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.sample import Draft, Reference
from schemas.video import Image, Mask
from stages import alignment, augmentation, masks, search

Embed = Callable[[Sequence[tuple[Image, Mask]]], NDArray[np.float32]]

SAME_IOU = 0.5  # two masks of one picture that overlap this much are one subject
SPLIT_SHARE = 0.3  # a second part this large, of the largest, may be another subject
UNSEEN = 0.0  # the score of a trap that had nothing to look at


def background_leak(draft: Draft) -> tuple[float, float]:
    """(feature inlier share, share of found blocks), worst reference: does its background show the output's?"""
    around_output = ~_union(draft.output_masks + draft.scene_masks, draft.output)
    output_features = alignment.features(draft.output, around_output)
    shares, blocks = [UNSEEN], [UNSEEN]
    for reference in draft.references:
        around = ~masks.dilate(reference.mask, 0.02 * max(reference.mask.shape))
        found = alignment.agreement(alignment.features(reference.image, around), output_features)
        shares.append(found.share)
        blocks.append(alignment.found_blocks(reference.image, around, draft.output))
    return max(shares), max(blocks)


def copy_paste(draft: Draft) -> float:
    """Correlation left after the best similarity transform, worst reference, in [-1, 1].

    Both the reference and the source it was warped from are laid over the target, so that a warp hides no copy.
    """
    scores = [-1.0]
    for reference, target in zip(draft.references, draft.output_masks, strict=True):
        for image, mask in ((reference.image, reference.mask), (reference.source, reference.source_mask)):
            scores.append(alignment.align(image, mask, draft.output, target).ncc)
    return max(scores)


def handedness(reference: Reference) -> float:
    """How much better the reference fits its source straight than mirrored, in [-1, 1]; -1 when its warp mirrors.

    Both fits are similarities of positive determinant; a mirrored subject fits only after it is mirrored back.
    """
    if augmentation.min_determinant(np.asarray(reference.warp), reference.source_mask) <= 0:
        return -1.0
    mirrored_image, mirrored_mask = reference.image[:, ::-1], reference.mask[:, ::-1]
    straight = alignment.align(reference.image, reference.mask, reference.source, reference.source_mask).ncc
    flipped = alignment.align(mirrored_image, mirrored_mask, reference.source, reference.source_mask).ncc
    return straight - flipped


def measured_ratio(reference: Reference) -> float:
    """Area of the subject re-measured by colour over that of its mask within the source mask warped again.

    Above 1 it grew in synthesis; erosion before the warp takes nothing off.

    Two histograms in Lab (inside the mask, far outside) classify the pixels in between; what is subject-coloured and
    connected to the subject counts. Where the colours of both are alike nothing can be measured and the mask stands.
    """
    if not reference.mask.any():
        return 0.0
    reach = 0.25 * float(np.sqrt(masks.area_px(reference.mask)))
    near = masks.dilate(reference.mask, reach)
    crop = _crop(masks.box_of(masks.dilate(reference.mask, 2.5 * reach)))
    likely = _subject_likelihood(reference.image[crop], reference.mask[crop], ~near[crop])
    subject = (likely > 0) & near[crop]
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    opened = cv2.morphologyEx(subject.astype(np.uint8), cv2.MORPH_OPEN, kernel) > 0
    _, labels = cv2.connectedComponents(opened.astype(np.uint8), connectivity=4)
    touching = np.unique(labels[opened & reference.mask[crop]])
    grown = np.isin(labels, touching[touching > 0]) & ~masks.dilate(reference.mask, 2.0)[crop]
    # What was synthesised over the subject reads as background; holes by chance do not form solid patches.
    lost = cv2.morphologyEx((reference.mask[crop] & (likely < -1)).astype(np.uint8), cv2.MORPH_OPEN, kernel) > 0
    area = masks.area_px(reference.mask) + np.count_nonzero(grown) - np.count_nonzero(lost)
    return float(area / max(masks.area_px(reference.mask & _warp_mask(reference)), 1))


def _subject_likelihood(image: Image, inside: Mask, outside: Mask) -> NDArray[np.float32]:
    """Log ratio of two smoothed Lab histograms; 0 (unknown) where the colours of both overlap too much to tell."""
    lab = cv2.cvtColor(cv2.GaussianBlur(image, (5, 5), 0), cv2.COLOR_RGB2LAB)
    bins = lab // 16
    index = (bins[..., 0].astype(np.int32) * 16 + bins[..., 1]) * 16 + bins[..., 2]
    if not outside.any():
        return np.zeros(image.shape[:2], np.float32)
    subject, around = (_smooth_histogram(index[area]) for area in (inside, outside))
    if float(np.minimum(subject, around).sum()) > 0.45:
        return np.zeros(image.shape[:2], np.float32)
    ratio = np.log((subject + 1e-5) / (around + 1e-5))
    return np.asarray(ratio[index], np.float32)


def _smooth_histogram(index: NDArray[np.int32]) -> NDArray[np.float64]:
    counts = np.bincount(index, minlength=16**3).astype(np.float64).reshape(16, 16, 16)
    for axis in range(3):
        counts += 0.5 * (np.roll(counts, 1, axis) + np.roll(counts, -1, axis))
    return np.asarray(counts.reshape(-1) / counts.sum())


def two_subjects(draft: Draft, number: int) -> float:
    """Worst sign that reference `number` shows more than its subject, in [0, 1].

    Shared pixels with another reference's source mask; a mask of two separate large parts; any known subject found
    outside the mask.
    """
    reference = draft.references[number]
    others = [other for position, other in enumerate(draft.references) if position != number]
    scores = [_split(reference.mask)]
    scores += [
        _shared(reference.source_mask, other.source_mask) for other in others if _same(reference.source, other.source)
    ]
    forbidden = masks.dilate(reference.mask, 2.0)
    for known in [reference, *others]:
        places = search.sightings(known.image, known.mask, reference.image, forbidden)
        scores += [place.ncc for place in places]
    return max(scores)


def _split(mask: Mask) -> float:
    """Area of the second part over the largest when a gap lies between them, else 0."""
    solid = masks.dilate(mask, 0.05 * float(np.sqrt(max(masks.area_px(mask), 1))))
    parts = [masks.area_px(part & mask) for part in masks.components(solid)]
    parts.sort(reverse=True)
    return parts[1] / parts[0] if len(parts) > 1 and parts[1] > SPLIT_SHARE * parts[0] else 0.0


def _shared(a: Mask, b: Mask) -> float:
    return float(np.count_nonzero(a & b) / max(min(masks.area_px(a), masks.area_px(b)), 1))


def _same(a: Image, b: Image) -> bool:
    return a is b or (a.shape == b.shape and bool(np.array_equal(a, b)))


def identity(draft: Draft, embed: Embed) -> float:
    """Cosine between reference and source subject, worst reference."""
    subjects = [(reference.image, reference.mask) for reference in draft.references]
    sources = [(reference.source, reference.source_mask) for reference in draft.references]
    vectors = embed(subjects + sources)
    return float((vectors[: len(subjects)] * vectors[len(subjects) :]).sum(axis=1).min())


def binding_margin(draft: Draft, embed: Embed) -> float:
    """How much better each reference matches its own target than any other subject, and each target its reference.

    Reference x target similarity must be diagonal. 1 when there is nothing to confuse.
    """
    targets = list(draft.output_masks)
    targets += [mask for mask in draft.scene_masks if all(masks.iou(mask, own) < SAME_IOU for own in targets)]
    if len(targets) < 2:
        return 1.0
    num_references = len(draft.references)
    subjects = [(reference.image, reference.mask) for reference in draft.references]
    vectors = embed([*subjects, *((draft.output, mask) for mask in targets)])
    similarity = vectors[:num_references] @ vectors[num_references:].T
    margins = [
        float(similarity[own, own] - similarity[own, other])
        for own, other in permutations(range(len(targets)), 2)
        if own < num_references
    ]
    margins += [
        float(similarity[own, own] - similarity[other, own]) for own, other in permutations(range(num_references), 2)
    ]
    return min(margins)


def inexact_share(reference: Reference) -> float:
    """Share of the pixels under the mask that differ from the source warped again; must be 0."""
    size = (reference.mask.shape[1], reference.mask.shape[0])
    again = augmentation.warp_image(reference.source, np.asarray(reference.warp, np.float64), size)
    return different_share(reference.image, again, reference.mask)


def different_share(first: Image, second: Image, where: Mask) -> float:
    """Share of the pixels of `where` that differ; 1 when the sizes do, or when there is nothing to compare."""
    if first.shape != second.shape or not where.any():
        return 1.0
    different = (first != second).any(axis=2) & where
    return float(np.count_nonzero(different) / np.count_nonzero(where))


def _warp_mask(reference: Reference) -> Mask:
    size = (reference.mask.shape[1], reference.mask.shape[0])
    warp = np.asarray(reference.warp, np.float64)
    warped = cv2.warpPerspective(reference.source_mask.astype(np.float32), warp, size, flags=cv2.INTER_LINEAR)
    return np.asarray(warped >= 0.5, np.bool_)


def _union(parts: Sequence[Mask], image: Image) -> Mask:
    union: Mask = np.zeros(image.shape[:2], np.bool_)
    for part in parts:
        union |= part
    return union


def _crop(box: tuple[float, float, float, float] | None) -> tuple[slice, slice]:
    x0, y0, x1, y1 = (int(side) for side in box or (0, 0, 0, 0))
    return slice(y0, y1), slice(x0, x1)
