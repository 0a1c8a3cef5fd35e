"""What every implementation of role vlm keeps to, over pictures of any size and all kinds of question."""

import sys

import numpy as np
import pytest
from synthetic_draft import draft
from synthetic_endpoint import serving

from actors.models.answers import json_schema, read_answer
from actors.vlm import RulesVlm
from schemas.config import CaptionConfig
from schemas.questions import Answer, CategoriesAnswer, CropAnswer, Question, Unusable, VerdictAnswer
from stages import captions, facts
from tests.models.checkpoints import qwen3_vl, qwen25_vl, qwen35
from tests.models.fake_vllm import Calls, fake_vllm
from tests.models.hub import publish

CHECKPOINTS = {
    "Qwen/Qwen3-VL-8B-Instruct": qwen3_vl.build,
    "Qwen/Qwen2.5-VL-7B-Instruct": qwen25_vl.build,
    "Qwen/Qwen3.5-0.8B": qwen35.build,
}
VLLM = ("vllm 0.26.0", "vllm 0.33.0")
EMBEDDED = "embedded"


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def questions() -> list[Question]:
    """As the stages ask them, with facts for the embedded implementation."""
    found = facts.measure_facts(draft(1, "replace"))
    inputs = [picture(97, 61), picture(64, 96), picture(40, 120)]
    checks = [{"name": "identity", "passed": True, "reason": "identity_drift", "score": 0.9}]
    crop = {"score": 0.9}
    return [
        Question(CropAnswer, "Is it a dog?", [picture(97, 61)], crop),
        Question(CategoriesAnswer, "Name them.", [picture(120, 40), picture(33, 200)], {"category": "dog"}),
        *captions.caption_questions(found, CaptionConfig(languages=("zh",)), inputs),
        Question(VerdictAnswer, "Judge.", inputs, {"checks": checks}),
        Question(CropAnswer, "Is it a cat? 是吗？", [picture(1, 300)], crop, seed=2**63),
        Question(CropAnswer, "And without a picture?", [], crop),
    ]


@pytest.fixture(scope="module", params=[EMBEDDED, *CHECKPOINTS, "endpoint", *VLLM])
def vlm(request):
    if request.param == EMBEDDED:
        yield RulesVlm()
    elif request.param == "endpoint":
        from actors.models.vlm_endpoint import EndpointVlm

        with serving() as endpoint:
            yield EndpointVlm("a-model", base_url=endpoint.base_url)
    elif request.param in VLLM:
        with pytest.MonkeyPatch.context() as patch:
            for name, module in fake_vllm(request.param.split()[1], Calls()).items():
                patch.setitem(sys.modules, name, module)
            patch.delitem(sys.modules, "actors.models.vlm_vllm", raising=False)
            from actors.models.vlm_vllm import VllmVlm

            yield VllmVlm("Qwen/Qwen3-VL-8B-Instruct", dtype="bfloat16")
            patch.delitem(sys.modules, "actors.models.vlm_vllm")
    else:
        from actors.models.vlm_transformers import TransformersVlm

        yield TransformersVlm(publish(request.param, CHECKPOINTS[request.param]), dtype="float32", batch_size=4)


@pytest.fixture(scope="module")
def answers(vlm) -> list[Answer | Unusable]:
    return vlm.ask(questions())


def test_every_question_gets_an_answer_of_its_shape_in_order(answers):
    assert [type(answer) for answer in answers] == [question.answer for question in questions()]


def test_answers_of_models_fit_the_schema_they_were_offered(vlm, answers):
    import jsonschema

    if isinstance(vlm, RulesVlm):
        pytest.skip("its scores are measured ones, not steps")
    for question, answer in zip(questions(), answers, strict=True):
        jsonschema.validate(answer.model_dump(), json_schema(question))
        assert read_answer(answer.model_dump_json(), question) == answer


def test_one_list_of_categories_per_picture(answers):
    assert len(answers[1].categories) == 2


def test_nothing_asked_nothing_answered(vlm):
    assert vlm.ask([]) == []


def test_answers_depend_on_the_question_alone(vlm, answers):
    order = [5, 3, 0, 4, 1]  # without the caption, which random weights write in thousands of steps
    assert vlm.ask([questions()[number] for number in order]) == [answers[number] for number in order]
    assert [vlm.ask([questions()[number]])[0] for number in order] == [answers[number] for number in order]


def test_questions_are_not_changed(vlm):
    (question,) = asked = questions()[:1]
    before = question.images[0].copy(), dict(question.facts)
    vlm.ask(asked)
    assert (question.images[0] == before[0]).all()
    assert question.facts == before[1]
