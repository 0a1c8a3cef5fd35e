"""What people ask of `recast edit`, on real clips, through its steps as a run takes them, without the cluster.

    python benchmarks/edit_scenarios.py FOOTAGE [--only NAME ...] [--out DIR]

Embedded profile: the generator draws without a model, so this shows that the right thing changes, and nothing else.
With --out the videos and their sheets are kept, to be looked at.
"""

import argparse
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
from edit_video import packets
from sections import Section, table
from skimage import data

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from actors.profiles import Roles, load_profile
from cluster.storage import uri_of
from pipeline.align import AlignJob
from pipeline.edit_rows import JOB
from pipeline.edit_video import EditVideo
from schemas.config import Config
from schemas.edit import EditJob
from schemas.work import Outcome, Phase, Result, Unit
from stages.edit_grammar import parse_prompts

NUM_PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Scenario:
    """expected: "edited", or the reason why it cannot be."""

    clip: str
    prompts: tuple[str, ...]
    what: str
    expected: str = "edited"
    category: str = ""
    reference: bool = False


SCENARIOS = {
    "recolour": Scenario("clips/davis_camel.mp4", ("[subject -> red camel]",), "another colour"),
    "reference": Scenario("clips/davis_car-roundabout.mp4", ("[subject -> cat]",), "a picture", reference=True),
    "all": Scenario("clips/intel_classroom_4people.mp4", ("[all subjects -> zebra]",), "everyone"),
    "remove_camel": Scenario("clips/davis_camel.mp4", ("[subject -> ]",), "removal"),
    "remove_car": Scenario("clips/davis_car-roundabout.mp4", ("[subject -> ]",), "removal"),
    "background": Scenario("clips/davis_camel.mp4", ("[background -> snowy forest]",), "background"),
    "turns": Scenario("clips/davis_dog.mp4", ("[subject -> red dog]", "[background -> desert]"), "two turns"),
    "anamorphic": Scenario("odd/anamorphic_sar4x3.mp4", ("[subject -> red car]",), "oblong pixels"),
    "sound": Scenario("clips/mdn_flower.mp4", ("[subject -> blue flower]",), "sound"),
    "named": Scenario("clips/davis_camel.mp4", ("[camel -> gorilla]",), "a noun, given as category", category="camel"),
    "unnamed": Scenario("clips/davis_camel.mp4", ("[bear -> gorilla]",), "a noun nothing knows", "target_unnamed"),
    "absent": Scenario("clips/davis_camel.mp4", ("[third subject from the left -> cat]",), "too few", "target_absent"),
    "portrait": Scenario("odd/portrait_rotate90.mp4", ("[subject -> golden statue]",), "turned by a tag, 289 frames"),
    "uneven": Scenario("odd/vfr_woman_dog.mp4", ("[background -> beach]",), "uneven times"),
    "cups": Scenario("clips/sam2_three_cups.mp4", ("[middle subject -> blue cup]",), "the middle one of three"),
    "two": Scenario("clips/sam2_woman_dog.mp4", ("[left subject -> zebra] and [right subject -> robot]",), "two"),
}


def run(videos: Path, out: Path, name: str) -> dict[str, Any]:
    """One scenario, to its outcome; figures of the stored video."""
    cv2.setNumThreads(1)
    asked = SCENARIOS[name]
    source = videos / asked.clip
    profile = load_profile("embedded")
    config = Config(**profile.settings)
    config = config.model_copy(update={"mining": config.mining.model_copy(update={"category": asked.category})})
    roles = Roles(profile)
    payload = {
        **{"uri": uri_of(str(source)), "path": str(source), "stamp": "", "name": name},
        **{"request": JOB.dump_json(_job(asked, name, source, out)).decode(), "out": str(out)},
        **{"seen_hash": None, "verdict_fingerprint": ""},
    }
    began = time.perf_counter()
    aligned = AlignJob(roles, config)(Unit(Phase.ALIGN, f"{name:0<32}", payload=payload))
    found = {"name": name, "align_seconds": time.perf_counter() - began, "outcome": "edited", "scores": {}}
    row = aligned.rows["jobs"][0]
    if aligned.outcome is Outcome.REJECTED:
        return found | {"outcome": str(aligned.reason), "message": aligned.message}
    for attempt in range(config.editing.max_attempts):
        result = EditVideo(roles, config)(Unit(Phase.EDIT, row["key"], attempt=attempt, payload={**payload, **row}))
        if result.outcome is Outcome.DONE:
            break
    return found | _told(result, attempt) | _compared(source, out, result, row)


