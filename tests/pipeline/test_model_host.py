"""The host of a model, without Ray: what is merged, what is split, and who pays for an error."""

import json
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from pipeline import model_host
from pipeline.model_host import ModelHost
from pipeline.packing import pack, unpack
from pipeline.suspects import Suspects
from schemas.config import EngineConfig, RoleConfig
from schemas.errors import BadInput, Broken, UserError
from schemas.reasons import Reason

pytestmark = pytest.mark.usefixtures("own_temporary_folder")


class Model:
    """Answers once the gate is open; notes what it was called with."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.calls: list[list[int]] = []
        self.threads: set[int] = set()

    def ask(self, items):
        self.threads.add(threading.get_ident())
        self.calls.append(list(items))
        self.gate.wait(10)
        if "poison" in items:
            raise ArithmeticError("thirteen")
        if "bad" in items:
            raise BadInput(Reason.BLURRED, "too blurred")
        return [f"answer to {item}" for item in items]

    def embed(self, items):
        self.calls.append(items)
        self.gate.wait(10)
        return np.asarray(items, np.float32).reshape(-1, 2)

    def nearness(self, images, masks):
        self.calls.append([images, masks])
        return images


@pytest.fixture
def own_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(model_host.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(model_host, "die_with_parent", lambda: None)


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def start(model, monkeypatch):
    def begin(role_name="vlm", batch_size=100, build=lambda *_: model):
        monkeypatch.setattr(model_host, "build_role", build)
        role = RoleConfig(implementation="a:B", model="hub/id", batch_size=batch_size)
        return ModelHost("host", role_name, role, EngineConfig(), True, 1, "run")

    return begin


def ask(host, *arguments, call_id="x"):
    return unpack(host.call(call_id, pack(arguments)))


def at_once(host, model, *calls):
    """The answers, or errors, of calls that all wait while the first one is served."""

    def tried(number, arguments):
        try:
            return ask(host, *arguments, call_id=str(number))
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(calls)) as callers:
        first = callers.submit(tried, 0, calls[0])
        while not model.calls:
            time.sleep(0.01)
        rest = []
        for number, arguments in enumerate(calls[1:], 1):
            rest.append(callers.submit(tried, number, arguments))
            while len(host._waiting) < number:
                time.sleep(0.01)
        model.gate.set()
        return [first.result(), *(each.result() for each in rest)]


def test_calls_that_wait_together_are_one_batch_and_split_again(start, model):
    host = start()
    answers = at_once(host, model, (["a"],), (["b", "c"],), ([],), (["d"],))
    assert answers == [["answer to a"], ["answer to b", "answer to c"], [], ["answer to d"]]
    assert model.calls == [["a"], ["b", "c", "d"]]
    assert len(model.threads) == 1


def test_a_batch_is_no_larger_than_it_must_be_to_be_full(start, model):
    host = start(batch_size=3)
    at_once(host, model, (["a"],), (["b", "c"],), (["d", "e"],), (["f"],))
    assert model.calls == [["a"], ["b", "c", "d", "e"], ["f"]]


def test_arrays_are_split_by_rows(start, model):
    host = start("embedder")
    answers = at_once(host, model, ([[1, 2]],), ([[3, 4], [5, 6]],), ([],))
    assert [answer.tolist() for answer in answers] == [[[1, 2]], [[3, 4], [5, 6]], []]
    assert answers[2].shape == (0, 2)


def test_what_is_comparable_within_a_call_is_never_merged(start, model):
    host = start("depth")
    model.gate.set()
    assert [ask(host, [1, 2], "m"), ask(host, [3], "n")] == [[1, 2], [3]]
    assert model.calls == [[[1, 2], "m"], [[3], "n"]]
    with host._lock:
        host._waiting.extend(model_host._Call(each, ([each], [])) for each in "ab")
    assert [call.id for call in host._next_batch()] == ["a"]


def test_an_error_is_of_its_caller_alone_and_says_where(start, model):
    host = start()
    answers = at_once(host, model, (["a"],), (["b"],), (["poison"],), (["bad"],), (["c"],))
    assert [answers[number] for number in (0, 1, 4)] == [["answer to a"], ["answer to b"], ["answer to c"]]
    assert isinstance(answers[2], RuntimeError)
    assert "ArithmeticError: thirteen (test_model_host.py:" in str(answers[2])
    assert isinstance(answers[3], BadInput)
    assert answers[3].reason is Reason.BLURRED


def test_a_model_that_cannot_be_loaded_is_tried_once(start):
    tries = []

    def build(*_):
        tries.append(1)
        raise KeyError("layers.0.weight")

    host = start(build=build)
    for _ in range(2):
        with pytest.raises(UserError, match=r"role 'vlm' \(hub/id\) cannot be loaded: KeyError: 'layers.0.weight'"):
            ask(host, ["a"])
    assert len(tries) == 1


def test_what_was_served_at_a_death_is_served_alone(start, model, tmp_path):
    (tmp_path / "host.suspects.json").write_text(json.dumps({"3": 1}))
    at_once(start(), model, (["a"],), (["b"],), (["c"],), (["d"],), (["e"],), (["f"],))
    assert model.calls == [["a"], ["b", "c"], ["d"], ["e", "f"]]


def test_what_killed_its_process_three_times_is_given_up(start, model, tmp_path):
    (tmp_path / "host.suspects.json").write_text(json.dumps({"x": 3}))
    with pytest.raises(BadInput, match="died 3 times") as caught:
        ask(start(), ["a"])
    assert caught.value.reason is Reason.POISON
    assert not model.calls


def test_suspects_outlive_a_process_that_dies_while_serving(tmp_path):
    path = tmp_path / "suspects.json"
    first = Suspects(path)
    with first.serving(["a", "b"]):
        assert Suspects(path).deaths == {"a": 1, "b": 1}
        second = Suspects(path)
    with second.serving(["a"]):
        assert Suspects(path).deaths == {"a": 2, "b": 1}
    assert Suspects(path).deaths == {"b": 1}
    with second.serving(["b"]):
        pass
    assert not path.exists()


def test_a_torn_file_of_suspects_accuses_nobody(tmp_path):
    path = tmp_path / "suspects.json"
    path.write_text('{"a": ')
    assert not Suspects(path).deaths


def test_a_model_that_kills_its_process_when_loaded_is_given_up(start, tmp_path):
    (tmp_path / "host.suspects.json").write_text(json.dumps({model_host.LOADING: 3}))
    with pytest.raises(UserError, match="loading its model killed its process 3 times"):
        ask(start(), ["a"])


def test_closing_frees_the_model_in_its_own_thread(start, model):
    host = start()
    model.gate.set()
    model.close = lambda: model.threads.add(threading.get_ident())
    ask(host, ["a"])
    host.close()
    assert len(model.threads) == 1


class Stream:
    """Answers items as futures, each when its event is set."""

    def __init__(self) -> None:
        self.answers: dict[str, Future[str]] = {}

    def submit(self, item):
        return self.answers.setdefault(item, Future())

    def await_submission(self, *items):
        while not set(items) <= set(self.answers):
            time.sleep(0.01)


@pytest.fixture
def stream():
    return Stream()


@pytest.fixture
def callers():
    with ThreadPoolExecutor(8) as pool:
        yield pool


def test_a_role_that_takes_items_as_they_come_is_not_kept_waiting(start, stream, callers):
    host = start(build=lambda *_: stream)
    slow = callers.submit(ask, host, ["slow", "slower"], call_id="1")
    quick = callers.submit(ask, host, ["quick"], call_id="2")
    stream.await_submission("slow", "slower", "quick")
    stream.answers["quick"].set_result("done")
    assert quick.result(10) == ["done"]
    assert not slow.done()
    stream.answers["slower"].set_result("second")
    stream.answers["slow"].set_result("first")
    assert slow.result(10) == ["first", "second"]


def test_a_suspect_is_alone_with_a_role_that_takes_items_as_they_come(start, stream, callers, tmp_path):
    (tmp_path / "host.suspects.json").write_text(json.dumps({"suspect": 1}))
    host = start(build=lambda *_: stream)
    before = callers.submit(ask, host, ["before"], call_id="1")
    stream.await_submission("before")
    suspect = callers.submit(ask, host, ["suspect"], call_id="suspect")
    while not host._turns._closed:
        time.sleep(0.01)
    after = callers.submit(ask, host, ["after"], call_id="2")
    stream.answers["before"].set_result("b")
    assert before.result(10) == ["b"]
    stream.await_submission("suspect")
    assert "after" not in stream.answers
    assert json.loads((tmp_path / "host.suspects.json").read_text()) == {"suspect": 2}
    stream.answers["suspect"].set_result("s")
    stream.await_submission("after")
    stream.answers["after"].set_result("a")
    assert (suspect.result(10), after.result(10)) == (["s"], ["a"])
    assert not (tmp_path / "host.suspects.json").exists()


def test_an_error_of_an_item_is_of_its_caller_alone(start, stream, callers):
    host = start(build=lambda *_: stream)
    calls = [callers.submit(ask, host, [item], call_id=item) for item in ("good", "bad")]
    stream.await_submission("good", "bad")
    stream.answers["bad"].set_exception(BadInput(Reason.BLURRED, "too blurred"))
    stream.answers["good"].set_result("done")
    assert calls[0].result(10) == ["done"]
    with pytest.raises(BadInput, match="too blurred"):
        calls[1].result(10)


def test_what_is_beyond_repair_ends_the_process(start, stream, callers, monkeypatch):
    ended = []
    monkeypatch.setattr(model_host.os, "_exit", ended.append)
    call = callers.submit(ask, start(build=lambda *_: stream), ["a"])
    stream.await_submission("a")
    stream.answers["a"].set_exception(Broken("the engine died"))
    with pytest.raises(Broken):
        call.result(10)
    assert ended == [1]


def test_another_method_of_a_role_is_asked_alone(start, model):
    model.gate.set()
    model.draw = lambda prompt, size: f"{prompt} of {size}"
    host = start("image_editor")
    assert unpack(host.call("1", pack(("a dog", 3)), "draw")) == "a dog of 3"
    with host._lock:
        host._waiting.extend([model_host._Call("a", (["x"],)), model_host._Call("b", ("y", 1), "draw")])
    assert [call.id for call in host._next_batch()] == ["a"]
    assert [call.id for call in host._next_batch()] == ["b"]


class TwoParts:
    """Prepares items in the callers' threads, computes in its own."""

    def __init__(self) -> None:
        self.gate, self.computing = threading.Event(), threading.Event()
        self.prepared: list[str] = []
        self.batches: list[list[str]] = []
        self.threads: set[int] = set()

    def ask(self, items):
        return self.compute(self.prepare(items))

    def prepare(self, items):
        if "bad" in items:
            raise BadInput(Reason.BLURRED, "too blurred")
        self.prepared += items
        return [item.upper() for item in items]

    def compute(self, items):
        self.threads.add(threading.get_ident())
        self.batches.append(list(items))
        self.computing.set()
        self.gate.wait(10)
        return [f"answer to {item}" for item in items]


