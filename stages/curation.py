"""Stage i, video curation: one decode pass measures everything; deciding reads the scores alone.

Memory is a few small frames per video, whatever its length: see `_OpenShot`.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from schemas.config import CurationConfig, CurationThresholds
from schemas.errors import BadInput
from schemas.reasons import Reason
from schemas.video import Image, Probe, Shot
from stages import scoring
from stages.media import Decoded, Reading, VideoSource, open_video
from stages.scoring import Sample
from stages.shots import LAG_FRAMES, SHOT_SHORT_SIDE_PX, Boundary, CutFinder

QualityScores = Callable[[Sequence[Image]], list[dict[str, float]]]

_FIRST_STRIDE = 6  # frames between samples of a new shot; doubles as the shot grows
_STILL_CHANGE = 0.3 / 255  # mean change from frame to frame that compression alone makes
_SAME_SHARE = 2 / 3  # of the hashes of the shorter shot that must have a match
_NOMINAL_INTERVAL_SECONDS = 0.04


@dataclass(frozen=True, slots=True)
class MeasuredShot:
    """A shot and what was measured of it. content_box: x0, y0, x1, y1 inside black bars, upright source pixels."""

    shot: Shot
    scores: dict[str, float]
    hashes: list[str]
    content_box: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Measured:
    """A source. damage: why reading ended early, None for a sound file; the shots before it are good."""

    probe: Probe
    num_frames: int
    shots: list[MeasuredShot]
    damage: BadInput | None


@dataclass(frozen=True, slots=True)
class _Tick:
    """All that is remembered of every frame, until its shot is known."""

    index: int
    seconds: float
    change: float  # from the frame before


@dataclass(slots=True)
class _OpenShot:
    """A shot that goes on. Samples are evenly spaced: when there are too many, every other one is dropped."""

    start: _Tick
    max_samples: int
    stride: int = _FIRST_STRIDE
    samples: list[Sample] = field(default_factory=list)
    num_steps: int = 0
    num_still: int = 0
    sum_change: float = 0.0

    def wants(self, index: int) -> bool:
        return (index - self.start.index) % self.stride == 0

    def add(self, sample: Sample) -> None:
        self.samples.append(sample)
        if len(self.samples) > self.max_samples:
            self.stride *= 2
            self.samples = [kept for kept in self.samples if self.wants(kept.index)]

    def count(self, tick: _Tick) -> None:
        if tick.index != self.start.index:  # the change across a cut is not motion
            self.num_steps += 1
            self.num_still += tick.change < _STILL_CHANGE
            self.sum_change += tick.change


class _Measuring:
    """Streams frames into shots. A frame is filed LAG_FRAMES late, when it is certain which shot it belongs to."""

    def __init__(self, config: CurationConfig, quality: QualityScores) -> None:
        self._config, self._quality = config, quality
        self._finder = CutFinder(config)
        self._waiting: deque[_Tick] = deque()
        self._shot: _OpenShot | None = None
        self._previous: Image | None = None
        self._last: _Tick | None = None
        self._interval_seconds = _NOMINAL_INTERVAL_SECONDS
        self.shots: list[MeasuredShot] = []

    def push(self, decoded: Decoded) -> None:
        small = decoded.rgb(SHOT_SHORT_SIDE_PX, coarse=True)
        change = 0.0 if self._previous is None else scoring.mean_change(self._previous, small)
        tick = _Tick(decoded.index, decoded.seconds, change)
        if self._last is not None:
            self._interval_seconds = tick.seconds - self._last.seconds
        self._previous, self._last = small, tick
        self._waiting.append(tick)
        if self._shot is None:
            self._shot = self._open(tick)
        if self._shot.wants(tick.index):
            analysed = decoded.rgb(self._config.analysis_short_side_px)
            self._shot.add(scoring.sample_of(tick.index, analysed, *decoded.luma()))
        for boundary in self._finder.push(tick.index, small):
            self._cut(boundary)
        while self._waiting and self._waiting[0].index < tick.index - LAG_FRAMES:
            self._shot.count(self._waiting.popleft())

    def finish(self) -> None:
        for boundary in self._finder.finish():
            self._cut(boundary)
        if self._shot is not None and self._last is not None:
            for tick in self._waiting:
                self._shot.count(tick)
            end = self._last.seconds + self._interval_seconds
            self._close(self._shot, self._last.index + 1, end)

    def _open(self, start: _Tick) -> _OpenShot:
        return _OpenShot(start, max_samples=2 * self._config.frames_per_clip)

    def _cut(self, boundary: Boundary) -> None:
        """Ends the open shot and opens the next one; the frames between belong to neither."""
        assert self._shot is not None
        while self._waiting and self._waiting[0].index < boundary.end:
            self._shot.count(self._waiting.popleft())
        ended = self._waiting[0].seconds if self._waiting else 0.0
        while self._waiting and self._waiting[0].index < boundary.start:
            self._waiting.popleft()
        later = [sample for sample in self._shot.samples if sample.index >= boundary.start]
        self._shot.samples = [sample for sample in self._shot.samples if sample.index < boundary.end]
        if self._shot.start.index < boundary.end:
            self._close(self._shot, boundary.end, ended)
        self._shot = self._open(self._waiting[0]) if self._waiting else None  # None: the video ends in a transition
        if self._shot is not None:
            self._shot.samples = later

    def _close(self, open_shot: _OpenShot, end_frame: int, end_seconds: float) -> None:
        start = open_shot.start
        shot = Shot(start.index, end_frame, start.seconds, end_seconds)
        samples = open_shot.samples
        if not samples:  # it began and ended between two samples: too short to be of use
            self.shots.append(MeasuredShot(shot, {}, [], (0, 0, 0, 0)))
            return
        box = scoring.content_box(samples)
        scores = scoring.score_shot(samples, box)
        steps = max(1, open_shot.num_steps)
        scores["still_share"] = open_shot.num_still / steps
        scores["change"] = open_shot.sum_change / steps
        pictures = [self._content(sample, box) for sample in scoring.spread(samples, self._config.frames_per_clip)]
        rated = self._quality(pictures)
        for name in rated[0]:
            scores[name] = float(np.mean([one[name] for one in rated]))
        hashes = [name for name in map(scoring.perceptual_hash, pictures) if name]
        self.shots.append(MeasuredShot(shot, scores, hashes, box))

    @staticmethod
    def _content(sample: Sample, box: scoring.Box) -> Image:
        return scoring.cropped(sample.small, box, len(sample.column_peaks), len(sample.row_peaks))


def measure(source: VideoSource, config: CurationConfig, quality: QualityScores) -> Measured:
    """Decodes the video once and measures its shots.

    `quality` scores a few analysis-size frames per shot (role `quality`). Raises BadInput for a source that gives no
    frame at all; damage behind the first frame is recorded instead.
    """
    measuring = _Measuring(config, quality)
    damage = None
    with open_video(source, config.max_frame_px) as container:
        reading = Reading(container)
        try:
            for decoded in reading:
                measuring.push(decoded)
        except BadInput as error:
            if error.reason is not Reason.DECODE_ERROR:
                raise
            damage = error
        measuring.finish()
        return Measured(reading.probe, reading.num_frames, measuring.shots, damage)


def decide(
    scores: dict[str, float], shot: Shot, width: int, height: int, thresholds: CurationThresholds
) -> Reason | None:
    """Why this shot is not used, None when it is: from the stored scores alone. The plainest reason comes first."""
    if shot.end_seconds - shot.start_seconds < thresholds.min_seconds or not scores:
        return Reason.TOO_SHORT
    if min(width, height, scores["content_short_side_px"]) < thresholds.min_short_side_px:
        return Reason.LOW_RESOLUTION
    checks = (
        (scores["contrast"] < thresholds.min_contrast, Reason.NO_CONTENT),
        (scores["brightness"] < thresholds.min_brightness, Reason.UNDEREXPOSED),
        (scores["brightness"] > thresholds.max_brightness, Reason.OVEREXPOSED),
        (scores["motion"] < thresholds.min_motion, Reason.STATIC),
        (scores["still_share"] > thresholds.max_still_share, Reason.STATIC),
        (scores["sharpness"] < thresholds.min_sharpness, Reason.BLURRED),
        (scores["noise"] > thresholds.max_noise, Reason.NOISY),
        (scores["chroma_noise"] > thresholds.max_chroma_noise, Reason.NOISY),
        (scores["blockiness"] > thresholds.max_blockiness, Reason.NOISY),
        (scores["text"] > thresholds.max_text, Reason.BURNT_IN_TEXT),
        (scores["quality"] < thresholds.min_quality, Reason.LOW_QUALITY),
    )
    return next((reason for fails, reason in checks if fails), None)


def same_footage(hashes_a: Sequence[str], hashes_b: Sequence[str], max_distance: int) -> bool:
    """Do two shots show the same footage? Most hashes of the shorter list have one within `max_distance` bits."""
    shorter, longer = sorted((list(hashes_a), list(hashes_b)), key=len)
    if not shorter:
        return False
    nearest = [min(scoring.hash_distance(one, other) for other in longer) for one in shorter]
    return sum(distance <= max_distance for distance in nearest) >= _SAME_SHARE * len(shorter)
