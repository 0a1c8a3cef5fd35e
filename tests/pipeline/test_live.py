"""What `recast status` says of a run in progress, read beside it. No Ray, no video."""

import json
import subprocess
import sys
from datetime import timedelta

import pytest
from synthetic_build import Build, abandon, build_over_made_up_files

from pipeline.live import NOTE_SECONDS, SILENT_SECONDS, Pace, live, words
from pipeline.lock import NAME
from pipeline.status import status
from pipeline.tables import now, read_tables
from schemas.work import Phase


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def build(tmp_path, monkeypatch) -> Build:
    return build_over_made_up_files(tmp_path, monkeypatch)


def noted(pace: Pace, clock: Clock, seconds: float, **found: int) -> dict | None:
    clock.seconds += seconds
    state = {"queued": 0, "leased": 0, "handed": 0, "uncommitted": 0, "planned": True} | found
    return pace.note({"mine": state | {"outcomes": {"done": found.get("done", 0)}}})


def test_a_note_is_taken_seldom_and_counts_from_the_opening_of_the_phase():
    clock = Clock()
    pace = Pace(4, clock)
    assert noted(pace, clock, 100.0) is None, "no phase is open"
    pace.phase_opened(Phase.MINE)
    note = noted(pace, clock, 50.0, done=10, queued=3, leased=2, handed=1, uncommitted=7)
    assert (note["settled"], note["waiting"], note["phase_seconds"], note["run_seconds"]) == (10, 6, 50.0, 150.0)
    assert noted(pace, clock, NOTE_SECONDS - 1) is None
    assert noted(pace, clock, 1.0) is not None


def begin(build: Build, clock: Clock):
    """A run of three sources in waves of two, stopped in the middle of mining the second wave's one."""
    build.write(a="film", b="other film", c="third film")
    host = build.begin("engine.wave_size=2")
    host._pace = Pace(1, clock)
    return host


def test_a_run_in_progress_says_how_far_it_is_and_gives_no_estimate_without_a_basis(build):
    clock = Clock()
    host = begin(build, clock)
    assert host.open_wave(None)
    clock.seconds += 60.0
    host.pulse()
    found = status(build.out)["live"]
    assert (found["state"], found["run_id"], found["waves_closed"]) == ("running", "run1", 0)
    progress = found["progress"]
    assert (progress["phase"], progress["settled"], progress["waiting"]) == ("curate", 0, 2)
    assert (progress["sources"], progress["sources_done"]) == (3, 0)
    assert progress["phase_seconds_left"] is None, "nothing settled yet"
    assert progress["run_seconds_left"] is None, "no wave closed yet"

    build.finish_wave(host)
    assert host.open_wave(None)
    clock.seconds += 60.0
    host.pulse()
    progress = status(build.out)["live"]["progress"]
    assert (progress["sources_done"], progress["run_seconds"]) == (2, 120.0)
    assert progress["run_seconds_left"] == 60, "one source at two in two minutes"
    assert "0:01:00 left" in words(status(build.out)["live"])[-1]
    build.finish_wave(host)
    assert not host.open_wave(None)
    host.close("finished", {})
    abandon(host)
    assert status(build.out)["live"] is None
    assert "progress" not in {row["event"] for row in status(build.out)["runs"]}


def test_the_rest_of_a_phase_is_estimated_only_when_all_of_it_is_known(build):
    clock = Clock()
    host = begin(build, clock)
    host.open_wave(None)
    for planned, left in ((True, 90), (False, None)):
        host._pace._noted -= NOTE_SECONDS
        found = {"outcomes": {"done": 10}, "queued": 30, "leased": 0, "handed": 0, "planned": planned}
        clock.seconds = host._pace._opened[1] + 30.0
        host._ledger.record("progress", None, host._pace.note({"curate": found}))
        assert status(build.out)["live"]["progress"]["phase_seconds_left"] == left
    abandon(host)


def test_a_run_of_which_nothing_is_heard_and_one_whose_process_is_gone(build):
    host = begin(build, Clock())
    tables = read_tables(build.out)
    assert live(tables)["state"] == "running"
    later = live(tables, now() + timedelta(seconds=SILENT_SECONDS + 60))
    assert later["state"] == "silent"
    assert "may have died" in words(later)[0]
    abandon(host)
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    lock = build.out / NAME
    lock.write_text(json.dumps(json.loads(lock.read_text()) | {"pid": int(gone.stdout)}))
    assert live(tables)["state"] == "died"
    lock.write_text(json.dumps(json.loads(lock.read_text()) | {"processes": "another boot"}))
    assert live(tables)["state"] == "running", "another machine's processes are not ours to look for"
    lock.write_text(json.dumps(json.loads(lock.read_text()) | {"released": True}))
    assert live(tables)["state"] == "died"


def test_looking_at_a_run_writes_nothing_and_stops_nothing(build):
    host = begin(build, Clock())
    before = {path: path.stat().st_mtime_ns for path in build.out.rglob("*")}
    status(build.out)
    assert {path: path.stat().st_mtime_ns for path in build.out.rglob("*")} == before
    assert host.open_wave(None)
    build.finish_wave(host)
    abandon(host)
