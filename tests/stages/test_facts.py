"""Measured facts are true and are JSON."""

import json

import numpy as np
import pytest
from synthetic_draft import HEIGHT, WIDTH, draft, texture

from stages import facts

EVERYWHERE = np.ones((20, 20), bool)


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((5, 5, 5), "black"),
        ((250, 250, 250), "white"),
        ((128, 128, 128), "grey"),
        ((110, 70, 35), "brown"),
        ((222, 200, 165), "beige"),
        ((210, 20, 25), "red"),
        ((250, 130, 10), "orange"),
        ((245, 225, 30), "yellow"),
        ((40, 150, 50), "green"),
        ((30, 60, 200), "blue"),
        ((0, 0, 255), "blue"),
        ((20, 160, 160), "teal"),
        ((120, 40, 150), "purple"),
        ((240, 110, 170), "pink"),
    ],
)
def test_plain_colours_have_their_name(rgb, name):
    image = np.full((20, 20, 3), rgb, np.uint8)
    assert facts.name_colors(image, EVERYWHERE) == [name]


def test_two_colours_are_named_by_share_and_a_mixture_is_not():
    image = np.full((20, 20, 3), 250, np.uint8)
    image[:7] = 5
    assert facts.name_colors(image, EVERYWHERE) == ["white", "black"]
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    assert facts.name_colors(image, EVERYWHERE) == []
    assert facts.name_colors(image, ~EVERYWHERE) == []


@pytest.mark.parametrize(
    ("box", "position"),
    [
        ((0, 0, 30, 100), ("left", "middle")),
        ((35, 35, 65, 65), ("centre", "middle")),
        ((70, 0, 100, 30), ("right", "top")),
        ((0, 80, 100, 100), ("centre", "bottom")),
    ],
)
def test_positions(box, position):
    assert facts.position_of(box, 100, 100) == position


def test_sizes():
    assert [facts.size_of(share) for share in (0.01, 0.1, 0.4)] == ["small", "", "large"]


def test_facts_of_a_scene_with_two_subjects():
    measured = facts.measure_facts(draft(2, categories=("dog", "person")))
    assert json.loads(json.dumps(measured)) == measured
    assert measured["size_px"] == [WIDTH, HEIGHT]
    assert measured["count"] == 2
    assert [subject["category"] for subject in measured["subjects"]] == ["dog", "person"]
    assert [subject["position"][0] for subject in measured["subjects"]] == ["left", "right"]
    assert [reference["image"] for reference in measured["references"]] == [1, 2]
    assert measured["references"][1]["colors"] == ["blue"]
    assert measured["edit"] is None


def test_facts_of_a_manipulation():
    made = draft(2, "replace")
    measured = facts.measure_facts(made)
    assert [reference["image"] for reference in measured["references"]] == [2]
    assert measured["edit"]["box"] == list(made.base.box)
    assert measured["edit"]["position"][0] == "left"
    assert (measured["operation"], measured["replacement"]) == ("replace", "subject")
    assert [subject["image"] for subject in measured["subjects"]] == [2, 0]


def test_motion_is_that_of_the_subject_not_of_the_camera():
    made = draft()  # the camera moves the place 15 px to the right, the subject goes 10 px to the left
    late = facts.measure_facts(made, {"seconds_a": 0.0, "seconds_b": 1.0})
    assert late["subjects"][0]["motion"] == "left"
    reversed_in_time = facts.measure_facts(made, {"seconds_a": 1.0, "seconds_b": 0.0})
    assert reversed_in_time["subjects"][0]["motion"] == "right"
    assert facts.measure_facts(made)["subjects"][0]["motion"] == ""
    made.output = texture(8)  # another place: nothing says what the camera did
    assert facts.measure_facts(made, {"seconds_a": 0.0, "seconds_b": 1.0})["subjects"][0]["motion"] == ""
