"""What the vLLM backend asks of the engine, checked against recorded signatures (tests/models/fake_vllm.py)."""

import json
import sys

import numpy as np
import pytest

from schemas.errors import Broken, UserError
from schemas.questions import CaptionAnswer, CategoriesAnswer, CropAnswer, Question, Unusable
from schemas.reasons import Reason
from tests.models.fake_vllm import RECORDED, Calls, fake_vllm

PICTURE = np.zeros((60, 90, 3), np.uint8)
MODEL = "Qwen/Qwen3-VL-8B-Instruct"


@pytest.fixture(params=sorted(json.loads(RECORDED.read_text("utf-8"))))
def calls(request, monkeypatch) -> Calls:
    asked = Calls()
    for name, module in fake_vllm(request.param, asked).items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "actors.models.vlm_vllm", raising=False)
    yield asked
    sys.modules.pop("actors.models.vlm_vllm", None)


def made(**options):
    from actors.models.vlm_vllm import VllmVlm

    return VllmVlm(MODEL, **options)


def test_the_engine_is_asked_for_what_the_profile_says(calls):
    made(revision="f" * 40, dtype="bfloat16", batch_size=24, gpu_memory_gb=20, max_tokens=8192, max_pixels=512 * 512)
    engine = calls.engine
    assert (engine["model"], engine["revision"], engine["tokenizer_revision"]) == (MODEL, "f" * 40, "f" * 40)
    assert (engine["dtype"], engine["load_format"], engine["trust_remote_code"]) == ("bfloat16", "safetensors", False)
    assert (engine["max_num_seqs"], engine["max_model_len"], engine["gpu_memory_utilization"]) == (24, 8192, 0.25)
    assert engine["enable_prefix_caching"] is True
    assert engine["mm_processor_cache_gb"] == 0  # or only one thread may prepare pictures
    assert engine["structured_outputs_config"] == {"backend": "guidance", "disable_any_whitespace": True}
    assert engine["limit_mm_per_prompt"]["image"] == {"count": 8, "width": 512, "height": 512}
    assert len(calls.chats) == 1  # the warm-up


def test_the_engine_keeps_its_own_share_of_memory_unless_told(calls):
    made()
    assert "gpu_memory_utilization" not in calls.engine
    with pytest.raises(UserError, match=r"the GPU has 80\.0 GiB"):
        made(gpu_memory_gb=81)


def test_every_question_carries_its_own_schema(calls):
    vlm = made(batch_size=2)
    asked = [
        Question(CaptionAnswer, "write", [PICTURE, PICTURE], names=["Image 1", "Output"]),
        *(Question(CropAnswer, str(number), [PICTURE]) for number in range(5)),
        Question(CategoriesAnswer, "name", [PICTURE] * 3),
    ]
    answers = vlm.ask(asked)
    assert [type(answer) for answer in answers] == [question.answer for question in asked]
    chat = calls.chats[1]
    assert chat["chat_template_content_format"] == "openai"
    assert chat["chat_template_kwargs"] == {"add_generation_prompt": True, "enable_thinking": False}
    assert [part.get("text", part["type"]) for part in chat["messages"][1]["content"]] == [
        "Image 1:",
        "image_pil",
        "Output:",
        "image_pil",
        "write",
    ]
    parameters = calls.chats[-1]["sampling_params"]
    assert parameters.temperature == 0.0
    assert parameters.structured_outputs.json["properties"]["categories"]["maxItems"] == 3


def test_a_question_does_not_wait_for_those_of_others(calls):
    vlm = made()
    calls.delays = {"slow": 30.0}
    slow = vlm.submit(Question(CropAnswer, "slow", [PICTURE]))
    assert isinstance(vlm.submit(Question(CropAnswer, "quick", [PICTURE])).result(10), CropAnswer)
    assert not slow.done()


def test_a_dead_engine_ends_its_process_and_blames_no_question(calls):
    vlm = made()
    calls.dead = True
    with pytest.raises(Broken, match="EngineCore"):
        vlm.ask([Question(CropAnswer, "a", [PICTURE])])


def test_an_engine_that_refuses_any_question_is_not_taken_for_one(calls):
    calls.failing = {"Is this picture grey?"}
    with pytest.raises(RuntimeError, match="maximum model length"):
        made()


def test_what_the_engine_refuses_falls_alone(calls):
    vlm = made()
    calls.failing = {"too long"}
    asked = [Question(CropAnswer, text, [PICTURE]) for text in ("a", "too long", "b")]
    asked.append(Question(CropAnswer, "too many", [PICTURE] * 9))
    first, long, last, many = vlm.ask(asked)
    assert isinstance(first, CropAnswer)
    assert isinstance(last, CropAnswer)
    for answer, why in ((long, "maximum model length"), (many, "at most 8")):
        assert isinstance(answer, Unusable)
        assert answer.reason is Reason.MODEL_FAILED
        assert why in answer.message


def test_a_missing_model_is_one_line(calls):
    calls.missing = True
    with pytest.raises(UserError, match=f"model {MODEL} cannot be loaded") as mistake:
        made()
    assert "\n" not in str(mistake.value)


def test_without_vllm_the_profile_says_what_is_missing(monkeypatch):
    from actors.profiles import build_role
    from schemas.config import RoleConfig

    monkeypatch.setitem(sys.modules, "vllm", None)
    monkeypatch.delitem(sys.modules, "actors.models.vlm_vllm", raising=False)
    with pytest.raises(UserError, match="'vllm'"):
        build_role("vlm", RoleConfig(implementation="models.vlm_vllm:VllmVlm", model=MODEL))
