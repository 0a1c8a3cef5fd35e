"""Geometry-aware augmentation: where the subject of frame A goes on the canvas of its reference image.

One homography does it all (scale, rotation, mild perspective, translation), so the subject is resampled once. It never
mirrors: its Jacobian has a positive determinant everywhere on the subject.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.config import SynthesisConfig
from schemas.errors import BadInput
from schemas.reasons import Reason
from schemas.video import Image, Mask
from stages import masks

Warp = NDArray[np.float64]
"""3x3 homography from source pixel centres to canvas pixel centres."""

MIN_CANVAS_PX = 384  # long side; smaller references are of no use to a generator
CANVAS_MULTIPLE_PX = 16  # what latent-space editors need
SHARE_RANGE = (0.50, 0.80)  # of the canvas side that binds first, taken by the subject
MAX_SHARE = 0.86
MAX_ENLARGEMENT = 1.6  # of source pixels: beyond it the subject is visibly soft
MIN_SUBJECT_PX = 40  # short side of the placed subject
GROUND_RANGE = (0.80, 0.95)  # where the subject's lower edge stands, of the canvas height
CENTRE_RANGE = (0.32, 0.68)  # where the subject's centre stands, of the canvas width
CONTOUR_SIGMA_PX = 0.8  # smooths the mask's pixel steps before they are enlarged
CONTOUR_LEVEL = 0.7  # above one half: inside the mask, away from what surrounds it
CALM = (1.0, 0.5, 0.25)  # how much of rotation and perspective each rung keeps


@dataclass(frozen=True, slots=True)
class Placement:
    """A canvas and the way onto it. scale: canvas pixels per source pixel at the subject's centre."""

    width_px: int
    height_px: int
    warp: Warp
    scale: float
    rotation_degrees: float


@dataclass(frozen=True, slots=True)
class _Cuts:
    """At which sides the frame cuts the subject off. There it must meet the canvas border, or it would look sawn."""

    left: bool
    top: bool
    right: bool
    bottom: bool

    @property
    def any(self) -> bool:
        return self.left or self.top or self.right or self.bottom


def place(mask: Mask, output_size: tuple[int, int], config: SynthesisConfig, seed: int, rung: int) -> Placement:
    """Draws a canvas and a warp that keeps every pixel of `mask` (frame A's size) on it.

    output_size: (width, height) of the output image; the canvas never has more pixels. rung 0..2: higher ones turn and
    tilt the subject less. Raises BadInput(NO_ROOM) when the frame cuts the subject at opposite sides,
    BadInput(SUBJECT_TOO_SMALL) when it would end below MIN_SUBJECT_PX.
    """
    rng = np.random.default_rng(seed)
    cuts = _cuts_of(mask)
    if (cuts.left and cuts.right) or (cuts.top and cuts.bottom):
        raise BadInput(Reason.NO_ROOM, "the subject reaches from one side of the frame to the other")
    calm = 0.0 if cuts.any else CALM[min(rung, len(CALM) - 1)]
    rotation = float(rng.triangular(-1, 0, 1)) * config.max_rotation_degrees * calm
    tilt = rng.uniform(-1, 1, 2) * config.max_perspective * calm
    outline = _outline(mask)
    turn = _about(outline.mean(axis=0), rotation, tilt, _span(outline))
    extent = _span(_apply(turn, outline)) + 1
    natural = float(rng.uniform(*config.scale_range)) * max(output_size) / max(mask.shape)
    width_px, height_px, scale = _canvas(extent, output_size, natural, rng)
    if min(extent) * scale < MIN_SUBJECT_PX:
        raise BadInput(Reason.SUBJECT_TOO_SMALL, f"the placed subject would be {min(extent) * scale:.0f} px wide")
    grown: Warp = np.diag([scale, scale, 1.0]) @ turn
    shift = _translation(_apply(grown, outline), (width_px, height_px), cuts, rng)
    warp: Warp = shift @ grown
    # Scaled so that the weight is 1 in the subject's middle: the picture's corner may lie beyond a tilt's horizon.
    weight = float(warp[2] @ np.append(outline.mean(axis=0), 1.0))
    return Placement(width_px, height_px, warp / weight, scale, rotation)


def warp_subject(image: Image, mask: Mask, placement: Placement) -> tuple[Image, Mask]:
    """The one resampling of the subject: canvas-sized pixels, and where they are the subject's and nothing else's."""
    size = (placement.width_px, placement.height_px)
    pixels = warp_image(image, placement.warp, size)
    smooth = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), CONTOUR_SIGMA_PX)
    coverage = cv2.warpPerspective(smooth, placement.warp, size, flags=cv2.INTER_LINEAR)
    return pixels, np.asarray(coverage >= CONTOUR_LEVEL, dtype=np.bool_)


def warp_image(image: Image, warp: Warp, size: tuple[int, int]) -> Image:
    """`image` resampled to `size` (width, height); the same call repeats a reference's pixels exactly.

    Shrinking is low-passed first (Gaussian, sigma (1/scale - 1) / 2) so that fine texture does not alias.
    """
    centre = np.array([image.shape[1] / 2, image.shape[0] / 2])
    scale = math.sqrt(abs(float(np.linalg.det(_jacobian(warp, centre)))))
    if scale < 0.8:
        sigma = (1 / max(scale, 0.02) - 1) / 2
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), dtype=np.uint8)
    method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.warpPerspective(image, warp, size, flags=method), dtype=np.uint8)


