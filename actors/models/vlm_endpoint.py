"""Vision-language models behind any OpenAI-compatible endpoint: a server of one's own, or a hosted one.

Needs no accelerator and no torch. The client is httpx2, which the hub's client brings along. What may be asked again,
and for how long, is decided here and not in a client library: an endpoint that is away must not turn into thousands
of rejected rows, nor a question it cannot answer into a run that stops.
"""

import asyncio
import base64
import json
import math
import os
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import cv2
import httpx2
import numpy as np

from actors.models.answers import json_schema, max_bytes, read_answer
from actors.models.conversations import conversation
from schemas.errors import UserError
from schemas.questions import Answer, CropAnswer, Question, Unusable
from schemas.video import Image

JPEG = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
TIMEOUT = httpx2.Timeout(None, connect=10.0)  # what comes after is timed as a whole
MAX_TRIES = 3  # of a question that may itself be what breaks the endpoint
AWAY = frozenset({429, 502, 503, 504})  # said by who stands before the model, which has not seen the question
SETTINGS_ARE_WRONG = frozenset({401, 403, 404, 405})  # the key, the address or the name of the model
MAX_RESPONSE_BYTES = 4 * 2**20  # answers are a few kB; some models think aloud before them
TEMPERATURES = (0.0, 0.7)  # an unusable answer is asked for once more; greedy again would be the same again


class _Failed(Exception):
    """A request that another may follow. is_away: the model has not seen it. pause_seconds: what the endpoint asks."""

    def __init__(self, message: str, is_away: bool = False, pause_seconds: float | None = None) -> None:
        super().__init__(message)
        self.is_away, self.pause_seconds = is_away, pause_seconds


class _Refused(Exception):
    """The endpoint does not take this question."""


