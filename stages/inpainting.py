"""Filling a hole with background of the same picture, by patches, without a model.

Coarse to fine after Wexler, Shechtman and Irani, "Space-Time Completion of Video" (PAMI 2007), with the propagation and
random search of PatchMatch (Barnes et al. 2009) on the finer levels. The coarsest level searches exhaustively, and
prefers patches of the same height in the picture: ground is filled with ground, sky with sky.

Patch distances are sums of small integers that float32 holds exactly, so the fill is the same on every machine.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.errors import BadInput
from schemas.reasons import Reason
from schemas.video import Image, Mask
from stages import masks

Offsets = NDArray[np.int32]
"""(N, 2) dy, dx from a pixel of the hole to the known pixel it is copied from."""

RADIUS = 3  # 7x7 patches
MAX_HOLE_CENTRES = 1500  # at the coarsest level
MAX_SOURCE_CENTRES = 7000
MIN_SOURCE_CENTRES = 100
COARSE_ROUNDS = 4
REFLECTED_SHARE = 0.3  # of the hole's width: how far beside it the first guess looks
HEIGHT_PENALTY = 600  # per squared row of vertical offset at the coarsest level, in summed squared 7-bit differences


@dataclass(slots=True)
class _Level:
    """One scale: the picture being filled, what is hole, and the patch centres on both sides."""

    image: NDArray[np.int32]  # (H, W, 3)
    hole: Mask
    usable: Mask  # pixels that may be copied
    centres: NDArray[np.int64]  # (N, 2) y, x whose patches touch the hole
    sources: Mask  # centres of patches that are usable as a whole


def fill_hole(image: Image, hole: Mask, forbidden: Mask, seed: int) -> Image:
    """`image` with `hole` (True) filled from pixels that are neither in `hole` nor `forbidden`.

    Pixels outside the hole come back bit-exact. Raises BadInput(NO_ROOM) when too little of the picture is left to
    learn from.
    """
    if not hole.any():
        return image.copy()
    x0, y0, x1, y1 = _context(hole)
    crop, cropped = image[y0:y1, x0:x1], hole[y0:y1, x0:x1]
    filled = _fill(crop, cropped, cropped | forbidden[y0:y1, x0:x1], np.random.default_rng(seed))
    result = image.copy()
    result[y0:y1, x0:x1] = np.where(cropped[..., None], filled, crop)
    return result


def _context(hole: Mask) -> tuple[int, int, int, int]:
    """The hole's box and what surrounds it: more to the sides than up and down."""
    box = masks.box_of(hole)
    assert box is not None
    width, height = box[2] - box[0], box[3] - box[1]
    reach_x, reach_y = max(2.0 * width, 64.0), max(0.6 * height, 48.0)
    x0, y0 = max(int(box[0] - reach_x), 0), max(int(box[1] - reach_y), 0)
    return x0, y0, min(int(box[2] + reach_x), hole.shape[1]), min(int(box[3] + reach_y), hole.shape[0])


def _fill(image: Image, hole: Mask, unusable: Mask, rng: np.random.Generator) -> Image:
    factors = _factors(hole)
    level = _level(image, hole, unusable, factors[0])
    if np.count_nonzero(level.sources) < MIN_SOURCE_CENTRES:
        raise BadInput(Reason.NO_ROOM, "too little of the picture is left to fill the hole from")
    _begin(level)
    offsets = _search_everything(level)
    for factor in factors[1:]:
        finer = _level(image, hole, unusable, factor)
        offsets = _finer(level, offsets, finer)
        level = finer
        _vote(level, offsets, radius=2 if factor > 1 else 1)
        for _ in range(2 if factor > 1 else 0):
            offsets = _search_near(level, offsets, rng)
            _vote(level, offsets)
    return np.asarray(level.image, dtype=np.uint8)


def _factors(hole: Mask) -> list[int]:
    """Scales from coarse to fine, halving, such that the coarsest has few enough patch centres."""
    area, factor = masks.area_px(masks.dilate(hole, RADIUS)), 1
    while area / factor**2 > MAX_HOLE_CENTRES or hole.size / factor**2 > MAX_SOURCE_CENTRES:
        factor *= 2
    return [factor >> step for step in range(factor.bit_length())]