def min_determinant(warp: Warp, mask: Mask) -> float:
    """Smallest Jacobian determinant of the warp on the mask's outline; positive = nowhere mirrored or folded."""
    return min(float(np.linalg.det(_jacobian(warp, point))) for point in _outline(mask)[::7])


def _jacobian(warp: Warp, point: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y, w = warp @ np.array([point[0], point[1], 1.0])
    rows = [warp[0, :2] * w - x * warp[2, :2], warp[1, :2] * w - y * warp[2, :2]]
    return np.asarray(np.array(rows) / (w * w), dtype=np.float64)


def _cuts_of(mask: Mask) -> _Cuts:
    """A side cuts the subject when the mask runs along it for more than a few pixels."""
    box = masks.box_of(mask)
    assert box is not None, "cut_out never returns an empty mask"
    runs = [int(np.count_nonzero(edge)) for edge in (mask[:, 0], mask[0], mask[:, -1], mask[-1])]
    sizes = [box[3] - box[1], box[2] - box[0]] * 2
    return _Cuts(*(run > max(4.0, 0.08 * size) for run, size in zip(runs, sizes, strict=True)))


def _outline(mask: Mask) -> NDArray[np.float64]:
    """(N, 2) x, y of pixel centres on the convex hull: enough to bound the subject under a homography."""
    points = cv2.findNonZero(mask.astype(np.uint8))
    return np.asarray(cv2.convexHull(points)[:, 0], dtype=np.float64)


def _apply(warp: Warp, points: NDArray[np.float64]) -> NDArray[np.float64]:
    moved = np.column_stack([points, np.ones(len(points))]) @ warp.T
    return np.asarray(moved[:, :2] / moved[:, 2:], dtype=np.float64)


def _span(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(points.max(axis=0) - points.min(axis=0), dtype=np.float64)


def _about(
    centre: NDArray[np.float64], rotation_degrees: float, tilt: NDArray[np.float64], span: NDArray[np.float64]
) -> Warp:
    """Rotation and perspective about a point. tilt: change of the projective weight across the subject's half span."""
    angle = math.radians(rotation_degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    to_centre = np.array([[1, 0, -centre[0]], [0, 1, -centre[1]], [0, 0, 1.0]])
    half = max(float(span.max()) / 2, 1.0)
    bend = np.array([[cos, -sin, 0], [sin, cos, 0], [tilt[0] / half, tilt[1] / half, 1.0]])
    return np.asarray(bend @ to_centre, dtype=np.float64)


def _canvas(
    extent: NDArray[np.float64], output_size: tuple[int, int], natural: float, rng: np.random.Generator
) -> tuple[int, int, float]:
    """Canvas width and height, and the subject's scale on it.

    The shape is the output's, a square, or for tall subjects a portrait; the size follows the subject's, between
    MIN_CANVAS_PX and the output's number of pixels.
    """
    wide, tall = float(extent[0]), float(extent[1])
    own = output_size[0] / output_size[1]
    shapes = [own, 1.0, 0.75] if tall > 1.2 * wide else [own, own, 1.0]
    if wide > 1.5 * tall:
        shapes = [max(own, 4 / 3), 4 / 3]
    aspect = float(shapes[int(rng.integers(len(shapes)))])
    share = float(rng.uniform(*SHARE_RANGE))
    scale = min(natural, MAX_ENLARGEMENT)
    largest = math.sqrt(output_size[0] * output_size[1] / aspect)  # heights
    smallest = MIN_CANVAS_PX / max(aspect, 1.0)
    height = max(tall, wide / aspect) * scale / share
    height = min(max(height, min(smallest, largest)), largest)
    width_px, height_px = (_rounded(side) for side in (height * aspect, height))
    fitting = min(width_px / wide, height_px / tall)
    scale = min(scale, fitting * MAX_SHARE)
    return width_px, height_px, min(max(scale, fitting * SHARE_RANGE[0]), MAX_ENLARGEMENT)


def _rounded(side: float) -> int:
    return max(int(side) // CANVAS_MULTIPLE_PX, 2) * CANVAS_MULTIPLE_PX


def _translation(outline: NDArray[np.float64], size: tuple[int, int], cuts: _Cuts, rng: np.random.Generator) -> Warp:
    """Moves the outline onto the canvas: cut sides onto its border, else standing in the lower half, not centred."""
    low, high = outline.min(axis=0), outline.max(axis=0)
    width, height = size
    centre, ground = float(rng.uniform(*CENTRE_RANGE)), float(rng.uniform(*GROUND_RANGE))
    dx = centre * width - (low[0] + high[0]) / 2
    dy = ground * height - high[1]
    dx = min(max(dx, 2 - low[0]), width - 3 - high[0])
    dy = min(max(dy, 2 - low[1]), height - 3 - high[1])
    if cuts.left or cuts.right:
        dx = -low[0] if cuts.left else width - 1 - high[0]
    if cuts.top or cuts.bottom:
        dy = -low[1] if cuts.top else height - 1 - high[1]
    return np.array([[1, 0, dx], [0, 1, dy], [0, 0, 1.0]])
