"""Role `detector`: boxes for these phrases."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from actors import moving
from actors.moving import Moving
from schemas.subject import Box, Detection
from schemas.video import Footage, Image
from stages import masks, mining, motion


class Detector(Protocol):
    """Answers, for every anchor of the footage, which boxes show one of `phrases` (best first, overlaps suppressed).

    reads_phrases: whether the words matter, so that what answers one may be called that.
    """

    reads_phrases: bool

    def detect(self, footage: Footage, phrases: Sequence[str]) -> list[list[Detection]]: ...


_SEED_SHORT_SIDE_PX = 480
_MAX_DETECTIONS = 6
_MAX_OVERLAP = 0.3
_PEOPLE = {"person", "subject", "face"}


class MotionDetector:
    """Boxes around what moves on its own, and where nothing does, around people that OpenCV's classic finders see.

    It cannot tell nouns apart: every box answers the first phrase. HOG and Haar only give seeds on static clips,
    because both find people in animals; where there are none, nothing is found, which is honest.
    """

    reads_phrases = False

    def detect(self, footage: Footage, phrases: Sequence[str]) -> list[list[Detection]]:
        if not phrases or not footage.anchors:
            return [[] for _ in footage.anchors]
        seen = moving.of(footage)
        if seen.individuals or not _PEOPLE & {mining.fold(phrase) for phrase in phrases}:
            return [_boxes(footage, seen, anchor, phrases[0]) for anchor in footage.anchors]
        return [self._people(footage.images[anchor], phrases[0]) for anchor in footage.anchors]

    def _people(self, image: Image, phrase: str) -> list[Detection]:
        small = motion.shrink(image, _SEED_SHORT_SIDE_PX)
        scale = image.shape[0] / small.shape[0]
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        found = [(_torso(box, small.shape), 0.5) for box in _haar().detectMultiScale(grey, 1.1, 6, minSize=(24, 24))]
        for (x, y, width, height), weight in _hog(small):
            box = (x + 0.1 * width, y + 0.05 * height, x + 0.9 * width, y + 0.95 * height)
            found.append((box, float(np.clip(weight / 2, 0, 0.6))))
        scaled = [Detection(masks.scale_box(box, scale), phrase, score) for box, score in found if score > 0.2]
        return suppress(scaled)


def suppress(detections: Sequence[Detection]) -> list[Detection]:
    """The best detections, none overlapping a better one much."""
    kept: list[Detection] = []
    for each in sorted(detections, key=lambda each: (-each.score, each.box)):
        if all(masks.box_iou(each.box, other.box) <= _MAX_OVERLAP for other in kept):
            kept.append(each)
    return kept[:_MAX_DETECTIONS]


def _boxes(footage: Footage, seen: Moving, anchor: int, phrase: str) -> list[Detection]:
    """Around every individual, overlapping or not: people cross."""
    number = seen.keys_at.get(anchor)
    here = [each.masks[number] for each in seen.individuals if number is not None and number in each.masks]
    found = []
    for mask in here[:_MAX_DETECTIONS]:
        box = masks.box_of(mask)
        if box is not None:
            found.append(Detection(masks.scale_box(box, footage.images[anchor].shape[1] / mask.shape[1]), phrase, 1.0))
    return found


def _hog(image: Image) -> list[tuple[Sequence[float], float]]:
    """Boxes (x, y, width, height) of people and how sure they are."""
    people = cv2.HOGDescriptor()
    people.setSVMDetector(cv2.HOGDescriptor.getDefaultPeopleDetector())
    if image.shape[1] < people.winSize[0] or image.shape[0] < people.winSize[1]:
        return []  # OpenCV reads past the end of a picture smaller than its window
    boxes, weights = people.detectMultiScale(image, winStride=(8, 8), scale=1.08)
    return list(zip(boxes, np.ravel(weights), strict=True))


def _haar() -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"))


def _torso(face: Sequence[float], shape: tuple[int, ...]) -> Box:
    """The upper body that usually belongs to a face: two and a half faces wide, four high."""
    x, y, width, height = (float(side) for side in face)
    box = (x - 0.8 * width, y - 0.4 * height, x + 1.8 * width, y + 4.0 * height)
    return masks.grow_box(box, 0.0, shape[0], shape[1])
