"""Pairs: how many, whether both frames show the same individual, and how different they show it.

Identity is judged on the exhaustive clips, on composites of look-alikes crossing in both orders, and on all other clips
with per-instance truth; recurrence across shots on shots/concat_hard_dev; descriptors on true masks.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import composites
import mined
import numpy as np
import truth
from audit import PairScore, score_pair
from sections import Section, table

from actors.embedder import DescriptorEmbedder
from schemas.config import Config
from stages import alignment, media, pairing, recurrence
from stages.linking import Identity

THREE_CUPS = "sam2_three_cups"
RECURRING = "shots/concat_hard_dev.mp4"
_NUM_RANDOM = 8  # pairs per clip that diversity is compared with
_NUM_VIEWS = 8  # per subject, for the descriptors


@dataclass(slots=True)
class Mined:
    """One file: its pairs against the truth, how diverse they are, and how many tracks its identities consist of."""

    name: str
    scores: list[PairScore] = field(default_factory=list)  # of every pair
    diversity: list[float] = field(default_factory=list)  # 1 - correlation after the best alignment
    random_diversity: list[float] = field(default_factory=list)
    joined: int = 0  # tracks that appearance joined to another one


def look_at(videos: Path, path: Path) -> Mined:
    found = Mined(path.stem)
    for shot in mined.shots(path):
        found.scores += [score_pair(row, videos) for row in shot.rows]
        found.joined += shot.num_joined
        rng = np.random.default_rng(0)
        for each in shot.chosen:
            found.diversity += [_difference(shot, identity, each.a, each.b) for identity in each.identities]
        found.random_diversity += _random_pairs(shot, rng) if shot.chosen else []
    return found


def _random_pairs(shot: mined.Shot, rng: np.random.Generator) -> list[float]:
    """Any two usable views of the individuals that were paired."""
    config = Config().mining
    paired = {identity.name for each in shot.chosen for identity in each.identities}
    options = [
        (identity, a, b)
        for identity in shot.identities
        if identity.name in paired
        for a in identity.masks
        for b in identity.masks
        if a < b and all(pairing.is_usable(identity.masks[at], identity.scores[at], config) for at in (a, b))
    ]
    if not options:
        return []
    chosen = rng.choice(len(options), min(len(options), _NUM_RANDOM), replace=False)
    return [_difference(shot, *options[each]) for each in chosen]


def _difference(shot: mined.Shot, identity: Identity, a: int, b: int) -> float:
    images, masks = shot.footage.images, identity.masks
    return 1 - alignment.align(images[a], masks[a], images[b], masks[b]).ncc


def identity_share(found: Sequence[Mined]) -> tuple[int, int, int]:
    """(subjects that show the same object in both frames, subjects the annotation can tell of, pairs)."""
    told = [same for each in found for score in each.scores for same in score.same if same is not None]
    return sum(told), len(told), sum(len(each.scores) for each in found)


def recurrence_of(videos: Path) -> dict[str, Any]:
    """Who is recognised in a later shot, against the subject of each shot of the annotated edit."""
    entry = next(each for each in json.loads((videos / "index.json").read_text())["files"] if each["name"] == RECURRING)
    config = Config().linking
    shots = mined.shots(videos / RECURRING)
    told = [_subject_at(entry, shot.footage.indices[0]) for shot in shots]
    named = [_keyed(shot) for shot in shots]
    groups = recurrence.recurring(named, config.min_similarity, config.margin)
    links = [(a, b, group) for group in groups for a in group.seen for b in group.seen if a < b]
    right = [told[a] == told[b] and _on_truth(videos, entry, group, (a, b)) for a, b, group in links]
    possible = sum(
        told[a] == told[b] and told[a] != "woman+dog2" for a in range(len(shots)) for b in range(a + 1, len(shots))
    )
    everyone = [each["subject_id"] for each in entry["shots"]]
    all_possible = sum(one == other for at, one in enumerate(everyone) for other in everyone[at + 1 :])
    return {
        "links": len(links),
        "right": sum(right),
        "found_possible": possible,
        "possible": all_possible,
        "said": [f"{told[a]} = {told[b]}" for a, b, _ in links],
    }


def _subject_at(entry: dict[str, Any], frame: int) -> str:
    return next(str(each["subject_id"]) for each in entry["shots"] if each["start"] <= frame <= each["end"])


def _keyed(shot: mined.Shot) -> list[Identity]:
    """The identities by source frame, as the table of subjects has them."""
    at = shot.footage.indices
    return [
        Identity(
            each.name,
            each.category,
            {at[position]: mask for position, mask in each.masks.items()},
            {at[position]: score for position, score in each.scores.items()},
            {at[position]: vector for position, vector in each.embeddings.items()},
        )
        for each in shot.identities
    ]


def _on_truth(videos: Path, entry: dict[str, Any], group: recurrence.Recurring, shots: tuple[int, int]) -> bool:
    """Do most masks of both identities lie on the annotated subject of their shot?"""
    return all(_share_on(videos, entry, group.seen[number]) > 0.5 for number in shots)


def _share_on(videos: Path, entry: dict[str, Any], identity: Identity) -> float:
    hits = []
    for frame, mask in identity.masks.items():
        shot = next(each for each in entry["shots"] if each["start"] <= frame <= each["end"])
        clip = shot["gt_masks_from"]
        source = frame - shot["start"] + shot["source_frames"][0]
        hits.append(clip is not None and truth.who(videos, clip, source, mask) > 0)
    return float(np.mean(hits))


def descriptor_scores(videos: Path, clips: Sequence[str]) -> dict[str, float]:
    """How well one cosine tells same from different, over all pairs of views of true masks."""
    names, views = [], []
    for clip in clips:
        path = next((videos / "clips").glob(f"{clip}.*"))
        number = len(list((videos / "masks" / clip).glob("*.png")))
        wanted = sorted(set(np.linspace(2, number - 3, _NUM_VIEWS).astype(int).tolist()))
        pictures = {frame.index: frame.image for frame in media.decode(path) if frame.index in wanted}
        for index, image in pictures.items():
            for which, mask in truth.masks_at(videos, clip, index).items():
                if which not in truth.owners(videos, clip) and np.count_nonzero(mask) > 0.004 * mask.size:
                    names.append(_who_is(clip, which))
                    views.append((image, mask))
    vectors = DescriptorEmbedder().embed(views)
    cosines = vectors @ vectors.T
    above = np.triu_indices(len(names), 1)
    is_same = np.array([names[a] == names[b] for a, b in zip(*above, strict=True)])
    same, different = cosines[above][is_same], cosines[above][~is_same]
    auc = float((same[:, None] > different[None]).mean())
    gate = float(np.quantile(different, 0.99))
    return {"auc": auc, "recall_at_1_percent": float((same > gate).mean()), "gate_at_1_percent": gate}


def _who_is(clip: str, number: int) -> str:
    if clip == "comp_dog_dancer":
        clip, number = {1: "davis_dog", 2: "davis_dance-twirl"}[number], 1
    return f"{clip}/{number}"


def measure(videos: Path, work: Path) -> Section:
    crossing = [look_at(work, work / "clips" / f"{name}.mp4") for name in composites.make(videos, work)]
    clips = [look_at(videos, path) for path in sorted((videos / "clips").iterdir())]
    by_name = {each.name: each for each in clips}
    exhaustive = [by_name[name] for name in truth.EXHAUSTIVE]
    annotated = [each for each in clips if each.name in (*truth.TUNING, *truth.REPORTING)]
    details = {each.name: [asdict(score) for score in each.scores] for each in (*crossing, *clips)}
    (work / "pairs.json").write_text(json.dumps(details))
    figures: dict[str, Any] = {
        "pairs": sum(len(each.scores) for each in clips),
        "clips_with_pairs": sum(bool(each.scores) for each in clips),
        "per_clip": {each.name: len(each.scores) for each in clips},
        "exhaustive": identity_share(exhaustive),
        "composites": identity_share(crossing),
        "composites_with_pairs": sum(bool(each.scores) for each in crossing),
        "annotated": identity_share(annotated),
        "three_cups": {"pairs": len(by_name[THREE_CUPS].scores), "joined_tracks": by_name[THREE_CUPS].joined},
        "diversity": _median([one for each in clips for one in each.diversity]),
        "random_diversity": _median([one for each in clips for one in each.random_diversity]),
        "recurrence": recurrence_of(videos),
        "descriptors": {
            "tuning": descriptor_scores(videos, truth.TUNING),
            "reporting": descriptor_scores(videos, truth.REPORTING),
        },
    }
    both = [sum(parts) for parts in zip(figures["exhaustive"], figures["composites"], strict=True)]
    figures["same_identity"] = both[0] / max(both[1], 1)
    again = figures["recurrence"]
    bars = {
        "at least 100 pairs": figures["pairs"] >= 100,
        "same identity >= 0.98 on exhaustive clips and composites": figures["same_identity"] >= 0.98,
        "three identical cups: rejected, or linked by unbroken tracks only": figures["three_cups"]["joined_tracks"]
        == 0,
        "recurring subjects: precision >= 0.95": again["links"] > 0 and again["right"] >= 0.95 * again["links"],
        "median diversity after alignment >= that of random pairs": figures["diversity"] >= figures["random_diversity"],
    }
    return Section("Pairs", _text(figures, crossing), figures, bars)


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if len(values) else 0.0


def _text(figures: dict[str, Any], crossing: Sequence[Mined]) -> str:
    lines = [
        [name, figures[name][2], f"{figures[name][0]} / {figures[name][1]}"]
        for name in ("exhaustive", "composites", "annotated")
    ]
    told = table(["clips", "pairs", "subjects shown the same in both frames"], lines)
    plays = ", ".join(f"{each.name.removeprefix('cross_')} {len(each.scores)}" for each in crossing)
    views = [
        [name, got["auc"], got["recall_at_1_percent"], got["gate_at_1_percent"]]
        for name, got in figures["descriptors"].items()
    ]
    again, cups = figures["recurrence"], figures["three_cups"]
    said = ", ".join(again["said"]) or "none"
    num_clips = f"{figures['clips_with_pairs']} of {len(figures['per_clip'])} clips"
    return f"""{figures["pairs"]} pairs from {num_clips}. A subject is the same when most of its mask lies on the same
annotated object in both frames; a mask that lies on nothing counts as wrong.

{told}

Composites (`benchmarks/composites.py`), pairs of each: {plays}. Three identical cups: {cups["pairs"]} pairs,
{cups["joined_tracks"]} tracks joined by appearance.

Across the shots of concat_hard_dev {again["links"]} links were made, {again["right"]} of them right ({said});
{again["possible"]} were possible, {again["found_possible"]} of them between shots in which a subject was found.

Diversity, 1 - correlation after the best alignment: median {figures["diversity"]:.2f}, of random pairs of the same
subjects {figures["random_diversity"]:.2f}.

Descriptors on true masks, one view against one view:

{table(["clips", "AUC", "recall at 1 % false", "its cosine"], views)}"""
