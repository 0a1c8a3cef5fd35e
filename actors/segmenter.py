"""Role `segmenter`: masks for boxes, tracked through the frames of a clip."""

from collections.abc import Sequence
from typing import Protocol

from schemas.subject import Detection, Track
from schemas.video import Footage


class Segmenter(Protocol):
    """Turns per-anchor detections into tracks: one per instance, masks at the anchors it was seen in.

    Masks of different tracks never overlap within a frame. Subjects may enter late and leave early.
    """

    def segment(self, footage: Footage, detections: Sequence[Sequence[Detection]]) -> list[Track]: ...
