"""Text becomes an answer of the asked shape or is unusable: never an error, never a guess."""

import json
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actors.models.answers import MAX_CHARACTERS, json_schema, max_bytes, read_answer
from schemas.questions import (
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
from schemas.reasons import Reason

PICTURE = np.zeros((8, 8, 3), np.uint8)
QUESTIONS = [
    Question(CategoriesAnswer, "?", [PICTURE] * 2),
    Question(CropAnswer, "?", [PICTURE]),
    Question(VerdictAnswer, "?", [PICTURE] * 3),
    Question(CaptionAnswer, "?", [PICTURE] * 2),
    Question(ClipAnswer, "?", [PICTURE] * 2),
    Question(EditsAnswer, "?"),
    Question(DescriptionAnswer, "?", [PICTURE]),
    Question(PlaceAnswer, "?", [PICTURE]),
]
VALID = [
    '{"categories":[["dog","cat"],[]]}',
    '{"shows":true,"score":0.95}',
    '{"identity":1,"quality":0.5,"consistency":0.0,"why":"no fault"}',
    '{"short":"一只狗","long":"草地上有一只“狗”。","instruction":"画图1中的狗"}',
    '{"nouns":["bear"],"counts":[2],"places":["left and right"]}',
    '{"prompt":"bear on the left -> gorilla"}',
    '{"text":"A gorilla."}',
    '{"centre_x":0.5,"centre_y":0.0,"width":1.0,"height":0.05}',
]
questions = st.sampled_from(QUESTIONS)
junk = st.one_of(
    st.text(max_size=30),
    st.text(st.characters(categories=["Cs", "Cc", "Cf"]), max_size=5),
    st.integers(-(10**400), 10**400),
    st.floats(),
    st.booleans(),
    st.none(),
)
values = st.recursive(junk, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=4), inner), max_leaves=8)


def check(text: str, question: Question) -> None:
    """Usable answers are exactly what the text says; others have the right reason and can be stored."""
    answer = read_answer(text, question)
    if isinstance(answer, Unusable):
        assert answer.reason is Reason.VLM_UNUSABLE
        assert 0 < len(answer.message) <= 200
        answer.message.encode("utf-8")
        return
    assert isinstance(answer, question.answer)
    assert json.loads(text) == answer.model_dump()
    answer.model_dump_json().encode("utf-8")
    assert all(math.isfinite(value) for value in answer.model_dump().values() if isinstance(value, float))


@pytest.mark.parametrize(("question", "text"), list(zip(QUESTIONS, VALID, strict=True)))
def test_what_fits_is_read(question, text):
    for written in (text, json.dumps(json.loads(text), indent=2), f"\n {text} \n"):
        answer = read_answer(written, question)
        assert isinstance(answer, question.answer)
        assert answer.model_dump() == json.loads(text)


@settings(max_examples=600, deadline=None)
@given(questions, st.text(max_size=200))
def test_any_text(question, text):
    check(text, question)


@settings(max_examples=600, deadline=None)
@given(questions, values)
def test_any_json(question, value):
    check(json.dumps(value), question)
    check(json.dumps(value, ensure_ascii=False), question)


@settings(max_examples=800, deadline=None)
@given(st.integers(0, 3), st.data())
def test_valid_answers_with_one_field_replaced_or_removed(number, data):
    found = json.loads(VALID[number])
    name = data.draw(st.sampled_from([*found, "another"]))
    if data.draw(st.booleans()):
        found[name] = data.draw(values)
    else:
        found.pop(name, None)
    check(json.dumps(found), QUESTIONS[number])


