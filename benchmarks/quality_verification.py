"""Verification on samples made from true masks: how many clean ones pass, how many planted faults are caught.

python benchmarks/quality_verification.py VIDEOS [--tuning] [--samples N] [--scores FILE]
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from faults import FAULTS
from planted import Planted
from sections import Section, table
from truth import REPORTING, TUNING, masks_at
from truth_scenes import TrueScene, clip_frames, donors_of, pairs_of_clips, scenes_of, two_in_one

from actors.embedder import DescriptorEmbedder
from actors.image_editor import DonorEditor
from schemas.config import SynthesisConfig, VerificationThresholds
from schemas.errors import BadInput
from schemas.keys import digest, seed_of
from schemas.reasons import Reason
from schemas.sample import Draft, Scene, Verdict
from schemas.video import Image, Mask
from stages import facts, instructions, masks, verification
from stages.generation import draft_generation
from stages.manipulation import draft_manipulation

PAIRS_PER_CLIP = 3
NUM_COMPOSITES = 4
SAMPLES_PER_FAULT = 8  # per fault and severity
SEVERITIES = ("mild", "medium", "severe")
DRAFTS = {"generation": draft_generation, "manipulation": draft_manipulation}
LANGUAGES = ("en", "zh")
MAX_SECOND_PIECE = 0.1
"""Of the largest: a true mask in more pieces is of a subject that something stands before, and no clean sample."""


def samples_of(videos: Path, clips: Sequence[str]) -> Iterator[tuple[str, Planted | BadInput]]:
    """Clean samples of every pair and kind, with what faults need; BadInput where synthesis refuses the pair."""
    scenes = [scene for clip in clips for scene in scenes_of(videos, clip, PAIRS_PER_CLIP) if is_whole(scene.scene)]
    by_clip = {clip: [each for each in scenes if each.clip == clip] for clip in clips}
    joint = [
        two_in_one(by_clip[one][0], by_clip[other][0])
        for one, other in pairs_of_clips(clips)
        if by_clip[one] and by_clip[other] and len(by_clip[one][0].scene.identities) == 1
    ]
    scenes += [scene for scene in joint if scene is not None][:NUM_COMPOSITES]
    for number, made in enumerate(scenes):
        for kind in DRAFTS:
            yield f"{made.clip} {made.frames} {kind}", sample_of(videos, made, kind, clips, number)


def is_whole(scene: Scene) -> bool:
    """Is every subject in one piece in both frames?"""
    for mask in (*scene.masks_a, *scene.masks_b):
        parts = masks.components(mask)
        if len(parts) > 1 and masks.area_px(parts[1]) > MAX_SECOND_PIECE * masks.area_px(parts[0]):
            return False
    return True


def sample_of(videos: Path, made: TrueScene, kind: str, pool: Sequence[str], number: int) -> Planted | BadInput:
    """The sample the pipeline would make: its attempts in turn until one can be drafted and worded."""
    key = digest(made.clip, made.frames, kind)
    clip = made.scene.content_hash
    refusal = BadInput(Reason.NO_DONOR)
    for attempt in range(SynthesisConfig().max_attempts):
        donors = donors_of(videos, clip, pool, number + attempt)
        try:
            draft = DRAFTS[kind](made.scene, key, attempt, donors, SynthesisConfig(), DonorEditor().fill)
            words = {name: instructions.word_instruction(facts.measure_facts(draft), name) for name in LANGUAGES}
        except BadInput as bad:
            refusal = bad
            continue
        strangers = [(donor.image, donor.mask) for donor in donors if donor.mask is not None]
        seed = seed_of(key, attempt, "fault")
        return Planted(draft, words, seed, _adjacent(videos, made, draft), made.scene.near_a, strangers)
    return refusal


def _adjacent(videos: Path, made: TrueScene, draft: Draft) -> list[tuple[Image, Mask]]:
    """The frame next to B, with the mask of the sample's first subject in it."""
    if "+" in made.clip:
        return []
    frame = made.frames[1] + (1 if made.frames[1] == 0 else -1)
    number = int(draft.references[0].identity.split("/")[1])
    mask = masks_at(videos, made.clip, frame).get(number)
    return [] if mask is None else [(clip_frames(videos, made.clip, (frame,))[0], mask)]


def verdict_of(sample: Planted) -> Verdict:
    embed, thresholds = DescriptorEmbedder().embed, VerificationThresholds()
    return verification.verify(sample.draft, embed, sample.stored, thresholds, sample.words)


