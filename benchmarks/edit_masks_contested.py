"""Whose a contested pixel is, and jitter: from the same noisy claims, raw against after depth and temporal priors.

The claims are the true masks of every frame with discs that leak over the outline, onto others too, and for spells of
frames the whole convex hull, as of a segmenter that closes a shape over who stands in front of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import composites
import edit_clips
import numpy as np
from edit_clips import TrueClip
from numpy.typing import NDArray
from sections import Section, table

from actors.depth import GroundContactDepth
from actors.oracle import blots
from schemas.keys import digest, seed_of
from schemas.tracks import InstanceTrack
from schemas.video import Mask
from stages import masks, ownership, retargeting, track_repair
from stages.transport import Transport

_LEAK, _HOLES = 0.35, 0.2
_SPELL_FRAMES = 8  # of which every other one claims the hull

Videos = dict[int, NDArray[np.bool_]]


def claims_at(clip: TrueClip, at: int) -> dict[int, Mask]:
    """What the instances claim in a frame: always the same for the same clip and frame."""
    rng = np.random.default_rng(seed_of(digest(clip.name, at), 0, "edit claims"))
    claimed = {}
    for number, found in clip.true.items():
        if at in found:
            spell = np.random.default_rng(seed_of(digest(clip.name, at // _SPELL_FRAMES, number), 0, "edit hull"))
            whole = retargeting.hull(found[at]) if spell.random() < 0.5 else found[at]
            claimed[number] = (whole | blots(found[at], _LEAK, rng)) & ~blots(found[at], _HOLES, rng)
    return claimed


def noisy_tracks(clip: TrueClip) -> list[InstanceTrack]:
    """The claims as tracks, with the nearness that the embedded depth role tells from them."""
    claimed = [claims_at(clip, at) for at in range(len(clip.small))]
    known = [list(each.values()) for each in claimed]
    near = {number: np.zeros(len(claimed), np.float32) for number in clip.true}
    for at, depth in enumerate(GroundContactDepth().nearness(clip.small, known)):
        for number, mask in claimed[at].items():
            near[number][at] = np.median(depth[mask]) if mask.any() else 0.0
    return [
        edit_clips.as_track(
            str(number),
            {at: each[number] for at, each in enumerate(claimed) if number in each},
            len(claimed),
            clip.shape,
            near[number],
        )
        for number in clip.true
    ]


@dataclass(frozen=True, slots=True)
class Shares:
    """Of contested pixels that are one of the claimants': the share given to somebody else, per rule."""

    clip: str
    contested_px: int
    wrong: dict[str, float]
    jitter: dict[str, tuple[float, float]]
    j: dict[str, float]


def share(clip: TrueClip) -> Shares:
    tracks = noisy_tracks(clip)
    repaired, _ = track_repair.repair(tracks, Transport(clip.small))
    given: dict[str, Videos] = {
        "raw": _by(tracks, masks.separate),
        "first": _by(tracks, _first),
        "depth": _by_depth(tracks),
        "shared out": _videos(ownership.share_out(tracks, clip.small)),
        "all": _videos(ownership.share_out(repaired, clip.small)),
    }
    contested = np.sum([each.masks for each in tracks], axis=0) > 1
    counts = dict.fromkeys(given, 0)
    total = 0
    for track in tracks:
        number = int(track.name)
        for at, true in clip.true[number].items():
            mine = contested[at] & true & track.masks[at]
            total += int(mine.sum())
            for rule, videos in given.items():
                others = np.any([video[at] for other, video in videos.items() if other != number], axis=0)
                counts[rule] += int((mine & others).sum())
    wrong = {rule: count / max(total, 1) for rule, count in counts.items()}
    ends = {rule: given[rule] for rule in ("raw", "all")}
    jitters = {
        rule: tuple(np.mean([edit_clips.jitter(videos[n], clip.true[n]) for n in clip.true], axis=0))
        for rule, videos in ends.items()
    }
    j = {
        rule: float(np.mean([edit_clips.mean_j(videos[n], clip.true[n]) for n in clip.true]))
        for rule, videos in ends.items()
    }
    return Shares(clip.name, total, wrong, jitters, j)


