"""Tracks of whole clips: chunks are joined, who comes back keeps the name, masks given by a user are taken."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.config import LinkingConfig
from schemas.errors import BadInput
from schemas.subject import Detection, Track
from schemas.video import Footage, Frame, Image, Mask
from stages import tracking
from stages.tracking import Tracker

HEIGHT, WIDTH = 40, 120
COLOURS = {"dog": (200, 40, 40), "cat": (40, 40, 200)}


def square(at: int, who: str) -> Mask | None:
    """A dog walks to the right and out of sight, and comes back on the left; a cat enters late."""
    x = {"dog": 10 + at // 2, "cat": 100 - at // 8}[who]
    if who == "dog" and at >= 170:
        x = 2 + (at - 170) // 2
    if (who == "dog" and 150 <= at < 170) or (who == "cat" and at < 40):
        return None
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    y = 6 if who == "dog" else 24
    mask[y : y + 10, x : x + 10] = True
    return mask


def frames(count: int) -> Iterator[Frame]:
    for at in range(count):
        image = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
        for who, colour in COLOURS.items():
            mask = square(at, who)
            if mask is not None:
                image[mask] = colour
        yield Frame(at, at / 25, image)


@dataclass
class Roles:
    """Roles that see by colour. A chunk's tracks come in another order each time, and nothing has a name."""

    chunks: list[int] = field(default_factory=list)

    def detect(self, footage: Footage, phrases: Sequence[str]) -> list[list[Detection]]:
        self.chunks.append(len(footage.passage.images))
        return [[Detection((0, 0, 1, 1), phrases[0], 1.0)] for _ in footage.anchors]

    def segment(self, footage: Footage, detections: Sequence[Sequence[Detection]]) -> list[Track]:
        tracks = []
        for colour in COLOURS.values():
            pieces: list[Track] = [Track("subject")]
            for anchor in footage.anchors:
                mask = (footage.images[anchor] == colour).all(axis=2)
                if mask.any():
                    pieces[-1].masks[anchor], pieces[-1].scores[anchor] = mask, 0.9
                elif pieces[-1].masks:
                    pieces.append(Track("subject"))
            tracks += pieces
        return tracks[:: -1 if len(self.chunks) % 2 else 1]

    def nearness(self, images: Sequence[Image], known: Sequence[Sequence[Mask]]) -> list[NDArray[np.float32]]:
        """Every call on a scale of its own; what is lower is nearer."""
        off = 0.1 * len(self.chunks)
        return [np.linspace(0.1, 0.5, HEIGHT, dtype=np.float32)[:, None].repeat(WIDTH, 1) + off for _ in images]

    def embed(self, subjects: Sequence[tuple[Image, Mask]]) -> NDArray[np.float32]:
        rows = np.stack([image[mask].mean(axis=0) for image, mask in subjects]).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def track(count: int, anchor_every: int = 1) -> tuple[list, list[Image], Roles]:
    roles = Roles()
    tracker = Tracker(roles.detect, roles.segment, roles.nearness, roles.embed, anchor_every)
    return *tracking.track(frames(count), ["subject"], tracker, LinkingConfig()), roles


def test_a_long_clip_is_tracked_in_chunks_and_everybody_keeps_one_name() -> None:
    tracks, small, roles = track(320)
    assert max(roles.chunks) <= tracking.CHUNK_FRAMES
    assert len(small) == 320
    assert [each.name for each in tracks] == ["subject 1", "subject 2"]
    for each, who in zip(tracks, ("dog", "cat"), strict=True):
        true = [square(at, who) for at in range(320)]
        assert all(
            np.array_equal(each.masks[at], np.zeros_like(each.masks[0]) if m is None else m)
            for at, m in enumerate(true)
        )
        assert np.array_equal(each.seen, [m is not None for m in true])
    assert np.all((tracks[1].nearness > tracks[0].nearness)[tracks[0].seen & tracks[1].seen])
    drift = tracks[1].nearness[tracks[1].seen]
    assert np.ptp(drift) < 0.02  # the scale of the first chunk holds for all


@pytest.mark.parametrize("count", [1, 2, 119, 120, 121, 136, 137, 225])
def test_every_frame_is_looked_at(count: int) -> None:
    tracks, small, _ = track(count)
    assert len(small) == count
    assert tracks[0].seen.sum() == sum(square(at, "dog") is not None for at in range(count))


def test_frames_between_anchors_are_left_open() -> None:
    tracks, _, _ = track(60, anchor_every=4)
    assert np.flatnonzero(tracks[0].seen).tolist() == [*range(0, 60, 4), 59]
    assert np.array_equal(tracks[0].masks.any(axis=(1, 2)), tracks[0].seen)


def test_no_frames_no_tracks() -> None:
    with pytest.raises(ValueError, match="without frames"):
        track(0)


def test_masks_that_are_given_are_taken() -> None:
    labels = np.zeros((3, HEIGHT, WIDTH), np.uint8)
    labels[:, 5:9, 60:70], labels[1:, 5:9, 10:20], labels[:, 20:30, 30:40] = 7, 2, 4
    images = [frame.image for frame in frames(3)]
    tracks = tracking.from_labels(labels, images, Roles().nearness, {7: "dog", 2: "dog"})
    assert [each.name for each in tracks] == ["subject 1", "dog 1", "dog 2"]
    assert np.array_equal(tracks[2].masks, labels == 2)
    assert tracks[2].seen.tolist() == [False, True, True]
    assert tracks[0].nearness[0] > tracks[1].nearness[0] > 0


@pytest.mark.parametrize("shape", [(2, HEIGHT, WIDTH), (3, HEIGHT, WIDTH - 1), (4, HEIGHT, WIDTH)])
def test_masks_that_do_not_fit_the_video_are_refused(shape: tuple[int, int, int]) -> None:
    images = [frame.image for frame in frames(3)]
    with pytest.raises(BadInput, match="bad_masks"):
        tracking.from_labels(np.zeros(shape, np.uint8), images, Roles().nearness, {})