class EndpointVlm:
    """model: the name the endpoint knows it by. batch_size: questions in flight at once.

    revision, dtype: never sent; they count in fingerprints, so change `revision` when another model gets the name.
    base_url: such as "http://localhost:8000/v1", by default what OPENAI_BASE_URL says. key_variable: the environment
    variable that holds the key; none is sent when it is "". timeout_seconds: for one request. total_seconds: for one
    call of `ask`, retries and all. max_pixels: larger pictures are scaled down. extra_body: added to every request,
    such as {"chat_template_kwargs": {"enable_thinking": false}} for a model that would think aloud.

    Raises UserError, here or in `ask`, when the endpoint refuses its address, key or model, or has taken no question
    at all until time was up. Here also when it gives no usable answer to one small question.
    """

    def __init__(
        self,
        model: str,
        revision: str = "",
        dtype: str = "",
        batch_size: int = 8,
        base_url: str = "",
        key_variable: str = "",
        timeout_seconds: float = 120.0,
        total_seconds: float = 270.0,  # a unit asks twice, and is shot after 600 s
        max_pixels: int = 1_048_576,
        extra_body: dict[str, Any] | None = None,
    ) -> None:
        self._url = _url(base_url or os.environ.get("OPENAI_BASE_URL", ""))
        self._key = _key(key_variable)
        self._model, self._batch_size, self._max_pixels = model, max(1, batch_size), max_pixels
        self._timeout_seconds, self._total_seconds = timeout_seconds, total_seconds
        self._extra_body = extra_body or {}
        grey = Question(CropAnswer, "Is this picture grey?", [np.full((64, 64, 3), 127, np.uint8)])
        (answer,) = self.ask([grey])
        if isinstance(answer, Unusable):
            raise UserError(f"the endpoint {self._url} does not answer in JSON about a picture: {answer.message}")

    def ask(self, questions: Sequence[Question]) -> list[Answer | Unusable]:
        """One per question, in order. Not to be called from a running event loop."""
        return asyncio.run(self._ask_all(questions)) if questions else []

    async def _ask_all(self, questions: Sequence[Question]) -> list[Answer | Unusable]:
        ends_at = time.monotonic() + self._total_seconds
        gate = asyncio.Semaphore(self._batch_size)
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        async with httpx2.AsyncClient(headers=headers, timeout=TIMEOUT) as client:
            found = await asyncio.gather(*(self._answer(client, gate, each, ends_at) for each in questions))
        for each in found:
            if isinstance(each, UserError):
                raise each
        failures = [each for each in found if isinstance(each, _Failed)]
        if len(failures) == len(found) and all(failed.is_away for failed in failures):
            raise UserError(f"the endpoint {self._url} is away or busy: {failures[0]}")
        return [Unusable(str(each)) if isinstance(each, Exception) else each for each in found]

    async def _answer(
        self, client: httpx2.AsyncClient, gate: asyncio.Semaphore, question: Question, ends_at: float
    ) -> Answer | Unusable | _Failed | UserError:
        body = self._body(question)
        answer: Answer | Unusable = Unusable("not asked")
        for number, temperature in enumerate(TEMPERATURES):
            body |= {"temperature": temperature, "seed": (question.seed + number) % 2**31}
            try:
                text = await self._persist(client, gate, body, ends_at)
            except _Refused as refused:
                return Unusable(str(refused))
            except (_Failed, UserError) as failed:
                return failed
            answer = read_answer(text, question)
            if not isinstance(answer, Unusable):
                break
        return answer

    def _body(self, question: Question) -> dict[str, Any]:
        schema = json_schema(question)
        form = {"name": question.answer.__name__, "strict": True, "schema": schema}
        return {
            "model": self._model,
            "messages": conversation(question, _data_url, self._max_pixels),
            "max_tokens": max_bytes(schema),
            "response_format": {"type": "json_schema", "json_schema": form},
            **self._extra_body,
        }

    async def _persist(
        self, client: httpx2.AsyncClient, gate: asyncio.Semaphore, body: dict[str, Any], ends_at: float
    ) -> str:
        """The text of the answer. Raises _Failed once time, or MAX_TRIES at what the model has seen, is up."""
        pause, num_tries, before = FIRST_PAUSE_SECONDS, 0, None
        while True:
            try:
                async with gate:
                    return await self._once(client, body, ends_at)
            except _Failed as failed:
                if before is not None and time.monotonic() >= ends_at:
                    raise before from None  # this one was cut short, and says less
                before, num_tries = failed, num_tries + (not failed.is_away)
                jittered = pause * random.uniform(0.75, 1.25)  # not all at once again
                wait = max(jittered, failed.pause_seconds or 0.0)
                if num_tries == MAX_TRIES or time.monotonic() + wait >= ends_at:
                    raise
            await asyncio.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _once(self, client: httpx2.AsyncClient, body: dict[str, Any], ends_at: float) -> str:
        left = ends_at - time.monotonic()
        if left <= 0:
            raise _Failed(f"no answer within {self._total_seconds:g} s", is_away=True)
        seconds = min(self._timeout_seconds, left)
        try:
            async with asyncio.timeout(seconds):
                async with client.stream("POST", self._url, json=body) as response:
                    content = await _read(response)
        except TimeoutError:
            raise _Failed(f"no answer within {seconds:.3g} s") from None
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:
            raise _Failed(self._safe(f"no connection: {error}"), is_away=True) from None
        except httpx2.TransportError as error:
            raise _Failed(self._safe(f"{type(error).__name__}: {error}")) from None
        except httpx2.RequestError as error:  # such as a body that is not encoded as its header says
            raise _Refused(self._safe(f"{type(error).__name__}: {error}")) from None
        self._check(response, content)
        return _text_of(content)

    def _check(self, response: httpx2.Response, content: bytes) -> None:
        status = response.status_code
        if response.is_success:
            return
        said = self._safe(f"status {status}: {content.decode('utf-8', 'replace')}")
        if status in SETTINGS_ARE_WRONG or response.is_redirect:
            raise UserError(f"the endpoint {self._url} refuses model {self._model!r}: {said}")
        if status == 429 or response.is_server_error:
            raise _Failed(said, status in AWAY, _pause(response.headers.get("Retry-After", "")))
        raise _Refused(said)

    def _safe(self, text: str) -> str:
        """One line for people, without the key: endpoints like to repeat it."""
        hidden = text.replace(self._key, "[key]") if self._key else text
        return " ".join(hidden.split())[:200]


def _url(base_url: str) -> str:
    try:
        url = httpx2.URL(base_url)
    except httpx2.InvalidURL:
        url = httpx2.URL()
    # No user, password or query: what is in the address gets into messages.
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query:
        example = 'base_url = "http://localhost:8000/v1"'
        raise UserError(f"the endpoint of role vlm needs its plain address: {example}, or OPENAI_BASE_URL")
    return f"{str(url).rstrip('/')}/chat/completions"


def _key(variable: str) -> str:
    key = os.environ.get(variable, "").strip() if variable else ""
    if variable and not (key and key.isascii() and key.isprintable()):
        raise UserError(f"the environment variable {variable} holds no key for the endpoint")
    return key


def _data_url(image: Image) -> dict[str, Any]:
    """JPEG, at a quality and without the colour subsampling that would add artefacts to judge."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), JPEG)
    url = f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode('ascii')}"
    return {"type": "image_url", "image_url": {"url": url}}


async def _read(response: httpx2.Response) -> bytes:
    """The body, unpacked as it comes. Raises _Refused for one that does not end."""
    content = bytearray()
    async for part in response.aiter_bytes():
        content += part
        if len(content) > MAX_RESPONSE_BYTES:
            raise _Refused(f"status {response.status_code} and more than {MAX_RESPONSE_BYTES} bytes")
    return bytes(content)


def _text_of(content: bytes) -> str:
    """What the model wrote; "" when the response is no completion, which is no JSON either."""
    try:
        text = json.loads(content)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return text if isinstance(text, str) else ""


def _pause(retry_after: str) -> float | None:
    """Seconds, from a number of them or a date; None when the header says neither."""
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
