"""Generating an edit of one clip: pass after pass, window after window, frames streaming through.

Each pass takes the frames that the one before gave out, holds one window of them, and gives each frame on as soon as no
later window can change it. So the memory does not grow with the clip: at most a window and an overlap per pass.
IMAGEdit (arXiv 2510.01186), mask-driven generation, with what long clips and several targets need around it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from schemas.edit import Action
from schemas.fill import NEUTRAL, Surroundings, VideoFillRequest, View
from schemas.keys import seed_of
from schemas.passes import EditPass
from schemas.tracks import InstanceTrack, MaskVideo
from schemas.video import Image, Mask
from stages import joining, paste_back
from stages.camera import Survey
from stages.leakage import Leakage
from stages.tubes import Sizing, Tube, plan_tube
from stages.windows import FrameWindow, plan_windows

NUM_OWN_VIEWS = 12  # of a window, beside those of the survey

Generate = Callable[[VideoFillRequest], list[Image]]
"""What a video generator's method does."""


Control = Callable[[list[Image], list[list[Mask]]], list[NDArray[np.float32]]]
"""What the depth role's method does: nearness in [0, 1] per pixel of frames, given the masks of what stands there."""


@dataclass(frozen=True, slots=True)
class Generation:
    """How a clip is generated.

    max_frames: that the generator takes at once. overlap: frames that neighbouring windows share at least.
    native_pixels: what `sharp` tubes are scaled to. key, attempt: every seed comes from them, the pass and the window.
    """

    key: str
    attempt: int = 0
    max_frames: int = 81
    overlap: int = 9
    sizing: Sizing = Sizing.FAST
    native_pixels: int = 832 * 480


def edit_clip(
    frames: Iterable[Image],
    tracks: Sequence[InstanceTrack],
    passes: Sequence[EditPass],
    generate: Generate,
    how: Generation,
    survey: Survey | None = None,
    leakage: Leakage | None = None,
    control: Control | None = None,
) -> Iterator[Image]:
    """The edited frames, one per frame, of the same size; passes are run in the order given.

    tracks: of every instance of the clip, edited or not. survey: for generators that use surroundings. leakage: takes
    down what each pass changed where. control: shows the generator, under the mask of what is replaced, how near the
    source is there, so that shape and motion stay; without it the place is left free. Farther than
    `paste_back.feather_px` from every pass's mask a frame is bit-exact the source's. Raises ValueError when the frames
    are more or fewer than the masks.
    """
    edited = iter(frames)
    views = survey.views if survey else []
    for number, one in enumerate(passes):
        territories = [track.masks for track in tracks]
        running = _Pass(one, number, territories, generate, how, survey, views, leakage, control)
        edited = running.run(edited)
        if one.action is Action.BACKGROUND:
            views = []  # they show the old one
    return edited


@dataclass(slots=True)
class _Held:
    """A frame on its way: its source, the region to generate, what other instances own, and what was drawn so far."""

    index: int
    source: Image
    region: Mask
    others: Mask
    drawn: Image | None = None

    @property
    def where(self) -> Mask:
        return paste_back.generation_mask(self.region, self.others)


