"""Vision-language models of transformers: Qwen3-VL, Qwen2.5-VL, Qwen3.5, and others that chat about several images.

Greedy decoding under the question's JSON schema (llguidance), so even a model that understands nothing answers in the
asked shape. The seed of a question therefore changes nothing.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image as PillowImage
from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig, StoppingCriteriaList

from actors.models.answers import json_schema, max_bytes, read_answer
from actors.models.batching import batched
from actors.models.conversations import conversation
from actors.models.grammar import Constrained, grammar_tokens
from actors.models.loading import load_model, load_processor
from schemas.errors import BadInput, UserError
from schemas.questions import Answer, CropAnswer, Question, Unusable
from schemas.video import Image


class TransformersVlm:
    """model: hub id or path of a checkpoint for AutoModelForImageTextToText. dtype: "bfloat16" on a GPU.

    batch_size: questions per forward pass. max_pixels: larger pictures are scaled down (a token covers 32x32 pixels).
    Raises UserError when the model cannot be loaded or has no chat template.
    """

    def __init__(
        self, model: str, revision: str = "", dtype: str = "", batch_size: int = 1, max_pixels: int = 1_048_576
    ) -> None:
        self._batch_size, self._max_pixels = batch_size, max_pixels
        self._processor = load_processor(AutoProcessor, model, revision)
        if not isinstance(self._processor.chat_template, str):
            raise UserError(f"model {model} has no chat template: it is no model to ask questions")
        self._processor.tokenizer.padding_side = "left"  # answers begin right after the prompt
        self._model = load_model(AutoModelForImageTextToText, model, revision, dtype)
        self._ends = _ends(self._model.generation_config, self._processor.tokenizer)
        # What a checkpoint proposes (sampling, penalties that count padding) would make answers depend on the batch.
        self._model.generation_config = GenerationConfig(
            do_sample=False, eos_token_id=self._ends, pad_token_id=self._processor.tokenizer.pad_token_id
        )
        num_tokens = self._model.config.get_text_config().vocab_size
        self._grammar_tokens = grammar_tokens(self._processor.tokenizer, num_tokens, self._ends[0])
        self.ask([Question(CropAnswer, "Is this picture grey?", [np.full((64, 64, 3), 127, np.uint8)])])  # warm-up

    def ask(self, questions: Sequence[Question]) -> list[Answer | Unusable]:
        """One per question, in order. A question that the model cannot take is Unusable with the reason why."""
        answers = batched(self._answers, questions, self._batch_size)
        return [Unusable(each.message, each.reason) if isinstance(each, BadInput) else each for each in answers]

    @torch.inference_mode()
    def _answers(self, questions: list[Question]) -> list[Answer | Unusable]:
        inputs = self._inputs(questions).to(self._model.device)
        schemas = [json_schema(question) for question in questions]
        constrained = Constrained(self._grammar_tokens, schemas)
        written = self._model.generate(
            **inputs,
            max_new_tokens=max(map(max_bytes, schemas)) + 1,
            logits_processor=[constrained],
            stopping_criteria=StoppingCriteriaList([constrained.read]),
        )
        texts = self._processor.batch_decode(written[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return [read_answer(text, question) for text, question in zip(texts, questions, strict=True)]

    def _inputs(self, questions: list[Question]) -> Any:
        chats = [conversation(question, _shown, self._max_pixels) for question in questions]
        # Only where the template knows it: elsewhere it would be taken for an option of the processor.
        quiet = {"enable_thinking": False} if "enable_thinking" in self._processor.chat_template else {}
        texts = [self._processor.apply_chat_template(chat, add_generation_prompt=True, **quiet) for chat in chats]
        pictures = [part["image"] for chat in chats for part in chat[1]["content"] if part["type"] == "image"]
        return self._processor(text=texts, images=pictures or None, padding=True, return_tensors="pt")


def _shown(image: Image) -> dict[str, Any]:
    return {"type": "image", "image": PillowImage.fromarray(image)}


def _ends(generation: Any, tokenizer: Any) -> list[int]:
    """Token ids that end an answer, the one to write first."""
    found = generation.eos_token_id if generation.eos_token_id is not None else tokenizer.eos_token_id
    return [int(end) for end in found] if isinstance(found, list) else [int(found)]
