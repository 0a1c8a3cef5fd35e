"""A question as the chat in which vision-language models are asked: the form, the named pictures, the prompt."""

import json
import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from actors.models.answers import json_schema
from schemas.questions import Question
from schemas.video import Image

MAX_ASPECT = 100  # Qwen's processors refuse 200

SYSTEM = (
    "You look at pictures and answer with one JSON object, on one line, without any text around it. It fits this JSON "
    "schema: {schema}"
)


def conversation(question: Question, show: Callable[[Image], dict[str, Any]], max_pixels: int) -> list[dict[str, Any]]:
    """Chat messages. show: makes the content part of a picture (RGB uint8, at most `max_pixels`).

    The prompt comes last, and nothing before the pictures depends on it: two questions of one shape about the same
    pictures share all of that, which a prefix cache then computes once.
    """
    names = question.names or [f"Image {number}" for number in range(1, len(question.images) + 1)]
    content: list[dict[str, Any]] = []
    for name, image in zip(names, question.images, strict=True):
        content += [_text(f"{name}:"), show(fitted(image, max_pixels))]
    schema = json.dumps(json_schema(question), separators=(",", ":"))
    return [
        {"role": "system", "content": [_text(SYSTEM.format(schema=schema))]},
        {"role": "user", "content": [*content, _text(question.prompt)]},
    ]


def fitted(image: Image, max_pixels: int) -> Image:
    """The picture scaled down to `max_pixels`, and its edge repeated where it is thinner than 1 to 100."""
    height, width = image.shape[:2]
    thin = math.ceil(max(height, width) / MAX_ASPECT)
    down, across = max(thin - height, 0), max(thin - width, 0)
    if down or across:
        image = cv2.copyMakeBorder(image, 0, down, 0, across, cv2.BORDER_REPLICATE)
        height, width = image.shape[:2]
    scale = math.sqrt(max_pixels / (height * width))
    if scale < 1:
        size = (max(int(width * scale), 1), max(int(height * scale), 1))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image)


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
