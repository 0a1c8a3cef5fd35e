"""Role `segmenter`: masks for boxes, tracked through the frames of a clip."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from actors.detector import motion_map
from schemas.subject import Box, Detection, Track
from schemas.video import Footage, Image, Mask
from stages import instances, masks, mining, motion, segmentation


class Segmenter(Protocol):
    """Turns per-anchor detections into tracks: one per instance, masks at the anchors it was seen in.

    Masks of different tracks never overlap within a frame. Subjects may enter late and leave early.
    """

    def segment(self, footage: Footage, detections: Sequence[Sequence[Detection]]) -> list[Track]: ...


_ROUGH_SHORT_SIDE_PX = 240
_FINE_SHORT_SIDE_PX = 400
_BOX_MARGIN = 0.12
_STILL_BOX = 0.08  # mean evidence of motion in a box below which the box itself is the evidence
_MIN_AREA_SHARE = 0.003


@dataclass(slots=True)
class _View:
    """One frame of the footage at the rough size, with what is known of it."""

    position: int
    image: Image
    evidence: motion.Map
    allowed: Mask


class FlowSegmenter:
    """Motion and colour evidence of all anchors together inside the boxes, then GrabCut at the edges.

    Every mask is a track of its own: which masks show the same individual is decided by appearance afterwards. A mask's
    score is measured: how well the neighbouring frame, segmented on its own evidence, agrees with it; how colours and
    motion inside differ from those around; whether the picture has edges under its outline.
    """

    def segment(self, footage: Footage, detections: Sequence[Sequence[Detection]]) -> list[Track]:
        found = [(anchor, list(boxes)) for anchor, boxes in zip(footage.anchors, detections, strict=True) if boxes]
        if not found:
            return []
        anchors = [self._view(footage, anchor, anchor, boxes) for anchor, boxes in found]
        beside = [self._view(footage, _beside(footage, anchor), anchor, boxes) for anchor, boxes in found]
        views = anchors + beside
        belief = segmentation.posterior(
            [view.image for view in views], [view.evidence for view in views], [view.allowed for view in views]
        )
        sights: list[instances.Sight] = []
        for number, (anchor, boxes) in enumerate(found):
            flow = _flow(anchors[number], beside[number])
            sights.append(_sight(footage.images[anchor], anchors[number], belief[number], boxes, flow))
        contrast = instances.strongest_contrast(sights)
        tracks: list[Track] = []
        for view, near, (anchor, boxes), sight in zip(anchors, belief[len(found) :], found, sights, strict=True):
            agreeing = None if sight.flow is None else np.asarray(motion.warp(near, sight.flow) > 0.5)
            for number, mask, score in _scored(view, sight, contrast, agreeing):
                full = masks.resize(mask, *footage.images[anchor].shape[:2])
                if full.any():
                    tracks.append(Track(boxes[number].phrase, {anchor: full}, {anchor: score}))
        return tracks

    def _view(self, footage: Footage, position: int, anchor: int, boxes: Sequence[Detection]) -> _View:
        image = motion.shrink(footage.images[position], _ROUGH_SHORT_SIDE_PX)
        evidence = motion_map(footage, position, _ROUGH_SHORT_SIDE_PX)
        height, width = evidence.shape
        scale = width / footage.images[anchor].shape[1]
        margin = _BOX_MARGIN if position == anchor else 2 * _BOX_MARGIN  # it moved on meanwhile
        allowed = np.zeros((height, width), np.bool_)
        for each in boxes:
            box = _scaled(each.box, scale)
            inner = masks.mask_of(box, height, width)
            allowed |= masks.mask_of(masks.grow_box(box, margin, height, width), height, width)
            if evidence[inner].mean() < _STILL_BOX:
                evidence = np.where(
                    masks.mask_of(masks.grow_box(box, -0.12, height, width), height, width), 0.8, evidence
                )
        return _View(position, image, evidence.astype(np.float32), allowed)


def _flow(view: _View, beside: _View) -> motion.Flow | None:
    """From an anchor to its neighbour, at the rough size; None when it has none."""
    return None if view.position == beside.position else motion.flow_between(view.image, beside.image)


def _sight(
    image: Image, view: _View, belief: motion.Map, boxes: Sequence[Detection], flow: motion.Flow | None
) -> instances.Sight:
    """The anchor at the fine size, all its subjects in one mask."""
    fine = motion.shrink(image, _FINE_SHORT_SIDE_PX)
    scale = fine.shape[1] / image.shape[1]
    mask = segmentation.refine(fine, belief, view.allowed)
    return instances.Sight(fine, mask, [_scaled(each.box, scale) for each in boxes], flow)


def _scored(
    view: _View, sight: instances.Sight, contrast: instances.Contrast | None, agreeing: Mask | None
) -> Iterator[tuple[int, Mask, float]]:
    """Which box, mask at the fine size, and confidence, of every instance of one anchor."""
    least = int(_MIN_AREA_SHARE * sight.mask.size)
    for number, part in sorted(instances.parts_in_boxes(sight.mask, sight.boxes, least).items()):
        whole = masks.resize(part, *view.evidence.shape)
        stable = 0.5 if agreeing is None else _agreement(whole, agreeing)
        for piece in [part] if contrast is None else instances.split(sight, part, contrast):
            rough = masks.resize(piece, *view.evidence.shape)
            evidence = segmentation.measure(view.image, rough, view.evidence, whole & ~rough)
            yield number, piece, segmentation.confidence(evidence | {"stable": stable})


def _beside(footage: Footage, anchor: int) -> int:
    """The nearest frame of an anchor's context (itself when it has none)."""
    groups = mining.context(footage, anchor)
    return groups[0][-1] if groups else anchor


def _agreement(mask: Mask, other: Mask) -> float:
    """IoU of a mask with the part of another segmentation around it."""
    near = masks.dilate(mask, 0.25 * float(np.sqrt(masks.area_px(mask))))
    return masks.iou(mask, other & near)


def _scaled(box: Box, scale: float) -> Box:
    return box[0] * scale, box[1] * scale, box[2] * scale, box[3] * scale
