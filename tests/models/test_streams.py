"""On a machine without a GPU: the order of what is asked of it."""

import contextlib
from collections.abc import Iterator

import pytest
import torch

from actors.models import streams


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    asked: list[str] = []

    class Stream:
        pass

    class Event:
        def record(self, stream: Stream) -> None:
            asked.append(f"record on {type(stream).__name__}")

        def synchronize(self) -> None:
            asked.append("wait for it")

    @contextlib.contextmanager
    def current(stream: Stream) -> Iterator[None]:
        asked.append("enter")
        yield
        asked.append("leave")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name, stand_in in (("Stream", Stream), ("Event", Event), ("stream", current)):
        monkeypatch.setattr(torch.cuda, name, stand_in)
    streams._stream.cache_clear()
    yield asked
    streams._stream.cache_clear()


def test_what_is_prepared_has_its_own_stream_and_is_there_when_it_is_given_away(asked):
    def prepared() -> str:
        with streams.beside_the_model():
            asked.append("copy")
            return "tensor"

    assert prepared() == "tensor"
    assert asked == ["enter", "copy", "record on Stream", "leave", "wait for it"]


def test_an_error_is_passed_on_and_not_waited_for(asked):
    with pytest.raises(ValueError, match="too large"), streams.beside_the_model():
        raise ValueError("too large")
    assert "wait for it" not in asked
