"""What the driver knows of a phase, with a ledger that only answers. No Ray."""

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline import run
from pipeline.run import Run, Stopped
from schemas.work import Phase


def _remote(answer: Any) -> Any:
    return SimpleNamespace(remote=lambda: answer)


def _run(monkeypatch: pytest.MonkeyPatch, pulse: dict[str, Any]) -> Run:
    monkeypatch.setattr(run, "ask", lambda answer: answer)
    found = Run.__new__(Run)
    found.ledger, found.writers = SimpleNamespace(pulse=_remote(pulse)), []
    found._signal, found._deadline, found._execution = None, None, None
    return found


def _progress(over: bool, **outcomes: int) -> dict[str, Any]:
    return {"over": over, "phases": {"mine": {"outcomes": outcomes, "queued": 3}}}


def test_a_stop_at_the_start_of_a_phase_does_not_count_what_it_did_when_it_was_last_open(monkeypatch):
    driver = _run(monkeypatch, _progress(over=False))
    driver.progress = _progress(over=True, done=7)  # of the wave before
    driver.note_signal("SIGTERM")
    with pytest.raises(Stopped, match="SIGTERM"):
        driver.phase(Phase.MINE, lambda _: None)
    assert driver.outcomes(Phase.MINE) == {}


def test_a_phase_without_work_is_over_at_once_and_told(monkeypatch):
    driver = _run(monkeypatch, _progress(over=True, done=2))
    driver.phase(Phase.MINE, lambda _: None)
    assert driver.outcomes(Phase.MINE) == {"done": 2}
