"""Shortcut probe: can the target be guessed from what a reference must not tell?

    python benchmarks/quality_probe.py VIDEOS [--out OUT]

*Place*: among targets of different clips, the one whose surroundings are most like the reference's background is
guessed, by colours, by layout and by matching features. *Pose*: among silhouettes of the same subject, the one most
like the reference's silhouette is guessed to be the target's. A model could learn what is guessed more often than by
chance. Samples are made from true masks of all annotated clips; with --out those of a finished dataset are read.
"""

import argparse
import io
import json
import tarfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from quality_verification import samples_of, verdict_of
from sections import Section, table
from stored import mask_of, picture
from truth import REPORTING, TUNING, masks_at
from truth_scenes import anchors_of

from schemas.errors import BadInput
from schemas.video import Image, Mask
from stages import alignment, masks

MARGIN = 0.05  # above chance, that is still no shortcut
SIDE_PX = 48
TINY_PX = 12


@dataclass(frozen=True, slots=True)
class Item:
    """One reference and its target. poses: silhouettes of the same subject, the target's among them first."""

    clip: str
    reference: Image
    mask: Mask
    target: Image
    target_subjects: Mask
    poses: list[Mask] = field(default_factory=list)


def items_of_truth(videos: Path) -> list[Item]:
    """Accepted samples made from true masks: of the reporting clips and of the tuning clips, each with their donors."""
    items = []
    for clips in (REPORTING, TUNING):
        for _, sample in samples_of(videos, clips):
            if isinstance(sample, BadInput) or not verdict_of(sample).passed:
                continue
            draft = sample.draft
            taken = np.logical_or.reduce([*draft.output_masks, *draft.scene_masks])
            for reference, own in zip(draft.references, draft.output_masks, strict=True):
                clip, number = reference.identity.split("/")
                others = [masks_at(videos, clip, index).get(int(number)) for index in anchors_of(videos, clip)]
                poses = [own, *(mask for mask in others if mask is not None and not _same_shape(mask, own))]
                poses = [mask for mask in poses if not _same_shape(mask, reference.source_mask)]
                items.append(Item(clip, reference.image, reference.mask, draft.output, taken, poses))
    return items


def items_of_dataset(out: Path) -> list[Item]:
    """Every reference of a finished dataset; the poses of a clip are those of its targets."""
    found: list[tuple[Item, Mask]] = []
    for shard in sorted(out.glob("shards/**/*.tar")):
        members: dict[str, dict[str, bytes]] = defaultdict(dict)
        with tarfile.open(shard) as tar:
            for member in tar:
                key, _, name = member.name.partition(".")
                members[key][name] = (tar.extractfile(member) or io.BytesIO()).read()
        for parts in members.values():
            found += _items(parts)
    by_clip: dict[str, list[Mask]] = defaultdict(list)
    for item, own in found:
        by_clip[item.clip].append(own)
    return [
        replace(item, poses=[own, *(mask for mask in by_clip[item.clip] if not _same_shape(mask, own))])
        for item, own in found
    ]


def _items(parts: dict[str, bytes]) -> list[tuple[Item, Mask]]:
    record = json.loads(parts["json"])
    first = sum(one["role"] == "base" for one in record["inputs"])
    own = [mask_of(parts[f"output_mask_{n}.png"]) for n in range(record["num_references"])]
    clip, target = record["provenance"]["content_hash"], picture(parts["output.png"])
    taken = np.logical_or.reduce(own)
    inputs = [picture(parts[f"input_{first + n}.png"]) for n in range(len(own))]
    kept = [mask_of(parts[f"mask_{n}.png"]) for n in range(len(own))]
    return [(Item(clip, inputs[n], kept[n], target, taken), mask) for n, mask in enumerate(own)]


# -- place ---------------------------------------------------------------------------------------------------------