def _level(image: Image, hole: Mask, unusable: Mask, factor: int) -> _Level:
    """Everything at 1/factor. A coarse pixel is hole, or unusable, as soon as part of it is."""
    size = (-(-image.shape[1] // factor), -(-image.shape[0] // factor))
    padding = ((0, size[1] * factor - image.shape[0]), (0, size[0] * factor - image.shape[1]))
    even = np.pad(image, (*padding, (0, 0)), mode="edge")
    small = cv2.resize(even, size, interpolation=cv2.INTER_AREA).astype(np.int32)
    coarse_hole, coarse_unusable = (_any_of(np.pad(mask, padding), factor) for mask in (hole, unusable))
    near = cv2.dilate(coarse_hole.astype(np.uint8), np.ones((2 * RADIUS + 1,) * 2, np.uint8)) > 0
    kernel = np.ones((2 * RADIUS + 1,) * 2, np.uint8)
    sources = cv2.erode((~coarse_unusable).astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
    return _Level(small, coarse_hole, ~coarse_unusable, np.argwhere(near), sources)


def _any_of(mask: Mask, factor: int) -> Mask:
    height, width = mask.shape[0] // factor, mask.shape[1] // factor
    return np.asarray(mask.reshape(height, factor, width, factor).any(axis=(1, 3)), dtype=np.bool_)


def _begin(level: _Level) -> None:
    """First guess: every row goes on with what lies close beside the hole, reflected to and fro.

    Diffusion as a first guess would be smooth, and the search would then answer it with road and sky only.
    """
    guess = cv2.inpaint(level.image.astype(np.uint8), level.hole.astype(np.uint8), 2, cv2.INPAINT_TELEA)
    for y in np.flatnonzero(level.hole.any(axis=1)):
        known = np.flatnonzero(level.usable[y])
        wanted = np.flatnonzero(level.hole[y])
        if not len(known):
            continue
        right = np.searchsorted(known, wanted)
        left_end, right_end = known[np.maximum(right - 1, 0)], known[np.minimum(right, len(known) - 1)]
        nearer = np.where(np.abs(wanted - left_end) <= np.abs(right_end - wanted), left_end, right_end)
        reach = max(int(REFLECTED_SHARE * len(wanted)), 4)
        depth = np.abs((np.abs(wanted - nearer) - 1) % (2 * reach) - reach)
        mirrored = np.clip(nearer - np.sign(wanted - nearer) * (reach - depth), 0, level.hole.shape[1] - 1)
        usable = level.usable[y, mirrored]
        guess[y, wanted[usable]] = level.image[y, mirrored[usable]]
    level.image[level.hole] = guess[level.hole]


def _patches(image: NDArray[np.int32], centres: NDArray[np.int64], radius: int) -> NDArray[np.int32]:
    """(N, 3, k, k) patches around (y, x) centres; the border is repeated outwards."""
    padded = np.pad(image, ((radius, radius), (radius, radius), (0, 0)), mode="edge")
    side = 2 * radius + 1
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side, 3))
    return np.asarray(windows[centres[:, 0], centres[:, 1], 0].transpose(0, 3, 1, 2), dtype=np.int32)


def _search_everything(level: _Level) -> Offsets:
    """Alternates nearest patches and voting; every distance is exact (7-bit values, sums below 2**24)."""
    sources = np.argwhere(level.sources)
    step = -(-len(sources) // MAX_SOURCE_CENTRES)
    sources = sources[::step]
    known = _seven_bits(_patches(level.image, sources, RADIUS))
    known_norm = np.sum(known * known, axis=1)
    rise = (level.centres[:, :1] - sources[None, :, 0]).astype(np.float32)
    penalty = np.minimum(HEIGHT_PENALTY * rise * rise, np.float32(2.0**21)) + known_norm
    offsets: Offsets = np.zeros((len(level.centres), 2), np.int32)
    for _ in range(COARSE_ROUNDS):
        wanted = _seven_bits(_patches(level.image, level.centres, RADIUS))
        nearest = np.argmin(penalty - 2 * (wanted @ known.T), axis=1)
        offsets = (sources[nearest] - level.centres).astype(np.int32)
        _vote(level, offsets)
    return offsets


def _seven_bits(patches: NDArray[np.int32]) -> NDArray[np.float32]:
    return np.asarray(((patches >> 1) - 64).reshape(len(patches), -1), dtype=np.float32)


def _field(level: _Level, offsets: Offsets) -> NDArray[np.int32]:
    """(H, W, 2) offsets as a picture; a huge dy where there is none, so that every use of it falls outside."""
    field = np.full((*level.hole.shape, 2), 1 << 20, np.int32)
    field[level.centres[:, 0], level.centres[:, 1]] = offsets
    return field


def _vote(level: _Level, offsets: Offsets, radius: int = 2) -> None:
    """Every pixel of the hole becomes the mean of what the patches that cover it propose, its own counting most."""
    height, width = level.hole.shape
    y, x = (side.astype(np.int32) for side in np.nonzero(level.hole))
    field = np.pad(_field(level, offsets), ((radius, radius), (radius, radius), (0, 0)), constant_values=1 << 20)
    stride = width + 2 * radius
    field_y, field_x = (np.ascontiguousarray(field[..., axis]).reshape(-1) for axis in (0, 1))
    # One pixel more than the picture has: a black one that stands for every proposal that is no good.
    usable = np.append(level.usable.reshape(-1), False).astype(np.int32)
    pixels = np.vstack([level.image.reshape(-1, 3), np.zeros((1, 3), np.int32)]) * usable[:, None]
    total, count = np.zeros((len(y), 3), np.int32), np.zeros(len(y), np.int32)
    for dy in range(2 * radius + 1):
        for dx in range(2 * radius + 1):
            above = (y + dy) * stride + x + dx
            source_y, source_x = y + field_y.take(above), x + field_x.take(above)
            inside = (source_y >= 0) & (source_y < height) & (source_x >= 0) & (source_x < width)
            where = np.where(inside, source_y * width + source_x, height * width)
            weight = 8 if dy == dx == radius else 1
            total += weight * pixels.take(where, axis=0)
            count += weight * usable.take(where)
    voted = (total + (count // 2)[:, None]) // np.maximum(count, 1)[:, None]
    level.image[y, x] = np.where(count[:, None] > 0, voted, level.image[y, x])


def _finer(level: _Level, offsets: Offsets, finer: _Level) -> Offsets:
    """Offsets of a coarse level for one of twice the size, where every centre inherits from the pixel above it."""
    parents = np.minimum(finer.centres // 2, np.array(level.hole.shape) - 1)
    field = _field(level, offsets)[parents[:, 0], parents[:, 1]]
    guess = cv2.resize(level.image.astype(np.uint8), finer.hole.shape[::-1], interpolation=cv2.INTER_LINEAR)
    finer.image[finer.hole] = guess[finer.hole]
    return np.asarray(field * 2, dtype=np.int32)


def _search_near(level: _Level, offsets: Offsets, rng: np.random.Generator) -> Offsets:
    """PatchMatch: tries the neighbours' offsets and one small random step, keeps the best 5x5 patch."""
    field = np.pad(_field(level, offsets), ((1, 1), (1, 1), (0, 0)), constant_values=1 << 20)
    y, x = level.centres[:, 0] + 1, level.centres[:, 1] + 1
    wanted = _patches(level.image, level.centres, 2)
    best = offsets.copy()
    best_cost = _cost(level, wanted, best)
    tries = [field[y - 1, x], field[y + 1, x], field[y, x - 1], field[y, x + 1]]
    tries.append(offsets + rng.integers(-1, 2, offsets.shape, dtype=np.int32))
    for candidate in tries:
        cost = _cost(level, wanted, candidate)
        better = cost < best_cost
        best[better], best_cost[better] = candidate[better], cost[better]
    return best


def _cost(level: _Level, wanted: NDArray[np.int32], offsets: Offsets) -> NDArray[np.int64]:
    where = level.centres + offsets
    height, width = level.hole.shape
    inside = (where[:, 0] >= 0) & (where[:, 0] < height) & (where[:, 1] >= 0) & (where[:, 1] < width)
    where[~inside] = 0
    usable = inside & level.sources[where[:, 0], where[:, 1]]
    difference = _patches(level.image, where, 2) - wanted
    cost = np.einsum("nckl,nckl->n", difference, difference, dtype=np.int64)
    return np.asarray(np.where(usable, cost, np.int64(1) << 40), dtype=np.int64)
