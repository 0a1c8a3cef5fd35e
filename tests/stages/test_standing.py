"""Who stops is still there; who leaves is not, neither across the picture nor over its border."""

import cv2
import numpy as np

from schemas.tracks import InstanceTrack, MaskVideo
from stages import masks, standing
from stages.transport import Transport

HEIGHT, WIDTH, NUM_FRAMES = 90, 140, 60
GAP = range(20, 40)


def scene(xs: list[int]) -> tuple[Transport, InstanceTrack, MaskVideo]:
    """A textured disc in front of a textured wall, at x in each frame; its track without the frames of GAP."""
    rng = np.random.default_rng(5)
    wall, skin = (
        cv2.GaussianBlur(rng.uniform(-300, 500, (HEIGHT, WIDTH, 3)), (0, 0), 2).clip(0, 255) for _ in range(2)
    )
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    images, discs = [], []
    for x in xs:
        disc = (rows - 45) ** 2 + (columns - x) ** 2 <= 16**2
        image = wall.astype(np.uint8)
        image[disc] = np.roll(skin, x, axis=1)[disc] // 2
        images.append(image)
        discs.append(disc)
    video = np.stack(discs)
    known = video.copy()
    known[GAP] = False
    seen = known.any(axis=(1, 2))
    track = InstanceTrack("disc 1", "disc", known, seen, seen.astype(np.float32), np.zeros(len(xs), np.float32))
    return Transport(images), track, video


def test_who_stands_still_through_a_long_gap_is_still_there() -> None:
    transport, track, video = scene([70] * NUM_FRAMES)
    stayed = standing.stay(track, transport)
    assert min(masks.iou(stayed.masks[at], video[at]) for at in GAP) >= 0.9
    assert np.array_equal(stayed.seen, track.seen)


def test_who_goes_away_and_comes_back_stays_away() -> None:
    away = [at for at in GAP if 22 <= at < 38]
    transport, track, _ = scene([70 if at not in away else -40 for at in range(NUM_FRAMES)])
    stayed = standing.stay(track, transport)
    assert stayed.masks[[20, 21, 38, 39]].any(axis=(1, 2)).all()
    assert not stayed.masks[away].any()


def test_nothing_is_filled_in_at_the_border_nor_beyond_the_first_and_last_mask() -> None:
    transport, track, _ = scene([4] * NUM_FRAMES)
    assert np.array_equal(standing.stay(track, transport).masks, track.masks)
    transport, track, _ = scene([70] * NUM_FRAMES)
    track.masks[40:], track.seen[40:] = False, False
    assert np.array_equal(standing.stay(track, transport).masks, track.masks)
