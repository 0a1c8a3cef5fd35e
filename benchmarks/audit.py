"""Scores a finished dataset by its stored bytes alone: python benchmarks/audit.py OUT VIDEOS

Imports nothing that made the dataset (`benchmarks/stored.py` reads it). Compared with the ground truth of VIDEOS
(`benchmarks/truth.py`): the masks of every pair, who they show, and the masks of every sample. Claims that need no
truth are checked on every row: bytes and their hashes, boxes, counts and task, that the output is frame B, that the
reference's subject is frame A's pixels, warped as KEY.json says, and that a base differs from the output inside its box
only.

Exit 1 when a claim of the tables is false; each is named.
"""

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import truth
from numpy.typing import NDArray
from sections import table
from stored import Image, Shards, decoded, frames_of, mask_of, picture, rows

CONFIRMED_J = 0.5
"""Truth confirms a pair when the masks of every subject, in both frames, have this J and show the same object."""

_MAX_ERROR = 6.0  # mean levels: our decoder's colour conversion and our warp against theirs


@dataclass(slots=True)
class PairScore:
    """A pair against the truth. same: per subject; None where the annotation cannot tell."""

    key: str
    clip: str
    js: list[float]
    same: list[bool | None]
    similarity: list[float] = field(default_factory=list)  # as the table says, per subject

    @property
    def is_confirmed(self) -> bool:
        return bool(self.js) and min(self.js) >= CONFIRMED_J and all(same is not False for same in self.same)


@dataclass(slots=True)
class Audit:
    pairs: list[PairScore] = field(default_factory=list)
    samples: dict[str, str] = field(default_factory=dict)  # key -> clip, those that are ok
    sample_pairs: dict[str, str] = field(default_factory=dict)  # key -> key of its pair
    output_js: list[float] = field(default_factory=list)
    reference_errors: list[float] = field(default_factory=list)  # mean levels
    output_errors: list[float] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)  # claim -> how often it was checked
    false: list[str] = field(default_factory=list)

    def claim(self, name: str, holds: bool, where: str) -> None:
        self.checked[name] = self.checked.get(name, 0) + 1
        if not holds:
            self.false.append(f"{name}: {where}")


def audit(out: Path, videos: Path) -> Audit:
    """Everything this script knows of an output. videos: the annotated footage it was built from, or part of it."""
    result = Audit()
    clips = {row["key"]: row for row in rows(out, "clips")}
    pairs = {row["key"]: row for row in rows(out, "pairs")}
    samples = rows(out, "samples")
    frames = frames_of(pairs.values())
    for pair in pairs.values():
        _claim_boxes(pair, result)
        result.pairs.append(score_pair(pair, videos))
    members = Shards(out)
    for row in samples:
        key = row["key"]
        result.samples[key], result.sample_pairs[key] = Path(row["source_uri"]).stem, row["pair_key"]
        result.claim("its pair and clips are accepted", _has_parents(row, pairs, clips), key)
        stored = members.of(row, result.claim)
        if stored is not None and row["pair_key"] in pairs:
            _sample(row, stored, pairs[row["pair_key"]], clips, frames, videos, result)
    return result


def _has_parents(row: dict[str, Any], pairs: dict[str, Any], clips: dict[str, Any]) -> bool:
    pair = pairs.get(row["pair_key"])
    return pair is not None and pair["clip_key"] in clips and pair["clip_key_b"] in clips


# -- pairs ----------------------------------------------------------------------------------------------------------


def _claim_boxes(pair: dict[str, Any], result: Audit) -> None:
    for subject in pair["subjects"]:
        for side in "ab":
            x, y, width, height = cv2.boundingRect(decoded(subject[f"mask_{side}"]).astype(np.uint8))
            holds = [round(value) for value in subject[f"box_{side}"]] == [x, y, x + width, y + height]
            result.claim("a box is the box of its mask", holds, pair["key"])


