"""Vision-language models on vLLM's offline engine, for what transformers is too slow for.

`vllm.LLM` and not the asynchronous engine: a call of `ask` hands over all its questions, between which the engine
batches continuously, and answers when all are there; nothing streams, and whoever gathers the questions of several
workers gathers them before this call. Written against vLLM 0.26 and 0.33.

Greedy decoding under the question's JSON schema. vLLM's kernels round differently in batches of different sizes, so a
close call between two words may go the other way (VLLM_BATCH_INVARIANT=1 prevents it, and is slower).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import vllm
from PIL import Image as PillowImage
from vllm.platforms import current_platform
from vllm.sampling_params import StructuredOutputsParams

from actors.models.answers import json_schema, max_bytes, read_answer
from actors.models.batching import batched
from actors.models.conversations import conversation
from actors.models.loading import named
from schemas.errors import BadInput, UserError
from schemas.questions import Answer, CropAnswer, Question, Unusable
from schemas.video import Image

MAX_IMAGES = 8  # of a question: a base, references, the output


class VllmVlm:
    """model: hub id or path. dtype: "" takes the checkpoint's own. batch_size: sequences in flight.

    gpu_memory_gb: GiB of the GPU for weights, activations and cache, 0 for nearly all of it. max_tokens: of a prompt
    with its pictures (one per 32x32 pixels) and its answer. max_pixels: larger pictures are scaled down.
    load_format: "dummy" fills the weights at random, to measure speed where the checkpoint is not at hand.
    Raises UserError when the model cannot be loaded or the GPU has less memory than that.
    """

    def __init__(
        self,
        model: str,
        revision: str = "",
        dtype: str = "",
        batch_size: int = 64,
        gpu_memory_gb: float = 0.0,
        max_tokens: int = 16_384,
        max_pixels: int = 1_048_576,
        load_format: str = "safetensors",
    ) -> None:
        self._batch_size, self._max_pixels = batch_size, max_pixels
        side = math.isqrt(max_pixels)
        self._engine = named(model, vllm.LLM)(
            model,
            revision=revision or None,
            tokenizer_revision=revision or None,
            dtype=dtype or "auto",
            load_format=load_format,
            trust_remote_code=False,
            max_model_len=max_tokens,
            max_num_seqs=batch_size,
            enable_prefix_caching=True,
            # What memory is set aside for: without this, for videos and for the largest picture the processor takes.
            limit_mm_per_prompt={"image": {"count": MAX_IMAGES, "width": side, "height": side}, "video": 0},
            structured_outputs_config={"backend": "guidance", "disable_any_whitespace": True},
            **_memory(gpu_memory_gb),
        )
        self.ask([Question(CropAnswer, "Is this picture grey?", [np.full((64, 64, 3), 127, np.uint8)])])  # warm-up

    def ask(self, questions: Sequence[Question]) -> list[Answer | Unusable]:
        """One per question, in order. A question that the model cannot take is Unusable with the reason why."""
        # The engine queues what does not fit at once. All in one call: smaller ones would wait for their slowest.
        answers = batched(self._answers, questions, len(questions))
        return [Unusable(each.message, each.reason) if isinstance(each, BadInput) else each for each in answers]

    def _answers(self, questions: list[Question]) -> list[Answer | Unusable]:
        outputs = self._engine.chat(
            [conversation(question, _shown, self._max_pixels) for question in questions],
            [_sampling(question) for question in questions],
            use_tqdm=False,
            chat_template_content_format="openai",  # keeps every name before its picture
            chat_template_kwargs={"enable_thinking": False},  # passed on where the template knows it
        )
        texts = [output.outputs[0].text for output in outputs]
        return [read_answer(text, question) for text, question in zip(texts, questions, strict=True)]


def _sampling(question: Question) -> Any:
    schema = json_schema(question)
    form = StructuredOutputsParams(json=schema)
    return vllm.SamplingParams(temperature=0.0, max_tokens=max_bytes(schema) + 1, structured_outputs=form)


def _memory(gpu_memory_gb: float) -> dict[str, float]:
    """The engine counts in shares of a whole GPU, whatever share of it a scheduler has promised this process."""
    if not gpu_memory_gb:
        return {}
    total_gb = current_platform.get_device_total_memory() / 2**30  # asks the driver; CUDA stays untouched before a fork
    if gpu_memory_gb > total_gb:
        raise UserError(f"gpu_memory_gb is {gpu_memory_gb:g}, but the GPU has {total_gb:.1f} GiB")
    return {"gpu_memory_utilization": gpu_memory_gb / total_gb}


def _shown(image: Image) -> dict[str, Any]:
    return {"type": "image_pil", "image_pil": PillowImage.fromarray(image)}
