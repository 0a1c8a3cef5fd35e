"""Lay one masked subject over another by the best similarity transform, and find shared features of two backgrounds.

What stays different after the best scale, turn and shift is real diversity; what does not is a copy. So correlation is
only ever measured after alignment (the copy-paste check of OpenSubject's verification, arXiv 2512.08294 section 3.4).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from schemas.video import Image, Mask
from stages import masks

Matrix = NDArray[np.float64]
"""2x3 affine from pixels of the first picture to pixels of the second."""

PATCH_PX = 64  # subjects are compared on patches of this side: coarse enough to forgive a pixel of misfit
FIRST_STEPS = np.array([0.08, 0.12, 0.05, 0.05])  # of a climb: log scale, radians, shift as a share of the patch
FEW_TRIALS, MANY_TRIALS = 40, 70  # from each of two starts, then from the better one
FLAT_VARIANCE = 0.01  # grey levels squared: below it there is nothing to correlate
MIN_OVERLAP = 0.6  # of the smaller subject: less would let two small parts stand for the whole
FEATURES_SIDE_PX = 480
MAX_FEATURES = 500
RATIO_TEST = 0.8  # Lowe 2004, section 7.1
BLOCKS_SIDE_PX = 192
BLOCK_SCALES = (0.63, 0.8, 1.0, 1.26, 1.6)
MIN_BLOCK_TEXTURE = 8.0  # grey levels, after the best plane
SAME_BLOCK = 0.92
SAME_SHIFT_PX = 2
BESIDE = ((0, 1), (0, -1), (1, 0), (-1, 0))
MIN_INLIERS = 6  # a similarity is fixed by 2 matches; fewer than 6 agree by chance


@dataclass(frozen=True, slots=True)
class Alignment:
    """matrix: (2, 3) from first to second picture. ncc: in [-1, 1]. overlap: share of the smaller subject covered."""

    matrix: Matrix
    ncc: float
    overlap: float


@dataclass(frozen=True, slots=True)
class Features:
    """SIFT features of the unmasked part of a picture. points: (N, 2) pixels; descriptors: (N, 128)."""

    points: NDArray[np.float32]
    descriptors: NDArray[np.float32]


def align(first: Image, first_mask: Mask, second: Image, second_mask: Mask) -> Alignment:
    """The similarity (scale, rotation, shift; never a mirror) that lays the first subject best over the second.

    Starts from equal centre and size at several turns and from the ellipses of both masks, then climbs by
    Nelder-Mead. Raises ValueError when a mask is empty.
    """
    a, b = _Patch.of(first, first_mask), _Patch.of(second, second_mask)
    starts = sorted(_starts(a, b), key=lambda start: -_score(a, b, start)[0])
    tried = [_climb(a, b, start, FIRST_STEPS, FEW_TRIALS) for start in starts[:2]]
    best = _climb(a, b, min(tried, key=lambda found: found[1])[0], FIRST_STEPS / 2, MANY_TRIALS)[0]
    _, correlation, overlap = _score(a, b, best)
    return Alignment(_full_size(a, b, best), correlation, overlap)


def _climb(
    a: "_Patch", b: "_Patch", start: NDArray[np.float64], steps: NDArray[np.float64], max_trials: int
) -> tuple[NDArray[np.float64], float]:
    """The parameters that Nelder-Mead reaches from `start`, and what it minimised there."""
    simplex = np.vstack([start, start + np.diag(steps)])
    options = {"maxfev": max_trials, "xatol": 2e-3, "fatol": 5e-4, "initial_simplex": simplex}
    found = minimize(lambda p: -_score(a, b, p)[0], start, method="Nelder-Mead", options=options)
    return np.asarray(found.x), float(found.fun)


@dataclass(slots=True)
class _Patch:
    """A subject shrunk to PATCH_PX. offset_px, scale: patch = (picture - offset) * scale.

    pixels are around the subject's mean colour, so that sums of float32 stay exact enough to subtract.
    """

    pixels: NDArray[np.float32]  # (P, P, 3)
    weights: NDArray[np.float32]  # (P, P), 1 on the subject
    squares: NDArray[np.float32]  # (P * P,), of the pixels, summed over channels
    offset_px: NDArray[np.float64]
    scale: float
    centre: NDArray[np.float64]
    area_px: float
    angle: float  # of the mask's long axis

    @classmethod
    def of(cls, image: Image, mask: Mask) -> "_Patch":
        box = masks.box_of(mask)
        if box is None:
            raise ValueError("an empty mask has nothing to align")
        x0, y0, x1, y1 = (int(side) for side in box)
        scale = (PATCH_PX - 8) / max(x1 - x0, y1 - y0)
        offset = np.array([(x0 + x1) / 2, (y0 + y1) / 2]) - PATCH_PX / 2 / scale
        size = (max(round((x1 - x0) * scale), 1), max(round((y1 - y0) * scale), 1))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        small = cv2.resize(image[y0:y1, x0:x1], size, interpolation=method).astype(np.float32)
        left, top = (PATCH_PX - size[0]) // 2, (PATCH_PX - size[1]) // 2
        place = (slice(top, top + size[1]), slice(left, left + size[0]))
        inside = np.zeros((PATCH_PX, PATCH_PX), np.bool_)
        inside[place] = masks.resize(mask[y0:y1, x0:x1], size[1], size[0])
        if not inside.any():  # a sliver thinner than a pixel of the patch
            inside[place] = True
        pixels = np.zeros((PATCH_PX, PATCH_PX, 3), np.float32)
        pixels[place] = small - small[inside[place]].mean(axis=0)
        squares = np.square(pixels).sum(axis=2).ravel()
        return cls(pixels, inside.astype(np.float32), squares, offset, scale, *_ellipse(inside))


def _ellipse(mask: Mask) -> tuple[NDArray[np.float64], float, float]:
    moments = cv2.moments(mask.astype(np.uint8), binaryImage=True)
    area = moments["m00"]
    centre = np.array([moments["m10"], moments["m01"]]) / area
    angle = 0.5 * math.atan2(2 * moments["mu11"], moments["mu20"] - moments["mu02"])
    return centre, area, angle


def _starts(a: _Patch, b: _Patch) -> Iterator[NDArray[np.float64]]:
    """Parameters: log scale, rotation, shift x, shift y (of the patch, between the centres of the masks)."""
    growth = 0.5 * math.log(b.area_px / a.area_px)
    tilt = b.angle - a.angle
    for turn in (0.0, -0.35, 0.35, tilt, tilt + math.pi):
        yield np.array([growth, turn, 0.0, 0.0])


def _patch_matrix(a: _Patch, b: _Patch, parameters: NDArray[np.float64]) -> Matrix:
    growth, turn, dx, dy = parameters
    linear = math.exp(growth) * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return np.column_stack([linear, b.centre + PATCH_PX * np.array([dx, dy]) - linear @ a.centre])


def _score(a: _Patch, b: _Patch, parameters: NDArray[np.float64]) -> tuple[float, float, float]:
    """(objective, ncc over the common pixels, overlap). Too little overlap is worth less than any correlation."""
    if abs(parameters[0]) > 1.5:
        return -2.0, 0.0, 0.0
    matrix = _patch_matrix(a, b, parameters)
    size = (PATCH_PX, PATCH_PX)
    moved_weights = cv2.warpAffine(a.weights, matrix, size, flags=cv2.INTER_NEAREST)
    common = (moved_weights * b.weights).ravel()
    num_common = float(common.sum())
    covered = num_common / max(min(b.area_px, float(a.area_px) * math.exp(2 * parameters[0])), 1.0)
    if covered < MIN_OVERLAP:
        return covered - 2.0, 0.0, covered
    moved = cv2.warpAffine(a.pixels, matrix, size, flags=cv2.INTER_LINEAR).reshape(-1, 3)
    correlation = _weighted_ncc(np.asarray(moved, np.float32), b.pixels.reshape(-1, 3), b.squares, common, num_common)
    return correlation, correlation, min(covered, 1.0)


def _weighted_ncc(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    second_squares: NDArray[np.float32],
    weights: NDArray[np.float32],
    total: float,
) -> float:
    """Normalised cross-correlation in [-1, 1] of (N, C) values where `weights` (N,) is 1, each channel around its own
    mean; 0 for flat input. By sums alone: this is the inner loop of every alignment."""
    weighted = first * weights[:, None]
    sum_first, sum_second = weights @ first, weights @ second
    spread_first = float(np.vdot(weighted, first)) - float(sum_first @ sum_first) / total
    spread_second = float(weights @ second_squares) - float(sum_second @ sum_second) / total
    if min(spread_first, spread_second) < FLAT_VARIANCE * total:
        return 0.0
    shared = float(np.vdot(weighted, second)) - float(sum_first @ sum_second) / total
    return max(-1.0, min(shared / math.sqrt(spread_first * spread_second), 1.0))


def _full_size(a: _Patch, b: _Patch, parameters: NDArray[np.float64]) -> Matrix:
    """Patch transform -> picture transform: undo b's shrinking after a's shrinking and the patch transform."""
    matrix = _patch_matrix(a, b, parameters)
    linear = matrix[:, :2] * (a.scale / b.scale)
    shift = (matrix[:, 2] - matrix[:, :2] @ (a.offset_px * a.scale)) / b.scale + b.offset_px
    return np.column_stack([linear, shift])


def features(image: Image, usable: Mask) -> Features:
    """SIFT features (Lowe 2004) where `usable` is True, found on a copy of at most FEATURES_SIDE_PX."""
    scale = min(FEATURES_SIDE_PX / max(image.shape[:2]), 1.0)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    area = usable.astype(np.uint8)
    if scale < 1:
        gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        area = cv2.resize(area, (gray.shape[1], gray.shape[0]), interpolation=cv2.INTER_NEAREST)
    keypoints, descriptors = cv2.SIFT.create(nfeatures=MAX_FEATURES).detectAndCompute(gray, area)
    if descriptors is None:
        return Features(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32))
    return Features(np.array([point.pt for point in keypoints], np.float32) / scale, descriptors)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two feature sets agree. num_features: of the smaller set; matrix: similarity first -> second, if any."""

    num_inliers: int
    num_features: int
    matrix: Matrix | None

    @property
    def share(self) -> float:
        """Inliers per feature of the smaller set, in [0, 1]; 0 when fewer than MIN_INLIERS agree."""
        return min(self.num_inliers / max(self.num_features, 1), 1.0) if self.num_inliers >= MIN_INLIERS else 0.0


