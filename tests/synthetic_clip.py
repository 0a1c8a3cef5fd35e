"""A made-up clip to edit: two discs over textured ground, a panning camera, their tracks, and the empty ground."""

import numpy as np
from synthetic_shot import BLUE, Disc, frame_of

from schemas.tracks import InstanceTrack
from schemas.video import Image

PAN_PX = 1.0
DISCS = (Disc((70, 80), (1.5, 0.4), 26), Disc((250, 160), (-1.2, 0.0), 30, colour=BLUE))


def clip(num_frames: int, discs=DISCS) -> tuple[list[Image], list[InstanceTrack], list[Image]]:
    """Frames, one track per disc (the later nearer), and what the camera would have seen without them."""
    drawn = [frame_of(number, discs, PAN_PX) for number in range(num_frames)]
    empty = [frame_of(number, (), PAN_PX)[0] for number in range(num_frames)]
    tracks = []
    for order in range(len(discs)):
        masks = np.stack([found[order] for _, found in drawn])
        seen = masks.any(axis=(1, 2))
        nearness = np.full(num_frames, (order + 1) / len(discs), np.float32)
        tracks.append(InstanceTrack(f"disc {order + 1}", "disc", masks, seen, seen.astype(np.float32), nearness))
    return [picture for picture, _ in drawn], tracks, empty
