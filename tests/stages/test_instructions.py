"""An instruction binds: parsed back, it names every input and selects exactly the edited box."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import BadInput
from schemas.reasons import Reason
from stages import facts as measuring
from stages import instructions

LANGUAGES = ("en", "zh")


def subject(box, image=0, category="subject", colors=()):
    position = list(measuring.position_of(box, 900, 600))
    return {
        "category": category, "image": image, "box": list(box), "colors": list(colors), "position": position,
        "size": "", "motion": "",
    }  # fmt: skip


def facts_of(boxes, edited: int | None = None, operation="replace", categories=None, colors=None):
    """The first subjects have references, in a manipulation only the edited one."""
    categories = categories or ["subject"] * len(boxes)
    colors = colors or [[] for _ in boxes]
    shown = [edited] if edited is not None else list(range(len(boxes)))
    offset = 1 if edited is None else 2
    images = {number: place + offset for place, number in enumerate(shown)}
    subjects = [
        subject(box, images.get(number, 0), categories[number], colors[number]) for number, box in enumerate(boxes)
    ]
    edit = None
    if edited is not None:
        edit = {"image": 1, "box": list(boxes[edited]), "position": subjects[edited]["position"], "size": ""}
    return {
        "mode": "generation" if edited is None else "manipulation",
        "operation": operation if edit else "",
        "replacement": "subject" if edit and operation == "replace" else "",
        "size_px": [900, 600],
        "references": [
            {"image": images[n], "subject": n, "category": categories[n], "colors": colors[n]} for n in shown
        ],
        "subjects": subjects,
        "edit": edit,
    }


LEFT, CENTRE, RIGHT = (50, 200, 150, 400), (400, 200, 500, 400), (750, 200, 850, 400)


def test_wording():
    one = facts_of([LEFT], categories=["dog"], colors=[["brown", "white"]])
    english = instructions.word_instruction(one, "en")
    assert english == "Draw a new picture with the brown and white dog of image 1 at the left of the scene."
    assert instructions.word_instruction(one, "zh") == "画一张新图：图1中棕色和白色的狗在画面左侧。"
    edit = facts_of([LEFT, RIGHT], edited=1, categories=["dog", "car"])
    english = instructions.word_instruction(edit, "en")
    assert english == "Replace the subject at the right of image 1 with the car of image 2."
    assert instructions.word_instruction(edit, "zh") == "把图1右侧的主体换成图2中汽车。"
    empty = facts_of([CENTRE], edited=0, operation="add")
    assert instructions.word_instruction(empty, "en") == "Add the subject of image 2 in the centre of image 1."
    assert instructions.word_instruction(empty, "zh") == "把图2中主体加到图1的中间。"


def test_neighbours_in_the_same_place_are_told_apart_by_rank():
    boxes = [(10, 200, 60, 400), (100, 200, 150, 400), (200, 200, 250, 400)]
    text = instructions.word_instruction(facts_of(boxes, edited=1), "en")
    assert text == "Replace the second subject from the left of image 1 with the subject of image 2."
    assert "从左数第二个" in instructions.word_instruction(facts_of(boxes, edited=1), "zh")


boxes_strategy = st.lists(
    st.tuples(st.integers(0, 800), st.integers(0, 500), st.integers(20, 100), st.integers(20, 100)),
    min_size=1,
    max_size=5,
    unique_by=lambda box: 2 * box[0] + box[2],
)


@settings(max_examples=150, derandomize=True)
@given(boxes_strategy, st.data(), st.sampled_from(LANGUAGES))
def test_what_is_worded_selects_the_edited_box_and_no_other(corners, data, language):
    boxes = [(x, y, x + width, y + height) for x, y, width, height in corners]
    edited = data.draw(st.integers(0, len(boxes) - 1))
    try:
        text = instructions.word_instruction(facts_of(boxes, edited), language)
    except BadInput:
        middles = [x + width / 2 for x, _, width, _ in corners]
        assert any(abs(middles[edited] - middle) < 18 for n, middle in enumerate(middles) if n != edited)
        return
    assert instructions.binds(text, language, facts_of(boxes, edited))
    for other in range(len(boxes)):
        assert instructions.binds(text, language, facts_of(boxes, other)) == (other == edited)


@settings(max_examples=80, derandomize=True)
@given(boxes_strategy, st.sampled_from(LANGUAGES))
def test_generation_names_every_image_and_its_place(corners, language):
    boxes = [(x, y, x + width, y + height) for x, y, width, height in corners[:3]]
    measured = facts_of(boxes)
    text = instructions.word_instruction(measured, language)
    assert len(text) <= 400
    assert instructions.parse(text, language).images == list(range(1, len(boxes) + 1))


@pytest.mark.parametrize("language", LANGUAGES)
def test_faults_do_not_bind(language):
    edit = facts_of([LEFT, RIGHT], edited=0)
    good = instructions.word_instruction(edit, language)
    faults = [
        good.replace("left", "right").replace("左", "右"),
        good.replace("at the left of", "of").replace("左侧", ""),
        good.replace("2", "3"),
        good.replace("Replace", "Remove").replace("换成", "看见"),
        "",
    ]
    assert instructions.binds(good, language, edit)
    assert not any(instructions.binds(fault, language, edit) for fault in faults)
    added = facts_of([LEFT, RIGHT], edited=0, operation="add")
    assert not instructions.binds(good, language, added)


@pytest.mark.parametrize("language", LANGUAGES)
def test_numbers_swapped_in_the_text_are_noticed(language):
    measured = facts_of([LEFT, CENTRE], categories=["dog", "car"], colors=[["brown"], ["red"]])
    good = instructions.word_instruction(measured, language)
    swapped = good.translate(str.maketrans("12", "21"))
    assert instructions.binds(good, language, measured)
    assert not instructions.binds(swapped, language, measured)


def test_free_wording_of_a_model_is_understood():
    edit = facts_of([LEFT, RIGHT], edited=1, categories=["dog", "woman"])
    for text in (
        "In image 1, swap the dog on the right for the woman of image 2.",
        "Please replace the right-hand animal in image 1 with the woman from image 2",
    ):
        assert instructions.binds(text, "en", edit)
    assert instructions.binds("请将图1中右边的狗替换为图2里的女人。", "zh", edit)


def test_two_subjects_at_one_place_cannot_be_singled_out():
    with pytest.raises(BadInput) as refused:
        instructions.word_instruction(facts_of([(0, 0, 90, 90)] * 12, edited=11), "en")
    assert refused.value.reason is Reason.WRONG_BINDING


@pytest.mark.parametrize(
    ("text", "language", "is_bound"),
    [
        ("Replace the subject at the left of image 1 with the subject of image 2.", "en", True),
        ("Replace the subject at the left of image 2 with the subject of image 1.", "en", False),
        ("把图1左侧的主体换成图2中的主体。", "zh", True),
        ("把图2左侧的主体换成图1中的主体。", "zh", False),
    ],
)
def test_the_base_is_what_is_edited_not_what_is_put_in(text, language, is_bound):
    measured = facts_of([(50, 200, 150, 400)], edited=0)
    assert instructions.binds(text, language, measured) == is_bound
