"""What is particular to the transformers backend: constrained decoding, chat templates, padding, memory."""

import json
import shutil
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import jsonschema
import llguidance
import llguidance.hf
import numpy as np
import pytest
import torch

from actors.models.answers import json_schema, max_bytes, read_answer
from actors.models.grammar import COMPACT, SLICES, Constrained, grammar_tokens
from actors.models.vlm_transformers import TransformersVlm
from actors.profiles import build_role
from schemas.config import RoleConfig
from schemas.errors import UserError
from schemas.questions import CaptionAnswer, CategoriesAnswer, ClipAnswer, CropAnswer, Question, Unusable, VerdictAnswer
from schemas.reasons import Reason
from tests.models.checkpoints import qwen3_vl, qwen35
from tests.models.hub import CACHE, publish
from tests.models.tokenizers import qwen_tokenizer

PICTURE = np.zeros((64, 64, 3), np.uint8)
KINDS = (CategoriesAnswer, CropAnswer, VerdictAnswer, CaptionAnswer)
MODEL, THINKER = "Qwen/Qwen3-VL-8B-Instruct", "Qwen/Qwen3.5-0.8B"
PINNED = "0c351dd01ed87e9c1b53cbc748cba10e6187ff3b"


@pytest.fixture(scope="module")
def vlm() -> TransformersVlm:
    return TransformersVlm(publish(MODEL, qwen3_vl.build), dtype="float32", batch_size=4)


@pytest.fixture(scope="module")
def tokenizer():
    return qwen_tokenizer()


def write(tokenizer, questions: list[Question], seed: int, closing: float) -> list[str]:
    """What a model with random scores writes under the schemas; `closing`: how much it likes to end a text."""
    generator = torch.Generator().manual_seed(seed)
    tokens = grammar_tokens(tokenizer, len(tokenizer) + 8, tokenizer.eos_token_id)
    schemas = [json_schema(question) for question in questions]
    processor = Constrained(tokens, schemas)
    written = torch.full((len(questions), 1), 5)  # a prompt
    for _ in range(max(map(max_bytes, schemas)) + 1):
        scores = torch.randn(len(questions), len(tokenizer) + 8, generator=generator)  # a padded vocabulary
        scores[:, tokenizer.convert_tokens_to_ids('"')] += closing
        written = torch.cat([written, processor(written, scores).argmax(dim=1, keepdim=True)], dim=1)
        processor.read(written, scores)
        if (written[:, -1] == tokenizer.eos_token_id).all():
            break
    assert (written[:, -1] == tokenizer.eos_token_id).all(), "the longest answer is longer than its bound"
    return tokenizer.batch_decode(written[:, 1:], skip_special_tokens=True)


@pytest.mark.parametrize("closing", [0.0, 3.0, -20.0], ids=["any length", "short", "as long as can be"])
def test_random_scores_write_nothing_but_answers(tokenizer, closing):
    for seed in range(2 if closing else 6):
        questions = [Question(kind, "?", [PICTURE] * (seed + 1)) for kind in KINDS]
        for question, text in zip(questions, write(tokenizer, questions, seed, closing), strict=True):
            answer = read_answer(text, question)
            assert isinstance(answer, question.answer), (text, answer)
            jsonschema.validate(json.loads(text), json_schema(question))
            assert len(text.encode()) <= max_bytes(json_schema(question))
            if closing < 0 and isinstance(answer, CaptionAnswer):
                assert (len(answer.short), len(answer.long), len(answer.instruction)) == (160, 800, 400)


