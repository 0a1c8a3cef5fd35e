"""Individuals followed through a passage: apart, crossing, hidden by a pole, coming and going."""

from itertools import pairwise

import numpy as np
from synthetic_shot import HEIGHT_PX, WIDTH_PX

from stages import instances, masks
from stages.background import Background
from stages.foreground import Foreground


def _disc(x: float, y: float, radius_px: float = 26) -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT_PX, :WIDTH_PX]
    return np.hypot(columns - x, rows - y) <= radius_px


def _found(truth: list[list[np.ndarray]], steps: list[tuple[float, float]]) -> Foreground:
    """Beliefs that are the union of some masks per frame, and the flow those masks have; later ones in front."""
    flat = np.full((HEIGHT_PX, WIDTH_PX, 3), 128, np.uint8)
    forward, backward = [], []
    for here, there in pairwise(truth):
        for flows, shown, sign in ((forward, here, 1), (backward, there, -1)):
            flow = np.zeros((HEIGHT_PX, WIDTH_PX, 2), np.float32)
            for mask, step in zip(shown, steps, strict=True):
                flow[mask] = np.multiply(sign, step)
            flows.append(flow)
    belief = [np.logical_or.reduce(shown).astype(np.float32) for shown in truth]
    return Foreground(list(range(len(truth))), [flat] * len(truth), belief, belief, forward, backward)


def test_two_apart_are_two_and_keep_who_they_are() -> None:
    truth = [[_disc(60 + 4 * t, 80), _disc(240 - 4 * t, 180)] for t in range(8)]
    one, other = instances.follow(_found(truth, [(4, 0), (-4, 0)]))
    assert sorted(one.masks) == sorted(other.masks) == list(range(8))
    for found in (one, other):
        whose = [int(np.argmax([masks.iou(found.masks[t], each) for each in truth[t]])) for t in range(8)]
        assert len(set(whose)) == 1


def test_two_that_touch_for_a_while_are_divided_and_never_overlap() -> None:
    truth = [[_disc(80 + 4 * t, 110), _disc(220 - 4 * t, 140)] for t in range(14)]
    truth = [[first & ~second, second] for first, second in truth]
    one, other = instances.follow(_found(truth, [(4, 0), (-4, 0)]))
    for t in range(14):
        assert not (one.masks[t] & other.masks[t]).any()
        assert min(max(masks.iou(found.masks[t], each) for each in truth[t]) for found in (one, other)) > 0.7


def test_two_that_begin_as_one_part_and_go_apart_are_two_before_a_camera_that_stands() -> None:
    truth = [[_disc(120 - 5 * t, 120), _disc(168 + 5 * t, 120)] for t in range(14)]
    found = _found(truth, [(-5, 0), (5, 0)])
    found.scene = Background(found.images)
    one, other = instances.follow(found)
    last = [max(masks.iou(found.masks[13], each) for each in truth[13]) for found in (one, other)]
    assert min(last) > 0.9


def test_parts_of_one_behind_a_pole_stay_together() -> None:
    pole = np.zeros((HEIGHT_PX, WIDTH_PX), np.bool_)
    pole[:, 150:160] = True
    truth = [[_disc(100 + 6 * t, 120) & ~pole] for t in range(14)]
    (found,) = instances.follow(_found(truth, [(6, 0)]))
    assert min(masks.iou(found.masks[t], truth[t][0]) for t in range(14)) > 0.8


def test_late_comers_are_found_and_flashes_are_not() -> None:
    nothing = np.zeros((HEIGHT_PX, WIDTH_PX), np.bool_)
    truth = [[_disc(60 + 3 * t, 120), _disc(250, 60) if t >= 10 else nothing] for t in range(20)]
    truth[4][1] = _disc(250, 200)
    first, late = instances.follow(_found(truth, [(3, 0), (0, 0)]))
    assert sorted(first.masks) == list(range(20))
    assert sorted(late.masks) == list(range(10, 20))


def test_specks_are_nobody() -> None:
    assert instances.follow(_found([[_disc(100, 100, 4)]] * 5, [(0, 0)])) == []