@dataclass(slots=True)
class _Pass:
    """One pass on its way through the clip."""

    one: EditPass
    number: int
    territories: list[MaskVideo]  # of all instances
    generate: Generate
    how: Generation
    survey: Survey | None
    views: list[View]
    leakage: Leakage | None
    control: Control | None
    held: list[_Held] = field(default_factory=list)

    def run(self, frames: Iterator[Image]) -> Iterator[Image]:
        windows, num_frames = self._windows(), len(self.one.masks)
        counted = _counted(frames, num_frames)
        first = windows[0].start if windows else num_frames
        yield from islice(counted, first)
        for number, window in enumerate(windows):
            while len(self.held) < window.num_frames:
                self.held.append(self._hold(window.start + len(self.held), next(counted)))
            self._draw(number)
            stop = windows[number + 1].start if number + 1 < len(windows) else window.stop
            for _ in range(stop - window.start):
                yield self._finished(self.held.pop(0))
        yield from counted

    def _windows(self) -> list[FrameWindow]:
        """Over the frames from the first to the last that has anything to generate."""
        some = np.flatnonzero(self.one.masks.any(axis=(1, 2)))
        if not len(some):
            return []
        return plan_windows(int(some[0]), int(some[-1]) + 1, self.how.max_frames, self.how.overlap)

    def _hold(self, index: int, source: Image) -> _Held:
        size = source.shape[:2]
        region = paste_back.upsampled(self.one.masks[index], *size)
        if self.one.action is Action.BACKGROUND:  # it fades into its subjects' edges: their old place shows there
            return _Held(index, source, region, np.zeros(size, np.bool_))
        own = set(self.one.instances)
        rest = [number for number in range(len(self.territories)) if number not in own]
        return _Held(index, source, region, self._union(rest, index, source) & ~region)

    def _union(self, instances: Iterable[int], index: int, source: Image) -> Mask:
        """Where any of the instances stand in a frame, at its size."""
        chosen = [self.territories[number][index] for number in instances]
        union = np.logical_or.reduce(chosen) if chosen else np.zeros(self.one.masks.shape[1:], np.bool_)
        return paste_back.upsampled(np.asarray(union, np.bool_), *source.shape[:2])

    def _draw(self, number: int) -> None:
        """Generates the frames held, a window, and joins them to what the one before drew of them."""
        where = [each.where for each in self.held]
        sources = [each.source for each in self.held]
        old = [each.drawn for each in self.held if each.drawn is not None]
        new = sources
        if any(mask.any() for mask in where):
            tube = plan_tube(where, self.how.sizing, self.how.native_pixels)
            shown = self.generate(self._request(number, tube, where, old))
            new = [tube.put_back(source, one, at) for at, (source, one) in enumerate(zip(sources, shown, strict=True))]
            rings = [mask & ~each.region for mask, each in zip(where, self.held, strict=True)]
            new = joining.recolour(new, where, paste_back.colour_cast(sources, new, rings))
        for each, drawn in zip(self.held, joining.join(old, new, where), strict=True):
            each.drawn = drawn

    def _finished(self, each: _Held) -> Image:
        assert each.drawn is not None, "a window is drawn before its frames are given out"
        pasted = paste_back.paste_back(each.source, each.drawn, paste_back.coverage(each.region, each.others))
        if self.leakage is not None:
            self.leakage.add(self.number, each.index, each.source, pasted)
        return pasted

    def _request(self, number: int, tube: Tube, where: list[Mask], old: list[Image]) -> VideoFillRequest:
        frames = [tube.take(each.source, at) for at, each in enumerate(self.held)]
        subjects = [tube.take_mask(self._subject(each), at) for at, each in enumerate(self.held)]
        return VideoFillRequest(
            frames=frames,
            masks=[tube.take_mask(mask, at) for at, mask in enumerate(where)],
            prompt=self.one.prompt or self.one.target,
            seed=seed_of(self.how.key, self.how.attempt, "generation", str(self.number), str(number)),
            references=list(self.one.references),
            controls=self._guidance(tube, old, frames, subjects),
            action=self.one.action,
            target=self.one.target,
            negative=self.one.negative,
            subjects=subjects,
            surroundings=self._surroundings(tube),
        )

    def _guidance(self, tube: Tube, old: list[Image], frames: list[Image], subjects: list[Mask]) -> list[Image] | None:
        """What the window before drew on the frames shared with it; on the others what the control shows, if any."""
        steered = self.control is not None and self.one.action is Action.REPLACE
        if not old and not steered:
            return None
        shown = [np.full((*tube.shown_px, 3), NEUTRAL, np.uint8)] * len(frames)
        if steered and self.control is not None:
            nearness = self.control(frames, [[mask] for mask in subjects])
            shown = [np.repeat(np.rint(255 * each).astype(np.uint8)[..., None], 3, axis=2) for each in nearness]
        return [tube.take(image, at) for at, image in enumerate(old)] + shown[len(old) :]

    def _subject(self, each: _Held) -> Mask:
        """Where what is edited stands; where something is added, its place."""
        if self.one.action is Action.ADD:
            return each.region
        if self.one.action is Action.BACKGROUND:
            return ~each.region
        return self._union(self.one.instances, each.index, each.source) & each.region

    def _surroundings(self, tube: Tube) -> Surroundings | None:
        if self.survey is None:
            return None
        to_plane = [
            self.survey.to_plane[each.index] @ np.linalg.inv(tube.to_shown(at)) for at, each in enumerate(self.held)
        ]
        everyone = range(len(self.territories))
        own = [
            View(each.source, self._union(everyone, each.index, each.source), self.survey.to_plane[each.index])
            for each in self.held[:: max(len(self.held) // NUM_OWN_VIEWS, 1)]
        ]
        return Surroundings(to_plane, [*self.views, *own])


def _counted(frames: Iterator[Image], wanted: int) -> Iterator[Image]:
    """The frames; raises ValueError at the end when they are not as many as wanted."""
    number = 0
    for frame in frames:
        number += 1
        yield frame
    if number != wanted:
        raise ValueError(f"{number} frames for {wanted} masks")
