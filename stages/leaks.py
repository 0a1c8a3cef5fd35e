"""Does a reference show the place of its source or of the output? The traps of the reference's background.

A reference whose background is that of the output teaches copying it. Where it leaked through is measured three ways:
features and blocks that reappear anywhere, pixels around the subject that are frame A warped like the subject, and
pixels of the "subject" that stayed behind in the scene when the subject moved on.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.sample import Draft, Reference
from schemas.video import Image, Mask
from stages import alignment, augmentation, masks

WINDOW_SIGMA = 0.012  # of the picture's long side: the neighbourhood two pictures are correlated in
MIN_TEXTURE = 5.0  # standard deviation of grey values there, below which nothing can be told
SAME_CORRELATION = 0.90
EDGE_PX = 6.0  # around the outline, where subject and background mix
RIM = 0.35  # width of the surroundings that count, of the root of the subject's area
MIN_WINDOW_PX = 3.0
MIN_REGISTERED_SHARE = 0.15  # of the features of the smaller background that must agree on how the camera moved
UNSEEN = 0.0  # the score of a trap that had nothing to look at


def background_leak(draft: Draft) -> tuple[float, float]:
    """(feature inlier share, share of found blocks), worst reference: does its background show the output's place?

    Features are also looked for in frame A, which shows the same place from elsewhere.
    """
    around_output = ~union(draft.output_masks + draft.scene_masks, draft.output)
    output_features = alignment.features(draft.output, around_output)
    shares, blocks = [UNSEEN], [UNSEEN]
    for reference in draft.references:
        around = ~masks.dilate(reference.mask, 0.02 * max(reference.mask.shape))
        source_features = alignment.features(reference.source, ~reference.source_mask)
        own = alignment.features(reference.image, around)
        shares += [alignment.agreement(own, other).share for other in (output_features, source_features)]
        blocks.append(alignment.found_blocks(reference.image, around, draft.output))
    return max(shares), max(blocks)


def rim_leak(reference: Reference) -> float:
    """Share in [0, 1] of the surroundings of the subject that are frame A, warped as the subject was.

    Only where frame A has texture and reaches; local correlation, so that a change of light hides nothing.
    """
    size = (reference.mask.shape[1], reference.mask.shape[0])
    warp = np.asarray(reference.warp, np.float64)
    again = augmentation.warp_image(reference.source, warp, size)
    covered = cv2.warpPerspective(np.ones(reference.source.shape[:2], np.uint8), warp, size) > 0
    reach = RIM * float(np.sqrt(max(masks.area_px(reference.mask), 1)))
    around = masks.dilate(reference.mask, EDGE_PX + reach) & ~masks.dilate(reference.mask, EDGE_PX)
    around &= masks.erode(covered, EDGE_PX)
    same, _ = same_places(reference.image, again, ~reference.mask)
    return _share(same, around)


def mask_leak(draft: Draft, number: int) -> float:
    """Share in [0, 1] of reference `number`'s subject in frame A that is background: it stood still when all else did.

    From the frames around A where there are any (plates.still_ground). Else the output's background is laid over that
    of frame A (features, one homography); what then looks the same under the source mask, and not where the subject now
    stands, was never part of the subject. 0 when the two cannot be laid over.
    """
    reference = draft.references[number]
    if reference.still is not None and reference.still.any():
        return _share(reference.still, reference.source_mask)
    taken = union(draft.output_masks + draft.scene_masks, draft.output)
    found = register(draft.output, ~masks.dilate(taken, 4), reference.source, ~masks.dilate(reference.source_mask, 4))
    if found is None:
        return UNSEEN
    size = (reference.source_mask.shape[1], reference.source_mask.shape[0])
    again = cv2.warpPerspective(draft.output, found, size, flags=cv2.INTER_LINEAR)
    hidden = cv2.warpPerspective((~taken).astype(np.uint8), found, size) == 0
    free = reference.source_mask & ~masks.dilate(hidden, EDGE_PX)
    same, _ = same_places(reference.source, np.asarray(again, np.uint8), ~hidden)
    return _share(same & free, reference.source_mask)


def _share(mask: Mask, region: Mask) -> float:
    return float(np.count_nonzero(mask & region) / max(int(np.count_nonzero(region)), 1))


def register(first: Image, first_free: Mask, second: Image, second_free: Mask) -> NDArray[np.float64] | None:
    """The homography that lays the background of `first` over that of `second`; None when too few features agree."""
    one, other = alignment.features(first, first_free), alignment.features(second, second_free)
    return alignment.homography(one, other, MIN_REGISTERED_SHARE)


def same_places(first: Image, second: Image, usable: Mask) -> tuple[Mask, Mask]:
    """Where two pictures of one size show the same texture, and where that can be told.

    Normalised correlation of grey values in a Gaussian window, both weighted by `usable`, where both have texture.
    """
    sigma = max(WINDOW_SIGMA * max(usable.shape), MIN_WINDOW_PX)
    weight = usable.astype(np.float32)
    a, b = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) for image in (first, second))
    total = np.maximum(_blur(weight, sigma), 1e-3)

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(_blur(values * weight, sigma) / total, np.float32)

    mean_a, mean_b = mean(a), mean(b)
    spread_a, spread_b = (np.maximum(mean(v * v) - m * m, 0) for v, m in ((a, mean_a), (b, mean_b)))
    correlation = (mean(a * b) - mean_a * mean_b) / np.sqrt(spread_a * spread_b + 1e-3)
    known = (np.minimum(spread_a, spread_b) > MIN_TEXTURE**2) & usable & (total > 0.3)
    return np.asarray(known & (correlation > SAME_CORRELATION), np.bool_), np.asarray(known, np.bool_)


def _blur(values: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), np.float32)


def union(parts: list[Mask], image: Image) -> Mask:
    joined: Mask = np.zeros(image.shape[:2], np.bool_)
    for part in parts:
        joined |= part
    return joined