@pytest.fixture
def parts():
    return TwoParts()


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_calls_are_prepared_while_others_compute_and_computed_together(start, parts, callers):
    host = start(build=lambda *_: parts, batch_size=4)
    first = callers.submit(ask, host, ["a"], call_id="1")
    assert parts.computing.wait(10)
    rest = [callers.submit(ask, host, given, call_id=given[0]) for given in (["b", "c"], ["d"])]
    until(lambda: len(host._waiting) == 2)
    assert sorted(parts.prepared) == ["a", "b", "c", "d"]
    parts.gate.set()
    answers = [call.result(10) for call in (first, *rest)]
    assert answers == [["answer to A"], ["answer to B", "answer to C"], ["answer to D"]]
    assert sorted(map(sorted, parts.batches)) == [["A"], ["B", "C", "D"]]
    assert len(parts.threads) == 1


def test_no_more_is_prepared_than_two_batches(start, parts, callers):
    host = start(build=lambda *_: parts, batch_size=1)
    calls = [callers.submit(ask, host, [item], call_id=item) for item in "abcd"]
    assert parts.computing.wait(10)
    until(lambda: len(host._waiting) == 1)
    assert len(parts.prepared) == 2
    parts.gate.set()
    assert sorted(call.result(10)[0] for call in calls) == [f"answer to {item}" for item in "ABCD"]


