"""How the edited region moves through time against how the source does: flicker, warping error, motion, sharpness."""

from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.video import Image, Mask
from stages import masks
from stages.motion import Flow, camera_flow, flow_between, shrink, warp

_SHORT_SIDE_PX = 240
_OCCLUSION = (0.01, 0.5)  # Sundaram et al., ECCV 2010: of the squared flows, and in squared pixels
_LEAST_MOTION_PX = 0.5  # a region that moves less is not asked whether it follows
_LEAST_ERROR = 2.0  # grey levels of the source's warping error: sensor noise and coding
_LEAST_TEXTURE = 1.0  # grey levels of a region with something to be sharp about
_MIN_PX = 60  # pixels of a region at this size that say anything
_RING = 0.15  # of the short side: the surroundings that a removed subject's place is compared with

Grey = NDArray[np.float32]


class Part(StrEnum):
    """What became of a region, and so what it is held against."""

    CHANGED = "changed"  # another subject: it moves as the source's does, and is as sharp
    EMPTIED = "emptied"  # nothing: it moves and looks as its surroundings do
    SCENE = "scene"  # another place: it moves as the source's does; whether it is sharp is its own affair


class MotionScores:
    """What successive frames tell; holds two frames of either video."""

    def __init__(self, part: Part = Part.CHANGED) -> None:
        self._part = part
        self._last: tuple[Image, Image, Mask] | None = None
        self._colours: list[NDArray[np.float64] | None] = []  # of the source's region and of the edited one
        self._errors: list[tuple[float, float]] = []
        self._motions: list[tuple[float, float]] = []  # along the expected motion; the expected motion squared
        self._detail: list[tuple[float, float]] = []

    def add(self, before: Image, after: Image, inside: Mask) -> None:
        """The next frame of the source and of the edit, full size, and its (H, W) region."""
        if not inside.any() and self._last is None:
            self._colours.append(None)
            return
        small, edited = (shrink(image, _SHORT_SIDE_PX) for image in (before, after))
        region = masks.resize(inside, *small.shape[:2])
        seen = masks.area_px(region) >= _MIN_PX
        self._colours.append(np.stack([_colour(image, region) for image in (small, edited)]) if seen else None)
        if seen and self._part is not Part.SCENE:
            self._add_detail(before, after, inside)
        if seen and self._last is not None and masks.area_px(self._last[2]) >= _MIN_PX:
            self._add_step(small, edited, region)
        self._last = small, edited, region

    def _add_step(self, small: Image, edited: Image, region: Mask) -> None:
        """Compares this frame with the one before it. The source's flow says where everything is to be."""
        assert self._last is not None
        small_before, edited_before, region_before = self._last
        flow, back = flow_between(small, small_before), flow_between(small_before, small)
        expected = camera_flow(flow, region.astype(np.float32)) if self._part is Part.EMPTIED else flow
        visible = region & (warp(region_before.astype(np.uint8), expected) > 0.5) & ~occluded(flow, back)
        if masks.area_px(visible) < _MIN_PX:
            return
        own = warping_error(small, small_before, flow, visible)
        self._errors.append((warping_error(edited, edited_before, expected, visible), own))
        found = flow_between(edited, edited_before)[visible]
        wanted = expected[visible]
        if np.median(np.hypot(wanted[:, 0], wanted[:, 1])) >= _LEAST_MOTION_PX:
            self._motions.append((float((found * wanted).sum()), float((wanted * wanted).sum())))

    def _add_detail(self, before: Image, after: Image, inside: Mask) -> None:
        core = masks.erode(inside, 0.01 * min(inside.shape))
        core = core if core.any() else inside
        if self._part is Part.EMPTIED:
            ring = masks.dilate(inside, _RING * min(inside.shape)) & ~masks.dilate(inside, 0.03 * min(inside.shape))
            known = detail(after, ring) if ring.any() else 0.0
        else:
            known = detail(before, core)
        if known >= _LEAST_TEXTURE:
            self._detail.append((detail(after, core), known))

    def scores(self) -> dict[str, float | None]:
        """flicker: grey levels. warping_error: grey levels, of the edit; warping_ratio: to the source's. motion: 1 =
        as the source. sharpness: ratio to the source's. None where nothing could be measured."""
        errors, motions = np.array(self._errors), np.array(self._motions)
        ratio = None if not len(errors) else float(errors[:, 0].mean() / max(errors[:, 1].mean(), _LEAST_ERROR))
        return {
            "flicker": self._flicker(),
            "warping_error": float(errors[:, 0].mean()) if len(errors) else None,
            "warping_ratio": ratio,
            "motion": float(motions[:, 0].sum() / motions[:, 1].sum()) if len(motions) else None,
            "sharpness": float(np.median([own / known for own, known in self._detail])) if self._detail else None,
        }

    def _flicker(self) -> float | None:
        """By how many levels the region's mean colour swings (second difference in time) beyond what the source's does.
        A slow change of light has hardly any."""
        swings = []
        for one, two, three in zip(self._colours, self._colours[1:], self._colours[2:], strict=False):
            if one is not None and two is not None and three is not None:
                swings.append(np.abs(one - 2 * two + three).max(axis=1) / 2)
        if not swings:
            return None
        own, edited = np.mean(swings, axis=0)
        return max(float(edited - own), 0.0)


def warping_error(image: Image, earlier: Image, flow: Flow, visible: Mask) -> float:
    """Mean absolute difference, in grey levels, of a frame and the one before it brought along `flow`, over `visible`
    (Lai et al., ECCV 2018, with the L1 norm)."""
    moved = warp(earlier, flow)
    return float(np.abs(image.astype(np.float32) - moved).mean(axis=2)[visible].mean())


def occluded(flow: Flow, back: Flow) -> Mask:
    """Where the flow forth and the flow back contradict each other: one of the frames does not show the place."""
    returned = np.stack([warp(np.ascontiguousarray(back[..., axis]), flow) for axis in (0, 1)], axis=-1)
    gap = np.square(flow + returned).sum(axis=2)
    length = np.square(flow).sum(axis=2) + np.square(returned).sum(axis=2)
    return np.asarray(gap > _OCCLUSION[0] * length + _OCCLUSION[1], np.bool_)


def detail(image: Image, where: Mask) -> float:
    """How sharp the picture is there: mean absolute Laplacian of brightness, in grey levels."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(np.abs(cv2.Laplacian(grey, cv2.CV_32F, ksize=1))[where].mean())


def _colour(image: Image, region: Mask) -> NDArray[np.float64]:
    return np.asarray(image[region].mean(axis=0, dtype=np.float64))
