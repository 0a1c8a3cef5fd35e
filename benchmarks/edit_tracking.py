"""Tracks of an annotated clip as `recast edit` makes them with the embedded roles: found, repaired, shared out."""

from dataclasses import dataclass
from pathlib import Path

from actors.depth import GroundContactDepth
from actors.detector import MotionDetector
from actors.embedder import DescriptorEmbedder
from actors.segmenter import FlowSegmenter
from schemas.config import LinkingConfig
from schemas.tracks import InstanceTrack
from schemas.video import Image
from stages import media, ownership, track_repair, tracking
from stages.naming import Swap
from stages.tracking import Tracker
from stages.transport import Transport

WORKING_SHORT_SIDE_PX = 480


@dataclass(frozen=True, slots=True)
class Tracked:
    """raw: as the segmenter's chunks were joined; final: after the priors."""

    raw: list[InstanceTrack]
    final: list[InstanceTrack]
    swaps: list[Swap]
    small: list[Image]


def embedded_tracker(anchor_every: int = 2) -> Tracker:
    return Tracker(
        MotionDetector().detect,
        FlowSegmenter().segment,
        GroundContactDepth().nearness,
        DescriptorEmbedder().embed,
        anchor_every,
    )


def look_at(path: Path) -> Tracked:
    frames = media.decode(str(path), WORKING_SHORT_SIDE_PX)
    raw, small = tracking.track(frames, ["subject"], embedded_tracker(), LinkingConfig())
    repaired, swaps = track_repair.repair(raw, Transport(small))
    return Tracked(raw, ownership.share_out(repaired, small), swaps, small)