def test_what_cannot_be_prepared_fails_its_caller_alone(start, parts, callers):
    host = start(build=lambda *_: parts)
    parts.gate.set()
    bad, good = (callers.submit(ask, host, [item], call_id=item) for item in ("bad", "good"))
    assert good.result(10) == ["answer to GOOD"]
    with pytest.raises(BadInput, match="too blurred"):
        bad.result(10)


def test_a_suspect_is_prepared_where_it_is_computed(start, parts, callers, tmp_path):
    """Or a death while it is prepared beside another call would be blamed on both, again and again."""
    (tmp_path / "host.suspects.json").write_text(json.dumps({"suspect": 1}))
    host = start(build=lambda *_: parts)
    suspect = callers.submit(ask, host, ["s"], call_id="suspect")
    assert parts.computing.wait(10)
    after = callers.submit(ask, host, ["t"], call_id="t")
    until(lambda: host._waiting)
    parts.gate.set()
    assert [suspect.result(10), after.result(10)] == [["answer to S"], ["answer to T"]]
    assert parts.batches == [["S"], ["T"]]


def test_arrays_travel_beside_their_pickle_and_come_back_writable():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    given = ([image, image[:, ::2], image], {"name": "x", "none": np.zeros((0, 3), np.float32)})
    packed = pack(given)
    assert len(packed[0]) < 1000
    assert any(np.shares_memory(image, array) for array in packed[1])
    for array in packed[1]:
        array.flags.writeable = False  # as Ray hands them over
    images, rest = unpack(packed)
    assert packed[1] == []
    assert all(np.array_equal(one, other) for one, other in zip(images, given[0], strict=True))
    assert images[0] is images[2]
    assert rest["none"].shape == (0, 3)
    images[0][:] = 0
    assert image.any()
