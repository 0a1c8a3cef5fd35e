"""What a model is asked about an edit, and what its answer counts for."""

import numpy as np
import pytest

from actors.vlm import RulesVlm
from schemas.questions import Unusable, VerdictAnswer
from schemas.reasons import Reason
from schemas.sample import Check
from stages.edit_grammar import parse_edit
from stages.edit_verdict import MAX_PICTURES, verdict_question, vlm_check

EDITS = [parse_edit("bear on the left", "gorilla"), parse_edit("hat", "")]
PICTURES = [np.full((8, 8, 3), number, np.uint8) for number in range(9)]


@pytest.mark.parametrize("count", [1, 4, 5, 9])
def test_the_same_frames_are_shown_before_and_after_and_few_of_them(count):
    asked = verdict_question(EDITS, PICTURES[:count], PICTURES[:count], [Check("seam", 0.5, 1, True, Reason.SEAM)], 3)
    half = len(asked.images) // 2
    assert 1 <= half <= MAX_PICTURES
    assert all(one is other for one, other in zip(asked.images[:half], asked.images[half:], strict=True))
    assert asked.names[0] == "Before 1"
    assert asked.names[half] == "After 1"
    assert "bear on the left -> gorilla" in asked.prompt
    assert "'seam': 0.5" in asked.prompt


def test_the_lowest_score_counts():
    answer = VerdictAnswer(identity=0.9, quality=0.4, consistency=0.8, why="blurred")
    check = vlm_check(answer, 0.5)
    assert (check.score, check.passed, check.reason) == (0.4, False, Reason.VLM_REJECTED)
    assert vlm_check(answer, 0.4).passed


def test_an_unusable_answer_fails_with_its_own_reason():
    check = vlm_check(Unusable("nothing"), 0.0)
    assert (check.passed, check.reason) == (False, Reason.VLM_UNUSABLE)


def test_rules_have_nothing_against_what_passed_every_measure():
    asked = verdict_question(EDITS, PICTURES[:2], PICTURES[:2], [Check("seam", 0.5, 1, True, Reason.SEAM)], 3)
    (answer,) = RulesVlm().ask([asked])
    assert vlm_check(answer, 0.5).passed