@settings(max_examples=800, deadline=None)
@given(st.integers(0, 3), st.data())
def test_damaged_text(number, data):
    text = VALID[number]
    start, end = sorted(data.draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
    check(text[:start] + data.draw(st.text(max_size=5)) + text[end:], QUESTIONS[number])


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 3), st.integers(0, 200))
@example(2, 5)
def test_nothing_cut_short_is_usable(number, length):
    text = VALID[number][:length]
    assert isinstance(read_answer(text, QUESTIONS[number]), Unusable) == (text != VALID[number])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Expecting value"),
        ("I think it shows a dog.", "Expecting value"),
        ('```json\n{"shows":true,"score":1}\n```', "Expecting value"),
        ('{"shows":true,"score":1} It is a dog.', "Extra data"),
        ('{"shows":true,"score":NaN}', "NaN"),
        ('{"shows":true,"score":Infinity}', "Infinity"),
        ('{"shows":true,"score":1e999}', "score"),
        ('{"shows":true,"score":1.01}', "less than or equal to 1"),
        (f'{{"shows":true,"score":{"9" * 5000}}}', "ValueError"),
        ('{"shows":true,"score":"0.9"}', "score"),
        ('{"shows":true,"score":true}', "score"),
        ('{"shows":1,"score":1}', "shows"),
        ('{"shows":"true","score":1}', "shows"),
        ('{"shows":null,"score":1}', "shows"),
        ('{"shows":true,"shows":false,"score":1}', "twice"),
        ('{"shows":true}', "Field required"),
        ('{"shows":true,"score":1,"sure":true}', "Extra inputs"),
        ('[{"shows":true,"score":1}]', "CropAnswer"),
        ('{"shows":true,"score":1,"\\ud800":1}', "unicode"),
        ("[" * 50_000, "deep"),
        ('{"shows":true,"score":' + "[" * 900 + "]" * 900 + "}", "score"),
        ("1" * (MAX_CHARACTERS + 1), "characters"),
        ("\ud800", "Expecting value"),
    ],
)
def test_why_an_answer_is_unusable(text, why):
    answer = read_answer(text, QUESTIONS[1])
    assert isinstance(answer, Unusable)
    assert why in answer.message, answer.message
    answer.message.encode("utf-8")


@pytest.mark.parametrize("text", ["\\ud800", "a\\u0000b", "a\\nb", "\\u202eb", ""])
def test_text_that_cannot_be_shown_is_unusable(text):
    caption = f'{{"short":"{text}","long":"a dog","instruction":"the dog of image 1"}}'
    assert isinstance(read_answer(caption, QUESTIONS[3]), Unusable)


def test_one_list_per_picture():
    for lists in ("[]", '[["dog"]]', "[[],[],[]]"):
        assert isinstance(read_answer(f'{{"categories":{lists}}}', QUESTIONS[0]), Unusable)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.answer.__name__)
def test_every_schema_is_closed_and_bounded(question):
    import jsonschema

    schema = json_schema(question)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False
    assert schema["required"] == list(schema["properties"])
    assert 0 < max_bytes(schema) < 10_000
    number = QUESTIONS.index(question)
    jsonschema.validate(json.loads(VALID[number]), schema)


def test_the_longest_answer_fits_its_bound_and_is_read():
    longest = {
        "short": '"' * 159 + "\U00020000",
        "long": "\U00020000" * 800,
        "instruction": "\\" * 400,
    }
    text = json.dumps(longest, ensure_ascii=False, separators=(",", ":"))
    assert len(text.encode()) <= max_bytes(json_schema(QUESTIONS[3]))
    assert isinstance(read_answer(text, QUESTIONS[3]), CaptionAnswer)
    assert max_bytes(json_schema(QUESTIONS[1])) == len('{"shows":false,"score":0.95},')


def test_an_unbounded_schema_has_no_longest_answer():
    with pytest.raises(KeyError):
        max_bytes({"type": "object", "properties": {"text": {"type": "string"}}})
    with pytest.raises(KeyError):
        max_bytes({"type": "array", "items": {"type": "boolean"}})
    with pytest.raises(TypeError):
        max_bytes({"type": "string", "pattern": "^.*$"})
