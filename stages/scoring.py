"""What a shot looks like, in numbers: from a handful of its frames. Pure functions; nothing is decided here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.video import Image
from stages.media import Luma

CROP_SIDE_PX = 256
_BAR_LEVEL = 24  # luma of 255: letterbox bars, ringing and all, stay below it
_MAX_BAR_DIFFERENCE = 0.04  # of the side, between opposite bars: what is off-centre is a dark scene
_MIN_CONTENT_SHARE = 0.4  # of each side: less picture than that between bars is a dark shot, not a letterbox
_CELL_PX = 8
_CALM_STEP = 0.5  # levels from pixel to pixel that nobody sees: where all is calm, no grid is looked for
_NUM_CLOSE_LOOKS = 3  # samples per shot that noise and sharpness are taken from
_NUM_TEXT_LOOKS = 8
_EDGE_LEVEL = 50  # Sobel response of an edge that a reader would see
_STANDING_CAMERA_SHARE = 0.3  # of edges that last: above it the camera stands
_OVERLAY_CHANGE = 36  # mean range of luma around an overlay

Box = tuple[int, int, int, int]


Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Sample:
    """One frame kept for scoring: small, and a piece of it at full size."""

    index: int
    small: Image  # (h, w, 3) RGB at analysis size
    crop: Luma  # the middle of the full-size luma, at most CROP_SIDE_PX square
    row_peaks: Luma  # (H,) brightest luma per full-size row
    column_peaks: Luma  # (W,)


def sample_of(index: int, small: Image, luma: Luma, full_range: Luma) -> Sample:
    """small: analysis size. luma: full size as stored; full_range: the table of 256 that takes it to full range."""
    height, width = luma.shape
    y, x = max(0, height - CROP_SIDE_PX) // 2, max(0, width - CROP_SIDE_PX) // 2
    crop = full_range[luma[y : y + CROP_SIDE_PX, x : x + CROP_SIDE_PX]]
    return Sample(index, small, crop, full_range[luma.max(axis=1)], full_range[luma.max(axis=0)])


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
    levels = np.array([cv2.meanStdDev(gray) for gray in grays])[:, :, 0, 0] / 255
    few = spread(samples, _NUM_CLOSE_LOOKS)
    return {
        "brightness": float(levels[:, 0].mean()),
        "contrast": float(np.median(levels[:, 1])),
        "sharpness": float(np.median([sharpness(gray) for gray in spread(grays, _NUM_CLOSE_LOOKS)])),
        "noise": float(np.median([noise(sample.crop) for sample in few])),
        "chroma_noise": float(np.mean([chroma_noise(sample.small) for sample in few])),
        "blockiness": float(np.median([blockiness(sample.crop) for sample in few])),
        "motion": motion(grays),
        "text": burnt_in_text(spread(grays, _NUM_TEXT_LOOKS)),
        "content_short_side_px": float(min(box[2] - box[0], box[3] - box[1])),
    }


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """`count` of them, one from the middle of each of as many equal parts; all when there are fewer."""
    if len(items) <= count:
        return list(items)
    return [items[(2 * part + 1) * len(items) // (2 * count)] for part in range(count)]


def sharpness(gray: Luma) -> float:
    """How sharp the sharpest parts are: 99.5th percentile of the Laplacian, 0 (flat) to 1; analysis size."""
    return percentile_of_bytes(cv2.convertScaleAbs(cv2.Laplacian(gray, cv2.CV_16S)), 99.5) / 255


def percentile_of_bytes(values: NDArray[np.uint8], percent: float) -> int:
    """The smallest value that at least `percent` of `values` do not exceed; by counting, which sorts nothing."""
    counts = cv2.calcHist([values], [0], None, [256], [0, 256]).ravel()
    return int(np.searchsorted(np.cumsum(counts), values.size * percent / 100))


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
    """Mean distance of the chroma to its 5x5 median, 0..1; analysis size: colour speckle that no scene has."""
    planes = cv2.split(cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb))[1:]
    return float(np.mean([mean_change(cv2.medianBlur(plane, 5), plane) for plane in planes]))


def blockiness(luma: Luma) -> float:
    """How much steeper the picture is across the 8-pixel grid than elsewhere: 0 (no grid) upwards."""
    if min(luma.shape) < 17:
        return 0.0
    down = cv2.reduce(cv2.absdiff(luma[1:], luma[:-1]), 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F).ravel()
    across = cv2.reduce(cv2.absdiff(luma[:, 1:], luma[:, :-1]), 0, cv2.REDUCE_AVG, dtype=cv2.CV_32F).ravel()
    return min(_grid_excess(down), _grid_excess(across))


def _grid_excess(steps: NDArray[np.float32]) -> float:
    phases = np.array([steps[phase::8].mean() for phase in range(8)])
    return float(phases.max() / (np.median(phases) + _CALM_STEP)) - 1


def motion(grays: Sequence[Luma]) -> float:
    """How much the picture changes over the shot: 99.5th percentile over 8-pixel cells of the range of their means."""
    cells = np.stack([_cell_means(gray) for gray in grays])
    return float(np.percentile(cells.max(axis=0) - cells.min(axis=0), 99.5)) / 255


def _cell_means(gray: Luma) -> NDArray[np.float32]:
    rows, columns = gray.shape
    size = (max(1, columns // _CELL_PX), max(1, rows // _CELL_PX))
    return np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), np.float32)


def burnt_in_text(grays: Sequence[Luma]) -> float:
    """Share of the picture with edges that stay exactly where they are while what surrounds them changes.

    An overlay is what keeps still in front of a picture that moves: under a camera that stands, most edges keep still,
    nothing can be told from them, and the score fades to 0.
    """
    if len(grays) < 3:
        return 0.0
    edges = [_edges(gray) for gray in grays]
    lasting = np.bitwise_and.reduce(edges)
    lasting_share = float(lasting.mean() / max(float(np.mean([edge.mean() for edge in edges])), 1e-6))
    if lasting_share >= _STANDING_CAMERA_SHARE:
        return 0.0
    change = (np.max(grays, axis=0) - np.min(grays, axis=0)).astype(np.float32)
    around = cv2.boxFilter(change, -1, (25, 25))
    fixed = (lasting > 0) & (change < 0.5 * around) & (around > _OVERLAY_CHANGE)
    return float(fixed.mean()) * min(1.0, (_STANDING_CAMERA_SHARE - lasting_share) / 0.1)


def _edges(gray: Luma) -> Luma:
    blurred = cv2.GaussianBlur(gray, (3, 3), 0)
    across, down = (cv2.convertScaleAbs(cv2.Sobel(blurred, cv2.CV_16S, x, 1 - x)) for x in (1, 0))
    return np.asarray(cv2.threshold(cv2.max(across, down), _EDGE_LEVEL, 1, cv2.THRESH_BINARY)[1], np.uint8)


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
