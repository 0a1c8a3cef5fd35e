"""Vision-language models on vLLM's asynchronous engine, for what transformers is too slow for.

Every question goes into the engine as it comes, whoever asks it, so that a worker never waits for the slowest question
of somebody else's batch. Pictures are prepared in several threads, which the engine allows only without its cache of
prepared pictures; its cache of computed prompts needs that one not. Written against vLLM 0.26 and 0.33.

Greedy decoding under the question's JSON schema. vLLM's kernels round differently in batches of different sizes, so a
close call between two words may go the other way (VLLM_BATCH_INVARIANT=1 prevents it, and is slower).
"""

import asyncio
import math
import os
import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
import vllm
from PIL import Image as PillowImage
from vllm.platforms import current_platform
from vllm.renderers import ChatParams
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams
from vllm.v1.engine.exceptions import EngineDeadError

from actors.models.answers import json_schema, max_bytes, read_answer
from actors.models.conversations import conversation
from actors.models.loading import named
from schemas.errors import Broken, UserError
from schemas.questions import Answer, CropAnswer, Question, Unusable
from schemas.reasons import Reason
from schemas.video import Image

MAX_IMAGES = 8  # of a question: a base, references, the output
MAX_RENDERERS = 8  # threads that prepare pictures; more wait for each other
STEP_TOKENS = 16_384  # of prompts per step; with the engine's own 2,048 few answers are under way at once
CHAT = ChatParams(
    chat_template_content_format="openai",  # keeps every name before its picture
    # enable_thinking is passed on where the template knows it.
    chat_template_kwargs={"add_generation_prompt": True, "enable_thinking": False},
)


class VllmVlm:
    """model: hub id or path. dtype: "" takes the checkpoint's own. batch_size: sequences in flight.

    gpu_memory_gb: GiB of the GPU for weights, activations and cache, 0 for nearly all of it. max_tokens: of a prompt
    with its pictures (one per 32x32 pixels) and its answer. max_pixels: larger pictures are scaled down.
    load_format: "dummy" fills the weights at random, to measure speed where the checkpoint is not at hand.
    Raises UserError when the model cannot be loaded or the GPU has less memory than that; Broken when the engine died.
    """

    def __init__(
        self,
        model: str,
        revision: str = "",
        dtype: str = "",
        batch_size: int = 256,
        gpu_memory_gb: float = 0.0,
        max_tokens: int = 16_384,
        max_pixels: int = 1_048_576,
        load_format: str = "safetensors",
    ) -> None:
        self._max_pixels = max_pixels
        side = math.isqrt(max_pixels)
        arguments = vllm.AsyncEngineArgs(
            model=model,
            revision=revision or None,
            tokenizer_revision=revision or None,
            dtype=dtype or "auto",
            load_format=load_format,
            trust_remote_code=False,
            max_model_len=max_tokens,
            max_num_seqs=batch_size,
            max_num_batched_tokens=max(STEP_TOKENS, max_tokens),
            enable_prefix_caching=True,
            mm_processor_cache_gb=0,
            renderer_num_workers=min(MAX_RENDERERS, os.cpu_count() or 1),
            # What memory is set aside for: without this, for videos and for the largest picture the processor takes.
            limit_mm_per_prompt={"image": {"count": MAX_IMAGES, "width": side, "height": side}, "video": 0},
            structured_outputs_config={"backend": "guidance", "disable_any_whitespace": True},
            **_memory(gpu_memory_gb),
        )
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="vllm", daemon=True).start()
        self._engine = named(model, asyncio.run_coroutine_threadsafe(_engine(arguments), self._loop).result)()
        self._warm_up()

    def submit(self, question: Question) -> "Future[Answer | Unusable]":
        """The answer to come. Any thread may ask."""
        chat = conversation(question, _shown, self._max_pixels)
        return asyncio.run_coroutine_threadsafe(self._answered(chat, question), self._loop)

    def ask(self, questions: Sequence[Question]) -> list[Answer | Unusable]:
        """One per question, in order. A question that the model cannot take is Unusable with the reason why."""
        return [answer.result() for answer in [self.submit(question) for question in questions]]

    def close(self) -> None:
        """End the engine's processes."""
        self._loop.call_soon_threadsafe(self._engine.shutdown)

    async def _answered(self, chat: list[dict[str, Any]], question: Question) -> Answer | Unusable:
        try:
            _, (prompt,) = await self._engine.renderer.render_chat_async([chat], CHAT)
            async for output in self._engine.generate(prompt, _sampling(question), uuid.uuid4().hex):
                text = output.outputs[0].text
        except EngineDeadError as dead:
            raise Broken(f"the engine of {type(self).__name__} died: {dead}") from dead
        except Exception as error:  # what the engine thinks of this question; the others go on
            why = f"{type(error).__name__}: {' '.join(str(error).split())}"
            return Unusable(why[:500], Reason.MODEL_FAILED)
        return read_answer(text, question)

    def _warm_up(self) -> None:
        """A question that any model can be asked: an engine that refuses it would refuse every one."""
        grey = Question(CropAnswer, "Is this picture grey?", [np.full((64, 64, 3), 127, np.uint8)])
        (answer,) = self.ask([grey])
        if isinstance(answer, Unusable) and answer.reason is Reason.MODEL_FAILED:
            raise RuntimeError(answer.message)


async def _engine(arguments: Any) -> Any:
    """In the loop that it will answer in."""
    return vllm.AsyncLLMEngine.from_engine_args(arguments)


def _sampling(question: Question) -> Any:
    schema = json_schema(question)
    form = StructuredOutputsParams(json=schema)
    return vllm.SamplingParams(
        temperature=0.0,
        max_tokens=max_bytes(schema) + 1,
        structured_outputs=form,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


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
