"""The endpoint backend against a real server on the loopback interface, that fails in every way one can."""

import base64
import json
import logging
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import cv2
import numpy as np
import pytest
from synthetic_endpoint import closing, cutting, dripping, endless, hanging, raw, saying, serving, status

from actors.models import vlm_endpoint
from actors.models.vlm_endpoint import EndpointVlm
from schemas.errors import UserError
from schemas.questions import CaptionAnswer, CategoriesAnswer, CropAnswer, Question, Unusable, VerdictAnswer
from schemas.reasons import Reason

KEY = "sk-very-secret-0123456789"
PICTURE = np.zeros((40, 60, 3), np.uint8)
QUESTION = Question(CropAnswer, "Is it a dog?", [PICTURE], seed=2**63 + 5)
GOOD = '{"shows":false,"score":0.25}'


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    monkeypatch.setattr(vlm_endpoint, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("RECAST_TEST_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture
def endpoint():
    with serving() as served:
        yield served


def made(endpoint, timeout_seconds=5.0, total_seconds=10.0, **options) -> EndpointVlm:
    """Impatient only once it is made."""
    vlm = EndpointVlm("a-model", base_url=endpoint.base_url, **options)
    vlm._timeout_seconds, vlm._total_seconds = timeout_seconds, total_seconds
    endpoint.requests.clear()
    return vlm


def one(vlm: EndpointVlm, question: Question = QUESTION):
    (answer,) = vlm.ask([question])
    return answer


def test_what_is_sent(endpoint):
    vlm = made(
        endpoint, key_variable="RECAST_TEST_KEY", extra_body={"chat_template_kwargs": {"enable_thinking": False}}
    )
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[..., 0] = 250  # red
    question = Question(CategoriesAnswer, "Name them.", [picture, PICTURE], seed=7, names=["Image 1", "Output"])
    assert one(vlm, question) == CategoriesAnswer(categories=[[], []])
    (request,) = endpoint.requests
    assert request["path"] == "/v1/chat/completions"
    assert request["headers"]["Authorization"] == f"Bearer {KEY}"
    assert (request["model"], request["temperature"], request["seed"]) == ("a-model", 0.0, 7)
    assert request["chat_template_kwargs"] == {"enable_thinking": False}
    assert request["response_format"]["json_schema"]["strict"] is True
    assert request["response_format"]["json_schema"]["schema"]["properties"]["categories"]["minItems"] == 2
    system, user = request["messages"]
    assert "JSON" in system["content"][0]["text"]
    kinds = [part["text"] if part["type"] == "text" else part["type"] for part in user["content"]]
    assert kinds == ["Image 1:", "image_url", "Output:", "image_url", "Name them."]
    url = user["content"][1]["image_url"]["url"]
    assert url.startswith("data:image/jpeg;base64,")
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (40, 60, 3)
    assert np.abs(shown[..., ::-1].astype(int) - picture).max() <= 3


def test_large_and_thin_pictures_are_fitted(endpoint):
    vlm = made(endpoint, max_pixels=10_000)
    for shape in ((400, 300, 3), (1, 5000, 3), (97, 61, 3)):
        one(vlm, Question(CropAnswer, "?", [np.zeros(shape, np.uint8)]))
        url = endpoint.requests[-1]["messages"][1]["content"][1]["image_url"]["url"]
        shown = cv2.imdecode(np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)
        assert shown.shape[0] * shown.shape[1] <= 10_000
        assert max(shown.shape) <= 110 * min(shown.shape[:2])
    assert shown.shape == (97, 61, 3)


def test_answers_come_in_order_and_no_more_in_flight_than_asked(endpoint):
    vlm = made(endpoint, batch_size=3)

    def reply(handler, body):
        number = int(body["messages"][1]["content"][-1]["text"])
        time.sleep(0.02 * (number % 3))
        saying(json.dumps({"shows": True, "score": number / 20}))(handler, body)

    endpoint.otherwise = reply
    answers = vlm.ask([Question(CropAnswer, str(number)) for number in range(12)])
    assert [answer.score for answer in answers] == [number / 20 for number in range(12)]
    assert 2 <= endpoint.most_in_flight <= 3
    assert vlm.ask([]) == []


@pytest.mark.parametrize(
    "fault",
    [status(429), status(500), status(503), closing, cutting, hanging(1.5)],
    ids=lambda fault: fault.__qualname__,
)
def test_what_passes_is_tried_again(endpoint, fault):
    vlm = made(endpoint, timeout_seconds=0.6)
    endpoint.script = [fault, fault, saying(GOOD)]
    assert one(vlm) == CropAnswer(shows=False, score=0.25)
    assert len(endpoint.requests) == 3


@pytest.mark.parametrize("fault", [status(500, "boom"), closing, cutting, hanging(1.0), dripping(1.0)])
def test_a_question_that_breaks_the_endpoint_is_given_up_soon(endpoint, fault):
    vlm = made(endpoint, timeout_seconds=0.2)
    endpoint.otherwise = fault
    answer = one(vlm)
    assert isinstance(answer, Unusable)
    assert answer.reason is Reason.VLM_UNUSABLE
    assert len(endpoint.requests) == vlm_endpoint.MAX_TRIES


@pytest.mark.parametrize("code", [400, 413, 422])
def test_what_the_endpoint_does_not_take_is_asked_once(endpoint, code):
    vlm = made(endpoint)
    endpoint.otherwise = status(code, "the picture is too large")
    assert "too large" in one(vlm).message
    assert len(endpoint.requests) == 1


def test_an_answer_that_does_not_end_is_not_read_to_its_end(endpoint):
    vlm = made(endpoint)
    endpoint.otherwise = endless
    assert "bytes" in one(vlm).message
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize("code", [401, 403, 404, 308])
def test_wrong_settings_stop_the_run_with_one_line(endpoint, code):
    vlm = made(endpoint, key_variable="RECAST_TEST_KEY")
    endpoint.otherwise = status(code, f"wrong key {KEY}\nor model")
    with pytest.raises(UserError, match=rf"status {code}") as refused:
        vlm.ask([QUESTION] * 3)
    assert KEY not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_key_is_in_no_message_and_no_log(endpoint, caplog):
    caplog.set_level(logging.DEBUG)
    vlm = made(endpoint, key_variable="RECAST_TEST_KEY")
    endpoint.script = [status(400, f"bad key {KEY}"), status(500, KEY), status(500, KEY), status(500, KEY)]
    assert "[key]" in one(vlm).message
    assert "[key]" in one(vlm).message
    assert KEY not in caplog.text
    assert KEY not in repr(vlm)


@pytest.mark.parametrize(
    ("header", "least"), [("0.4", 0.4), ("a date", 0.9), ("soon", 0.0), ("-3", 0.0), ("nan", 0.0), ("inf", 0.0)]
)
def test_the_pause_that_is_asked_for_is_kept(endpoint, header, least):
    vlm = made(endpoint)
    if header == "a date":  # full seconds
        header = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    endpoint.script = [status(429, Retry_After=header), saying(GOOD)]
    assert one(vlm) == CropAnswer(shows=False, score=0.25)
    first, second = endpoint.requests
    assert least <= second["at"] - first["at"] < least + 5


@pytest.mark.parametrize("fault", [status(429), status(429, Retry_After="3600"), status(503), status(502)])
def test_an_endpoint_that_stays_busy_stops_the_run_within_its_time(endpoint, fault):
    vlm = made(endpoint, total_seconds=2.0)
    endpoint.otherwise = fault
    began = time.monotonic()
    with pytest.raises(UserError, match="away or busy"):
        vlm.ask([QUESTION] * 4)
    assert time.monotonic() - began < 8


def test_being_cut_short_after_being_sent_away_is_being_away(endpoint):
    vlm = made(endpoint, total_seconds=2.0)
    endpoint.script = [status(503)]
    endpoint.otherwise = hanging(4.0)
    with pytest.raises(UserError, match="status 503"):
        vlm.ask([QUESTION])


def test_one_question_that_got_through_keeps_the_run_going(endpoint):
    vlm = made(endpoint, total_seconds=2.0, batch_size=1)
    endpoint.script = [saying(GOOD)]
    endpoint.otherwise = status(429)
    first, second = vlm.ask([QUESTION, QUESTION])
    assert first == CropAnswer(shows=False, score=0.25)
    assert second.reason is Reason.VLM_UNUSABLE


def test_the_time_of_a_call_is_bounded_whatever_the_number_of_questions(endpoint):
    vlm = made(endpoint, timeout_seconds=0.5, total_seconds=1.0, batch_size=2)
    endpoint.otherwise = hanging(1.0)
    began = time.monotonic()
    answers = vlm.ask([QUESTION] * 10)
    assert time.monotonic() - began < 5
    assert all(isinstance(answer, Unusable) for answer in answers)


def test_an_endpoint_that_is_not_there_stops_the_run():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(UserError, match="no connection"):
        EndpointVlm("m", base_url=f"http://127.0.0.1:{port}/v1", total_seconds=0.3)


LIES = {
    "prose": "It is a dog.",
    "another shape": '{"answer":"yes"}',
    "out of range": '{"shows":true,"score":7}',
    "fenced": f"```json\n{GOOD}\n```",
    "cut off": GOOD[:-6],
    "empty": "",
    "null": None,
    "a list": [{"type": "text", "text": GOOD}],
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_a_lie_about_the_schema_is_asked_once_more_and_then_unusable(endpoint, lie):
    vlm = made(endpoint)
    endpoint.script = [saying(lie), saying(GOOD)]
    assert one(vlm) == CropAnswer(shows=False, score=0.25)
    first, second = endpoint.requests
    assert (first["temperature"], second["temperature"]) == (0.0, 0.7)
    assert second["seed"] == first["seed"] + 1
    endpoint.otherwise = saying(lie, finish="length")
    endpoint.requests.clear()
    answer = one(vlm)
    assert isinstance(answer, Unusable)
    assert answer.reason is Reason.VLM_UNUSABLE
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>welcome</html>",
        b"[]",
        b"{}",
        b'{"choices":[]}',
        b'{"choices":[{"message":null}]}',
        b"\xff\xfe",
        b"[" * 99999,
    ],
)
def test_a_response_that_is_no_completion_is_unusable(endpoint, data):
    vlm = made(endpoint)
    endpoint.otherwise = lambda handler, body: raw(handler, data)
    assert isinstance(one(vlm), Unusable)


def test_an_endpoint_that_cannot_answer_in_json_is_found_out_at_once(endpoint):
    endpoint.otherwise = saying("A grey picture, certainly.")
    with pytest.raises(UserError, match="does not answer in JSON"):
        EndpointVlm("m", base_url=endpoint.base_url)
    endpoint.otherwise = status(400, "response_format is not supported")
    with pytest.raises(UserError, match="response_format is not supported"):
        EndpointVlm("m", base_url=endpoint.base_url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000",
        "ftp://host/v1",
        "http://",
        "http://user:pass@host",
        "http://host/v1?key=secret",
        "http://[::1",
    ],
)
def test_an_address_that_is_none_is_the_users_mistake(url):
    with pytest.raises(UserError, match="plain address") as mistake:
        EndpointVlm("m", base_url=url)
    assert "pass" not in str(mistake.value)
    assert "secret" not in str(mistake.value)


@pytest.mark.parametrize("value", ["", "  ", "two\nlines", "schlüssel"])
def test_a_key_that_is_none_is_the_users_mistake(monkeypatch, value):
    monkeypatch.setenv("RECAST_TEST_KEY", value)
    with pytest.raises(UserError, match="RECAST_TEST_KEY"):
        EndpointVlm("m", base_url="http://localhost:1/v1", key_variable="RECAST_TEST_KEY")


def test_the_address_may_come_from_the_environment(endpoint, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.base_url + "/")
    assert isinstance(one(EndpointVlm("m")), CropAnswer)


def test_every_kind_of_question(endpoint):
    vlm = made(endpoint)
    kinds = (CategoriesAnswer, CropAnswer, VerdictAnswer, CaptionAnswer)
    answers = vlm.ask([Question(kind, "?", [PICTURE] * 2) for kind in kinds])
    assert [type(answer) for answer in answers] == list(kinds)
