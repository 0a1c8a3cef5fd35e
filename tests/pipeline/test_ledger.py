"""The ledger's promises one by one; every crash at once is in test_ledger_crashes.py."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from deltalake import write_deltalake

from cluster.folder import SPOOL
from pipeline.ledger import Ledger
from pipeline.rows import NEXT_ATTEMPT_SQL
from schemas.config import EngineConfig
from schemas.errors import Fenced, UserError
from schemas.reasons import Reason
from schemas.tables import COMMIT_ORDER, TABLES
from schemas.work import Outcome, Phase, Result, Unit

REPOSITORY = Path(__file__).resolve().parent.parent.parent
TASK = "single_generation"


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ledger(tmp_path, clock):
    ledger = Ledger(tmp_path, EngineConfig(commit_seconds=5.0, credit=8), "run", clock)
    yield ledger
    ledger.abandon()


def pairs(*keys, attempt=0):
    return [Unit(Phase.SYNTHESIZE, key, TASK, attempt) for key in keys]


def open_with(ledger, *keys, max_attempts=2, attempt=0):
    ledger.open_phase(Phase.SYNTHESIZE, iter([pairs(*keys, attempt=attempt)]), "fp", max_attempts)


def result(unit, outcome=Outcome.DONE, reason=None, rows=None):
    return Result(unit.phase, unit.key, unit.task, unit.attempt, outcome, reason, "why", "verify", rows or {})


def ids(units):
    return [(unit.id, unit.attempt, unit.num_deliveries) for unit in units]


def begin(ledger, units):
    return ledger.start(Phase.SYNTHESIZE, ids(units))


def lease(ledger, count=9):
    return ledger.lease(Phase.SYNTHESIZE, count)


def rows(ledger, table):
    return ledger.tables.rows(table)


def test_a_commit_is_due_by_time(ledger, clock):
    open_with(ledger, "a", "b")
    [a, b] = lease(ledger)
    ledger.deliver([result(a)])
    clock.now = 4.9
    ledger.tick()
    assert rows(ledger, "settled") == []
    clock.now = 5.0
    ledger.tick()
    assert len(rows(ledger, "settled")) == 1
    ledger.deliver([result(b)])
    ledger.tick()
    assert len(rows(ledger, "settled")) == 1  # five seconds from the first result of its own generation
    clock.now = 10.0
    ledger.tick()
    assert len(rows(ledger, "settled")) == 2


def test_a_commit_is_due_by_rows(tmp_path):
    ledger = Ledger(tmp_path, EngineConfig(commit_seconds=1e9, commit_rows=3), "run")
    open_with(ledger, "a", "b")
    [a, b] = lease(ledger)
    ledger.deliver([result(a)])
    assert rows(ledger, "settled") == []
    ledger.deliver([result(b)])
    assert len(rows(ledger, "settled")) == 2


def test_the_phase_is_over_only_when_all_is_committed(ledger):
    open_with(ledger, "a")
    [unit] = lease(ledger)
    assert lease(ledger) == []
    ledger.deliver([result(unit)])
    assert lease(ledger) is None
    assert [row["outcome"] for row in rows(ledger, "settled")] == ["done"]


def test_common_columns_are_filled(ledger):
    open_with(ledger, "a")
    [unit] = lease(ledger)
    ledger.deliver([result(unit, rows={"samples": [{"key": "s", "pair_key": "a"}]})])
    ledger.flush()
    [row] = rows(ledger, "samples")
    assert (row["parent_key"], row["status"], row["fingerprint"], row["run_id"]) == ("a", "ok", "fp", "run")
    assert (row["task"], row["created_at"] is not None) == (TASK, True)
    [settled] = rows(ledger, "settled")
    assert (settled["key"], settled["num_children"], settled["status"]) == (unit.id, 1, "ok")


def test_retries_then_exhausted_then_another_chance(ledger):
    open_with(ledger, "a", max_attempts=2)
    for attempt in (0, 1):
        [unit] = lease(ledger)
        assert unit.attempt == attempt
        ledger.deliver([result(unit, Outcome.RETRY, Reason.COPY_PASTE)])
    assert lease(ledger) is None
    [dead] = rows(ledger, "rejects")
    assert (dead["table"], dead["row_key"], dead["reason"], dead["num_attempts"]) == ("pairs", "a", "copy_paste", 2)
    assert sorted((row["attempt"], row["status"]) for row in rows(ledger, "attempts")) == [
        (0, "rejected"),
        (1, "failed"),
    ]
    assert ledger.progress()["phases"]["synthesize"]["outcomes"] == {"exhausted": 1}

    assert ledger.reopen() == 1
    assert (rows(ledger, "rejects"), rows(ledger, "settled")) == ([], [])
    [following] = ledger.tables.query(NEXT_ATTEMPT_SQL).to_pylist()
    assert following["attempt"] == 2
    open_with(ledger, "a", max_attempts=2, attempt=2)
    for attempt in (2, 3):
        [unit] = lease(ledger)
        assert unit.attempt == attempt
        ledger.deliver([result(unit, Outcome.RETRY)])
    assert lease(ledger) is None
    assert [row["num_attempts"] for row in rows(ledger, "rejects")] == [4]
    assert len(rows(ledger, "attempts")) == 4


def test_a_success_takes_the_dead_letter_away(ledger):
    open_with(ledger, "a", max_attempts=1)
    ledger.deliver([result(lease(ledger)[0], Outcome.FAILED)])
    ledger.flush()
    assert [row["reason"] for row in rows(ledger, "rejects")] == ["internal_error"]
    open_with(ledger, "a", max_attempts=1)
    ledger.deliver([result(lease(ledger)[0])])
    ledger.flush()
    assert rows(ledger, "rejects") == []
    assert [row["outcome"] for row in rows(ledger, "settled")] == ["done"]  # one row per phase, key and task


def test_a_unit_that_kills_its_process_is_tried_three_times_alone(ledger):
    open_with(ledger, "a", "bad", "c")
    batch = lease(ledger, 3)
    assert begin(ledger, batch) == [True, True, True]
    ledger.deliver([result(batch[0])])
    assert begin(ledger, batch) == [False, False, False]
    suspects = {row["parent_key"]: row["num_deliveries"] for row in rows(ledger, "suspects")}
    assert suspects == {"bad": 1, "c": 1}  # durable before they are leased again
    for expected in (2, 3):
        [bad] = lease(ledger)
        assert (bad.key, bad.num_deliveries) == ("bad", expected - 1)
        assert begin(ledger, [bad]) == [True]
        assert begin(ledger, [bad]) == [False]
        if expected == 2:
            [other] = lease(ledger)
            assert (other.key, begin(ledger, [other])) == ("c", [True])
            ledger.deliver([result(other)])
    assert lease(ledger) is None
    settled = {row["parent_key"]: (row["outcome"], row["num_deliveries"]) for row in rows(ledger, "settled")}
    assert settled == {"a": ("done", 0), "bad": ("poison", 3), "c": ("done", 1)}
    assert [(row["row_key"], row["reason"], row["stage"]) for row in rows(ledger, "rejects")] == [
        ("bad", "poison", "synthesize")
    ]


def test_deaths_are_remembered_across_runs_but_not_across_fingerprints(tmp_path, ledger):
    open_with(ledger, "bad", "b")
    [bad] = lease(ledger, 1)
    begin(ledger, [bad])
    begin(ledger, [bad])
    ledger.abandon()
    again = Ledger(tmp_path, EngineConfig(), "run2")
    open_with(again, "b", "bad")
    assert [(unit.key, unit.num_deliveries) for unit in lease(again)] == [("bad", 1)]
    again.open_phase(Phase.SYNTHESIZE, iter([pairs("b", "bad")]), "changed", 1)
    assert [(unit.key, unit.num_deliveries) for unit in lease(again)] == [("b", 0), ("bad", 0)]
    again.abandon()


def test_another_fingerprint_replaces_rows_and_attempts(ledger):
    open_with(ledger, "a")
    for outcome in (Outcome.RETRY, Outcome.DONE):
        [unit] = lease(ledger)
        ledger.deliver([result(unit, outcome, rows={"samples": [{"key": "s"}]} if outcome is Outcome.DONE else {})])
    ledger.flush()
    ledger.open_phase(Phase.SYNTHESIZE, iter([pairs("a")]), "changed", 2)
    ledger.deliver([result(lease(ledger)[0], Outcome.REJECTED, Reason.NO_DONOR)])
    ledger.flush()
    assert rows(ledger, "samples") == []
    assert [(row["attempt"], row["fingerprint"]) for row in rows(ledger, "attempts")] == [(0, "changed")]
    assert [(row["outcome"], row["reason"]) for row in rows(ledger, "settled")] == [("rejected", "no_donor")]


def test_a_caption_replaces_its_sample_and_nothing_else(ledger):
    ledger.put({"samples": [{"key": key, "parent_key": "pair", "task": TASK} for key in ("s", "other")]})
    ledger.open_phase(Phase.CAPTION, iter([[Unit(Phase.CAPTION, "s")]]), "fp")
    [unit] = ledger.lease(Phase.CAPTION, 1)
    new = {"key": "s", "parent_key": "pair", "task": TASK, "caption_fingerprint": "new"}
    ledger.deliver([result(unit, rows={"samples": [new]})])
    ledger.flush()
    found = [(row["key"], row["caption_fingerprint"]) for row in rows(ledger, "samples")]
    assert found == [("other", None), ("s", "new")]


def test_put_comes_after_what_was_delivered_before(ledger):
    open_with(ledger, "a")
    ledger.deliver([result(lease(ledger)[0], rows={"samples": [{"key": "s"}]})])
    ledger.put({"samples": [{"key": "s", "parent_key": "a", "task": TASK, "status": "removed"}]})
    assert [row["status"] for row in rows(ledger, "samples")] == ["removed"]
    with pytest.raises(ValueError, match="no such table"):
        ledger.put({"sample": [{"key": "s"}]})


def test_stop_ends_leases_and_still_takes_results(ledger):
    open_with(ledger, "a", "b")
    [unit] = lease(ledger, 1)
    ledger.stop()
    assert lease(ledger) is None
    ledger.deliver([result(unit)])
    ledger.close("stopped", {"why": "test"})
    assert [row["event"] for row in sorted(rows(ledger, "runs"), key=lambda row: row["created_at"])] == [
        "started",
        "stopped",
    ]
    assert len(rows(ledger, "settled")) == 1


def test_a_failed_commit_can_be_repeated_without_loss_or_doubling(ledger, monkeypatch):
    open_with(ledger, "a")
    ledger.deliver([result(lease(ledger)[0], rows={"samples": [{"key": "s"}]})])
    merge = ledger.tables.merge

    def full(name, *args):
        if name == "settled":
            raise UserError("no space left on the disk of there")
        merge(name, *args)

    monkeypatch.setattr(ledger.tables, "merge", full)
    with pytest.raises(UserError):
        ledger.flush()
    monkeypatch.undo()
    ledger.flush()
    assert [len(rows(ledger, table)) for table in ("samples", "attempts", "settled")] == [1, 1, 1]


@pytest.mark.parametrize("table", ["samples", "settled"])
def test_a_foreign_committer_leaves_the_ledger_unusable(ledger, table):
    open_with(ledger, "a", "b")
    [a, b] = lease(ledger)
    ledger.deliver([result(a, rows={"samples": [{"key": "s"}]})])
    write_deltalake(ledger.tables.location(table), TABLES[table].empty_table(), mode="append")
    with pytest.raises(Fenced):
        ledger.flush()
    for act in (
        lambda: lease(ledger),
        lambda: begin(ledger, [b]),
        lambda: ledger.deliver([result(b)]),
        ledger.flush,
        lambda: ledger.put({"samples": [{"key": "x"}]}),
        lambda: ledger.close("finished", {}),
    ):
        with pytest.raises(Fenced):
            act()


def test_settled_comes_last():
    assert COMMIT_ORDER[-1] == "settled"
    assert set(COMMIT_ORDER) == set(TABLES) - {"runs"}


def test_epochs_count_takeovers_and_dead_spools_go(tmp_path):
    spool = tmp_path / SPOOL / "0-dead.tar"
    spool.parent.mkdir(parents=True)
    spool.write_bytes(b"half")
    for epoch in (1, 2, 3):
        ledger = Ledger(tmp_path, EngineConfig(), f"run{epoch}")
        assert ledger.epoch == epoch
        ledger.close("finished", {})
    assert not spool.exists()


HOLD = """
import sys, time
from pipeline.ledger import Ledger
from schemas.config import EngineConfig
ledger = Ledger(sys.argv[1], EngineConfig(), "holder")
print("held", flush=True)
time.sleep(60)
"""


def test_the_owner_is_named_and_a_dead_one_is_replaced_at_once(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError) as refused:
            Ledger(tmp_path, EngineConfig(), "second")
        assert f"{tmp_path} is in use by pid {holder.pid} on " in str(refused.value)
        assert "since 20" in str(refused.value)
        assert "\n" not in str(refused.value)
        assert refused.value.driver_pid == holder.pid
    finally:
        holder.kill()
        holder.wait()
    began = time.monotonic()
    Ledger(tmp_path, EngineConfig(), "third").close("finished", {})
    assert time.monotonic() - began < 10


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^cannot write to .*Not a directory$"):
        Ledger(tmp_path / "file" / "out", EngineConfig(), "run")


def test_a_full_disk_at_the_start_is_one_line_and_holds_no_lock(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.lock.os.pwrite", full)
        with pytest.raises(UserError, match=r"^cannot write to \S+: No space left on device$"):
            Ledger(tmp_path, EngineConfig(), "run")
    Ledger(tmp_path, EngineConfig(), "run").close("finished", {})
