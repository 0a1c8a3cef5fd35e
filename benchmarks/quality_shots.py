"""Where shots begin and end, against the cuts and transitions of shots/, and against clips that are one shot."""

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import mined
from sections import Section, table
from truth import match_cuts

SLACK_FRAMES = 2
"""A boundary this close to the true one is right."""


@dataclass(frozen=True, slots=True)
class Boundary:
    """Between two shots: the last frame of the first + 1, and the first frame of the second. Equal for a hard cut."""

    end: int
    start: int


def boundaries(path: Path) -> list[Boundary]:
    shots = [unit.payload for unit in mined.units(path)]
    return [Boundary(one["end_frame"], other["start_frame"]) for one, other in pairwise(shots)]


def compare(entry: dict[str, Any], found: list[Boundary]) -> dict[str, Any]:
    """Counts for one annotated file."""
    gradual = [(each["start"], each["end"], each["type"]) for each in entry["transitions"]]
    ignore = [(first, last) for first, last, _ in gradual] + [(cut, cut) for cut in entry["ambiguous"]]
    hard = [each.start for each in found if each.start == each.end]
    gaps = [each for each in found if each.start != each.end]
    # A short gap right at a true cut splits as the cut would have.
    hard += [near[0] for gap in gaps if (near := [cut for cut in entry["cuts"] if _touches(gap, cut, cut)])]
    hits, false, missed = match_cuts(hard, entry["cuts"], ignore, SLACK_FRAMES)
    inside = [first <= 0 or last >= entry["frames"] - 1 for first, last, _ in gradual]  # the file begins or ends in it
    true = [each for each, is_end in zip(gradual, inside, strict=True) if not is_end]
    caught = [name for first, last, name in true if any(_touches(each, first, last) for each in found)]
    wanted = {frame for first, last, _ in true for frame in range(first, last + 1)}
    left_out = {frame for gap in gaps for frame in range(gap.end, gap.start)}
    places = ignore + [(cut, cut) for cut in entry["cuts"]]
    return {
        "hits": hits,
        "false": false,
        "missed": missed,
        "gradual": [name for *_, name in true],
        "gradual_found": caught,
        "gradual_false": sum(not any(_touches(gap, first, last) for first, last in places) for gap in gaps),
        "frames_left_out": (len(wanted & left_out), len(wanted)),
    }


def _touches(boundary: Boundary, first: int, last: int) -> bool:
    return boundary.end - SLACK_FRAMES <= last and boundary.start + SLACK_FRAMES >= first


def measure(videos: Path, work: Path) -> Section:
    entries = json.loads((videos / "index.json").read_text())["files"]
    rows: list[list[object]] = []
    totals = {"hits": 0, "false": 0, "missed": 0, "gradual": 0, "gradual_found": 0, "gradual_false": 0}
    flash_cuts, left_out = 0, [0, 0]
    for entry in (each for each in entries if each["name"].startswith("shots/")):
        got = compare(entry, found := boundaries(videos / entry["name"]))
        for name in totals:
            totals[name] += len(got[name]) if isinstance(got[name], list) else got[name]
        left_out = [total + part for total, part in zip(left_out, got["frames_left_out"], strict=True)]
        flash_cuts += len(found) if "flash" in entry["name"] else 0
        cuts = f"{got['hits']} / {got['hits'] + got['missed']}"
        rows.append([Path(entry["name"]).stem, cuts, got["false"], _caught(got), got["gradual_false"]])
    clips = sorted((videos / "clips").iterdir())
    figures: dict[str, Any] = {
        **totals,
        "hard_cut_f1": round(2 * totals["hits"] / max(2 * totals["hits"] + totals["false"] + totals["missed"], 1), 4),
        "flash_cuts": flash_cuts,
        "gradual_recall": round(totals["gradual_found"] / max(totals["gradual"], 1), 4),
        "gradual_frames_left_out": round(left_out[0] / max(left_out[1], 1), 4),
        "single_shot_clips": len(clips),
        "single_shot_clips_split": [path.stem for path in clips if boundaries(path)],
    }
    bars = {
        "hard-cut F1 >= 0.95": figures["hard_cut_f1"] >= 0.95,
        "no cut on the flash clip": flash_cuts == 0,
        "no single-shot clip split": not figures["single_shot_clips_split"],
    }
    return Section("Shots", _text(rows, figures), figures, bars)


def _text(rows: list[list[object]], figures: dict[str, Any]) -> str:
    split = figures["single_shot_clips_split"]
    share = 100 * figures["gradual_frames_left_out"]
    header = ["file", "hard cuts found", "false cuts", "transitions found", "false transitions"]
    return f"""Boundaries within {SLACK_FRAMES} frames of the true one count, one to one; cuts inside a true transition
count neither way. A transition is found when a shot ends or begins inside it; those a file begins or ends with are left
out.

{table(header, rows)}

Hard cuts: F1 {figures["hard_cut_f1"]:.3f}. Transitions: {figures["gradual_found"]} of {figures["gradual"]}, and
{share:.0f} % of their frames belong to no shot. Of {figures["single_shot_clips"]} clips that are one shot, {len(split)}
were split{": " + ", ".join(split) if split else ""}."""


def _caught(got: dict[str, Any]) -> str:
    missed = list(got["gradual"])
    for name in got["gradual_found"]:
        missed.remove(name)
    return f"{len(got['gradual_found'])} / {len(got['gradual'])}" + (f" (not: {', '.join(missed)})" if missed else "")
