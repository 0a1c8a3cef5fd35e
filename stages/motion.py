"""What moves on its own: dense flow against the camera's motion (after Papazoglou & Ferrari, ICCV 2013)."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.video import Image

Flow = NDArray[np.float32]
"""(H, W, 2) displacement in pixels, x then y."""

Map = NDArray[np.float32]
"""(H, W) values."""

_GRID_PX = 6  # samples of the flow that camera models are fitted to
_INLIER_PX = 0.7
_MIN_SUPPORT = 0.12  # of the frame's border zone, to be a camera model and not a subject's
_NOISE_LEVELS = 3.0  # of colour, likewise
_UNSEEN = 0.4  # trust in motion that leaves the colours unchanged
_NOISE_PX = 0.35  # of dense flow on a still background at the sizes used here


def shrink(image: Image, short_side_px: int) -> Image:
    """The image with its short side at `short_side_px`; smaller ones stay as they are."""
    height, width = image.shape[:2]
    scale = short_side_px / min(height, width)
    if scale >= 1:
        return image
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def flow_between(image: Image, other: Image) -> Flow:
    """Where each pixel of `image` is in `other` (DIS, Kroeger et al., ECCV 2016)."""
    engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey, other_grey = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (image, other))
    return np.asarray(engine.calc(grey, other_grey, None), dtype=np.float32)


def warp(values: Map | Image, flow: Flow) -> NDArray[np.float32]:
    """`values` of the other frame, brought to this frame's pixels by this frame's flow; 0 where it left the frame."""
    height, width = flow.shape[:2]
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    moved = cv2.remap(
        values.astype(np.float32), columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, borderValue=0
    )
    return np.asarray(moved, dtype=np.float32)


def camera_models(flow: Flow) -> list[NDArray[np.float64]]:
    """Up to three homographies (far scene, ground, a wall) that explain the background's flow, best supported first.

    They are fitted one after the other to what the earlier ones left; all but the first must explain a good part of the
    frame's border zone, where subjects rarely are. Empty when the flow fits no homography at all.
    """
    height, width = flow.shape[:2]
    rows, columns = np.mgrid[_GRID_PX // 2 : height : _GRID_PX, _GRID_PX // 2 : width : _GRID_PX]
    points = np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float32)
    targets = points + flow[rows.ravel(), columns.ravel()]
    zone = _border_zone(points, height, width)
    models: list[NDArray[np.float64]] = []
    left = np.ones(len(points), np.bool_)
    for _ in range(3):
        if left.sum() < 30:
            break
        model, inliers = cv2.findHomography(points[left], targets[left], cv2.RANSAC, _INLIER_PX, maxIters=300)
        if model is None:
            break
        chosen = np.flatnonzero(left)[inliers.ravel() > 0]
        left[chosen] = False
        if not models or zone[chosen].sum() >= _MIN_SUPPORT * zone.sum():
            models.append(np.asarray(model, dtype=np.float64))
    return models


def _border_zone(points: NDArray[np.float32], height: int, width: int) -> NDArray[np.bool_]:
    x, y = points[:, 0] / width, points[:, 1] / height
    return np.asarray((np.minimum(x, 1 - x) < 0.1) | (np.minimum(y, 1 - y) < 0.1), dtype=np.bool_)


def _flow_of(model: NDArray[np.float64], height: int, width: int) -> Flow:
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
    x, y, z = (row[0] * columns + row[1] * rows + row[2] for row in model)
    z = np.where(np.abs(z) < 1e-6, 1e-6, z)
    return np.stack([x / z - columns, y / z - rows], axis=2).astype(np.float32)


def own_motion(image: Image, other: Image) -> tuple[Map, Map]:
    """What the camera does not explain between two frames: (pixels of flow, levels 0..255 of colour), both per pixel.

    Flow bleeds from a subject into plain ground beside it; there the camera still explains the colours.
    """
    flow = flow_between(image, other)
    height, width = flow.shape[:2]
    motion = np.full((height, width), np.inf, np.float32)
    colour = np.full((height, width), np.inf, np.float32)
    for model in camera_models(flow):
        camera = _flow_of(model, height, width)
        motion = np.minimum(motion, np.linalg.norm(flow - camera, axis=2))
        difference = np.abs(warp(other, camera) - image.astype(np.float32)).max(axis=2)
        colour = np.minimum(colour, cv2.blur(difference, (5, 5)))
    if not np.isfinite(motion).all():
        return np.linalg.norm(flow, axis=2).astype(np.float32), np.full((height, width), 255, np.float32)
    return motion, colour


def saliency(image: Image, others: Sequence[Sequence[Image]]) -> Map:
    """How surely each pixel moves on its own, in [0, 1], judged against groups of nearby frames; 0 without any.

    A group holds a frame before and one after at about the same distance (or one of them): of a group the smallest
    motion counts, because flow is wrong where background is covered or uncovered on one side; of groups the largest.
    """
    combined = np.zeros(image.shape[:2], np.float32)
    for group in others:
        pairs = [own_motion(image, other) for other in group]
        moved = np.minimum.reduce([motion for motion, _ in pairs])
        changed = np.minimum.reduce([colour for _, colour in pairs])
        noise = max(float(np.median(moved)), _NOISE_PX)
        level = max(float(np.median(changed)), _NOISE_LEVELS)
        sure = moved**2 / (moved**2 + (3 * noise) ** 2)
        seen = changed**2 / (changed**2 + (2 * level) ** 2)
        combined = np.maximum(combined, sure * (_UNSEEN + (1 - _UNSEEN) * seen))
    return combined
