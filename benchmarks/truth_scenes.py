"""Pairs with their pixels, made from annotated footage: what synthesis would get if mining made no mistake."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from truth import masks_at

from actors.embedder import DescriptorEmbedder
from schemas.config import MiningConfig, SynthesisConfig
from schemas.fill import Donor
from schemas.sample import Neighbours, Scene
from schemas.video import Footage, Image, Mask
from stages import masks, media, neighbours, pairing
from stages.generation import within
from stages.linking import Identity
from stages.plates import FEW_OFFSETS_SECONDS as FEW
from stages.plates import OFFSETS_SECONDS as MANY

NUM_ANCHORS = 8  # frames per clip, evenly spread
SAME_FOOTAGE = {"comp_dog_dancer": {"davis_dog", "davis_dance-twirl"}}
"""A composite shows the place and the subjects of the clips it is made of: they lend each other nothing."""


@dataclass(frozen=True, slots=True)
class TrueScene:
    """A pair of an annotated clip. frames: the numbers of A and B."""

    clip: str
    frames: tuple[int, int]
    scene: Scene


@lru_cache(maxsize=4)
def clip_frames(videos: Path, clip: str, indices: tuple[int, ...]) -> tuple[Image, ...]:
    fps = frames_per_second(videos, clip)
    read = media.read_frames(str(videos / _entry(videos, clip)["name"]), indices, [index / fps for index in indices])
    return tuple(frame.image for frame in read)


@lru_cache(maxsize=64)
def _entry(videos: Path, clip: str) -> dict[str, Any]:
    files: list[dict[str, Any]] = json.loads((videos / "index.json").read_text())["files"]
    return next(each for each in files if Path(each["name"]).stem == clip and each["name"].startswith("clips/"))


def frames_per_second(videos: Path, clip: str) -> float:
    return float(_entry(videos, clip)["fps"])


def anchors_of(videos: Path, clip: str, num_anchors: int = NUM_ANCHORS) -> tuple[int, ...]:
    last = len(list((videos / "masks" / clip).glob("*.png"))) - 1
    return tuple(int(index) for index in np.linspace(0, last, num_anchors).round())


def footage_of(videos: Path, clip: str) -> Footage:
    anchors = anchors_of(videos, clip)
    images = list(clip_frames(videos, clip, anchors))
    fps = frames_per_second(videos, clip)
    return Footage(images, list(anchors), [index / fps for index in anchors], list(range(len(anchors))))


def identities_of(videos: Path, clip: str, footage: Footage) -> list[Identity]:
    """The annotated objects, with the embedded profile's descriptors, in the frames that show them."""
    found: dict[int, Identity] = {}
    embedder = DescriptorEmbedder()
    for position, index in enumerate(footage.indices):
        for number, mask in masks_at(videos, clip, index).items():
            identity = found.setdefault(number, Identity(f"{clip}/{number}", "subject", {}, {}, {}))
            identity.masks[position] = mask
            identity.scores[position] = 1.0
            identity.embeddings[position] = embedder.embed([(footage.images[position], mask)])[0]
    return [found[number] for number in sorted(found)]


def scenes_of(videos: Path, clip: str, num_pairs: int) -> list[TrueScene]:
    """The pairs that diversity-aware pairing picks when it is given the true masks."""
    footage = footage_of(videos, clip)
    config = MiningConfig(max_pairs_per_clip=num_pairs)
    found = pairing.candidates(footage, identities_of(videos, clip, footage), config)
    scenes = []
    for chosen in pairing.choose(footage, found, config):
        subjects, a, b = chosen.identities, chosen.a, chosen.b
        scene = Scene(
            footage.images[a],
            footage.images[b],
            [each.masks[a] for each in subjects],
            [each.masks[b] for each in subjects],
            [each.name for each in subjects],
            [each.category for each in subjects],
            clip,
            near_a=neighbours_of(videos, clip, footage.seconds[a], FEW),
            near_b=neighbours_of(videos, clip, footage.seconds[b], MANY, SynthesisConfig().max_side_px),
        )
        scenes.append(TrueScene(clip, (footage.indices[a], footage.indices[b]), scene))
    return scenes


