"""Temporal priors: gaps are filled, flicker and noise go, exchanged names come back; what is right stays as it is."""

from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from schemas.tracks import InstanceTrack, MaskVideo
from stages import masks, naming, ownership, track_repair
from stages.transport import Transport

HEIGHT, WIDTH, NUM_FRAMES = 90, 140, 30


@cache
def scene() -> tuple[Transport, MaskVideo, MaskVideo]:
    """Two textured discs that cross in front of a textured wall, the second in front; and their visible masks."""
    rng = np.random.default_rng(3)
    wall, skin = (
        cv2.GaussianBlur(rng.uniform(-300, 500, (HEIGHT, WIDTH, 3)), (0, 0), 2).clip(0, 255) for _ in range(2)
    )
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    images, first, second = [], [], []
    for at in range(NUM_FRAMES):
        image = wall.astype(np.uint8).copy()
        discs = []
        for x, y, colour in ((25 + 3 * at, 38, 0), (115 - 3 * at, 52, 2)):
            disc = (rows - y) ** 2 + (columns - x) ** 2 <= 16**2
            moved = np.roll(skin, x, axis=1)
            image[disc] = moved[disc] // 2
            image[disc, colour] = 200
            discs.append(disc)
        images.append(image)
        first.append(discs[0] & ~discs[1])
        second.append(discs[1])
    return Transport(images), np.stack(first), np.stack(second)


def track_of(video: MaskVideo, name: str, nearness: float = 0.0) -> InstanceTrack:
    seen = video.any(axis=(1, 2))
    near = np.full(len(video), nearness, np.float32)
    return InstanceTrack(name, "disc", video.copy(), seen, seen.astype(np.float32), near)


def mean_iou(found: MaskVideo, true: MaskVideo, frames: list[int] | None = None) -> float:
    return float(np.mean([masks.iou(found[at], true[at]) for at in (frames or range(len(true)))]))


@pytest.mark.parametrize("gap", [1, 3, 8])
def test_a_dropout_is_filled(gap: int) -> None:
    transport, _, video = scene()
    track = track_of(video, "disc")
    dropped = list(range(10, 10 + gap))
    track.masks[dropped], track.seen[dropped] = False, False
    filled = track_repair.fill(track, transport)
    assert mean_iou(filled.masks, video, dropped) >= 0.85
    assert not filled.seen[dropped].any()
    assert not filled.scores[dropped].any()
    kept = [at for at in range(NUM_FRAMES) if at not in dropped]
    assert np.array_equal(filled.masks[kept], video[kept])


def test_who_is_away_for_long_stays_away() -> None:
    transport, _, video = scene()
    track = track_of(video, "disc")
    away = list(range(8, 8 + track_repair.MAX_GAP_FRAMES + 1))
    track.masks[away] = False
    assert not track_repair.fill(track, transport).masks[away].any()
    assert not track_repair.fill(track_of(np.zeros_like(video), "nobody"), transport).masks.any()


def test_what_both_ends_do_not_agree_on_is_not_made_up() -> None:
    """It left on the right and somebody came in on the left."""
    transport, _, video = scene()
    video = np.zeros_like(video)
    video[:10, 10:30, 120:] = True
    video[14:, 60:80, :20] = True
    assert not track_repair.fill(track_of(video, "disc"), transport).masks[10:14].any()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=8)
def test_filling_and_flicker_are_done_once(seed: int) -> None:
    transport, _, video = scene()
    track = track_of(video, "disc")
    track.masks[np.random.default_rng(seed).random(NUM_FRAMES) < 0.3] = False
    filled = track_repair.fill(track, transport)
    assert np.array_equal(track_repair.fill(filled, transport).masks, filled.masks)
    assert not (track.masks & ~filled.masks).any()
    calm = track_repair.without_flicker(track, transport)
    assert np.array_equal(track_repair.without_flicker(calm, transport).masks, calm.masks)


def test_flicker_goes_and_subjects_stay() -> None:
    transport, first, second = scene()
    blink = np.zeros_like(first)
    blink[20, 5:15, 5:15] = True
    assert not track_repair.without_flicker(track_of(blink, "blink"), transport).masks.any()
    assert np.array_equal(track_repair.without_flicker(track_of(second, "disc"), transport).masks, second)
    jump = second.copy()
    jump[12] = np.roll(second[12], 60, axis=1)  # one mask elsewhere, that neither neighbour expects
    assert not track_repair.without_flicker(track_of(jump, "disc"), transport).masks[12].any()


def noisy(video: MaskVideo, seed: int) -> MaskVideo:
    rng = np.random.default_rng(seed)
    spoiled = video.copy()
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for frame in spoiled:
        for what in (True, False):
            outline = np.argwhere(masks.dilate(frame, 1) & ~frame)
            y, x = outline[rng.integers(len(outline))]
            frame[(rows - y) ** 2 + (columns - x) ** 2 <= 49] = what
    return spoiled


def test_noise_is_outvoted_and_truth_is_kept() -> None:
    transport, _, video = scene()
    spoiled = noisy(video, 1)
    (calm,) = [each.masks for each in track_repair.steady([track_of(spoiled, "disc")], transport)]
    assert 1 - mean_iou(calm, video) <= (1 - mean_iou(spoiled, video)) / 2
    (kept,) = track_repair.steady([track_of(video, "disc")], transport)
    assert mean_iou(kept.masks, video) >= 0.97