def agreement(first: Features, second: Features) -> Agreement:
    """Ratio-tested mutual matches that follow one similarity transform (RANSAC)."""
    smaller = min(len(first.points), len(second.points))
    matched = _matches(first, second)
    if matched is None:
        return Agreement(0, smaller, None)
    source, target = matched
    matrix, inliers = cv2.estimateAffinePartial2D(source, target, ransacReprojThreshold=4.0)
    if matrix is None:
        return Agreement(0, smaller, None)
    # Repeated texture sends many features to one place: only distinct targets count.
    distinct = {tuple(point) for point in np.round(target[inliers.ravel() > 0]).tolist()}
    return Agreement(len(distinct), smaller, np.asarray(matrix, np.float64))


def homography(first: Features, second: Features, min_share: float) -> NDArray[np.float64] | None:
    """The 3x3 homography from first to second picture that at least `min_share` of the matches follow (RANSAC); None
    when too few do, or when it folds or shrinks the picture beyond what a camera does."""
    matched = _matches(first, second)
    if matched is None:
        return None
    matrix, inliers = cv2.findHomography(*matched, cv2.RANSAC, 3.0, maxIters=2000, confidence=0.999)
    if matrix is None or np.count_nonzero(inliers) < max(2 * MIN_INLIERS, min_share * len(matched[0])):
        return None
    growth = float(np.linalg.det(matrix[:2, :2]))
    return np.asarray(matrix, np.float64) if 0.2 < growth < 5 else None


