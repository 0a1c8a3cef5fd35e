"""Captions say what was measured, in every language, within bounds; other answers are unusable."""

import json

import pytest
from synthetic_draft import draft

from actors.vlm import RulesVlm
from schemas.config import CaptionConfig
from schemas.questions import CaptionAnswer, CropAnswer, Unusable
from schemas.sample import Captions
from stages import captions, facts, instructions

CONFIG = CaptionConfig()


def measured(num_subjects: int = 1, base: str = "", categories=("dog", "person", "subject")):
    return facts.measure_facts(draft(num_subjects, base, categories), {"seconds_a": 0.0, "seconds_b": 1.0})


def worded(found, config: CaptionConfig = CONFIG) -> Captions:
    words = captions.captions_from(RulesVlm().ask(captions.caption_questions(found, config, [])), config)
    assert isinstance(words, Captions)
    return words


@pytest.mark.parametrize(("num_subjects", "base"), [(1, ""), (2, ""), (1, "replace"), (1, "add"), (2, "replace")])
def test_rule_written_captions_bind_in_every_language(num_subjects, base):
    found = measured(num_subjects, base)
    words = worded(json.loads(json.dumps(found)))
    assert words.instruction.keys() == {"en", "zh"}
    for language, text in words.instruction.items():
        assert instructions.binds(text, language, found)


def test_exact_words():
    words = worded(measured())
    assert words.short["en"] == "A red dog at the left of the picture."
    assert words.long["en"].startswith(
        "The picture shows one dog. The dog at the left is mostly red and is moving to the left."
    )
    assert words.short["zh"] == "画面左侧有一只红色的狗。"
    assert words.long["zh"].startswith("画面中有一只狗。左侧的狗以红色为主，正向左移动。")


def test_colours_that_were_not_measured_are_not_named():
    found = measured()
    for fact in (*found["subjects"], *found["references"], found["background"]):
        fact["colors"] = []
    words = worded(found)
    text = " ".join((*words.long.values(), *words.short.values(), *words.instruction.values()))
    assert not any(color in text for color in facts.COLORS)
    assert "色" not in text


def test_many_subjects_stay_within_bounds():
    found = measured()
    found["subjects"] = [found["subjects"][0] | {"category": "motorcycle", "image": n} for n in range(30)]
    answer = captions.word_captions(found, "en")
    assert len(answer.short) <= 160
    assert len(answer.long) <= 800


def test_questions_need_facts_only_and_differ_by_language_and_style():
    found = measured(1, "replace")
    english, chinese = captions.caption_questions(found, CONFIG, [])
    assert "English" in english.prompt
    assert "Chinese" in chinese.prompt
    assert "Image 1 is to be edited: replace" in english.prompt
    assert english.facts["language"] == "en"
    poetic = captions.caption_questions(found, CaptionConfig(style="poetic"), [])[0]
    assert "poetic" in poetic.prompt
    assert len(captions.caption_questions(found, CaptionConfig(languages=("zh",)), [])) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Unusable("no JSON"),
        CropAnswer(shows=True, score=1),
        CaptionAnswer(short="短", long="长", instruction="图1"),
        CaptionAnswer(short=" ", long="long", instruction="image 1"),
    ],
)
def test_unusable_answers(answer):
    config = CaptionConfig(languages=("en",))
    assert isinstance(captions.captions_from([answer], config), Unusable)


def test_an_answer_in_english_is_no_chinese_caption():
    english = CaptionAnswer(short="a dog", long="a dog", instruction="the dog of image 1")
    assert isinstance(captions.captions_from([english, english], CONFIG), Unusable)


@pytest.mark.parametrize(("num_subjects", "base"), [(2, ""), (1, "replace"), (2, "replace"), (1, "add")])
def test_a_model_is_told_what_each_picture_is_and_shown_an_instruction_that_binds(num_subjects, base):
    made = draft(num_subjects, base)
    found = facts.measure_facts(made)
    for language, question in zip(
        CONFIG.languages, captions.caption_questions(found, CONFIG, [*made.inputs, made.output]), strict=True
    ):
        assert len(question.names) == len(question.images)
        assert question.names[-1] == "Output"
        assert all(name in question.prompt for name in question.names)
        (example,) = [line for line in question.prompt.splitlines() if line.startswith("An instruction")]
        assert instructions.binds(example.partition(": ")[2], language, found)


def test_without_words_that_bind_there_is_no_example():
    found = measured(1, "add")
    found["edit"]["box"], found["edit"]["position"] = [0.0, 0.0, 1.0, 1.0], ["right", "bottom"]
    assert "An instruction" not in captions.caption_questions(found, CONFIG, [])[0].prompt
