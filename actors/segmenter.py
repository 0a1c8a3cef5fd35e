"""Role `segmenter`: masks for boxes, tracked through the frames of a clip."""

from collections.abc import Sequence
from typing import Protocol

from actors import moving
from actors.moving import Moving
from schemas.subject import Detection, Track
from schemas.video import Footage
from stages import confidence, masks, motion, parts, segmentation
from stages.instances import Instance


class Segmenter(Protocol):
    """Turns per-anchor detections into tracks: one per instance, masks at the anchors it was seen in.

    Masks of different tracks never overlap within a frame. Subjects may enter late and leave early. Scores are the
    probability that the mask is right.
    """

    def segment(self, footage: Footage, detections: Sequence[Sequence[Detection]]) -> list[Track]: ...


_MATCHING_IOU = 0.4  # of boxes
_STILL_SCORE = 0.3  # a seeded GrabCut is right less often than not, and nothing here tells when
_STILL_BOX_SHRINK = -0.12
_STILL_SHORT_SIDE_PX = 240


class FlowSegmenter:
    """The individuals that move on their own where a box says so, followed through the passage; elsewhere a GrabCut
    seeded by the box, a track per mask, which is never sure.
    """

    def segment(self, footage: Footage, detections: Sequence[Sequence[Detection]]) -> list[Track]:
        seen = moving.of(footage)
        boxes = {anchor: list(found) for anchor, found in zip(footage.anchors, detections, strict=True)}
        tracks = []
        for own in seen.individuals:
            phrase = _claimed(seen, own, boxes, footage)
            if phrase is not None:
                tracks.append(_track(footage, seen, own, phrase))
        tracks += [track for anchor, rest in boxes.items() for each in rest if (track := _still(footage, anchor, each))]
        tracks = parts.whole(tracks, footage.images)
        masks.separate_tracks(tracks)
        return [track for track in tracks if track.masks]


def _claimed(seen: Moving, own: Instance, boxes: dict[int, list[Detection]], footage: Footage) -> str | None:
    """The phrase of the boxes around an individual, which are taken from `boxes`; None when there are none."""
    phrase = None
    for anchor, number in seen.keys_at.items():
        box = masks.box_of(own.masks[number]) if number in own.masks else None
        if box is None:
            continue
        scale = footage.images[anchor].shape[1] / own.masks[number].shape[1]
        around = [
            each for each in boxes[anchor] if masks.box_iou(masks.scale_box(box, scale), each.box) >= _MATCHING_IOU
        ]
        for each in around:
            boxes[anchor].remove(each)
            phrase = phrase or each.phrase
    return phrase


def _track(footage: Footage, seen: Moving, own: Instance, phrase: str) -> Track:
    track = Track(phrase)
    for anchor, number in seen.keys_at.items():
        if number in own.masks:
            mask, evidence = moving.mask_at(footage, seen, own, anchor)
            if mask.any():
                track.masks[anchor], track.scores[anchor] = mask, confidence.score(evidence)
    return track


def _still(footage: Footage, anchor: int, detection: Detection) -> Track | None:
    """What a box without motion holds, by its colours alone."""
    image = footage.images[anchor]
    small = motion.shrink(image, _STILL_SHORT_SIDE_PX)
    box = masks.scale_box(detection.box, small.shape[1] / image.shape[1])
    inner = masks.grow_box(box, _STILL_BOX_SHRINK, *small.shape[:2])
    mask = segmentation.refine(image, segmentation.from_box(small, inner, box))
    return Track(detection.phrase, {anchor: mask}, {anchor: _STILL_SCORE}) if mask.any() else None
