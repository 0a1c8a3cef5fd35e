"""What a shot looks like, in numbers: from a handful of its frames. Pure functions; nothing is decided here."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.video import Image

CROP_SIDE_PX = 512
_BAR_LEVEL = 24  # luma of 255: letterbox bars, ringing and all, stay below it
_MAX_BAR_DIFFERENCE = 0.04  # of the side, between opposite bars: what is off-centre is a dark scene
_MIN_CONTENT_SHARE = 0.4  # of each side: less picture than that between bars is a dark shot, not a letterbox
_CELL_PX = 8
_EDGE_LEVEL = 60.0  # Sobel magnitude of an edge that a reader would see

Luma = NDArray[np.uint8]
Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Sample:
    """One frame kept for scoring: small, and a piece of it at full size."""

    index: int
    small: Image  # (h, w, 3) RGB at analysis size
    crop: Luma  # the middle of the full-size luma, at most CROP_SIDE_PX square
    row_peaks: Luma  # (H,) brightest luma per full-size row
    column_peaks: Luma  # (W,)


def sample_of(index: int, small: Image, luma: Luma) -> Sample:
    height, width = luma.shape
    y, x = max(0, height - CROP_SIDE_PX) // 2, max(0, width - CROP_SIDE_PX) // 2
    crop = luma[y : y + CROP_SIDE_PX, x : x + CROP_SIDE_PX].copy()
    return Sample(index, small, crop, luma.max(axis=1), luma.max(axis=0))


def content_box(samples: Sequence[Sample]) -> Box:
    """x0, y0, x1, y1 of what is inside black bars, in full-size pixels; the whole frame when there are none."""
    rows = np.max([sample.row_peaks for sample in samples], axis=0)
    columns = np.max([sample.column_peaks for sample in samples], axis=0)
    y0, y1 = _lit_span(rows)
    x0, x1 = _lit_span(columns)
    return x0, y0, x1, y1


def _lit_span(peaks: Luma) -> tuple[int, int]:
    lit = np.flatnonzero(peaks > _BAR_LEVEL)
    if len(lit) == 0 or lit[-1] + 1 - lit[0] < _MIN_CONTENT_SHARE * len(peaks):
        return 0, len(peaks)
    if abs(lit[0] - (len(peaks) - 1 - lit[-1])) > _MAX_BAR_DIFFERENCE * len(peaks):
        return 0, len(peaks)
    return int(lit[0]), int(lit[-1]) + 1


def cropped(small: Image, box: Box, width: int, height: int) -> Image:
    """The part of an analysis-size picture inside `box`, which is in pixels of the width x height frame."""
    rows, columns = small.shape[:2]
    x0, y0 = -(-box[0] * columns // width), -(-box[1] * rows // height)
    x1, y1 = box[2] * columns // width, box[3] * rows // height
    return small[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]


def score_shot(samples: Sequence[Sample], box: Box) -> dict[str, float]:
    """Scores of a shot from its samples: see each function below. Shares and levels are in [0, 1]."""
    width, height = len(samples[0].column_peaks), len(samples[0].row_peaks)
    grays = [cv2.cvtColor(cropped(s.small, box, width, height), cv2.COLOR_RGB2GRAY) for s in samples]
    stack = np.stack(grays).astype(np.float32)
    return {
        "brightness": float(stack.mean()) / 255,
        "contrast": float(np.median(stack.std(axis=(1, 2)))) / 255,
        "sharpness": float(np.median([sharpness(gray) for gray in grays])),
        "noise": float(np.median([noise(sample.crop) for sample in samples])),
        "chroma_noise": float(np.mean([chroma_noise(sample.small) for sample in samples])),
        "blockiness": float(np.median([blockiness(sample.crop) for sample in samples])),
        "motion": motion(stack),
        "text": burnt_in_text(stack),
        "content_short_side_px": float(min(box[2] - box[0], box[3] - box[1])),
    }


def sharpness(gray: Luma) -> float:
    """How sharp the sharpest parts are: 99.5th percentile of the Laplacian, 0 (flat) to 1; analysis size."""
    return min(1.0, float(np.percentile(np.abs(cv2.Laplacian(gray, cv2.CV_16S)), 99.5)) / 255)


def noise(luma: Luma) -> float:
    """Standard deviation of noise, of full scale, in the calmest tenth of 16-pixel blocks.

    Immerkaer's difference of two Laplacians (Fast Noise Variance Estimation, 1996), which ignores planes and edges.
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    residual = np.abs(cv2.filter2D(luma, cv2.CV_32F, kernel))
    if min(residual.shape) < 16:
        return 0.0
    blocks = cv2.resize(residual, (luma.shape[1] // 16, luma.shape[0] // 16), interpolation=cv2.INTER_AREA)
    return float(np.percentile(blocks, 10)) * float(np.sqrt(np.pi / 2)) / 6 / 255


def chroma_noise(small: Image) -> float:
    """Median distance of the chroma to its 5x5 median, 0..1; analysis size: colour speckle that no scene has."""
    chroma = cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb)[..., 1:].astype(np.int16)
    calm = np.dstack([cv2.medianBlur(np.ascontiguousarray(plane, np.uint8), 5) for plane in cv2.split(chroma)])
    return float(np.median(np.linalg.norm(chroma - calm, axis=2))) / 255


def blockiness(luma: Luma) -> float:
    """How much steeper the picture is across the 8-pixel grid than elsewhere: 0 (no grid) upwards."""
    steps = []
    for axis in (0, 1):
        step = np.abs(np.diff(luma.astype(np.int16), axis=axis)).mean(axis=1 - axis)
        phases = np.array([step[phase::8].mean() for phase in range(8)]) if len(step) >= 16 else np.ones(8)
        steps.append(float(phases.max() / (np.median(phases) + 0.1)) - 1)
    return min(steps)


def motion(stack: NDArray[np.float32]) -> float:
    """How much the picture changes over the shot: 99th percentile, over 8-pixel cells, of the range of their means."""
    cells = np.stack([_cell_means(gray) for gray in stack])
    return float(np.percentile(cells.max(axis=0) - cells.min(axis=0), 99)) / 255


def _cell_means(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = gray.shape
    size = (max(1, columns // _CELL_PX), max(1, rows // _CELL_PX))
    return np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), np.float32)


def burnt_in_text(stack: NDArray[np.float32]) -> float:
    """Share of the picture with edges that stay exactly where they are while what surrounds them changes.

    An overlay is what keeps still in front of a picture that moves: under a camera that stands, most edges keep still,
    nothing can be told from them, and the score fades to 0.
    """
    if len(stack) < 3:
        return 0.0
    blurred = [cv2.GaussianBlur(gray, (3, 3), 0) for gray in stack]
    edges = np.stack([cv2.magnitude(cv2.Sobel(g, cv2.CV_32F, 1, 0), cv2.Sobel(g, cv2.CV_32F, 0, 1)) for g in blurred])
    lasting = edges.min(axis=0) > _EDGE_LEVEL
    lasting_share = float(lasting.mean() / max(float((edges > _EDGE_LEVEL).mean()), 1e-6))
    spread = np.std(stack, axis=0)
    around = cv2.boxFilter(spread, -1, (25, 25))
    fixed = lasting & (spread < 0.5 * around) & (around > 12)
    return float(fixed.mean()) * min(1.0, max(0.0, (0.3 - lasting_share) / 0.1))


def mean_change(before: Image, after: Image) -> float:
    """Mean absolute difference of two pictures, 0..1."""
    return float(cv2.norm(before, after, cv2.NORM_L1)) / before.size / 255


def perceptual_hash(picture: Image) -> str | None:
    """64-bit pHash in hex (signs of the 8x8 lowest DCT frequencies about their median); None for a flat picture."""
    gray = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA)
    if gray.std() < 2:
        return None
    low = cv2.dct(gray.astype(np.float32))[:8, :8].ravel()
    bits = low > np.median(low[1:])
    return f"{int(''.join('1' if bit else '0' for bit in bits), 2):016x}"


def hash_distance(first: str, second: str) -> int:
    """Bits that differ, 0..64."""
    return (int(first, 16) ^ int(second, 16)).bit_count()