def test_what_flow_cannot_follow_is_not_voted_away() -> None:
    rng = np.random.default_rng(5)
    flashes = rng.permutation(np.linspace(0, 255, NUM_FRAMES).astype(np.uint8))
    transport = Transport([np.full((HEIGHT, WIDTH, 3), level) for level in flashes])
    assert np.median([transport.trust(at, at + 1).max() for at in range(NUM_FRAMES - 1)]) < 0.1
    assert np.array_equal(transport.trust(3, 3), np.ones((HEIGHT, WIDTH), np.float32))
    video = np.zeros((NUM_FRAMES, HEIGHT, WIDTH), np.bool_)
    for frame in video:
        y, x = rng.integers(0, 50), rng.integers(0, 100)
        frame[y : y + 40, x : x + 40] = True
    (kept,) = track_repair.steady([track_of(video, "jumping")], transport)
    assert np.array_equal(kept.masks, video)


def test_what_is_filled_in_is_as_steady_as_what_was_seen() -> None:
    transport, _, video = scene()
    spoiled = noisy(video, 2)
    every_second = spoiled.copy()
    every_second[1:-1:2] = False
    ((calm,), _) = track_repair.repair([track_of(every_second, "disc")], transport)
    assert not calm.seen[1:-1:2].any()
    wrong = 1 - mean_iou(calm.masks[1:-1:2], video[1:-1:2])
    assert wrong <= (1 - mean_iou(spoiled[1:-1:2], video[1:-1:2])) / 2


@pytest.mark.parametrize("swapped", [[5], [5, 6, 7], [4, 13, 22], list(range(20, 30))])
def test_exchanged_names_come_back(swapped: list[int]) -> None:
    transport, first, second = scene()
    one, other = first.copy(), second.copy()
    one[swapped], other[swapped] = second[swapped], first[swapped]
    mended, swaps = naming.unswap([track_of(one, "disc 1"), track_of(other, "disc 2")], transport)
    assert swaps
    assert np.array_equal(mended[0].masks, first)
    assert np.array_equal(mended[1].masks, second)
    assert {name for each in swaps if each.repaired for name in each.names} == {"disc 1", "disc 2"}


def test_right_names_stay() -> None:
    transport, first, second = scene()
    mended, swaps = naming.unswap([track_of(first, "disc 1"), track_of(second, "disc 2")], transport)
    assert not [each for each in swaps if each.repaired]
    assert np.array_equal(mended[0].masks, first)


def test_nothing_tells_and_so_it_is_reported() -> None:
    """Both vanish behind something and come out where either may have come from."""
    transport, first, second = scene()
    one, other = first.copy(), second.copy()
    both = first[14] | second[14]
    for at in range(13, 17):
        one[at], other[at] = both, both
    _, swaps = naming.unswap([track_of(one, "disc 1"), track_of(other, "disc 2")], transport)
    assert any(not each.repaired and 13 <= each.frame <= 18 for each in swaps)


def test_contested_pixels_go_to_the_nearer_in_both_orders() -> None:
    transport, first, second = scene()
    hidden = np.stack([masks.dilate(mask, 4) for mask in first])
    for nearness, winner in (((0.2, 0.8), 1), ((0.8, 0.2), 0)):
        flat = [np.full((HEIGHT, WIDTH, 3), 90, np.uint8)] * NUM_FRAMES  # no colour tells
        tracks = [track_of(each, str(place), nearness[place]) for place, each in enumerate((hidden, second))]
        given_away = ownership.share_out(tracks, flat)
        contested = hidden & second
        assert contested.any()
        assert (given_away[winner].masks & contested).sum() == contested.sum()
    coloured = ownership.share_out([track_of(hidden, "1", 0.8), track_of(second, "2", 0.2)], transport.images)
    wrong = (coloured[0].masks & second).sum()
    assert wrong < (hidden & second).sum() / 4  # where depth is wrong, clear colours object


def claims(labels: NDArray[np.uint8]) -> list[InstanceTrack]:
    """Bit n of a label: instance n claims the pixel."""
    return [track_of((labels >> bit & 1).astype(np.bool_), str(bit), bit / 3) for bit in range(3)]


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2]))
@settings(max_examples=40)
def test_sharing_out_overlaps_nowhere_loses_nothing_and_mirrors(seed: int, axis: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 8, (4, 6, 8), dtype=np.uint8).repeat(4, 1).repeat(4, 2)
    images = [rng.integers(0, 255, (24, 32, 3), dtype=np.uint8) for _ in range(4)]
    tracks = claims(labels)
    shared = ownership.share_out(tracks, images)
    total = np.sum([each.masks for each in shared], axis=0)
    assert total.max() <= 1
    assert np.array_equal(total > 0, labels > 0)
    for before, after in zip(tracks, shared, strict=True):
        assert not (after.masks & ~before.masks).any()
        assert np.array_equal(before.masks[labels == 1], after.masks[labels == 1])
    again = ownership.share_out(shared, images)
    assert all(np.array_equal(a.masks, b.masks) for a, b in zip(shared, again, strict=True))
    turned = ownership.share_out(claims(np.flip(labels, axis)), [np.flip(image, axis - 1) for image in images])
    for mirrored, straight in zip(turned, shared, strict=True):
        assert (np.flip(mirrored.masks, axis) != straight.masks).mean() < 0.01  # sums of floats in another order
