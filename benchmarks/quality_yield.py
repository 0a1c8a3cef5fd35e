"""Yield: a build of all clips, and for how many of them an accepted sample came out that the truth confirms."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import audit
import numpy as np
from sections import Section

MIN_CLIPS = 14


def measure(videos: Path, work: Path) -> Section:
    out = work / "dataset"
    clips = sorted((videos / "clips").iterdir())
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", "build", *map(str, clips)]
    done = subprocess.run([*command, "--out", str(out)], check=False, stdout=sys.stderr)
    if done.returncode not in (0, 1):  # 1: some units failed, which shows in the figures
        raise SystemExit(f"the build ended with {done.returncode}")
    return score(out, videos, len(clips))


def score(out: Path, videos: Path, num_clips: int) -> Section:
    """Of a finished build of those clips."""
    found = audit.audit(out, videos)
    confirmed = {pair.key for pair in found.pairs if pair.is_confirmed}
    annotated = {pair.clip for pair in found.pairs if pair.same}
    good: dict[str, int] = {}
    for key, clip in found.samples.items():
        if clip not in annotated or found.sample_pairs[key] in confirmed:
            good[clip] = good.get(clip, 0) + 1
    told = [same for pair in found.pairs for same in pair.same if same is not None]
    figures: dict[str, Any] = {
        "clips": num_clips,
        "clips_with_samples": len(good),
        "clips_with_any_sample": len(set(found.samples.values())),
        "pairs": len(found.pairs),
        "samples": len(found.samples),
        "samples_of_confirmed_pairs": sum(number for clip, number in good.items() if clip in annotated),
        "samples_of_annotated_clips": sum(clip in annotated for clip in found.samples.values()),
        "same_object": [sum(told), len(told)],
        "median_output_j": float(np.median(found.output_js)) if found.output_js else None,
        "false_claims": found.false,
        "checked_claims": found.checked,
    }
    text = f"""`recast build` of {num_clips} clips with the `embedded` profile, read back from the stored bytes by
`benchmarks/audit.py`. On annotated clips a sample counts when its pair's masks have J >= {audit.CONFIRMED_J} on the
same object in both frames.

{audit.table_of_clips(found)}

{_sums(figures)}"""
    bars = {
        f"at least {MIN_CLIPS} of the {num_clips} clips give an accepted sample": len(good) >= MIN_CLIPS,
        "no claim of the tables is false": not found.false,
    }
    return Section("Yield", text, figures, bars)


def _sums(figures: dict[str, Any]) -> str:
    true, told = figures["samples_of_confirmed_pairs"], figures["samples_of_annotated_clips"]
    some, other, samples = (figures[name] for name in ("clips_with_samples", "clips_with_any_sample", "samples"))
    claims = f"{sum(figures['checked_claims'].values())}, false: {len(figures['false_claims'])}"
    return f"""{some} clips give an accepted sample that counts ({other} give any), {samples} samples in all; {true} of
{told} on annotated clips are confirmed. Claims of the tables checked: {claims}."""
