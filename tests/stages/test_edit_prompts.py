"""Questions about edits are answered by rules or refused, and what a model writes keeps every target and count."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.vlm import RulesVlm
from schemas.edit import Turn
from schemas.errors import BadInput, UserError
from schemas.questions import ClipAnswer, DescriptionAnswer, EditsAnswer, PlaceAnswer, Unusable
from stages import edit_prompts
from stages.binding import NAMING_PROFILES, bind
from stages.edit_grammar import parse_prompts
from stages.instance_facts import InstanceFacts

FRAME = np.zeros((8, 8, 3), np.uint8)


def turn_of(prompt) -> Turn:
    return parse_prompts([prompt])[0]


def facts_at(*places, category="bear"):
    return [
        InstanceFacts(
            f"{category} {n + 1}", category, np.array([[x - 0.05, 0.4, x + 0.05, 0.6]] * 3), np.full(3, 0.5), 0.02
        )
        for n, x in enumerate(places)
    ]


SEEN = ClipAnswer(nouns=["Bear", "dog"], counts=[2, 1], places=["left", "right"])


@pytest.mark.parametrize(
    ("prompt", "phrases"),
    [
        ("Hungry Dogs -> wolves; bear on the left -> gorilla", ["hungry dog", "bear"]),
        ("Left -> Ultraman; Right -> Robot", ["bear", "dog"]),
        ("face of the man -> x", ["man", "face"]),
        ("[Plaid Shirt -> Business Suit]", ["plaid shirt"]),
        ("hat on the left -> crown", ["bear", "dog", "hat"]),
        ("bear 2 -> gorilla", ["bear", "dog"]),
        ("[background -> snow]", ["bear", "dog"]),
        ("add a hat to the man", ["man"]),
    ],
)
def test_what_a_detector_is_asked_for(prompt, phrases):
    assert edit_prompts.phrases_for(turn_of(prompt).edits, SEEN) == phrases


def test_without_a_model_any_subject_is_looked_for():
    edits = turn_of("Left -> Ultraman").edits
    question = edit_prompts.clip_question([FRAME], turn_of("Left -> Ultraman"))
    assert edit_prompts.phrases_for(edits, RulesVlm().ask([question])[0]) == ["subject"]
    question = edit_prompts.clip_question([FRAME], turn_of("Left -> Ultraman"), "bear")
    assert edit_prompts.phrases_for(edits, RulesVlm().ask([question])[0]) == ["bear"]
    assert edit_prompts.phrases_for(edits, Unusable("no")) == ["subject"]


def test_free_text_is_put_into_the_language_or_refused_with_the_profiles_that_can():
    text = "make the bears gorillas please"
    assert edit_prompts.turns_from(text, EditsAnswer(prompt="bears -> gorillas")) == [turn_of("bears -> gorillas")]
    rules = RulesVlm().ask([edit_prompts.free_text_question(text)])[0]
    for answer in (rules, EditsAnswer(prompt="[bears"), EditsAnswer(prompt="make them gorillas"), SEEN):
        with pytest.raises(UserError) as caught:
            edit_prompts.turns_from(text, answer)
        assert NAMING_PROFILES in str(caught.value)
        assert text in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("Two [bears -> Super Mario] sitting in a car", "Two Super Mario sitting in a car"),
        ("Left -> gorilla; Right -> polar bear", "gorilla at the left, polar bear at the right"),
        ("bears -> gorillas", "two gorillas"),
        ("Left -> gorilla; background -> snow", "gorilla at the left, a bear at the right, background: snow"),
        ("remove the bear on the left", "a bear at the right"),
        (
            "add a red hat to the bear on the left",
            "a red hat on the bear at the left, a bear at the right",
        ),
    ],
)
def test_words_made_by_rules_keep_count_and_layout(prompt, words):
    turn, found = turn_of(prompt), facts_at(0.2, 0.8)
    bounds = bind(turn.edits, found)
    assert edit_prompts.word_scene(turn, bounds, found) == words
    question = edit_prompts.scene_question(turn, bounds, found, [FRAME])
    answer = RulesVlm().ask([question])[0]
    assert edit_prompts.scene_from(answer, turn, bounds, found) == words
    assert words in question.prompt


def test_a_model_that_loses_a_target_or_a_count_is_not_believed():
    turn, found = turn_of("Left -> gorilla; Right -> polar bear"), facts_at(0.2, 0.8)
    bounds = bind(turn.edits, found)

    def chosen(text):
        return edit_prompts.scene_from(DescriptionAnswer(text=text), turn, bounds, found)

    good = "A gorilla on the left fights a white polar bear on the right in a meadow."
    assert chosen(good) == good
    assert chosen("A gorilla in a meadow.") == "gorilla at the left, polar bear at the right"
    turn = turn_of("Two [bears -> robots] in a meadow")
    bounds = bind(turn.edits, found)
    assert chosen("Two silver robots in a green meadow.") == "Two silver robots in a green meadow."
    assert chosen("Three silver robots in a meadow.") == "Two robots in a meadow"


def test_the_description_of_a_target():
    (edit,) = turn_of("bear on the left -> a Polar Bear").edits
    question = edit_prompts.target_question(edit, [FRAME])
    assert "the bear on the left will become: a Polar Bear" in question.prompt
    assert edit_prompts.target_from(RulesVlm().ask([question])[0], edit) == "a Polar Bear"
    assert edit_prompts.target_from(DescriptionAnswer(text="A polar bear, white."), edit) == "A polar bear, white."
    assert edit_prompts.target_from(DescriptionAnswer(text="A gorilla."), edit) == "a Polar Bear"


@given(
    st.lists(st.sampled_from([n / 20 for n in range(21)]), min_size=4, max_size=4),
    st.floats(0.1, 0.6),
    st.floats(0.05, 0.3),
)
def test_a_place_is_a_box_beside_or_on_its_instance(said, left, size):
    (edit,) = turn_of("add a hat to the man").edits
    box = (left, 0.3, left + size, 0.3 + size)
    view = edit_prompts.place_view(box)
    assert view[0] <= box[0] < box[2] <= view[2]
    answer = PlaceAnswer(centre_x=said[0], centre_y=said[1], width=said[2], height=said[3])
    x0, y0, x1, y1 = edit_prompts.place_from(answer, edit, view, box)
    assert x0 < x1
    assert y0 < y1
    assert box[0] + (x0 + x1) / 2 * size == pytest.approx(view[0] + said[0] * (view[2] - view[0]))


def test_a_place_needs_a_model():
    (edit,) = turn_of("add a hat to the man").edits
    answer = RulesVlm().ask([edit_prompts.place_question(edit, FRAME)])[0]
    with pytest.raises(BadInput, match="cpu-small"):
        edit_prompts.place_from(answer, edit, (0, 0, 1, 1), (0, 0, 1, 1))