@pytest.mark.parametrize(
    "text", ["画面左侧有一只“红色”的狗，正在奔跑。", 'A man\'s dog — 3/4 view (blurred), "Rex".', "é\\ü"]
)
def test_what_people_write_is_allowed(tokenizer, text):
    """The schema must not forbid what a good answer says, in any language."""
    tokens = grammar_tokens(tokenizer, len(tokenizer), tokenizer.eos_token_id)
    schema = json_schema(Question(CaptionAnswer, "?"))
    wanted = json.dumps({"short": text, "long": text, "instruction": text}, ensure_ascii=False, separators=(",", ":"))
    processor = Constrained(tokens, [schema])
    ids = [5, *tokenizer.encode(wanted, add_special_tokens=False), tokenizer.eos_token_id]
    for position in range(1, len(ids)):
        if position > 1:
            processor.read(torch.tensor([ids[:position]]), None)
        scores = processor(torch.tensor([ids[:position]]), torch.zeros(1, tokens.vocab_size))
        assert scores[0, ids[position]] == 0, tokenizer.decode(ids[1:position])
    assert torch.isinf(scores[0]).sum() == tokens.vocab_size - 1, "after the end nothing but the end"


def test_categories_hold_no_punctuation_that_detectors_split_at(tokenizer):
    questions = [Question(CategoriesAnswer, "?", [PICTURE] * 3)]
    for seed in range(4):
        (text,) = write(tokenizer, questions, seed, closing=2.0)
        assert not set(".,;:") & set("".join(word for words in json.loads(text)["categories"] for word in words))


def test_slices_change_no_mask(tokenizer):
    """Against llguidance's own, which knows nothing of our texts, at every step of answers of every kind."""
    end, size = tokenizer.eos_token_id, len(tokenizer)
    plain = llguidance.hf.from_tokenizer(tokenizer, n_vocab=size, eos_token=end)
    questions = [Question(kind, "?", [PICTURE]) for kind in (*KINDS, ClipAnswer)]
    schemas = [json_schema(question) for question in questions]
    ours = Constrained(grammar_tokens(tokenizer, size, end), schemas)
    grammars = [llguidance.LLMatcher.grammar_from_json_schema(each, defaults=COMPACT) for each in schemas]
    theirs = [llguidance.LLMatcher(plain, grammar) for grammar in grammars]
    expected = llguidance.torch.allocate_token_bitmask(len(schemas), size)
    generator = torch.Generator().manual_seed(0)
    for _ in range(150):
        scores = ours(None, torch.randn(len(schemas), size, generator=generator))
        for row, matcher in enumerate(theirs):
            llguidance.torch.fill_next_token_bitmask(matcher, expected, row)
        bits = (expected.unsqueeze(-1) >> torch.arange(32)) & 1
        assert torch.equal(scores.isfinite(), bits.flatten(1)[:, :size] == 1)
        chosen = scores.argmax(dim=1)
        for matcher, token in zip(theirs, chosen.tolist(), strict=True):
            if not matcher.is_stopped():
                matcher.consume_token(token)
        ours.read(chosen[:, None], scores)


def test_vllm_slices_the_vocabulary_as_we_do(tokenizer, monkeypatch):
    """Its backend calls `llguidance.hf.from_tokenizer(tokenizer, size)`, after it has called its plugins."""
    asked = []
    monkeypatch.setattr(llguidance.hf, "from_tokenizer", lambda *given, **named: asked.append((given, named)))
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    plugin = EntryPoint("recast", project["entry-points"]["vllm.general_plugins"]["recast"], "vllm.general_plugins")
    for _ in range(2):
        plugin.load()()
    llguidance.hf.from_tokenizer(tokenizer, 512)
    assert asked == [((tokenizer, 512), {"slices": SLICES})]


def test_a_schema_that_is_no_grammar_is_a_bug(tokenizer):
    tokens = grammar_tokens(tokenizer, len(tokenizer), tokenizer.eos_token_id)
    with pytest.raises(ValueError, match="grammar"):
        Constrained(tokens, [{"type": "string", "pattern": "("}])


def prompt_of(vlm: TransformersVlm, question: Question) -> str:
    return vlm._processor.tokenizer.decode(vlm._inputs([question])["input_ids"][0])


def test_pictures_come_after_their_names_and_the_prompt_last(vlm):
    text = prompt_of(vlm, Question(CropAnswer, "Is it a dog?", [PICTURE] * 2, names=["Image 1", "Output"]))
    shown = "<|vision_start|>" + "<|image_pad|>" * 4 + "<|vision_end|>"
    assert f"<|im_start|>user\nImage 1:{shown}Output:{shown}Is it a dog?<|im_end|>" in text
    assert text.endswith("<|im_start|>assistant\n")
    assert '{"additionalProperties":false' in text.split("<|im_start|>user")[0]


