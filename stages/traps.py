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
SPLIT_SHARE = 0.15  # a second part this large, of the largest, may be another subject
RING = 0.15  # width of the ring a subject may have grown into, of the square root of its area
MIN_CONTRAST = 0.3  # between how often subject and background look like the subject
MAX_STEPS = 0.87  # share of the outline
COLOR_BIN, NUM_BINS = 12, 22  # Lab values per bin, bins per channel
CANDIDATES = 3  # places of a reference, per known subject, that are looked at closely


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


def measured_ratios(reference: Reference) -> tuple[float, float]:
    """(kept, grown): the subject's area re-measured by colour, over that of its mask in the source mask warped again.

    kept <= 1 counts what is lost under the mask, grown what was added around it; erosion before the warp takes nothing
    off. A histogram of the source subject against one of the distant background calls each pixel subject-like or not.
    The share of a region that truly is subject follows from how often that is so in both (Rogan and Gladen 1978).
    Where the colours of both are too alike nothing can be measured, and the mask stands.
    """
    mask = reference.mask
    area = masks.area_px(mask)
    if not area:
        return 0.0, 0.0
    scale = area / max(masks.area_px(mask & _warp_mask(reference)), 1)
    reach = RING * float(np.sqrt(area))
    ring = masks.dilate(mask, 2 + reach) & ~masks.dilate(mask, 2)
    far = masks.dilate(mask, 2 + 5 * reach) & ~masks.dilate(mask, 2 + 2.5 * reach)
    if np.count_nonzero(far) < 500 or not ring.any():
        return scale, scale
    colors, source = _color_index(reference.image), _color_index(reference.source)[reference.source_mask]
    likeness = np.log((_smooth_histogram(source) + 1e-5) / (_smooth_histogram(colors[far]) + 1e-5)) > 0
    on_subject, on_far = float(likeness[source].mean()), float(likeness[colors[far]].mean())
    contrast = on_subject - on_far
    if contrast < MIN_CONTRAST:
        return scale, scale
    lost = max(on_subject - float(likeness[colors[mask]].mean()), 0.0) / contrast
    grown = min(max(float(likeness[colors[ring]].mean()) - on_far, 0.0) / contrast, 1.0)
    if _outline_steps(reference.image, mask) > MAX_STEPS:  # an outline that shows all around was not grown over
        grown = 0.0
    return scale * (1 - min(lost, 1.0)), scale * (1 + grown * np.count_nonzero(ring) / area)


def _color_index(image: Image) -> NDArray[np.int32]:
    lab = cv2.cvtColor(cv2.GaussianBlur(image, (5, 5), 0), cv2.COLOR_RGB2LAB)
    bins = (lab // COLOR_BIN).astype(np.int32)
    return np.asarray((bins[..., 0] * NUM_BINS + bins[..., 1]) * NUM_BINS + bins[..., 2], np.int32)


def _smooth_histogram(index: NDArray[np.int32]) -> NDArray[np.float64]:
    """Shares of colours, each spread over the neighbouring bins."""
    counts = np.bincount(index.ravel(), minlength=NUM_BINS**3).astype(np.float64).reshape((NUM_BINS,) * 3)
    for axis in range(3):
        counts = counts + 0.5 * (np.roll(counts, 1, axis) + np.roll(counts, -1, axis))
    return np.asarray(counts.ravel() / counts.sum())


def _outline_steps(image: Image, mask: Mask) -> float:
    """Share of the outline with a visible step from 4 px inside to 5 px outside."""
    lab = cv2.cvtColor(cv2.GaussianBlur(image, (5, 5), 0), cv2.COLOR_RGB2LAB).astype(np.float32)
    signed = masks.signed_distance(mask)
    rows, columns = np.nonzero((signed > 0) & (signed <= 1.5))
    down, right = np.gradient(cv2.GaussianBlur(signed, (0, 0), 1.5))
    length = np.hypot(down, right)[rows, columns] + 1e-6
    down, right = down[rows, columns] / length, right[rows, columns] / length

    def sample(distance: float) -> NDArray[np.float32]:
        y = np.clip(np.round(rows + down * distance).astype(int), 0, mask.shape[0] - 1)
        x = np.clip(np.round(columns + right * distance).astype(int), 0, mask.shape[1] - 1)
        return np.asarray(lab[y, x], np.float32)

    steps = np.abs(sample(4.0) - sample(-5.0)).max(axis=1)
    return float((steps >= 14).mean()) if len(steps) else 1.0


def second_subject(draft: Draft, number: int, embed: Embed) -> float:
    """Is any subject of the draft, or of what was borrowed from, seen in reference `number` outside its mask?

    In [-1, 1], 1: as it is.

    Of the places that correlate with the subject, the least of correlation and similarity counts: a smooth gradient
    correlates with anything, and grey ground is like a grey coat, but hardly ever both.
    """
    reference = draft.references[number]
    forbidden = masks.dilate(reference.mask, 2.0)
    best = -1.0
    for image, mask in [*((known.image, known.mask) for known in draft.references), *draft.strangers]:
        places = search.sightings(image, mask, reference.image, forbidden)[:CANDIDATES]
        places = [place for place in places if place.mask.any()]
        vectors = embed([(image, mask), *((reference.image, place.mask) for place in places)])
        for place, similarity in zip(places, vectors[1:] @ vectors[0], strict=True):
            if similarity > best:  # else the correlation cannot make it worse
                correlation = search.likeness(image, mask, reference.image, [place])
                best = max(best, min(correlation, float(similarity)))
    return best


def shared_mask(draft: Draft, number: int) -> float:
    """Largest share, in [0, 1], of another subject of the same frame that reference `number` was cut out with."""
    reference = draft.references[number]
    others = [other for place, other in enumerate(draft.references) if place != number]
    return max(
        (
            _shared(reference.source_mask, other.source_mask)
            for other in others
            if _same(reference.source, other.source)
        ),
        default=0.0,
    )


def split(reference: Reference) -> float:
    """1 when a gap parts the subject into two large pieces (two, or one cut by what stood before it), else 0."""
    return _split(reference.mask)


def _split(mask: Mask) -> float:
    """1 when a gap parts the mask into two large pieces (two subjects, or one cut by what stood before it), else 0."""
    solid = masks.dilate(mask, 0.02 * float(np.sqrt(max(masks.area_px(mask), 1))))
    parts = sorted((masks.area_px(part & mask) for part in masks.components(solid)), reverse=True)
    return float(len(parts) > 1 and parts[1] > SPLIT_SHARE * parts[0])


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


def target_identity(draft: Draft, embed: Embed) -> float:
    """Cosine between each reference and its own subject in the output, worst one: do A and B show the same?"""
    subjects = [(reference.image, reference.mask) for reference in draft.references]
    vectors = embed([*subjects, *((draft.output, mask) for mask in draft.output_masks)])
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