def _matches(first: Features, second: Features) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Points of ratio-tested matches in both pictures; None when there are fewer than MIN_INLIERS."""
    if min(len(first.points), len(second.points)) < MIN_INLIERS:
        return None
    matcher = cv2.BFMatcher(cv2.NORM_L2)
    good = [
        best
        for best, other in (found for found in matcher.knnMatch(first.descriptors, second.descriptors, k=2))
        if best.distance < RATIO_TEST * other.distance
    ]
    if len(good) < MIN_INLIERS:
        return None
    return first.points[[match.queryIdx for match in good]], second.points[[match.trainIdx for match in good]]


def found_blocks(first: Image, first_usable: Mask, second: Image) -> float:
    """Share in [0, 1] of the textured blocks of one background found, unturned, anywhere in the second picture.

    Catches leaked backgrounds too soft for features. Blocks overlap by half, so that a leaked strip holds whole ones;
    the second picture is looked at in BLOCK_SCALES of its size. Waves and grass are alike everywhere: a block counts
    only when one that overlaps it was found at the same scale and shift. 0 when no block has texture.
    """
    small = _shrink(first, BLOCKS_SIDE_PX)
    usable = masks.resize(first_usable, *small.shape[:2])
    others = [_shrink(second, round(BLOCKS_SIDE_PX * scale)) for scale in BLOCK_SCALES]
    tall, wide = max(small.shape[0] // 5, 12), max(small.shape[1] // 8, 12)
    found: dict[tuple[int, int], dict[int, NDArray[np.int64]]] = {}
    for row, top in enumerate(range(0, small.shape[0] - tall + 1, tall // 2)):
        for column, left in enumerate(range(0, small.shape[1] - wide + 1, wide // 2)):
            block = small[top : top + tall, left : left + wide]
            if usable[top : top + tall, left : left + wide].mean() < 0.98 or _texture(block) < MIN_BLOCK_TEXTURE:
                continue
            places = {scale: _place_of(other, block) for scale, other in enumerate(others)}
            found[row, column] = {scale: place - (top, left) for scale, place in places.items() if place is not None}
    num_found = sum(
        any(_agree(shifts, found.get((row + down, column + right), {})) for down, right in BESIDE)
        for (row, column), shifts in found.items()
    )
    return num_found / len(found) if found else 0.0


def _place_of(picture: NDArray[np.float32], block: NDArray[np.float32]) -> NDArray[np.int64] | None:
    """Row and column at which the picture shows the block best, None when it does not."""
    if block.shape[0] > picture.shape[0] or block.shape[1] > picture.shape[1]:
        return None
    response = cv2.matchTemplate(picture, block, cv2.TM_CCOEFF_NORMED)
    best = np.unravel_index(int(response.argmax()), response.shape)
    return np.array(best, np.int64) if response[best] > SAME_BLOCK else None


def _agree(shifts: dict[int, NDArray[np.int64]], others: dict[int, NDArray[np.int64]]) -> bool:
    return any(np.abs(shifts[scale] - others[scale]).max() <= SAME_SHIFT_PX for scale in shifts.keys() & others.keys())


def _texture(block: NDArray[np.float32]) -> float:
    """Standard deviation of what is left after the best plane: a gradient of the sky is no texture."""
    rows, columns = np.mgrid[: block.shape[0], : block.shape[1]].reshape(2, -1)
    design = np.column_stack([rows, columns, np.ones_like(rows)]).astype(np.float32)
    values = block.reshape(-1)
    solution = np.linalg.lstsq(design, values, rcond=None)[0]
    return float((values - design @ solution).std())


def _shrink(image: Image, side_px: int) -> NDArray[np.float32]:
    scale = min(side_px / max(image.shape[:2]), 1.0)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)
