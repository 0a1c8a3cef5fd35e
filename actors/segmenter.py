"""Role `segmenter`: masks for boxes, tracked through the frames of a clip."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from actors.detector import motion_map
from schemas.subject import Box, Detection, Track
from schemas.video import Footage, Image, Mask
from stages import masks, mining, motion, segmentation


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
        tracks: list[Track] = []
        for number, (anchor, boxes) in enumerate(found):
            agreeing = _seen_from(anchors[number], belief[number + len(found)], beside[number])
            tracks += self._cut(footage.images[anchor], anchors[number], belief[number], agreeing, boxes)
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

    def _cut(
        self, image: Image, view: _View, belief: motion.Map, agreeing: Mask | None, boxes: Sequence[Detection]
    ) -> list[Track]:
        fine = motion.shrink(image, _FINE_SHORT_SIDE_PX)
        mask = segmentation.refine(fine, belief, view.allowed)
        scale = mask.shape[1] / image.shape[1]
        least = int(_MIN_AREA_SHARE * mask.size)
        parts = segmentation.instances(mask, [_scaled(each.box, scale) for each in boxes], least)
        tracks = []
        for number, part in sorted(parts.items()):
            rough = masks.resize(part, *view.evidence.shape)
            if not rough.any():
                continue
            evidence = segmentation.measure(view.image, rough, view.evidence)
            evidence["stable"] = 0.5 if agreeing is None else _agreement(rough, agreeing)
            full = masks.resize(part, *image.shape[:2])
            score = segmentation.confidence(evidence)
            tracks.append(Track(boxes[number].phrase, {view.position: full}, {view.position: score}))
        return tracks


def _beside(footage: Footage, anchor: int) -> int:
    """The nearest frame of an anchor's context (itself when it has none)."""
    groups = mining.context(footage, anchor)
    return groups[0][-1] if groups else anchor


def _seen_from(view: _View, belief: motion.Map, beside: _View) -> Mask | None:
    """The neighbouring frame's segmentation at the anchor's pixels; None when the anchor has no neighbour."""
    if view.position == beside.position:
        return None
    return np.asarray(motion.warp(belief, motion.flow_between(view.image, beside.image)) > 0.5)


def _agreement(mask: Mask, other: Mask) -> float:
    """IoU of a mask with the part of another segmentation around it."""
    near = masks.dilate(mask, 0.25 * float(np.sqrt(masks.area_px(mask))))
    return masks.iou(mask, other & near)


def _scaled(box: Box, scale: float) -> Box:
    return box[0] * scale, box[1] * scale, box[2] * scale, box[3] * scale
