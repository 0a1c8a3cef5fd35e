"""Making parts of different pictures fit: free windows, scale, colour, shadows and seams."""

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from schemas.subject import Box
from schemas.video import Image, Mask
from stages import masks

Colour = NDArray[np.float64]

WINDOW_GRID = 8  # free windows are searched on a grid of this many pixels
GAIN_RANGE = (0.7, 1.4)
EDGE_SIGMA_PX = 0.9
SEAM_SIGMA_PX = 6.0
FADE_PX = 6.0
MAX_SEAM_STEP = 28.0


def free_window(taken: Mask | None, height_px: int, width_px: int, aspect: float) -> Box | None:
    """The largest window of `aspect` (width / height) that touches no True pixel of `taken`; None when there is none.

    Among equally large windows the lowest wins, since ground is what subjects stand on, then the most central.
    Windows below a quarter of the frame's short side do not count.
    """
    grid = WINDOW_GRID
    if taken is None:
        taken = np.zeros((height_px, width_px), np.bool_)
    padding = ((0, -height_px % grid), (0, -width_px % grid))
    padded = np.pad(taken, padding)
    blocks = np.asarray(padded.reshape(-(-height_px // grid), grid, -(-width_px // grid), grid).max(axis=(1, 3)))
    rows, columns = height_px // grid, width_px // grid
    sums = np.pad(np.cumsum(np.cumsum(blocks[:rows, :columns], axis=0), axis=1), ((1, 0), (1, 0)))
    tallest = min(rows, int(columns / aspect))
    for tall in range(tallest, max(min(rows, columns) // 4, 1) - 1, -1):
        wide = max(min(round(tall * aspect), columns), 1)
        inside = sums[tall:, wide:] - sums[:-tall, wide:] - sums[tall:, :-wide] + sums[:-tall, :-wide]
        free = np.argwhere(inside == 0)
        if len(free):
            y, x = free[np.lexsort((np.abs(2 * free[:, 1] + wide - columns), -free[:, 0]))[0]]
            return tuple(float(side * grid) for side in (x, y, x + wide, y + tall))  # type: ignore[return-value]
    return None


def crop_to(image: Image, window: Box, width_px: int, height_px: int) -> Image:
    """The window of `image` at another size."""
    x0, y0, x1, y1 = (int(side) for side in window)
    part = image[y0:y1, x0:x1]
    method = cv2.INTER_AREA if width_px < x1 - x0 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(part, (width_px, height_px), interpolation=method), dtype=np.uint8)


def mean_colour(image: Image, mask: Mask) -> Colour:
    """Mean RGB under the mask, 0..255; mid-grey when it is empty."""
    return np.asarray(image[mask].mean(axis=0, dtype=np.float64) if mask.any() else np.full(3, 127.0))


def colour_overlap(first: Image, first_mask: Mask, second: Image, second_mask: Mask) -> float:
    """How much the colours under two masks are the same, 0..1: intersection of smoothed 12-bin Lab histograms."""
    if not first_mask.any() or not second_mask.any():
        return 0.0
    return float(np.minimum(_histogram(first, first_mask), _histogram(second, second_mask)).sum())


def _histogram(image: Image, mask: Mask) -> NDArray[np.float64]:
    step = max(min(image.shape[:2]) // 120, 1)
    image, mask = np.ascontiguousarray(image[::step, ::step]), mask[::step, ::step]
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)[mask] // 22
    counts = np.bincount((lab[:, 0].astype(np.int64) * 12 + lab[:, 1]) * 12 + lab[:, 2], minlength=12**3)
    cube = counts.reshape(12, 12, 12).astype(np.float64)
    for axis in range(3):
        cube = 0.5 * cube + 0.25 * (np.roll(cube, 1, axis) + np.roll(cube, -1, axis))
    return np.asarray(cube / max(float(cube.sum()), 1.0))


def match_colour(image: Image, own: Colour, wanted: Colour, strength: float) -> Image:
    """Scales the channels of `image` so that the colour `own` moves towards `wanted`, by `strength` in 0..1.

    Gains are bounded and dampened towards white, so that nothing is burnt out or driven into a cast.
    """
    gains = np.clip(((wanted + 8) / (own + 8)) ** strength, *GAIN_RANGE)
    values = np.arange(256, dtype=np.float64)[:, None] / 255
    lifted = np.where(gains >= 1, 1 - (1 - values) ** gains, values * gains)
    table = np.clip(np.rint(255 * lifted), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table[:, None, :]), dtype=np.uint8)


def soften_edge(background: Image, subject: Image, mask: Mask) -> Image:
    """`subject` under the mask, bit-exact; around it the background takes over within two pixels.

    Only background pixels change: each mixes in the nearest subject pixel, as a lens would at the boundary.
    """
    near = masks.dilate(mask, 3) & ~mask
    coverage = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), EDGE_SIGMA_PX)
    _, labels = cv2.distanceTransformWithLabels(
        (~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner = np.zeros((int(labels.max()) + 1, 3), np.float32)
    owner[labels[mask]] = subject[mask]
    alpha = coverage[near][:, None]
    mixed = alpha * owner[labels[near]] + (1 - alpha) * background[near]
    result = np.where(mask[..., None], subject, background)
    result[near] = np.rint(mixed).astype(np.uint8)
    return np.asarray(result, dtype=np.uint8)


def contact_shadow(background: Image, mask: Mask, strength: float) -> Image:
    """Darkens the ground where the subject stands; without it a pasted subject floats.

    The silhouette is flattened onto the line of its lower edge and blurred. A subject that leaves the frame at the
    bottom casts none. strength: share of light taken away at most.
    """
    box = masks.box_of(mask)
    if box is None or box[3] >= mask.shape[0]:
        return background
    x0, y0, x1, y1 = (int(side) for side in box)
    width, height = x1 - x0, y1 - y0
    depth = max(round(0.05 * height + 0.06 * width), 4)
    feet = mask[max(y1 - max(round(0.30 * height), 4), y0) : y1, x0:x1].any(axis=0)
    shade = np.zeros(mask.shape, np.float32)
    for x in np.flatnonzero(feet):
        column = mask[y0:y1, x0 + x]
        lowest = y0 + int(np.flatnonzero(column)[-1])
        shade[max(lowest - depth // 2, 0) : lowest + depth // 2, x0 + x] = 1
    shade = cv2.GaussianBlur(shade, (0, 0), sigmaX=max(depth * 0.7, 2), sigmaY=max(depth * 0.35, 1.5))
    darkened = background * (1 - strength * np.clip(shade, 0, 1)[..., None])
    return np.asarray(np.rint(darkened), dtype=np.uint8)


def paste(background: Image, subject: Image, mask: Mask, region: Mask) -> tuple[Image, Mask]:
    """`subject` over `background` with a one-pixel soft edge, clipped to `region`; and the mask that is visible."""
    visible = np.asarray(mask & region, dtype=np.bool_)
    alpha = cv2.GaussianBlur(masks.erode(mask, 1).astype(np.float32), (0, 0), EDGE_SIGMA_PX)
    alpha = np.where(visible, alpha, 0)[..., None]
    mixed = alpha * subject + (1 - alpha) * background
    return np.asarray(np.rint(mixed), dtype=np.uint8), visible


def close_seam(image: Image, filled: Image, box: Box) -> Image:
    """`filled` with the box's inside shifted smoothly so that it meets `image` around the box (Poisson blending).

    Perez, Gangnet and Blake 2003 with the guidance of `filled`: the correction is the membrane (Laplace equation) over
    the differences along the rim, solved exactly by a sine transform. The differences are smoothed along the rim, so
    that texture is not smeared inwards; a side on the frame border pulls nothing.
    """
    x0, y0, x1, y1 = (int(side) for side in box)
    if x1 - x0 < 3 or y1 - y0 < 3:
        return filled
    inside = filled[y0:y1, x0:x1].astype(np.float64)
    outside = np.pad(image.astype(np.float64), ((1, 1), (1, 1), (0, 0)), mode="edge")
    sides = {
        "top": outside[y0, x0 + 1 : x1 + 1] - inside[0] if y0 > 0 else 0 * inside[0],
        "bottom": outside[y1 + 1, x0 + 1 : x1 + 1] - inside[-1] if y1 < image.shape[0] else 0 * inside[-1],
        "left": outside[y0 + 1 : y1 + 1, x0] - inside[:, 0] if x0 > 0 else 0 * inside[:, 0],
        "right": outside[y0 + 1 : y1 + 1, x1 + 1] - inside[:, -1] if x1 < image.shape[1] else 0 * inside[:, -1],
    }
    smooth = {name: np.clip(_smoothed(rim), -MAX_SEAM_STEP, MAX_SEAM_STEP) for name, rim in sides.items()}
    load = np.zeros_like(inside)
    load[0] -= smooth["top"]
    load[-1] -= smooth["bottom"]
    load[:, 0] -= smooth["left"]
    load[:, -1] -= smooth["right"]
    result = filled.copy()
    result[y0:y1, x0:x1] = np.clip(np.rint(inside + _membrane(load)), 0, 255)
    return np.asarray(result, dtype=np.uint8)


def fade_in(image: Image, filled: Image, region: Mask, hidden: Mask) -> Image:
    """`image` outside the region, `filled` inside, a linear passage of FADE_PX inside its rim.

    Nothing of `hidden` shines through. At the frame border the region has no rim.
    """
    distance = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    alpha = np.where(hidden & region, 1, np.clip(distance / FADE_PX, 0, 1))[..., None]
    mixed = np.rint(alpha * filled + (1 - alpha) * image).astype(np.uint8)
    return np.asarray(np.where(region[..., None], mixed, image), dtype=np.uint8)


def _smoothed(rim: NDArray[np.float64]) -> NDArray[np.float64]:
    blurred = cv2.GaussianBlur(rim[None], (0, 0), sigmaX=SEAM_SIGMA_PX, sigmaY=0.1, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, dtype=np.float64).reshape(rim.shape)


def _membrane(load: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solves Laplace(u) = load on a grid with u = 0 around it, per channel."""
    height, width = load.shape[:2]
    rows = 2 * np.cos(np.pi * np.arange(1, height + 1) / (height + 1)) - 2
    columns = 2 * np.cos(np.pi * np.arange(1, width + 1) / (width + 1)) - 2
    spectrum = fft.dstn(load, type=1, axes=(0, 1)) / (rows[:, None, None] + columns[None, :, None])
    return np.asarray(fft.idstn(spectrum, type=1, axes=(0, 1)), dtype=np.float64)