def score_pair(pair: dict[str, Any], videos: Path) -> PairScore:
    """A row of `pairs` (also one that no table holds) against the truth; js is empty where there is none."""
    clip = Path(pair["source_uri"]).stem
    score = PairScore(pair["key"], clip, [], [])
    if not (videos / "masks" / clip).is_dir():
        return score
    judged, shown = [], []
    for side in "ab":
        found = [decoded(subject[f"mask_{side}"]) for subject in pair["subjects"]]
        frame = pair[f"frame_{side}"]
        judged.append(truth.judge(videos, clip, frame, found))
        shown.append([truth.who(videos, clip, frame, mask) for mask in found])
    for first, second, one, other in zip(*judged, *shown, strict=True):
        score.js += [each.j for each in (first, second) if each.counts]
        known = first.counts or second.counts
        score.same.append((one == other != 0) if known else None)
    score.similarity = [float(subject["similarity"]) for subject in pair["subjects"]]
    return score


# -- samples --------------------------------------------------------------------------------------------------------


def _sample(
    row: dict[str, Any],
    stored: dict[str, bytes],
    pair: dict[str, Any],
    clips: dict[str, Any],
    frames: dict[tuple[str, int], Image],
    videos: Path,
    result: Audit,
) -> None:
    key, record = row["key"], json.loads(stored["json"])
    _claim_record(row, record, pair, result)
    output = picture(stored["output.png"])
    source = {
        side: _cropped(frames.get((row["source_uri"], pair[f"frame_{side}"])), clips.get(pair[clip]))
        for side, clip in (("a", "clip_key"), ("b", "clip_key_b"))
    }
    if source["b"] is not None:
        error = _difference(cv2.resize(source["b"], output.shape[1::-1], interpolation=cv2.INTER_AREA), output, None)
        result.output_errors.append(error)
        result.claim("the output is frame B", error <= _MAX_ERROR, f"{key} ({error:.1f} levels)")
    for each in record["inputs"]:
        image = picture(stored[f"input_{each['index']}.png"])
        if each["role"] == "base":
            x0, y0, x1, y1 = each["box"]
            same = (image == output).all(axis=-1) if image.shape == output.shape else np.zeros(output.shape[:2], bool)
            same[y0:y1, x0:x1] = True
            result.claim("a base differs from the output inside its box only", bool(same.all()), key)
    references = [each for each in record["inputs"] if each["role"] == "reference"]
    for number, each in enumerate(references):
        mask = mask_of(stored[f"mask_{number}.png"])
        if source["a"] is not None:
            reference = picture(stored[f"input_{each['index']}.png"])
            error = _reference_error(reference, mask, source["a"], np.asarray(each["warp"]))
            result.reference_errors.append(error)
            result.claim("a reference shows frame A's own pixels", error <= _MAX_ERROR, f"{key} ({error:.1f} levels)")
    _score_outputs(row, stored, pair, len(references), clips, videos, result)


def _claim_record(row: dict[str, Any], record: dict[str, Any], pair: dict[str, Any], result: Audit) -> None:
    names = ("key", "task", "attempt", "seed", "num_references", "num_scene_subjects", "instruction", "caption_long")
    agree = all(record[name] == row[name] for name in names)
    result.claim("KEY.json says what the row says", agree, row["key"])
    kind = "single" if max(record["num_references"], record["num_scene_subjects"]) <= 1 else "multi"
    mode = "manipulation" if record["inputs"][0]["role"] == "base" else "generation"
    result.claim("the task follows from what is there", record["task"] == f"{kind}_{mode}", row["key"])
    origin = record["provenance"]
    same = (origin["frame_a"], origin["frame_b"]) == (pair["frame_a"], pair["frame_b"])
    result.claim("a sample is made of its pair's frames", same, row["key"])