def neighbours_of(
    videos: Path, clip: str, seconds: float, offsets_seconds: Sequence[float], max_side_px: int = 1 << 20
) -> Neighbours:
    path = str(videos / _entry(videos, clip)["name"])
    return neighbours.read_neighbours(path, seconds, offsets_seconds, lambda image: within(image, max_side_px))


def donors_of(videos: Path, clip: str, pool: Sequence[str], start: int, num_donors: int = 3) -> list[Donor]:
    """The next few of the clips in `pool` that share no footage with `clip`, at a frame in their middle."""
    able = [other for other in pool if other != clip and not _share_footage(clip, other)]
    return [donor_of(videos, able[(start + step) % len(able)]) for step in range(min(num_donors, len(able)))]


@lru_cache(maxsize=32)
def donor_of(videos: Path, clip: str) -> Donor:
    """The frame, of a few, whose first subject is least cut off by the border."""
    anchors = anchors_of(videos, clip)
    images = clip_frames(videos, clip, anchors)
    best = min(range(len(anchors)), key=lambda place: _cut_off(masks_at(videos, clip, anchors[place])))
    known = list(masks_at(videos, clip, anchors[best]).values())
    others = np.logical_or.reduce(known[1:]) if known[1:] else None
    return Donor(images[best], known[0] if known else None, "subject", clip, others)


def _cut_off(known: dict[int, Mask]) -> float:
    return max((masks.border_share(mask) for mask in known.values()), default=1.0)


def two_in_one(first: TrueScene, second: TrueScene) -> TrueScene | None:
    """A scene with the subjects of two others: those of `second`, scaled and pasted beside those of `first`.

    Gives scenes of several subjects whatever the annotation; None when there is no room beside the first subject.
    """
    images, pasted = [], []
    pictures = ((first.scene.image_a, first.scene.masks_a), (first.scene.image_b, first.scene.masks_b))
    lenders = ((second.scene.image_a, second.scene.masks_a[0]), (second.scene.image_b, second.scene.masks_b[0]))
    for (image, taken), (lender, mask) in zip(pictures, lenders, strict=True):
        placed = _pasted(image, np.logical_or.reduce(taken), lender, mask)
        if placed is None:
            return None
        images.append(placed[0])
        pasted.append(placed[1])
    scene = Scene(
        images[0],
        images[1],
        [*first.scene.masks_a, pasted[0]],
        [*first.scene.masks_b, pasted[1]],
        [*first.scene.identities, second.scene.identities[0]],
        [*first.scene.categories, second.scene.categories[0]],
        first.clip,
    )
    return TrueScene(f"{first.clip}+{second.clip}", first.frames, scene)


def _pasted(image: Image, taken: Mask, lender: Image, mask: Mask) -> tuple[Image, Mask] | None:
    """The lender's subject at half its size, or less, beside what is taken, its feet at the height they had."""
    box = masks.box_of(mask)
    assert box is not None
    x0, y0, x1, y1 = (int(side) for side in box)
    height, width = image.shape[:2]
    blocked = masks.dilate(taken, 12)
    for tall, left in ((tall, left) for tall in (0.6, 0.45, 0.3) for left in (0.02, 0.98, 0.25, 0.75)):
        scale = tall * height / (y1 - y0)
        size = (max(int((x1 - x0) * scale), 1), max(int((y1 - y0) * scale), 1))
        if size[0] > 0.45 * width:
            continue
        x, y = int(left * (width - size[0])), height - size[1] - 6
        shape: Mask = np.zeros((height, width), np.bool_)
        shape[y : y + size[1], x : x + size[0]] = masks.resize(mask[y0:y1, x0:x1], size[1], size[0])
        if (shape & blocked).any() or not shape.any():
            continue
        picture = image.copy()
        picture[y : y + size[1], x : x + size[0]] = cv2.resize(lender[y0:y1, x0:x1], size, interpolation=cv2.INTER_AREA)
        return np.where(shape[..., None], picture, image), shape
    return None


def pairs_of_clips(clips: Sequence[str]) -> list[tuple[str, str]]:
    """Clips that may be put into one picture: no footage in common."""
    return [(one, other) for one, other in combinations(clips, 2) if not _share_footage(one, other)]


def _share_footage(one: str, other: str) -> bool:
    return other in SAME_FOOTAGE.get(one, ()) or one in SAME_FOOTAGE.get(other, ())
