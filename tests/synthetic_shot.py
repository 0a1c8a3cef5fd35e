"""A made-up shot: a panning textured background with discs that move on their own, and the truth about them."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from schemas.video import Footage, Frame, Image, Mask
from stages import mining

HEIGHT_PX, WIDTH_PX, FPS = 240, 320, 24.0
RED, BLUE = (200, 40, 40), (40, 60, 210)


@dataclass(frozen=True)
class Disc:
    """Starts at `start` (x, y), moves by `step` each frame; colour RGB."""

    start: tuple[float, float]
    step: tuple[float, float]
    radius_px: float = 32.0
    growth: float = 0.0
    colour: tuple[int, int, int] = RED


def texture(height_px: int, width_px: int, seed: int, contrast: float = 60.0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(height_px, width_px)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return smooth / smooth.std() * contrast


def frame_of(number: int, discs: Sequence[Disc], pan_px: float = 1.0) -> tuple[Image, list[Mask]]:
    """Picture and one mask per disc (later discs in front)."""
    wide = 110 + 0.6 * texture(HEIGHT_PX, WIDTH_PX * 3, 1)
    shift = np.array([[1, 0, -pan_px * number - 20], [0, 1, 0]], np.float32)
    ground = cv2.warpAffine(wide, shift, (WIDTH_PX, HEIGHT_PX), flags=cv2.INTER_LINEAR)
    picture = np.repeat(ground[..., None], 3, axis=2) * np.array([0.8, 1.0, 0.7])
    rows, columns = np.mgrid[:HEIGHT_PX, :WIDTH_PX]
    found: list[Mask] = []
    for order, disc in enumerate(discs):
        x, y = (disc.start[axis] + disc.step[axis] * number for axis in range(2))
        radius = disc.radius_px + disc.growth * number
        mask = np.hypot(columns - x, rows - y) <= radius
        skin = texture(HEIGHT_PX, WIDTH_PX, 7 + order, 22)
        moved = cv2.warpAffine(skin, np.array([[1, 0, x - 160], [0, 1, y - 120]], np.float32), (WIDTH_PX, HEIGHT_PX))
        picture[mask] = np.array(disc.colour) + moved[mask][:, None]
        found = [each & ~mask for each in found] + [mask]
    return np.clip(picture, 0, 255).astype(np.uint8), found


def shot(discs: Sequence[Disc], num_frames: int = 48, num_anchors: int = 4) -> tuple[Footage, list[list[Mask]]]:
    """Footage sampled as mining does, and the true masks per anchor."""
    plan = mining.plan_frames(0, num_frames, FPS, num_anchors)
    frames = [Frame(index, index / FPS, frame_of(index, discs)[0]) for index in plan.indices]
    anchors = [frames[position] for position in plan.anchors]
    return mining.footage_of(anchors, frames, None), [frame_of(plan.indices[each], discs)[1] for each in plan.anchors]
