"""Where shots begin and end: PySceneDetect's detectors on small frames, fed one by one, with flashes taken out.

Hard cuts come from AdaptiveDetector (HSV difference against its neighbourhood), cuts to and from black from two
ThresholdDetectors, one for the way into black and one for the way out, so that the black between two shots is a shot of
its own. Gradual transitions (gradual.py) belong to no shot.
"""

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
from scenedetect import AdaptiveDetector, FrameTimecode, ThresholdDetector

from schemas.config import CurationConfig
from schemas.video import Image
from stages.gradual import GradualFinder, Transition, merged

SHOT_SHORT_SIDE_PX = 64
"""Frames are compared at this size: cuts are as clear as at full size, and camera shake is not."""

LAG_FRAMES = 48
"""A boundary that ends a shot at frame n is announced by the time frame n + LAG_FRAMES was pushed."""

_CUT_LAG_FRAMES = 5  # a flash is over by then
_FADE_LAG_FRAMES = 12  # a fade that ends in this cut is known by then
_HOLD_FRAMES = 8  # after a transition is first seen: its extent is known by then
_FLASH_SHARE = 0.4  # of the difference at the cut: what comes after a flash is that much like what came before
_SAME_STRUCTURE = 0.75  # correlation across the cut: a fast camera or a light switched on, not a cut
_FLAT_DEVIATION = 1.0
_NOMINAL_FPS = 25.0  # detectors count frames; the rate cancels out


@dataclass(frozen=True, slots=True)
class Boundary:
    """The shot before ends with frame end - 1, the next begins with `start`. Equal: a hard cut."""

    end: int
    start: int


class FastAdaptiveDetector(AdaptiveDetector):  # type: ignore[misc]
    """AdaptiveDetector with the same HSV difference, measured in one call: that is most of its time."""

    _last_hsv: Image | None = None

    def _calculate_frame_score(self, timecode: FrameTimecode, frame_img: Image) -> float:
        hsv = np.asarray(cv2.cvtColor(frame_img, cv2.COLOR_BGR2HSV), np.uint8)
        last, self._last_hsv = self._last_hsv, hsv
        return 0.0 if last is None else cv2.norm(hsv, last, cv2.NORM_L1) / hsv.size


class CutFinder:
    """Streaming cut detection; holds a few small frames whatever the length of the video."""

    def __init__(self, config: CurationConfig) -> None:
        self._min_shot_frames = config.min_shot_frames
        threshold = round(config.black_level * 255)
        fade = {"threshold": threshold, "min_scene_len": config.min_shot_frames, "fade_bias": 1.0}
        self._cuts = FastAdaptiveDetector(config.cut_threshold, 1, min_content_val=config.min_cut_difference)
        self._fades = [
            ThresholdDetector(**fade, method=method)
            for method in (ThresholdDetector.Method.FLOOR, ThresholdDetector.Method.CEILING)
        ]
        self._rate = FrameTimecode(0, fps=_NOMINAL_FPS)
        self._recent: deque[tuple[int, Image]] = deque(maxlen=_FADE_LAG_FRAMES + 2)
        self._candidates: dict[int, int] = {}  # a cut -> frames to wait until it is judged
        self._gradual = GradualFinder()
        self._sightings: list[Transition] = []
        self._seen_at = 0  # when the first of the sightings was made
        self._transition_end = -1
        self._last_cut = 0
        self._flash_end = -1  # frame in which the picture came back after the latest flash: no cut either

    def push(self, index: int, small: Image) -> list[Boundary]:
        """Takes frame `index` ((h, w, 3) uint8 RGB, every frame, in order); returns the boundaries now certain."""
        self._recent.append((index, small))
        timecode = FrameTimecode(index, fps=self._rate)
        for cut in self._cuts.process_frame(timecode, small):
            self._candidates[cut.frame_num] = _CUT_LAG_FRAMES
        mean_colour = np.array([cv2.mean(small)[:3]])  # all that a ThresholdDetector looks at
        for detector in self._fades:
            for cut in detector.process_frame(timecode, mean_colour):
                self._candidates.setdefault(cut.frame_num, _FADE_LAG_FRAMES)
        sightings = [each for each in self._gradual.push(index, small) if each.first > self._transition_end]
        if sightings and not self._sightings:
            self._seen_at = index
        self._sightings += sightings
        return self._settle(index, is_over=False)

    def finish(self) -> list[Boundary]:
        """The boundaries that were still waiting when the video ended."""
        return self._settle(self._recent[-1][0], is_over=True) if self._recent else []

    def _settle(self, index: int, is_over: bool) -> list[Boundary]:
        boundaries = []
        pending = merged(self._sightings)
        if self._sightings and (is_over or index >= self._seen_at + _HOLD_FRAMES):
            self._sightings = []
            for each in pending:
                boundaries.append(Boundary(max(each.first, self._last_cut), min(each.last, index) + 1))
                self._last_cut, self._transition_end = boundaries[-1].start, each.last
        for cut in sorted(cut for cut, lag in self._candidates.items() if is_over or cut + lag <= index):
            if self._sightings and any(each.first <= cut <= each.last + _CUT_LAG_FRAMES for each in pending):
                continue  # until it is certain
            del self._candidates[cut]
            if cut <= max(self._flash_end, self._transition_end + 1):
                continue
            if cut - self._last_cut >= self._min_shot_frames and not self._is_one_scene(cut):
                boundaries.append(Boundary(cut, cut))
                self._last_cut = cut
        return boundaries

    def _is_one_scene(self, cut: int) -> bool:
        """Is the structure the same on both sides, or does the picture from before come back soon after?"""
        small_of = dict(self._recent)
        before, after = small_of.get(cut - 1), small_of.get(cut)
        if before is None or after is None:
            return False
        is_flat = min(float(side.std()) for side in (before, after)) < _FLAT_DEVIATION  # has no structure
        if not is_flat and cv2.matchTemplate(after, before, cv2.TM_CCOEFF_NORMED)[0, 0] > _SAME_STRUCTURE:
            return True
        limit = _FLASH_SHARE * cv2.norm(before, after, cv2.NORM_L1)
        soon = range(cut + 1, cut + _CUT_LAG_FRAMES + 1)
        returns = [i for i in soon if i in small_of and cv2.norm(before, small_of[i], cv2.NORM_L1) < limit]
        self._flash_end = min(returns, default=self._flash_end)
        return bool(returns)