def test_pictures_are_scaled_down_to_what_is_asked_for(vlm):
    large = Question(CropAnswer, "?", [np.zeros((900, 1600, 3), np.uint8)])
    (few,) = TransformersVlm(MODEL, dtype="float32", max_pixels=16_000)._inputs([large])["image_grid_thw"]
    assert few.prod() * 16 * 16 <= 20_000


def test_thinking_is_off_where_the_template_knows_it(caplog):
    thinker = TransformersVlm(publish(THINKER, qwen35.build), dtype="float32")
    assert prompt_of(thinker, Question(CropAnswer, "?")).endswith("<think>\n\n</think>\n\n")
    assert "processor_kwargs" not in caplog.text


def test_what_a_checkpoint_proposes_for_chatting_is_left_out(vlm):
    settings = vlm._model.generation_config
    ends = [vlm._processor.tokenizer.convert_tokens_to_ids(end) for end in ("<|im_end|>", "<|endoftext|>")]
    assert settings.do_sample is False
    assert settings.repetition_penalty in (None, 1.0)
    assert settings.eos_token_id == ends


def test_out_of_memory_halves_the_batch(vlm, monkeypatch):
    sizes, generate = [], type(vlm._model).generate

    def crowded(self, **inputs):
        sizes.append(len(inputs["input_ids"]))
        if len(inputs["input_ids"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return generate(self, **inputs)

    questions = [Question(CropAnswer, str(number), [PICTURE]) for number in range(6)]
    expected = vlm.ask(questions)
    monkeypatch.setattr(type(vlm._model), "generate", crowded)
    assert vlm.ask(questions) == expected
    assert sizes == [4, 2, 2, 2]


def test_a_question_the_model_cannot_take_falls_alone(vlm):
    """A text that looks like a picture to the tokenizer leaves more places for pictures than there are pictures."""
    questions = [Question(CropAnswer, text, [PICTURE]) for text in ("a", "<|image_pad|>", "b")]
    first, poisoned, last = vlm.ask(questions)
    assert isinstance(poisoned, Unusable)
    assert poisoned.reason is Reason.MODEL_FAILED
    assert [first, last] == vlm.ask([questions[0], questions[2]])


def test_what_a_profile_would_say_builds_it():
    publish("Qwen/Qwen3-VL-4B-Instruct", qwen3_vl.build, PINNED)
    role = RoleConfig(
        implementation="models.vlm_transformers:TransformersVlm",
        model="Qwen/Qwen3-VL-4B-Instruct",
        revision=PINNED,
        dtype="bfloat16",
        batch_size=2,
        options={"max_pixels": 262_144},
    )
    vlm = build_role("vlm", role)
    assert vlm._model.dtype == torch.bfloat16
    assert isinstance(vlm.ask([Question(CropAnswer, "?", [PICTURE])])[0], CropAnswer)


@pytest.mark.parametrize(("model", "revision"), [("Qwen/No-Such-VL", ""), (MODEL, "f" * 40)])
def test_a_missing_model_is_one_line(model, revision):
    with pytest.raises(UserError, match=f"model {model} cannot be loaded") as mistake:
        TransformersVlm(model, revision)
    assert "\n" not in str(mistake.value)


def test_a_model_that_cannot_chat_is_the_users_mistake(tmp_path):
    folder = tmp_path / "mute"
    shutil.copytree(CACHE / f"models--{MODEL.replace('/', '--')}" / "snapshots" / ("0" * 39 + "1"), folder)
    for template in folder.glob("chat_template*"):
        template.unlink()
    settings = folder / "tokenizer_config.json"
    settings.write_text(json.dumps({k: v for k, v in json.loads(settings.read_text()).items() if k != "chat_template"}))
    with pytest.raises(UserError, match="no chat template"):
        TransformersVlm(str(folder))
