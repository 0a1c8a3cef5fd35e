"""Where shots begin: PySceneDetect's detectors on small frames, fed one by one, with flashes taken out.

Hard cuts come from AdaptiveDetector (HSV difference against its neighbourhood), fades from two ThresholdDetectors, one
for the way into black and one for the way out, so that the black between two shots is a shot of its own.
"""

from collections import deque

import cv2
import numpy as np
from scenedetect import AdaptiveDetector, FrameTimecode, ThresholdDetector

from schemas.config import CurationConfig
from schemas.video import Image

SHOT_SHORT_SIDE_PX = 64
"""Frames are compared at this size: cuts are as clear as at full size, and camera shake is not."""

LAG_FRAMES = 5
"""A cut at frame n is announced, or not, by the time frame n + LAG_FRAMES was pushed."""

_FLASH_SHARE = 0.4  # of the difference at the cut: what comes after a flash is that much like what came before
_SAME_STRUCTURE = 0.75  # correlation across the cut: a fast camera or a light switched on, not a cut
_FLAT_DEVIATION = 1.0
_NOMINAL_FPS = 25.0  # detectors count frames; the rate cancels out


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
        self._recent: deque[tuple[int, Image]] = deque(maxlen=LAG_FRAMES + 2)
        self._candidates: set[int] = set()
        self._last_cut = 0
        self._flash_end = -1  # frame in which the picture came back after the latest flash: no cut either

    def push(self, index: int, small: Image) -> list[int]:
        """Takes frame `index` ((h, w, 3) uint8 RGB, every frame, in order); returns the cuts now certain.

        A cut is the index of the first frame of the new shot.
        """
        self._recent.append((index, small))
        timecode = FrameTimecode(index, fps=self._rate)
        cuts = self._cuts.process_frame(timecode, small)
        mean_colour = np.array([cv2.mean(small)[:3]])  # all that a ThresholdDetector looks at
        for detector in self._fades:
            cuts = cuts + detector.process_frame(timecode, mean_colour)
        self._candidates.update(cut.frame_num for cut in cuts)
        return self._settle(index - LAG_FRAMES)

    def finish(self) -> list[int]:
        """The cuts that were still waiting when the video ended."""
        return self._settle(self._recent[-1][0]) if self._recent else []

    def _settle(self, last: int) -> list[int]:
        cuts = []
        for candidate in sorted(c for c in self._candidates if c <= last):
            self._candidates.remove(candidate)
            if candidate <= self._flash_end:
                continue
            if candidate - self._last_cut >= self._min_shot_frames and not self._is_one_scene(candidate):
                cuts.append(candidate)
                self._last_cut = candidate
        return cuts

    def _is_one_scene(self, cut: int) -> bool:
        """Is the structure the same on both sides, or does the picture from before come back within LAG_FRAMES?"""
        small_of = dict(self._recent)
        before, after = small_of.get(cut - 1), small_of.get(cut)
        if before is None or after is None:
            return False
        is_flat = min(float(side.std()) for side in (before, after)) < _FLAT_DEVIATION  # has no structure
        if not is_flat and cv2.matchTemplate(after, before, cv2.TM_CCOEFF_NORMED)[0, 0] > _SAME_STRUCTURE:
            return True
        limit = _FLASH_SHARE * cv2.norm(before, after, cv2.NORM_L1)
        returns = [i for i in small_of if i > cut and cv2.norm(before, small_of[i], cv2.NORM_L1) < limit]
        self._flash_end = min(returns, default=self._flash_end)
        return bool(returns)


def match_cuts(
    found: list[int], true: list[int], ignore: list[tuple[int, int]], slack: int = 2
) -> tuple[int, int, int]:
    """True positives, false positives and false negatives, within `slack` frames, one to one.

    Found cuts within `slack` of an inclusive range of `ignore` (gradual transitions) count neither way.
    """
    left = sorted(true)
    hits = misses = 0
    for cut in sorted(found):
        near = [t for t in left if abs(t - cut) <= slack]
        if near:
            left.remove(min(near, key=lambda t: abs(t - cut)))
            hits += 1
        elif not any(first - slack <= cut <= last + slack for first, last in ignore):
            misses += 1
    return hits, misses, len(left)
