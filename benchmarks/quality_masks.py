"""Masks of the annotated clips: how good, how many, and whether the confidence tells the good ones."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import mined
import numpy as np
import truth
from sections import Section, table

from schemas.config import Config
from schemas.video import Image, Mask
from stages import pairing

GOOD_J = 0.70
OLD_J = 0.25
"""Of motion residual and GrabCut with ground-truth choice among candidates, measured on these clips before."""

_CURVE = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_PASSES = 3


@dataclass(frozen=True, slots=True)
class Instance:
    """A found mask and its judgement. accepted: what pairing would use."""

    clip: str
    frame: int
    track: int
    score: float
    accepted: bool
    usable_but_for_score: bool
    judged: truth.Judged


@dataclass(frozen=True, slots=True)
class ClipResult:
    clip: str
    instances: list[Instance]
    num_true: int  # subjects at the anchors, carried things left out
    baselines: dict[str, tuple[float, float]]  # name -> mean J, mean F over true subjects


def look_at(videos: Path, clip: str) -> ClipResult:
    path = next((videos / "clips").glob(f"{clip}.*"))
    footage, found = mined.all_masks(path)
    by_frame = {footage.indices[anchor]: footage.images[anchor] for anchor in footage.anchors}
    config = Config().mining
    instances: list[Instance] = []
    for frame in by_frame:
        here = [each for each in found if each.frame == frame]
        sure = [each for each in here if pairing.is_usable(each.mask, each.score, config)]
        # What is accepted is judged without the rest, as whoever uses it sees it.
        judged = dict(zip(map(id, here), truth.judge(videos, clip, frame, [each.mask for each in here]), strict=True))
        judged |= zip(map(id, sure), truth.judge(videos, clip, frame, [each.mask for each in sure]), strict=True)
        for each in here:
            fits = pairing.is_usable(each.mask, 1.0, config)
            known = judged[id(each)]
            instances.append(Instance(clip, frame, each.track, each.score, each in sure, fits, known))
    carried = truth.owners(videos, clip)
    num_true = sum(number not in carried for frame in by_frame for number in truth.masks_at(videos, clip, frame))
    return ClipResult(clip, instances, num_true, _baselines(videos, clip, by_frame))


def _baselines(videos: Path, clip: str, images: dict[int, Image]) -> dict[str, tuple[float, float]]:
    """What a shape, or GrabCut, makes of the true box of each subject."""
    makers: dict[str, Callable[[Image, tuple[int, int, int, int]], Mask]] = {
        "box": _box,
        "ellipse": _ellipse,
        "GrabCut": _grabcut,
    }
    scores: dict[str, list[tuple[float, float]]] = {name: [] for name in makers}
    carried = truth.owners(videos, clip)
    for frame, image in images.items():
        for number, true in truth.masks_at(videos, clip, frame).items():
            if number in carried:
                continue
            x, y, width, height = cv2.boundingRect(true.astype(np.uint8))
            for name, make in makers.items():
                made = make(image, (x, y, x + width, y + height))
                scores[name].append((truth.region_j(made, true), truth.boundary_f(made, true)))
    return {name: (_mean([j for j, _ in got]), _mean([f for _, f in got])) for name, got in scores.items()}


def _box(image: Image, box: tuple[int, int, int, int]) -> Mask:
    mask = np.zeros(image.shape[:2], np.bool_)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


def _ellipse(image: Image, box: tuple[int, int, int, int]) -> Mask:
    x0, y0, x1, y1 = box
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    across, down = (columns + 0.5 - (x0 + x1) / 2) / ((x1 - x0) / 2), (rows + 0.5 - (y0 + y1) / 2) / ((y1 - y0) / 2)
    return np.asarray(across**2 + down**2 <= 1, np.bool_)


def _grabcut(image: Image, box: tuple[int, int, int, int]) -> Mask:
    x0, y0, x1, y1 = box
    labels = np.zeros(image.shape[:2], np.uint8)
    cv2.setRNGSeed(0)
    rectangle = (x0, y0, max(x1 - x0, 1), max(y1 - y0, 1))
    if rectangle[2] * rectangle[3] >= labels.size * 0.98:  # no background left to learn from
        return _box(image, box)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(np.ascontiguousarray(image[..., ::-1]), labels, rectangle, *models, _PASSES, cv2.GC_INIT_WITH_RECT)
    return np.asarray((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), np.bool_)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def counted(result: ClipResult, is_in: Callable[[Instance], bool]) -> list[Instance]:
    return [each for each in result.instances if each.judged.counts and is_in(each)]


def per_clip(result: ClipResult) -> dict[str, Any]:
    accepted = counted(result, lambda each: each.accepted)
    num_found = len(counted(result, lambda each: True))
    numbers = {(each.frame, each.judged.number) for each in accepted if each.judged.number and each.judged.j >= 0.5}
    return {
        "j": _mean([each.judged.j for each in accepted]),
        "f": _mean([each.judged.f for each in accepted]),
        "good": _mean([each.judged.j >= GOOD_J for each in accepted]),
        "accepted": len(accepted),
        "found": num_found,
        "left_out": len(result.instances) - num_found,
        "coverage": len(numbers) / max(result.num_true, 1),
    }


def curve(results: Sequence[ClipResult]) -> list[dict[str, float]]:
    """What would be accepted at each least confidence: clips equally weighted."""
    points = []
    for least in _CURVE:
        chosen = [counted(each, partial(_passes_from, least)) for each in results]
        some = [each for each in chosen if each]
        points.append(
            {
                "min_score": least,
                "clips": len(some),
                "coverage": _mean(
                    [len(each) / max(one.num_true, 1) for each, one in zip(chosen, results, strict=True)]
                ),
                "good": _mean([_mean([one.judged.j >= GOOD_J for one in each]) for each in some]),
                "mean_j": _mean([_mean([one.judged.j for one in each]) for each in some]),
            }
        )
    return points


def _passes_from(least: float, one: Instance) -> bool:
    return one.usable_but_for_score and one.score >= least


def summary(results: Sequence[ClipResult]) -> dict[str, Any]:
    rows = {each.clip: per_clip(each) for each in results}
    some = [row for row in rows.values() if row["accepted"]]
    return {
        "clips": rows,
        "contributing": sum(row["coverage"] > 0 for row in rows.values()),
        "good_share": _mean([row["good"] for row in some]),
        "mean_j": _mean([row["j"] for row in some]),
        "mean_f": _mean([row["f"] for row in some]),
        "coverage": _mean([row["coverage"] for row in rows.values()]),
        "curve": curve(results),
        "baselines": {
            name: tuple(_mean([each.baselines[name][side] for each in results]) for side in range(2))
            for name in ("box", "ellipse", "GrabCut")
        },
    }


def measure(videos: Path, work: Path) -> Section:
    results = [look_at(videos, clip) for clip in (*truth.TUNING, *truth.REPORTING)]
    every = summary(results)
    parts = {name: summary([each for each in results if each.clip in clips]) for name, clips in _SETS.items()}
    figures = every | {name: {**part, "clips": None} for name, part in parts.items()}
    (work / "instances.json").write_text(json.dumps([_plain(each) for one in results for each in one.instances]))
    bars = {
        "at least 8 of the 12 clips contribute": every["contributing"] >= 8,
        "90 % of accepted instances have J >= 0.70 (clips weighted equally)": every["good_share"] >= 0.9,
    }
    return Section("Masks", _text(results, every, parts), figures, bars)


_SETS = {"tuning": truth.TUNING, "reporting": truth.REPORTING}


def _plain(each: Instance) -> dict[str, Any]:
    judged = {"number": each.judged.number, "j": each.judged.j, "f": each.judged.f, "counts": each.judged.counts}
    return {"clip": each.clip, "frame": each.frame, "track": each.track, "score": each.score} | judged


def _text(results: Sequence[ClipResult], every: dict[str, Any], parts: dict[str, dict[str, Any]]) -> str:
    rows: list[list[object]] = []
    for result in results:
        row = every["clips"][result.clip]
        has = row["accepted"] > 0
        shown = [row["j"], row["f"], row["good"]] if has else [None, None, None]
        base = [result.baselines[name][0] for name in ("ellipse", "box", "GrabCut")]
        share = f"{row['accepted']} / {row['found']}"
        rows.append([_named(result.clip), share, row["left_out"], *shown, row["coverage"], *base])
    header = ["clip", "accepted / found", "not annotated", "J", "F", f"J >= {GOOD_J}", "coverage"]
    clips = table([*header, "J ellipse", "J box", "J GrabCut"], rows)
    points = [[p["min_score"], p["clips"], p["coverage"], p["good"], p["mean_j"]] for p in every["curve"]]
    risk = table(["least confidence", "clips", "instances per true subject", f"J >= {GOOD_J}", "mean J"], points)
    sums: list[list[object]] = [
        [name, part["contributing"], part["good_share"], part["mean_j"], part["mean_f"], part["coverage"]]
        for name, part in {"all": every, **parts}.items()
    ]
    totals = table(["clips", "contributing", f"J >= {GOOD_J}", "mean J", "mean F", "coverage"], sums)
    f_of = ", ".join(f"{name} {every['baselines'][name][1]:.2f}" for name in ("ellipse", "box", "GrabCut"))
    return f"""Every mask that pairing would accept, at the anchors mining chose; what matches nothing has J 0
(rules for what the annotation leaves out: `benchmarks/truth.py`). Coverage: share of annotated subjects with an
accepted mask of J >= 0.5; a clip contributes when it has one. The baselines are given the true box of every subject;
mean F: {f_of}. Before: J {OLD_J} (motion residual and GrabCut). T marks tuning clips.

{clips}

{totals}

Were the least confidence another one:

{risk}"""


def _named(clip: str) -> str:
    return f"{clip} T" if clip in truth.TUNING else clip
