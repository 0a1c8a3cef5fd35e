"""Detector: Grounding DINO's architecture, which LLMDet and MM Grounding DINO share."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

from actors.models.batching import all_batched
from actors.models.loading import device, dtype_of, load_model, load_processor
from schemas.subject import Box, Detection
from schemas.video import Footage, Image
from stages import masks

_MAX_OVERLAP = 0.7  # a rider and the horse share more than half of their boxes; two names of one thing nearly all
_MAX_DETECTIONS = 20  # of an anchor
_SEPARATORS = re.compile("[.?]")  # written into the architecture: tokens of different phrases do not see each other


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text the model reads at once: for each of its phrases the positions of its tokens."""

    text: str
    tokens: dict[str, list[int]]


class GroundingDetector:
    """Boxes for phrases, from LLMDet (Fu et al. 2025), MM Grounding DINO (Zhao et al. 2024) or Grounding DINO (Liu et
    al. 2023), by transformers.

    All phrases are asked in one prompt, "dog. red car."; as many as the text length (256 tokens) does not hold go into
    further ones. A box scores, for each phrase, the mean probability of that phrase's tokens, which is how LLMDet and
    MM Grounding DINO are evaluated (mmdet's convert_grounding_to_cls_scores), and it answers its best one. So an answer
    is always one of the given phrases; decoding the tokens above a threshold gives pieces of words.

    min_score: boxes below it are left out. Coordinates are as exact as the dtype: bfloat16 is 8 pixels at 1920.
    """

    reads_phrases = True

    def __init__(self, model: str, revision: str, dtype: str, batch_size: int = 1, min_score: float = 0.3) -> None:
        self._model = load_model(AutoModelForZeroShotObjectDetection, model, revision, dtype)
        self._processor = load_processor(AutoProcessor, model, revision)
        self._dtype, self._batch_size, self._min_score = dtype_of(dtype), batch_size, min_score
        for prompt in self._prompts(["subject"]):
            self._ask(prompt, [np.zeros((64, 64, 3), np.uint8)])

    def detect(self, footage: Footage, phrases: Sequence[str]) -> list[list[Detection]]:
        """Per anchor the boxes that answer a phrase, best first, within the frame. Raises BadInput when an anchor does
        not fit into memory.
        """
        images = [footage.images[anchor] for anchor in footage.anchors]
        found: list[list[Detection]] = [[] for _ in images]
        for prompt in self._prompts(phrases):
            answers = all_batched(partial(self._ask, prompt), images, self._batch_size)
            found = [[*before, *new] for before, new in zip(found, answers, strict=True)]
        return [suppress(each) for each in found]

    def _prompts(self, phrases: Sequence[str]) -> list[Prompt]:
        return prompts(phrases, self._processor.tokenizer, self._model.config.max_text_len)

    @torch.inference_mode()
    def _ask(self, prompt: Prompt, images: list[Image]) -> list[list[Detection]]:
        pixels = self._processor.image_processor(images, return_tensors="pt", device=device())
        words = self._processor.tokenizer([prompt.text] * len(images), return_tensors="pt", **self._cut())
        answered = self._model(
            pixel_values=pixels["pixel_values"].to(device(), self._dtype),
            pixel_mask=pixels["pixel_mask"].to(device()),
            **{name: tokens.to(device()) for name, tokens in words.items()},
        )
        probabilities = answered.logits.float().sigmoid()
        by_phrase = [probabilities[..., tokens].mean(-1) for tokens in prompt.tokens.values()]
        scores, best = (each.cpu().numpy() for each in torch.stack(by_phrase, -1).max(-1))
        boxes = answered.pred_boxes.float().cpu().numpy()
        names = list(prompt.tokens)
        return [
            [
                Detection(box, names[phrase], float(score))
                for centre, phrase, score in zip(boxes[number], best[number], scores[number], strict=True)
                if score >= self._min_score and (box := _corners(centre, image)) is not None
            ]
            for number, image in enumerate(images)
        ]

    def _cut(self) -> dict[str, Any]:
        return {"truncation": True, "max_length": self._model.config.max_text_len}


def prompts(phrases: Sequence[str], tokenizer: Any, max_tokens: int) -> list[Prompt]:
    """As few texts as hold all phrases within `max_tokens` tokens each, in order; phrases without a word are left out.

    Of phrases that read the same the first stands for all. One longer than `max_tokens` is cut off.
    """
    said: dict[str, str] = {}  # as the model reads it -> as it was given
    for phrase in phrases:
        said.setdefault(" ".join(_SEPARATORS.sub(" ", phrase.lower()).split()), phrase)
    groups: list[dict[str, str]] = []
    room = 0
    for words, phrase in said.items():
        length = len(tokenizer(words, add_special_tokens=False)["input_ids"]) + 1  # and the full stop
        if length == 1:
            continue
        if not groups or length > room:
            groups.append({})
            room = max_tokens - 2  # a token for the start, one for the end
        groups[-1][words] = phrase
        room -= length
    return [_prompt(group, tokenizer, max_tokens) for group in groups]


def _prompt(said: dict[str, str], tokenizer: Any, max_tokens: int) -> Prompt:
    text = ". ".join(said) + "."
    spans = tokenizer(text, return_offsets_mapping=True, truncation=True, max_length=max_tokens)["offset_mapping"]
    tokens: dict[str, list[int]] = {}
    start = 0
    for words, phrase in said.items():
        end = start + len(words)
        tokens[phrase] = [number for number, (a, b) in enumerate(spans) if start <= a < b <= end]
        start = end + len(". ")
    return Prompt(text, tokens)


def suppress(detections: Sequence[Detection]) -> list[Detection]:
    """The best detections of any phrase, none on nearly the same box as a better one (greedy suppression)."""
    kept: list[Detection] = []
    for each in sorted(detections, key=lambda each: (-each.score, each.box)):
        if all(masks.box_iou(each.box, other.box) <= _MAX_OVERLAP for other in kept):
            kept.append(each)
    return kept[:_MAX_DETECTIONS]


def _corners(centre: Sequence[float], image: Image) -> Box | None:
    """A box given by centre and size, as shares of the picture, in pixels of it; None when a pixel is not left."""
    height, width = image.shape[:2]
    x, y, wide, high = (float(share) for share in centre)
    x0, x1 = (min(max(side * width, 0.0), float(width)) for side in (x - wide / 2, x + wide / 2))
    y0, y1 = (min(max(side * height, 0.0), float(height)) for side in (y - high / 2, y + high / 2))
    return (x0, y0, x1, y1) if x1 - x0 >= 1 and y1 - y0 >= 1 else None
