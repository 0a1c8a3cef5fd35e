"""The log of what happens: one JSON object per line, whatever stands in its fields."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import journal
from schemas.errors import UserError


@pytest.fixture
def log(tmp_path):
    before = list(journal._LOG.handlers)
    journal.write_to(str(tmp_path / "log.jsonl"))
    yield tmp_path / "log.jsonl"
    for handler in set(journal._LOG.handlers) - set(before):
        journal._LOG.removeHandler(handler)
        handler.close()


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_line_says_when_how_grave_which_run_and_what(log):
    journal.note("run-1", "retry", {"phase": "synthesize", "key": "k", "reason": "copy_paste", "message": None})
    journal.note("run-1", "poison", {"phase": "mine", "key": "k"})
    first, second = lines(log)
    assert first.pop("time").endswith("Z")
    fields = {"level": "INFO", "run": "run-1", "event": "retry", "phase": "synthesize", "key": "k"}
    assert first == fields | {"reason": "copy_paste"}
    assert second["level"] == "ERROR"


names = st.sampled_from(["message", "name", "args", "reason", "key"])


@given(st.dictionaries(names, st.text() | st.floats() | st.none()))
def test_any_field_is_one_line_of_json(tmp_path_factory, fields):
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    journal.write_to(str(path))
    try:
        journal.note("run", "rejected", fields)
        (line,) = lines(path)
        assert set(line) == {"time", "level", "run", "event"} | {name for name in fields if fields[name] is not None}
    finally:
        journal._LOG.removeHandler(handler := journal._LOG.handlers[-1])
        handler.close()


def test_a_file_that_cannot_be_written_is_the_users_mistake(tmp_path):
    with pytest.raises(UserError, match="cannot write the log"):
        journal.write_to(str(tmp_path / "no" / "log.jsonl"))


def test_what_ray_prints_is_told_and_does_not_come_between_results(log, capsys, monkeypatch):
    monkeypatch.delenv("RECAST_LOG_WORKERS", raising=False)
    with journal.overhearing() as heard:
        heard.run_id = "run-1"
        print("(raylet) Task call failed.\n\nIt will be retried.")
    print("result")
    assert capsys.readouterr().out == "result\n"
    assert [(line["run"], line["event"], line["message"]) for line in lines(log)] == [
        ("run-1", "ray", "(raylet) Task call failed."),
        ("run-1", "ray", "It will be retried."),
    ]
    monkeypatch.setenv("RECAST_LOG_WORKERS", "1")
    with journal.overhearing():
        print("(raylet) still heard")
    assert capsys.readouterr().out == "(raylet) still heard\n"