def _score_outputs(
    row: dict[str, Any],
    stored: dict[str, bytes],
    pair: dict[str, Any],
    number: int,
    clips: dict[str, Any],
    videos: Path,
    result: Audit,
) -> None:
    """J of the masks that came with the output, at the size of the source."""
    clip = Path(row["source_uri"]).stem
    found = [mask_of(stored[f"output_mask_{index}.png"]) for index in range(number)]
    if not (videos / "masks" / clip).is_dir():
        return
    height, width = pair["subjects"][0]["mask_b"]["size"]
    x0, y0, x1, y1 = clips[pair["clip_key_b"]]["content_box"] or (0, 0, width, height)
    placed = []
    for mask in found:
        whole = np.zeros((height, width), np.bool_)
        whole[y0:y1, x0:x1] = cv2.resize(mask.astype(np.float32), (x1 - x0, y1 - y0)) >= 0.5
        placed.append(whole)
    result.output_js += [each.j for each in truth.judge(videos, clip, pair["frame_b"], placed) if each.counts]


def _reference_error(reference: Image, mask: truth.Mask, source: Image, warp: NDArray[np.float64]) -> float:
    """Mean difference, well inside the mask, of the reference and the warped frame."""
    height, width = mask.shape
    scale = float(np.sqrt(abs(np.linalg.det(warp[:2, :2]))))
    if scale < 1:  # what a smaller picture cannot show is gone from ours too
        source = np.asarray(cv2.GaussianBlur(source, (0, 0), max((1 / scale - 1) / 2, 0.1)), np.uint8)
    ours = np.asarray(cv2.warpPerspective(source, warp, (width, height), flags=cv2.INTER_LINEAR), np.uint8)
    inside = cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return _difference(ours, reference, inside if inside.any() else mask)


def _difference(one: Image, other: Image, inside: truth.Mask | None) -> float:
    gap = np.abs(one.astype(np.int16) - other.astype(np.int16))
    return float((gap if inside is None else gap[inside]).mean())


def _cropped(image: Image | None, clip: dict[str, Any] | None) -> Image | None:
    if image is None or clip is None:
        return None
    x0, y0, x1, y1 = clip["content_box"] or (0, 0, image.shape[1], image.shape[0])
    return np.ascontiguousarray(image[y0:y1, x0:x1])


# -- words ----------------------------------------------------------------------------------------------------------


def table_of_clips(result: Audit) -> str:
    header = ["clip", "pairs", "mean J of pair masks", "same object", "samples", "of confirmed pairs"]
    confirmed = {pair.key for pair in result.pairs if pair.is_confirmed}
    lines: list[list[object]] = []
    for clip in sorted({pair.clip for pair in result.pairs} | set(result.samples.values())):
        pairs = [pair for pair in result.pairs if pair.clip == clip]
        js = [j for pair in pairs for j in pair.js]
        told = [same for pair in pairs for same in pair.same if same is not None]
        keys = [key for key, where in result.samples.items() if where == clip]
        has = any(pair.same for pair in pairs)
        share = f"{sum(told)} / {len(told)}" if told else None
        true = sum(result.sample_pairs[key] in confirmed for key in keys) if has else None
        lines.append([clip, len(pairs), float(np.mean(js)) if js else None, share, len(keys), true])
    return table(header, lines)


def text(result: Audit) -> str:
    claims = [
        [name, number, sum(line.startswith(name) for line in result.false)] for name, number in result.checked.items()
    ]
    sums = [f"{len(result.pairs)} pairs, {len(result.samples)} samples."]
    for name, values in (
        ("J of stored output masks", result.output_js),
        ("reference against warped frame A, levels", result.reference_errors),
        ("output against frame B, levels", result.output_errors),
    ):
        if values:
            low, middle, high = np.percentile(values, [5, 50, 95])
            sums.append(f"{name}: median {middle:.2f}, 5 % {low:.2f}, 95 % {high:.2f}.")
    blocks = [table_of_clips(result), table(["claim", "checked", "false"], claims), " ".join(sums)]
    return "\n\n".join(blocks)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("videos", type=Path)
    arguments = parser.parse_args()
    result = audit(arguments.out, arguments.videos)
    print(text(result))
    for line in result.false[:50]:
        print(f"false: {line}", file=sys.stderr)
    return 1 if result.false else 0


if __name__ == "__main__":
    sys.exit(main())