def _job(asked: Scenario, name: str, source: Path, out: Path) -> EditJob:
    turns = parse_prompts(list(asked.prompts))
    if asked.reference:
        picture = out / "reference.png"
        cv2.imwrite(str(picture), cv2.cvtColor(data.chelsea(), cv2.COLOR_RGB2BGR))
        turns = [
            replace(turn, edits=tuple(replace(edit, reference=str(picture)) for edit in turn.edits)) for turn in turns
        ]
    return EditJob(uri_of(str(source)), tuple(turns), 0, name)


def _told(result: Result, attempt: int) -> dict[str, Any]:
    rows = result.rows.get("attempts", [])
    return {
        "outcome": "edited" if result.outcome is Outcome.DONE else str(result.reason),
        "message": result.message,
        "attempts": attempt + 1,
        "scores": rows[0]["verdict"] if rows else {},
        **{f"{step}_seconds": seconds for step, seconds in (rows[0]["seconds"] if rows else {}).items()},
    }


def _compared(source: Path, out: Path, result: Result, row: dict[str, Any]) -> dict[str, Any]:
    if "edits" not in result.rows:
        return {"num_frames": row["num_frames"]}
    video = out / result.rows["edits"][0]["video"]
    ours, theirs = (packets(path, "video") for path in (source, video))
    sound = [[each[2] for each in packets(path, "audio")] for path in (source, video)]
    return {
        "num_frames": result.rows["edits"][0]["num_frames"],
        "frames_equal": result.rows["edits"][0]["num_frames"] == row["num_frames"],
        "times_equal": sorted(each[0] for each in ours) == sorted(each[0] for each in theirs),
        "sound_equal": None if not sound[0] else sound[0] == sound[1],
        "bit_rate": sum(each[1] for each in theirs) / sum(each[1] for each in ours),
    }


def measure(videos: Path, work: Path, names: tuple[str, ...] = tuple(SCENARIOS)) -> Section:
    rows = []
    with ProcessPoolExecutor(NUM_PROCESSES, mp_context=get_context("spawn")) as pool:
        for row in pool.map(partial(run, videos, work), names):
            print(row, file=sys.stderr, flush=True)
            rows.append(row)
    edited = [row for row in rows if row["outcome"] == "edited"]
    bars = {
        "every scenario ends as it should": all(row["outcome"] == SCENARIOS[row["name"]].expected for row in rows),
        "frames, their times and sound are the source's": all(
            row["frames_equal"] and row["times_equal"] and row["sound_equal"] is not False for row in edited
        ),
        "outside the feather >= 39 dB in every frame": all(
            row["scores"].get("background_psnr", 99.0) >= 39 for row in edited
        ),
    }
    return Section("Edit: scenarios", table(HEADER, [_line(row) for row in rows]), {"rows": rows}, bars)


HEADER = ("clip", "asked", "outcome", "frames", "times, sound", "PSNR outside dB", "bit rate", "find", "edit", "verify")


def _line(row: dict[str, Any]) -> list[object]:
    asked = SCENARIOS[row["name"]]
    kept = "-"
    if "times_equal" in row:
        sound = {None: "none", True: "equal", False: "**differs**"}[row["sound_equal"]]
        kept = f"{'equal' if row['times_equal'] else '**differ**'}, {sound}"
    return [
        Path(asked.clip).name,
        f"{', then '.join(f'`{prompt}`' for prompt in asked.prompts)} ({asked.what})",
        row["outcome"] + (" (second try)" if row.get("attempts", 1) > 1 and row["outcome"] == "edited" else ""),
        row.get("num_frames", "-"),
        kept,
        row["scores"].get("background_psnr"),
        row.get("bit_rate"),
        *(round(row[f"{step}_seconds"]) if f"{step}_seconds" in row else "-" for step in ("align", "edit", "verify")),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(SCENARIOS), default=list(SCENARIOS))
    parser.add_argument("--out", type=Path, help="keep what is made; default: a temporary folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        out = (arguments.out or Path(scratch)).resolve()
        out.mkdir(parents=True, exist_ok=True)
        section = measure(arguments.videos.resolve(), out, tuple(arguments.only))
    print(section.markdown)
    for bar, met in section.bars.items():
        print(f"- {'met' if met else '**missed**'}: {bar}")
    return 0 if all(section.bars.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
