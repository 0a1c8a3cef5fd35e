"""Fits the confidence of masks (stages/confidence.py) to annotated clips, and says how well it does on clips left out.

    python benchmarks/mask_confidence.py VIDEOS

Only TUNING clips of `truth` and the made-up clips of `recast demo` are fitted on. Each clip is predicted by a model
fitted without it: that is what the table shows; the constants printed last are fitted to all.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import mined
import numpy as np
import truth
from numpy.typing import NDArray
from PIL import Image as PillowImage

from actors import moving
from actors.profiles import Roles, load_profile
from pipeline.demo import make_demo_videos
from pipeline.mine import MineClip
from schemas.config import Config, MiningConfig
from schemas.video import Mask
from stages import masks

GOOD_J = 0.70
NUM_ANCHORS = 16
FEATURES = ("edges", "belief_around", "motion_inside", "stable", "life")
RIDGE = 8.0
MADE_UP_WEIGHT = 0.5  # of a made-up clip, against a real one
Rows = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Example:
    clip: str
    evidence: dict[str, float]
    j: float


def examples(path: Path, videos: Path | None) -> list[Example]:
    """Every mask of a clip of a size that pairing may use and not cut off by the border, also one in several pieces.

    videos: None for a made-up clip.
    """
    (unit,) = mined.units(path)
    config = MiningConfig(anchors_per_clip=NUM_ANCHORS)
    footage, _ = MineClip(Roles(load_profile("embedded")), Config(mining=config)).tracks(unit)
    seen = moving.of(footage)
    found: list[Example] = []
    for anchor in footage.anchors:
        here = [own for own in seen.individuals if seen.keys_at[anchor] in own.masks]
        made = [moving.mask_at(footage, seen, own, anchor) for own in here]
        judged = _judged(path, videos, footage.indices[anchor], [mask for mask, _ in made])
        for (mask, evidence), j in zip(made, judged, strict=True):
            fits = config.min_area_share <= mask.mean() <= config.max_area_share
            if j is not None and evidence and fits and masks.border_share(mask) <= config.max_border_share:
                found.append(Example(path.stem, evidence, j))
    return found


def _judged(path: Path, videos: Path | None, frame: int, found: list[Mask]) -> list[float | None]:
    if videos is not None:
        return [each.j if each.counts else None for each in truth.judge(videos, path.stem, frame, found)]
    with PillowImage.open(path.parent / "masks" / path.stem / f"{frame:05d}.png") as picture:
        labels = np.array(picture)
    return [max((masks.iou(mask, labels == n) for n in np.unique(labels) if n), default=0.0) for mask in found]


def fit(features: Rows, good: Rows, weights: Rows) -> tuple[Rows, float]:
    """Ridge logistic regression on standardised features, by Newton's method: (weights, bias) for features as given."""
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-9
    design = np.c_[(features - mean) / spread, np.ones(len(features))]
    ridge = np.diag([*[RIDGE] * features.shape[1], 1e-3])
    coefficients = np.zeros(design.shape[1])
    for _ in range(60):
        chance = 1 / (1 + np.exp(-design @ coefficients))
        gradient = design.T @ (weights * (chance - good)) + ridge @ coefficients
        curvature = (design * (weights * chance * (1 - chance) + 1e-6)[:, None]).T @ design + ridge
        coefficients = coefficients - np.linalg.solve(curvature, gradient)
    slopes = coefficients[:-1] / spread
    return slopes, float(coefficients[-1] - slopes @ mean)


def weights_of(clips: NDArray[np.str_]) -> Rows:
    """Every clip counts the same, however many masks it has; sums to the number of masks."""
    share = {clip: 1.0 if clip in truth.TUNING else MADE_UP_WEIGHT for clip in clips}
    raw = np.array([share[clip] / np.count_nonzero(clips == clip) for clip in clips])
    return np.asarray(raw * len(clips) / raw.sum(), dtype=np.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", type=Path)
    videos = parser.parse_args().videos
    cv2.setNumThreads(1)  # as the engine does; with more, the last digits differ
    found = [each for clip in truth.TUNING for each in examples(videos / "clips" / f"{clip}.mp4", videos)]
    with tempfile.TemporaryDirectory() as folder:
        make_demo_videos(Path(folder))
        for path in sorted(Path(folder).glob("*.mp4")):
            found += examples(path, None) if len(mined.units(path)) == 1 else []  # those of one shot
    report(found)


def report(found: list[Example]) -> None:
    features = np.array([[each.evidence[name] for name in FEATURES] for each in found])
    j, clips = np.array([each.j for each in found]), np.array([each.clip for each in found])
    good, real = (j >= GOOD_J).astype(np.float64), np.isin(clips, truth.TUNING)
    predicted = np.zeros(len(found))
    for clip in truth.TUNING:
        rest = clips != clip
        slopes, bias = fit(features[rest], good[rest], weights_of(clips[rest]))
        predicted[~rest] = 1 / (1 + np.exp(-(features[~rest] @ slopes + bias)))
    print(f"{len(found)} masks, {real.sum()} of them real; left-out clips:")
    for gate in (0.4, 0.5, 0.6, 0.7, 0.8):
        accepted = real & (predicted >= gate)
        names = sorted(set(clips[accepted]))
        share = good[accepted].mean() if accepted.any() else float("nan")
        recall = good[accepted].sum() / good[real].sum()
        print(f"  from {gate}: {accepted.sum()} accepted of {len(names)} clips, {share:.2f} good, recall {recall:.2f}")
    slopes, bias = fit(features, good, weights_of(clips))
    print({name: round(float(slope), 2) for name, slope in zip(FEATURES, slopes, strict=True)}, "bias", round(bias, 2))


if __name__ == "__main__":
    main()