def colours(image: Image, subject: Mask) -> NDArray[np.float64]:
    """Square roots of the shares of coarse Lab colours outside the subject: unit length."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)[~masks.dilate(subject, 6)].astype(np.int64) // 24
    counts = np.bincount((lab[:, 0] * 11 + lab[:, 1]) * 11 + lab[:, 2], minlength=11**3).astype(np.float64)
    return np.asarray(np.sqrt(counts / max(counts.sum(), 1)))


def layout(image: Image, subject: Mask) -> NDArray[np.float64]:
    """A thumbnail of the surroundings, the subject filled with their mean, channels around their means: unit length."""
    around = ~masks.dilate(subject, 6)
    filled = np.where(around[..., None], image, image[around].mean(axis=0) if around.any() else 127).astype(np.float32)
    tiny = cv2.resize(filled, (TINY_PX, TINY_PX), interpolation=cv2.INTER_AREA).astype(np.float64)
    tiny -= tiny.mean(axis=(0, 1))
    return np.asarray(tiny.ravel() / max(float(np.linalg.norm(tiny)), 1e-6))


def features(image: Image, subject: Mask) -> alignment.Features:
    return alignment.features(image, ~masks.dilate(subject, 6))


@dataclass(frozen=True, slots=True)
class PlaceProbe:
    """How surroundings are described, and how alike two descriptions are."""

    describe: Callable[[Image, Mask], Any]
    alike: Callable[[Any, Any], float]


def _dot(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    return float(first @ second)


def _inliers(first: alignment.Features, second: alignment.Features) -> float:
    return float(alignment.agreement(first, second).num_inliers)


PLACE_PROBES = {
    "colours": PlaceProbe(colours, _dot),
    "layout": PlaceProbe(layout, _dot),
    "features": PlaceProbe(features, _inliers),
}


def guessed_places(items: Sequence[Item], probe: PlaceProbe) -> tuple[float, float]:
    """(share of right guesses, chance): own target against one target of every other clip. Ties are shared."""
    clips = sorted({item.clip for item in items})
    numbers = {clip: [number for number, item in enumerate(items) if item.clip == clip] for clip in clips}
    targets = [probe.describe(item.target, item.target_subjects) for item in items]
    right = 0.0
    for number, item in enumerate(items):
        seen = probe.describe(item.reference, item.mask)
        rivals = [numbers[clip][number % len(numbers[clip])] for clip in clips if clip != item.clip]
        own, others = probe.alike(seen, targets[number]), [probe.alike(seen, targets[rival]) for rival in rivals]
        right += 0.0 if own < max(others) else 1 / (1 + sum(other == own for other in others))
    return right / max(len(items), 1), 1 / max(len(clips), 1)


# -- pose ----------------------------------------------------------------------------------------------------------


def guessed_poses(items: Iterable[Item]) -> tuple[float, float, int]:
    """(share of right guesses, chance, number of references with a choice of poses)."""
    right, chance, number = 0.0, 0.0, 0
    for item in items:
        if len(item.poses) < 2:
            continue
        shape = _silhouette(item.mask)
        scores = [masks.iou(shape, _silhouette(pose)) for pose in item.poses]
        right += scores[0] >= max(scores[1:])
        chance += 1 / len(scores)
        number += 1
    return right / max(number, 1), chance / max(number, 1), number


def _silhouette(mask: Mask) -> Mask:
    """The mask moved to the middle of a square and scaled to a third of its area."""
    rows, columns = np.nonzero(mask)
    scale = SIDE_PX * float(np.sqrt(0.5 / max(len(rows), 1))) * 0.8
    move = np.array([[scale, 0, SIDE_PX / 2 - scale * columns.mean()], [0, scale, SIDE_PX / 2 - scale * rows.mean()]])
    warped = cv2.warpAffine(mask.astype(np.float32), move, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR)
    return np.asarray(warped >= 0.5, np.bool_)


def _same_shape(first: Mask, second: Mask) -> bool:
    return first.shape == second.shape and masks.iou(first, second) > 0.98


def probe(items: Sequence[Item]) -> Section:
    rows, bars, figures = [], {}, {}
    for name, how in PLACE_PROBES.items():
        share, chance = guessed_places(items, how)
        rows.append([f"place, by {name}", f"{share:.1%}", f"{chance:.1%}", len(items)])
        bars[f"the place is guessed by {name} at most 5 points above chance"] = share <= chance + MARGIN
        figures[f"place by {name}"] = [share, chance]
    share, chance, number = guessed_poses(items)
    rows.append(["pose, by silhouette", f"{share:.1%}", f"{chance:.1%}", number])
    bars["the pose is guessed at most 5 points above chance"] = share <= chance + MARGIN
    figures["pose"] = [share, chance]
    return Section("Shortcut probe", table(("guessed", "right", "chance", "references"), rows), figures, bars)


def measure(videos: Path, work: Path) -> Section:
    del work
    return probe(items_of_truth(videos))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", type=Path)
    parser.add_argument("--out", type=Path, help="a finished dataset to probe instead")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    section = probe(items_of_dataset(arguments.out)) if arguments.out else measure(arguments.videos, Path())
    print(section.markdown)
    print(json.dumps(section.bars, indent=1))


if __name__ == "__main__":
    main()
