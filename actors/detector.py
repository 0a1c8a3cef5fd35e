"""Role `detector`: boxes for these phrases."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from schemas.subject import Box, Detection
from schemas.video import Footage, Image
from stages import masks, mining, motion, segmentation


class Detector(Protocol):
    """Answers, for every anchor of the footage, which boxes show one of `phrases` (best first, overlaps suppressed)."""

    def detect(self, footage: Footage, phrases: Sequence[str]) -> list[list[Detection]]: ...


_SHORT_SIDE_PX = 240
_SEED_SHORT_SIDE_PX = 480
_MIN_AREA_SHARE = 0.003
_MAX_DETECTIONS = 6
_MAX_OVERLAP = 0.3
_STILL_SHARE = 0.004  # less of the picture moving on its own than this, in the median anchor: a static clip
_PEOPLE = {"person", "subject", "face"}


class MotionDetector:
    """Boxes around what moves on its own, and where nothing does, around people that OpenCV's classic finders see.

    It cannot tell nouns apart: every box answers the first phrase. HOG and Haar only give seeds on static clips,
    because both find people in animals; where there are none, nothing is found, which is honest.
    """

    def detect(self, footage: Footage, phrases: Sequence[str]) -> list[list[Detection]]:
        if not phrases or not footage.anchors:
            return [[] for _ in footage.anchors]
        moving = self._moving(footage, phrases[0])
        areas = [sum(_extent(each.box) for each in found) for found in moving]
        if float(np.median(areas)) > 0 or not _PEOPLE & {mining.fold(phrase) for phrase in phrases}:
            return moving
        return [self._people(footage.images[anchor], phrases[0]) for anchor in footage.anchors]

    def _moving(self, footage: Footage, phrase: str) -> list[list[Detection]]:
        small = {anchor: motion.shrink(footage.images[anchor], _SHORT_SIDE_PX) for anchor in footage.anchors}
        evidence = [motion_map(footage, anchor, _SHORT_SIDE_PX) for anchor in footage.anchors]
        if float(np.median([(each > 0.5).mean() for each in evidence])) < _STILL_SHARE:
            return [[] for _ in footage.anchors]
        anywhere = [np.ones(each.shape, np.bool_) for each in evidence]
        belief = segmentation.posterior(list(small.values()), evidence, anywhere)
        return [
            _boxes(probability, moved, phrase, footage.images[anchor].shape[:2])
            for probability, moved, anchor in zip(belief, evidence, footage.anchors, strict=True)
        ]

    def _people(self, image: Image, phrase: str) -> list[Detection]:
        small = motion.shrink(image, _SEED_SHORT_SIDE_PX)
        scale = image.shape[0] / small.shape[0]
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        found = [(_torso(box, small.shape), 0.5) for box in _haar().detectMultiScale(grey, 1.1, 6, minSize=(24, 24))]
        people = cv2.HOGDescriptor()
        people.setSVMDetector(cv2.HOGDescriptor.getDefaultPeopleDetector())
        boxes, weights = people.detectMultiScale(small, winStride=(8, 8), scale=1.08)
        for (x, y, width, height), weight in zip(boxes, np.ravel(weights), strict=True):
            box = (x + 0.1 * width, y + 0.05 * height, x + 0.9 * width, y + 0.95 * height)
            found.append((box, float(np.clip(weight / 2, 0, 0.6))))
        scaled = [Detection(_times(box, scale), phrase, score) for box, score in found if score > 0.2]
        return suppress(scaled)


def motion_map(footage: Footage, position: int, short_side_px: int) -> motion.Map:
    """Evidence of own motion at one frame of the footage, from its temporal context, at a reduced size."""
    groups = mining.context(footage, position)
    others = [[motion.shrink(footage.images[each], short_side_px) for each in group] for group in groups]
    return motion.saliency(motion.shrink(footage.images[position], short_side_px), others)


def suppress(detections: Sequence[Detection]) -> list[Detection]:
    """The best detections, none overlapping a better one much."""
    kept: list[Detection] = []
    for each in sorted(detections, key=lambda each: (-each.score, each.box)):
        if all(masks.box_iou(each.box, other.box) <= _MAX_OVERLAP for other in kept):
            kept.append(each)
    return kept[:_MAX_DETECTIONS]


def _boxes(belief: motion.Map, moved: motion.Map, phrase: str, size: tuple[int, int]) -> list[Detection]:
    mask = segmentation.clean(np.asarray(belief > 0.5))
    found = []
    for part in masks.components(mask, int(_MIN_AREA_SHARE * mask.size)):
        box = masks.box_of(part)
        assert box is not None
        score = float(belief[part].mean() * moved[part].mean()) * (1 - masks.border_share(part))
        if score > 0.15:
            scale = size[0] / mask.shape[0], size[1] / mask.shape[1]
            full = box[0] * scale[1], box[1] * scale[0], box[2] * scale[1], box[3] * scale[0]
            found.append(Detection(full, phrase, min(score, 1.0)))
    return suppress(found)


def _haar() -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"))


def _torso(face: Sequence[float], shape: tuple[int, ...]) -> Box:
    """The upper body that usually belongs to a face: two and a half faces wide, four high."""
    x, y, width, height = (float(side) for side in face)
    box = (x - 0.8 * width, y - 0.4 * height, x + 1.8 * width, y + 4.0 * height)
    return masks.grow_box(box, 0.0, shape[0], shape[1])


def _times(box: Box, scale: float) -> Box:
    return box[0] * scale, box[1] * scale, box[2] * scale, box[3] * scale


def _extent(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
