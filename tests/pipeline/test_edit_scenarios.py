"""What people ask of `recast edit`, from alignment to the verified file, drawn by the embedded generator."""

import numpy as np
import pytest
from scripted_edits import SCENARIOS, holds, lightness, play
from synthetic_footage import picture_of

from actors.video_generator import RehearsalGenerator
from stages import masks


@pytest.fixture
def played(request, tmp_path):
    return play(SCENARIOS[request.param], tmp_path, RehearsalGenerator())


@pytest.mark.parametrize("played", SCENARIOS, indirect=True)
def test_what_was_asked_changes_and_nothing_else_does(played):
    holds(played)


@pytest.mark.parametrize("played", ["left and right"], indirect=True)
def test_each_target_is_drawn_on_its_own_side(played):
    for number in range(0, 13, 4):
        left, right = played.shown(number)
        after = played.after[number]
        assert lightness(after, left) > lightness(after, right) + 60


@pytest.mark.parametrize("played", ["every member of a group"], indirect=True)
def test_all_members_are_drawn_alike(played):
    for number in range(0, 13, 4):
        left, right = (lightness(played.after[number], mask) for mask in played.shown(number))
        assert min(left, right) > 150


@pytest.mark.parametrize("played", ["removal"], indirect=True)
def test_what_is_removed_leaves_the_ground_that_it_hid(played):
    things = played.scenario.things
    for number in range(0, 13, 4):
        empty, _ = picture_of(number, things[1:], seed=len("clip") + ord("c"))
        mask = played.shown(number)[0]
        error = np.abs(played.after[number].astype(float) - empty)[mask].mean()
        with_it = np.abs(played.before[number].astype(float) - empty)[mask].mean()
        assert error < with_it / 2


@pytest.mark.parametrize("played", ["two turns"], indirect=True)
def test_the_second_turn_works_on_what_the_first_drew(played):
    first, second = played.requests[0], played.requests[-1]
    mask = first.masks[6] & second.masks[6]
    assert (first.frames[6] != second.frames[6]).any(axis=2)[masks.erode(mask, 3)].mean() > 0.9
    assert lightness(played.after[6], played.shown(6)[0]) < 90


@pytest.mark.parametrize("played", ["a long clip"], indirect=True)
def test_a_long_clip_comes_in_windows(played):
    assert len(played.requests) >= 4
    assert max(len(request.frames) for request in played.requests) <= 81