def _videos(tracks: Sequence[InstanceTrack]) -> Videos:
    return {int(each.name): each.masks for each in tracks}


def _by(tracks: Sequence[InstanceTrack], rule: Callable[[list[Mask]], list[Mask]]) -> Videos:
    frames = [rule([each.masks[at] for each in tracks]) for at in range(len(tracks[0].masks))]
    return {int(each.name): np.stack([here[place] for here in frames]) for place, each in enumerate(tracks)}


def _first(claimed: list[Mask]) -> list[Mask]:
    """A constant rule: the earlier in the list has it."""
    taken = np.zeros_like(claimed[0])
    given = []
    for mask in claimed:
        given.append(mask & ~taken)
        taken |= mask
    return given


def _by_depth(tracks: Sequence[InstanceTrack]) -> Videos:
    """By depth alone, over time: no colours."""
    order = np.sign(ownership.nearer(tracks)).sum(axis=1)
    videos = {int(each.name): each.masks.copy() for each in tracks}
    for at in range(len(tracks[0].masks)):
        taken = np.zeros_like(tracks[0].masks[0])
        for place in np.argsort(-order[:, at], kind="stable"):
            own = videos[int(tracks[place].name)]
            own[at] &= ~taken
            taken |= own[at]
    return videos


def measure(videos: Path, work: Path) -> Section:
    names = composites.make(videos, work)
    results = [share(edit_clips.read(work, name)) for name in names]
    results.append(share(edit_clips.read(videos, "comp_dog_dancer")))
    (*crosses, real) = results
    mean = {rule: _mean([each.wrong[rule] for each in crosses]) for rule in real.wrong}
    jitters = {rule: np.mean([each.jitter[rule] for each in results], axis=0).tolist() for rule in real.jitter}
    j = {rule: _mean([each.j[rule] for each in results]) for rule in real.j}
    bars = {
        f"contested pixels in the wrong hands halved, {len(crosses)} composites": mean["all"] <= mean["raw"] / 2,
        "the same on `comp_dog_dancer`": real.wrong["all"] <= real.wrong["raw"] / 2,
        "jitter of the area halved": jitters["all"][0] <= jitters["raw"][0] / 2,
        "jitter of the centroid halved": jitters["all"][1] <= jitters["raw"][1] / 2,
        "without losing J": j["all"] >= j["raw"],
    }
    figures: dict[str, Any] = {
        "wrong": {each.clip: each.wrong for each in results},
        "mean_wrong": mean,
        "jitter": jitters,
        "j": j,
    }
    return Section("Edit: contested pixels and jitter", _text(results, mean, jitters, j), figures, bars)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _text(
    results: Sequence[Shares], mean: dict[str, float], jitters: dict[str, list[float]], j: dict[str, float]
) -> str:
    header = ["clip", "contested pixels", "smallest has it (raw)", "first has it", "depth alone", "depth and colours"]
    header.append("after all steps")
    rows: list[list[object]] = [
        [each.clip, each.contested_px, *(f"{value:.1%}" for value in each.wrong.values())] for each in results
    ]
    rows.append(["**mean of the composites**", "", *(f"**{value:.1%}**" for value in mean.values())])
    ends = [
        [name, j[rule], *(f"{100 * value:.2f}" for value in jitters[rule])]
        for name, rule in (("raw", "raw"), ("after all steps", "all"))
    ]
    return f"""Composites with exact truth (`benchmarks/composites.py`), every play in both orders of depth, 240 lines
high. Each instance claims its true mask, discs that leak over the outline onto others too ({_LEAK} of its equivalent
radius), and for spells of {_SPELL_FRAMES} frames its convex hull; all from one seed. Of the contested pixels that are
one of the claimants', the share another one gets:

{table(header, rows)}

The composites are made so that who stands lower is in front, which is what the embedded depth role goes by: "depth
alone" is that rule's best case, on real footage colours have to make up for it. Jitter of (mask - truth) from frame to
frame, means of the same clips:

{table(["masks", "J", "area jitter, %", "centroid jitter, %"], ends)}"""
