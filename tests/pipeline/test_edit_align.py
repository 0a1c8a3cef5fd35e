"""The first step alone: what a job is bound to, and why it cannot be."""

import json

import pytest
from scripted_edits import Placing
from synthetic_edits import Edits
from synthetic_footage import BETWEEN, LEFT, RIGHT, write_clip

from schemas.reasons import Reason
from schemas.work import Outcome


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    write_clip(folder, "empty", (), 9)
    write_clip(folder, "pair", (LEFT, RIGHT), 9)
    write_clip(folder, "three", (LEFT, RIGHT, BETWEEN), 9)
    return folder


@pytest.fixture
def align(tmp_path, clips):
    edits = Edits(tmp_path, clips)

    def align(name, *prompts, vlm=None):
        if vlm is not None:
            edits.roles["vlm"] = vlm(edits.vlm())
        (job,) = edits.jobs(name, prompts=prompts)
        return edits.aligned(job)

    return align


def bound(result):
    """Names of the instances of every edit, by turn."""
    (row,) = result.rows["jobs"]
    turns = json.loads(row["bound"])
    return [[[row["instances"][at] for at in each["instances"]] for each in turn] for turn in turns]


@pytest.mark.parametrize(
    ("prompts", "instances"),
    [
        (["[bear on the left -> fox]"], [[["bear 1"]]]),
        (["[bear on the right -> fox]"], [[["bear 2"]]]),
        (["[bears -> foxes]"], [[["bear 1", "bear 2"]]]),
        (["[two bears -> two foxes]"], [[["bear 1", "bear 2"]]]),
        (["[dog -> fox; bear on the left -> cow]"], [[["dog 1"], ["bear 1"]]]),
        (["[background -> beach]"], [[[]]]),
        (["[bear on the left -> fox]", "[fox -> cow]"], [[["bear 1"]], [["bear 1"]]]),
        (["[bears -> foxes]", "remove the dog"], [[["bear 1", "bear 2"]], [["dog 1"]]]),
    ],
)
def test_what_an_edit_is_about(align, prompts, instances):
    result = align("three", *prompts)
    assert result.outcome is Outcome.DONE, result.message
    assert bound(result) == instances


@pytest.mark.parametrize(
    ("name", "prompts", "reason", "says"),
    [
        ("empty", ["[background -> beach]"], Reason.NO_SUBJECT, "nothing to edit, or to keep"),
        ("empty", ["[bear -> fox]"], Reason.TARGET_ABSENT, "bear"),
        ("pair", ["[cat -> fox]"], Reason.TARGET_ABSENT, "cat"),
        ("pair", ["[three bears -> foxes]"], Reason.TARGET_COUNT, "bear"),
        (
            "pair",
            ["remove the bear on the left", "[bear on the left -> fox; bear on the right -> cow]"],
            Reason.TARGET_AMBIGUOUS,
            "bear",
        ),  # the one that is left is both
        ("pair", ["add a hat to the bear on the left"], Reason.VLM_UNUSABLE, "a hat"),
    ],
)
def test_why_a_clip_cannot_be_edited_as_asked(align, name, prompts, reason, says):
    result = align(name, *prompts)
    assert result.outcome is Outcome.REJECTED
    assert result.reason == reason
    assert says in result.message
    assert "\n" not in result.message
    (row,) = result.rows["jobs"]
    assert (row["status"], row["reason"], row["message"]) == ("rejected", result.reason, result.message)
    assert "tracks" not in row


def test_what_is_added_has_the_place_that_the_model_saw(align):
    result = align("pair", "add a hat to the bear on the left", vlm=Placing)
    ((each,),) = json.loads(result.rows["jobs"][0]["bound"])
    x0, y0, x1, y1 = each["place"]
    assert x0 < 0.5 < x1
    assert y0 < y1 < 0.7
