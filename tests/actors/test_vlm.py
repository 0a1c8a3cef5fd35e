"""The rule-based vlm answers from facts alone and never guesses."""

import numpy as np
import pytest

from actors.vlm import RulesVlm
from schemas.questions import (
    Answer,
    CaptionAnswer,
    CategoriesAnswer,
    ClipAnswer,
    CropAnswer,
    DescriptionAnswer,
    EditsAnswer,
    PlaceAnswer,
    Question,
    Unusable,
    VerdictAnswer,
)

PICTURE = np.zeros((8, 8, 3), np.uint8)


def ask(answer, facts, images=()):
    return RulesVlm().ask([Question(answer, "?", list(images), facts)])[0]


def test_categories_are_the_named_one_or_subject_for_every_image():
    assert ask(CategoriesAnswer, {"category": "dog"}, [PICTURE] * 2).categories == [["dog"], ["dog"]]
    assert ask(CategoriesAnswer, {"category": ""}, [PICTURE]).categories == [["subject"]]
    assert ask(CategoriesAnswer, {}, []).categories == []


@pytest.mark.parametrize(("score", "shows"), [(0.9, True), (0.1, False), (1.7, True), (-3, False)])
def test_crops_follow_the_measured_score(score, shows):
    answer = ask(CropAnswer, {"score": score})
    assert answer.shows == shows
    assert 0 <= answer.score <= 1


def test_verdict_follows_the_checks():
    checks = [
        {"name": "identity", "score": 0.9, "passed": True, "reason": "identity_drift"},
        {"name": "copy_ncc", "score": 0.5, "passed": True, "reason": "copy_paste"},
    ]
    good = ask(VerdictAnswer, {"checks": checks})
    assert (good.identity, good.quality, good.consistency) == (0.9, 1.0, 1.0)
    leaking = [*checks, {"name": "background_inliers", "score": 0.5, "passed": False, "reason": "background_leak"}]
    bad = ask(VerdictAnswer, {"checks": leaking})
    assert bad.consistency == 0
    assert "background_leak" in bad.why


def test_a_clip_is_described_by_what_was_said_of_it():
    clip = ask(ClipAnswer, {"category": "bear"}, [PICTURE] * 2)
    assert (clip.nouns, clip.counts) == (["bear"], [0])
    assert ask(ClipAnswer, {"category": ""}).nouns == ["subject"]
    assert ask(DescriptionAnswer, {"words": "two gorillas"}).text == "two gorillas"


def test_what_must_be_seen_or_understood_is_unusable():
    for shape in (EditsAnswer, PlaceAnswer):
        assert isinstance(ask(shape, {"words": "x"}, [PICTURE]), Unusable)


def test_what_was_not_measured_is_unusable_not_invented():
    for shape in (CropAnswer, CaptionAnswer, VerdictAnswer):
        assert isinstance(ask(shape, {}), Unusable)


def test_a_question_without_a_rule_is_unusable():
    class Other(Answer):
        text: str

    assert isinstance(ask(Other, {}), Unusable)


@pytest.mark.parametrize("word", ["x" * 41, "a\x00b", "two\nlines"])
def test_what_does_not_fit_an_answer_is_unusable_not_a_crash(word):
    assert isinstance(ask(CategoriesAnswer, {"category": word}, [PICTURE]), Unusable)


def test_answers_keep_the_order_of_questions():
    questions = [Question(CropAnswer, "?", facts={"score": score}) for score in (0.1, 0.8, 0.3)]
    assert [answer.score for answer in RulesVlm().ask(questions)] == [0.1, 0.8, 0.3]
