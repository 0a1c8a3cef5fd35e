"""Final masks per instance of the annotated clips, by the embedded roles: J, F, jitter, before and after the priors."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import edit_clips
import edit_tracking
import numpy as np
import truth
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sections import Section, table

from schemas.tracks import InstanceTrack
from schemas.video import Mask
from stages import media

CLIPS = (*truth.TUNING, *truth.REPORTING)


@dataclass(frozen=True, slots=True)
class Judged:
    """Of the true instances of a clip, each with the track that fits it best over the clip, one to one."""

    j: float  # mean over true instances and all frames that show them; 0 where the track has nothing
    f: float
    j_found: float  # over the frames in which the track has a mask
    area: float  # jitter
    centroid: float


@dataclass(frozen=True, slots=True)
class Result:
    clip: str
    num_frames: int
    num_true: int
    num_tracks: int
    seconds: float
    raw: Judged
    final: Judged


def look_at(videos: Path, clip: str) -> Result:
    path = next((videos / "clips").glob(f"{clip}.*"))
    began = time.perf_counter()
    tracked = edit_tracking.look_at(path)
    seconds = time.perf_counter() - began
    shape = next(media.decode(str(path), edit_tracking.WORKING_SHORT_SIDE_PX)).image.shape[:2]
    true = _true(videos, clip, len(tracked.small))
    assert all(mask.shape == shape for found in true.values() for mask in found.values()), "truth at the working size"
    raw, final = (judge(tracks, true) for tracks in (tracked.raw, tracked.final))
    return Result(clip, len(tracked.small), len(true), len(tracked.final), seconds, raw, final)


def _true(videos: Path, clip: str, num_frames: int) -> dict[int, dict[int, Mask]]:
    """Object -> frame -> mask. What is carried belongs to who carries it; things under one mask are one."""
    carried = truth.owners(videos, clip)
    true: dict[int, dict[int, Mask]] = {}
    for at in range(num_frames):
        for number, mask in truth.masks_at(videos, clip, at).items():
            owner = carried.get(number, number)
            here = true.setdefault(owner, {})
            here[at] = here[at] | mask if at in here else mask
    return true


def judge(tracks: Sequence[InstanceTrack], true: dict[int, dict[int, Mask]]) -> Judged:
    numbers = list(true)
    fits = np.array([[edit_clips.mean_j(each.masks, true[number]) for number in numbers] for each in tracks])
    chosen = dict[int, int]()
    if fits.size:
        rows, columns = linear_sum_assignment(-fits)
        chosen = {numbers[column]: int(row) for row, column in zip(rows, columns, strict=True)}
    each = [_one(tracks[chosen[number]].masks if number in chosen else None, true[number]) for number in numbers]
    mean = np.nanmean(np.array(each, np.float64), axis=0)
    return Judged(*(float(value) for value in mean))


def _one(video: NDArray[np.bool_] | None, true: dict[int, Mask]) -> tuple[float, ...]:
    if video is None or not video.any():
        return 0.0, 0.0, np.nan, np.nan, np.nan
    j = {at: truth.region_j(video[at], mask) for at, mask in true.items()}
    f = {at: truth.boundary_f(video[at], mask) for at, mask in true.items()}
    found = [at for at in true if video[at].any()]
    j_found = float(np.mean([j[at] for at in found])) if found else np.nan
    return float(np.mean(list(j.values()))), float(np.mean(list(f.values()))), j_found, *edit_clips.jitter(video, true)


def measure(videos: Path, work: Path) -> Section:
    results = [look_at(videos, clip) for clip in CLIPS]
    figures: dict[str, Any] = {each.clip: _plain(each) for each in results}
    return Section("Edit: masks of whole clips", _text(results), figures)


def _plain(each: Result) -> dict[str, Any]:
    ends = {name: getattr(each, name) for name in ("raw", "final")}
    told = {"tracks": each.num_tracks, "true": each.num_true, "seconds": each.seconds}
    return told | {f"{name}_{what}": getattr(end, what) for name, end in ends.items() for what in Judged.__slots__}


def _text(results: Sequence[Result]) -> str:
    header = ["clip", "frames", "true / tracks", "seconds", "J", "F", "J where it has a mask", "area jitter, %"]
    rows: list[list[object]] = [
        [
            f"{each.clip} T" if each.clip in truth.TUNING else each.clip,
            each.num_frames,
            f"{each.num_true} / {each.num_tracks}",
            f"{each.seconds:.0f}",
            *(each.final.j, each.final.f, each.final.j_found, 100 * each.final.area),
        ]
        for each in results
    ]
    rows.append(["**mean**", "", "", "", *np.nanmean(np.array([row[4:] for row in rows], np.float64), axis=0).tolist()])
    return f"""Every frame of every annotated instance against the one track that fits it best; without a mask, J is 0.
Working size 480 lines, every second frame segmented, the others filled in. Things annotated as one count as one; tracks
of things that are not annotated cost nothing here. Seconds include decoding, on two cores shared with other work. T
marks tuning clips.

{table(header, rows)}"""
