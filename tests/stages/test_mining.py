"""Sampling of frames and consensus of categories."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.subject import Track
from schemas.video import Frame
from stages import mining


@given(st.integers(0, 10_000), st.integers(1, 50_000), st.floats(0, 120), st.integers(2, 12))
def test_a_plan_stays_in_its_shot_and_in_bounds(start: int, length: int, fps: float, num_anchors: int) -> None:
    plan = mining.plan_frames(start, start + length, fps, num_anchors)
    assert plan.indices == sorted(set(plan.indices))
    assert all(start <= index < start + length for index in plan.indices)
    assert 1 <= len(plan.indices) <= 120
    assert len(set(np.diff(plan.indices))) <= 1
    assert max(np.diff(plan.indices), default=1) <= max(0.2 * (fps or 25), 1) + 0.5
    assert 1 <= len(plan.anchors) == len(set(plan.anchors)) <= num_anchors
    assert all(0 <= anchor < len(plan.indices) for anchor in plan.anchors)
    assert length < 100 or len(plan.anchors) == num_anchors


def test_short_shots_are_taken_whole_and_of_long_ones_the_middle() -> None:
    assert mining.plan_frames(10, 100, 24.0, 6).indices == list(range(10, 100))
    minute = mining.plan_frames(0, 1500, 25.0, 6).indices
    assert minute[0] == 450
    assert minute[-1] - minute[0] == 5 * 119


def test_times_are_those_of_a_container_with_exact_ticks() -> None:
    plan = mining.Plan([100, 101, 190], [0])
    fps = 30000 / 1001
    seconds = mining.times(plan, 100, 100 / fps, 200, 200 / fps)
    assert seconds == [100 * 1001 / 30000, 101 * 1001 / 30000, 190 * 1001 / 30000]


def test_categories_seen_in_half_the_frames_are_kept_and_synonyms_are_one() -> None:
    named = [["Woman", "dog"], ["person", "puppy", "bush"], ["dogs"], ["man", "Man"]]
    assert mining.consensus(named, 0.5) == ["dog", "person"]
    assert mining.consensus(named, 1.0) == []
    assert mining.consensus([["glass"], ["bus"]], 0.5) == ["bus", "glass"]


def test_cropping_to_the_picture_and_placing_back_are_inverse() -> None:
    image = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    half = image[::2, ::2]
    reduced = [Frame(3, 0.3, half), Frame(4, 0.4, half), Frame(5, 0.5, half)]
    footage = mining.footage_of([Frame(5, 0.5, image), Frame(3, 0.3, image)], reduced, [2, 0, 6, 4])
    assert footage.indices == [3, 5]
    assert footage.anchors == [0, 1]
    assert footage.frame_px == (6, 8)
    assert np.array_equal(footage.images[0], image[0:4, 2:6])
    assert footage.passage.indices == [3, 4, 5]
    assert np.array_equal(footage.passage.images[1], half[0:2, 1:3])
    with pytest.raises(ValueError, match="anchor"):
        mining.footage_of([], reduced, None)


def test_masks_are_placed_in_the_full_frame() -> None:
    mask = np.random.default_rng(0).random((4, 5)) > 0.5
    full = mining.place(mask, [2, 1, 7, 5], 6, 8)
    assert full.shape == (6, 8)
    assert np.array_equal(full[1:5, 2:7], mask)
    assert full.sum() == mask.sum()


@pytest.mark.parametrize("dropped", [set(), {1}, {1, 4}])
def test_dropping_masks_drops_their_scores(dropped: set[int]) -> None:
    track = Track("dog", {1: np.ones((2, 2), np.bool_), 4: np.ones((2, 2), np.bool_)}, {1: 0.5, 4: 0.6})
    left = mining.without(track, dropped)
    assert set(left.masks) == set(left.scores) == {1, 4} - dropped