Log = Callable[[str, str, int, Verdict], None]


def run(
    samples: Iterable[tuple[str, Planted | BadInput]], samples_per_fault: int, log: Log | None = None
) -> dict[str, Any]:
    """Counts: clean samples and what fails them; per fault and severity: [planted, caught by a check made for it].

    Faults are planted into samples that pass, so that what fails before counts as no catch.
    """
    refused, failing = Counter[str](), Counter[str]()
    passing: list[tuple[str, Planted]] = []
    num_clean = 0
    for name, sample in samples:
        if isinstance(sample, BadInput):
            refused[str(sample.reason)] += 1
            continue
        verdict = verdict_of(sample)
        num_clean += 1
        failing.update(check.name for check in verdict.checks if not check.passed)
        if verdict.passed:
            passing.append((name, sample))
        if log:
            log(name, "clean", -1, verdict)
    order = [passing[place] for place in np.random.default_rng(0).permutation(len(passing))]
    return {
        "clean": num_clean,
        "passed": len(passing),
        "failing": dict(failing.most_common()),
        "refused": dict(refused),
        "faults": {
            name: {
                word: caught(order, name, severity, samples_per_fault, log) for severity, word in enumerate(SEVERITIES)
            }
            for name in FAULTS
        },
    }


def caught(samples: list[tuple[str, Planted]], fault: str, severity: int, limit: int, log: Log | None) -> list[int]:
    plant, made_for_it = FAULTS[fault]
    num_planted = num_caught = 0
    for name, sample in samples:
        faulty = plant(sample, severity) if num_planted < limit else None
        if faulty is None:
            continue
        verdict = verdict_of(faulty)
        num_planted += 1
        num_caught += any(check.name in made_for_it for check in verdict.checks if not check.passed)
        if log:
            log(name, fault, severity, verdict)
    return [num_planted, num_caught]


def share(counts: Sequence[Sequence[int]]) -> float:
    """The mean over faults of the share that is caught: every fault of a trap weighs the same."""
    shares = [caught / planted for planted, caught in counts if planted]
    return float(np.mean(shares)) if shares else 0.0


def rates(found: dict[str, Any]) -> dict[str, float]:
    traps = sorted({name.split(":")[0] for name in found["faults"]})
    caught_of = {
        word: [
            share([cells[word] for name, cells in found["faults"].items() if name.split(":")[0] == trap])
            for trap in traps
        ]
        for word in SEVERITIES
    }
    return {"clean passes": found["passed"] / max(found["clean"], 1)} | {
        f"{word} caught": float(np.mean(shares)) for word, shares in caught_of.items()
    }


def measure(videos: Path, work: Path) -> Section:
    del work
    return section_of(run(samples_of(videos, REPORTING), SAMPLES_PER_FAULT))


def section_of(found: dict[str, Any]) -> Section:
    rate = rates(found)
    rows = [
        [name, *(f"{cells[word][1]}/{cells[word][0]}" if cells[word][0] else None for word in SEVERITIES)]
        for name, cells in found["faults"].items()
    ]
    clean = (
        f"Clean samples passed: {found['passed']} of {found['clean']} (failing checks: {found['failing'] or 'none'})."
    )
    text = f"{clean}\n\n{table(('caught', *SEVERITIES), rows)}"
    bars = {
        "at least 95 % of severe faults are caught": rate["severe caught"] >= 0.95,
        "at least 80 % of mild faults are caught": rate["mild caught"] >= 0.80,
        "at least 90 % of clean samples pass": rate["clean passes"] >= 0.90,
    }
    return Section("Verification", text, found | rate, bars)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", type=Path)
    parser.add_argument("--tuning", action="store_true", help="on the clips thresholds may be fitted on")
    parser.add_argument("--samples", type=int, default=SAMPLES_PER_FAULT, help="per fault and severity")
    parser.add_argument("--scores", type=Path, help="write every score to this file (JSON lines), for fitting")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    lines: list[str] = []

    def log(name: str, fault: str, severity: int, verdict: Verdict) -> None:
        lines.append(json.dumps([name, fault, severity, verdict.scores]))

    clips = TUNING if arguments.tuning else REPORTING
    found = run(samples_of(arguments.videos, clips), arguments.samples, log)
    if arguments.scores:
        arguments.scores.write_text("\n".join(lines) + "\n")
    print(section_of(found).markdown)
    print(json.dumps(rates(found), indent=1))


if __name__ == "__main__":
    main()
