"""Parts and boxes, and subjects that touch."""

from dataclasses import replace

import numpy as np
from synthetic_shot import BLUE, RED, Disc, frame_of

from stages import instances, masks, motion


def test_parts_go_to_the_box_they_lie_in_and_strays_to_none() -> None:
    mask = np.zeros((60, 100), np.bool_)
    mask[10:30, 10:30] = mask[35:45, 12:28] = mask[10:30, 60:90] = mask[50:58, 40:50] = True
    parts = instances.parts_in_boxes(mask, [(8, 8, 32, 50), (55, 8, 95, 32)], 10)
    assert set(parts) == {0, 1}
    assert parts[0].sum() == 400 + 160
    assert parts[1].sum() == 600


LEFT, RIGHT = Disc((80, 100), (2, 0), 35, colour=RED), Disc((230, 100), (-2, 0), 35, colour=BLUE)


def _sight(*discs: Disc) -> tuple[instances.Sight, list[np.ndarray]]:
    image, truth = frame_of(0, discs)
    boxes = [box for box in map(masks.box_of, truth) if box is not None]
    flow = motion.flow_between(image, frame_of(3, discs)[0])
    return instances.Sight(image, np.logical_or.reduce(truth), boxes, flow), truth


def test_touching_subjects_are_cut_apart_by_the_colours_they_have_elsewhere() -> None:
    apart, truth = _sight(LEFT, RIGHT)
    contrast = instances.strongest_contrast([apart])
    assert contrast is not None
    together, (red, blue) = _sight(replace(LEFT, start=(130, 100)), replace(RIGHT, start=(185, 110)))
    one, other = instances.split(together, red | blue, contrast)
    assert min(max(masks.iou(one, each), masks.iou(other, each)) for each in (red, blue)) > 0.9
    assert not (one & other).any()
    assert np.array_equal(one | other, red | blue)
    assert len(instances.split(apart, truth[0], contrast)) == 1


def test_a_subject_of_two_colours_that_moves_as_one_stays_whole() -> None:
    contrast = instances.strongest_contrast([_sight(LEFT, RIGHT)[0]])
    assert contrast is not None
    dressed, (shirt, trousers) = _sight(replace(LEFT, start=(150, 80)), replace(RIGHT, start=(150, 130), step=(2, 0)))
    assert len(instances.split(dressed, shirt | trousers, contrast)) == 1
    assert instances.strongest_contrast([dressed]) is None


def test_subjects_of_the_same_colours_teach_nothing() -> None:
    assert instances.strongest_contrast([_sight(LEFT, replace(RIGHT, colour=RED))[0]]) is None
    assert instances.strongest_contrast([]) is None
