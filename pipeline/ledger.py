"""The commit protocol: takeover, lease, start, deliver, commit, close, over Delta tables, by one process.

Correctness lives here. The conveyor (Ray) may lose, repeat and reorder what it carries: a unit is done when its row in
`settled` is committed, its children are committed before that, and a crash repeats the unit and changes nothing.
Knows no Ray, no step and no plan; not thread-safe: one caller at a time.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cluster.folder import output_folder
from pipeline import failpoints
from pipeline.leases import LeaseQueue, OpenPhase
from pipeline.lock import output_lock
from pipeline.rows import CHILD_TABLE, Generation, complete, suspect_row
from pipeline.tables import Row, Tables, now
from schemas.config import EngineConfig
from schemas.keys import digest
from schemas.reasons import Reason
from schemas.tables import COMMIT_ORDER
from schemas.work import DEAD, Outcome, Phase, Result, Unit


class Ledger:
    """Owns OUT until `close`. Raises UserError when another process does, or when the disk is full or read-only, and
    Fenced, for good, once a foreign commit is found.

    clock: monotonic seconds, for when a commit is due. driver_pid: the process a user would know this run by, where
    it is not this one. tell: is told what happens, as the name of an event and its fields.
    """

    def __init__(
        self,
        out: str | Path,
        config: EngineConfig,
        run_id: str,
        clock: Callable[[], float] = time.monotonic,
        driver_pid: int = 0,
        tell: Callable[..., None] = lambda event, **fields: None,
    ) -> None:
        self.out = output_folder(out)
        self._config = config
        self._run_id = run_id
        self._clock = clock
        self._tell = tell
        self._phases: dict[Phase, OpenPhase] = {}
        self._generation = Generation(run_id)
        self._buffered_since = 0.0
        self._num_commits = 0
        self._stopped = False
        self._lock = output_lock(self.out, driver_pid)
        try:
            failpoints.hit("takeover_after_lock")
            self.tables = Tables(self.out)
            self.epoch = self.tables.last_epoch() + 1
            self.tables.takeover(self.epoch, run_id)
            self.out.clear_scratch()  # of dead runs: nobody else may write here now
            self.record("started", None, {})
        except BaseException:
            self._lock.release()
            raise

    # -- the queue ------------------------------------------------------------------------------------------------

    def open_phase(
        self,
        phase: Phase,
        pages: Iterator[list[Unit]],
        fingerprint: str,
        max_attempts: int = 1,
        num_workers: int = 0,
    ) -> bool:
        """Begin a phase; False when it has nothing to do. `pages` of pending units are pulled lazily; an empty page
        means "nothing yet, ask again".

        max_attempts: failed attempts that make a dead letter. num_workers: how many workers draw on the phase (0: as
        configured); the credit window is theirs together.
        """
        workers = num_workers or self._config.num_workers or 1
        suspects = self.tables.query(
            "SELECT key, attempt, num_deliveries FROM suspects"
            " WHERE phase = ? AND fingerprint = ? AND num_deliveries > 0",
            [str(phase), fingerprint],
        )
        deliveries = {(row["key"], row["attempt"]): row["num_deliveries"] for row in suspects.to_pylist()}
        queue = LeaseQueue(iter(pages), self._config.credit * workers, deliveries)
        self._phases[phase] = OpenPhase(queue, fingerprint, max_attempts)
        return not queue.is_over

    def lease(self, phase: Phase, max_units: int) -> list[Unit] | None:
        """Units to work on now; [] = nothing now, ask again; None = the phase is over and committed, or stopped."""
        self.tables.check_usable()
        if self._stopped:
            return None
        open_phase = self._phases[phase]
        units = open_phase.queue.lease(max_units)
        if units:
            failpoints.hit("lease_granted")
            return units
        if open_phase.queue.is_over:
            self.flush()
            return None
        return []

    def num_fitting(self, phase: Phase) -> int:
        """How many units of a phase are worth one lease."""
        return self._phases[phase].num_fitting

    def start(self, phase: Phase, ids: Iterable[Sequence[str | int]]) -> list[bool]:
        """A worker is about to work on `ids`, each (unit id, attempt) or, better, (unit id, attempt, num_deliveries).

        True = work on it. A second start of the same delivery means that the worker process died and the conveyor
        replays its task: nothing of it runs, and what was begun is counted (durably), then queued to travel alone, or
        settled as poison when it has killed `max_deliveries` processes.
        """
        self.tables.check_usable()
        open_phase = self._phases[phase]
        verdicts, dead = open_phase.queue.start(ids)
        suspects = [replace(unit, num_deliveries=unit.num_deliveries + 1) for unit in dead]
        poison = [unit for unit in suspects if unit.num_deliveries >= self._config.max_deliveries]
        suspects = [unit for unit in suspects if unit.num_deliveries < self._config.max_deliveries]
        moment = now()
        rows = [
            suspect_row(unit, unit.num_deliveries, open_phase.fingerprint, self._run_id, moment) for unit in suspects
        ]
        if rows:
            self.tables.merge("suspects", rows)  # before they can be leased again
        for unit in suspects:
            self._tell("worker_died", **_named(unit), num_deliveries=unit.num_deliveries)
            open_phase.queue.suspect(unit)
        for unit in poison:
            self._poison(open_phase, unit)
        return verdicts

    def _poison(self, open_phase: OpenPhase, unit: Unit) -> None:
        open_phase.queue.accept(unit.id, unit.attempt)
        message = f"killed or hung its worker process {unit.num_deliveries} times"
        self._end(
            open_phase,
            unit,
            Result(
                unit.phase, unit.key, unit.task, unit.attempt, Outcome.POISON, Reason.POISON, message, str(unit.phase)
            ),
        )

    def handed_over(self, ids: Iterable[str], writer: str) -> None:
        """The bytes of these units are with `writer`: their credit is free, no worker owes them."""
        known = list(ids)
        for open_phase in self._phases.values():
            open_phase.queue.hand_over(known, writer)

    def writer_lost(self, writer: str) -> None:
        """Whatever `writer` had not sealed is queued again; no delivery is counted."""
        for open_phase in self._phases.values():
            open_phase.queue.writer_lost(writer)

    def stop(self) -> None:
        """No leases from now on; what is out may still be delivered."""
        self._stopped = True

    # -- results --------------------------------------------------------------------------------------------------

    def deliver(self, results: Iterable[Result]) -> None:
        """Take results in. A replay, a late result or one for a unit that is not out changes nothing."""
        self.tables.check_usable()
        for result in results:
            open_phase = self._phases.get(result.phase)
            unit = open_phase.queue.accept(result.id, result.attempt) if open_phase else None
            if open_phase is None or unit is None:
                continue
            open_phase.time(result.seconds.get("total", 0.0))
            if result.outcome is Outcome.UNAVAILABLE:
                open_phase.outcomes[str(result.outcome)] += 1
                open_phase.queue.forget(unit.id)
                continue
            is_last = (unit.attempt + 1) % open_phase.max_attempts == 0
            if result.outcome is Outcome.RETRY and not is_last:
                self._touch()
                self._generation.add_retry(unit, result, open_phase.fingerprint, now())
                open_phase.retried += 1
                self._tell("retry", **_named(unit), **_why(result))
                open_phase.queue.retry(unit)
            elif result.outcome is Outcome.RETRY:
                self._end(open_phase, unit, replace(result, outcome=Outcome.EXHAUSTED))
            else:
                self._end(open_phase, unit, result)
        if self._generation.num_rows >= self._config.commit_rows:
            self.flush()

    def _touch(self) -> None:
        if not self._generation.num_rows:
            self._buffered_since = self._clock()

    def _end(self, open_phase: OpenPhase, unit: Unit, result: Result) -> None:
        self._touch()
        self._generation.add_end(unit, result, open_phase.fingerprint, now())
        open_phase.outcomes[str(result.outcome)] += 1
        open_phase.children[CHILD_TABLE[unit.phase]] += len(result.rows.get(CHILD_TABLE[unit.phase], []))
        if result.outcome in DEAD or result.outcome is Outcome.REJECTED:
            open_phase.rejects[str(result.reason or result.outcome)] += 1
            self._tell(str(result.outcome), **_named(unit), **_why(result))

    # -- commits --------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Commit if it is time: call it often."""
        generation = self._generation
        waited = self._clock() - self._buffered_since
        if generation.num_rows and (
            waited >= self._config.commit_seconds or generation.num_rows >= self._config.commit_rows
        ):
            self.flush()

    def flush(self) -> None:
        """Commit everything delivered so far. Upserts only, so that a commit which failed half-way can be repeated."""
        self.tables.check_usable()
        generation = self._generation
        if not generation.num_rows:
            return
        failpoints.hit("before_commit")
        began = self._clock()
        self._commit(generation.rows, generation.replaced)
        self._tell("committed", rows=generation.num_rows, seconds=round(self._clock() - began, 4))
        self._generation = Generation(self._run_id)
        failpoints.hit("after_settled")
        for phase, identity in generation.settled:
            self._phases[phase].queue.forget(identity)
        self._maintain_if_due()

    def _commit(self, rows: dict[str, list[Row]], replaced: dict[str, list[tuple[str, str]]]) -> None:
        unknown = set(rows) - set(COMMIT_ORDER)
        if unknown:
            raise ValueError(f"no such table to commit to: {', '.join(sorted(unknown))}")
        for table in COMMIT_ORDER:
            if table == "settled":
                failpoints.hit("before_settled")
            if rows.get(table) or replaced.get(table):
                self.tables.merge(table, rows.get(table, ()), replaced.get(table, ()))
                failpoints.hit("between_table_commits")

    def _maintain_if_due(self) -> None:
        self._num_commits += 1
        if self._num_commits % self._config.commits_per_compaction == 0:
            self.tables.maintain()

    def put(self, rows: dict[str, list[Row]]) -> None:
        """Upsert the planner's rows by key, at once, after everything delivered before."""
        self.flush()
        moment = now()
        self._commit(
            {name: [complete(row, "", self._run_id, moment) for row in given] for name, given in rows.items()}, {}
        )
        self._maintain_if_due()

    def reopen(self, outcomes: Iterable[Outcome] = DEAD) -> int:
        """Make dead letters pending again: their units go on with the next attempt and a clean record. How many.

        `settled` goes last: a crash before it leaves them dead, not lost.
        """
        self.flush()
        wanted = ", ".join(f"'{Outcome(outcome)}'" for outcome in outcomes)
        dead = f"settled WHERE outcome IN ({wanted})"
        units = [
            (row["parent_key"], row["task"])
            for row in self.tables.query(f"SELECT parent_key, task FROM {dead}").to_pylist()
        ]
        last = self.tables.query(f"""
            SELECT a.* FROM attempts a SEMI JOIN (SELECT parent_key, task, fingerprint FROM {dead}) d
            USING (parent_key, task, fingerprint) WHERE a.status = 'failed'
        """).to_pylist()
        self.tables.merge("attempts", [row | {"status": "rejected"} for row in last])  # another one follows it now
        for table in ("rejects", "suspects", "settled"):
            self.tables.merge(table, [], replace=units)
        return len(units)

    def record(self, event: str, generation: int | None, detail: dict[str, Any]) -> None:
        """A row of history in `runs`: started, wave_closed, progress, finished, stopped, compacted, retried; with the
        versions of the tables it speaks of. One with the same event and generation is replaced."""
        detail = detail | {"tables": self.tables.versions()}
        row: Row = {
            "key": digest("run", self._run_id, self.epoch, event, generation),
            "epoch": self.epoch,
            "event": event,
            "generation": generation,
            "detail": json.dumps(detail, sort_keys=True, default=str),
        }
        self.tables.merge("runs", [complete(row, "", self._run_id, now())])

    def progress(self) -> dict[str, Any]:
        """ "phases": per phase, since it was opened, what waits in memory, what is out, and what came of the rest."""
        phases = {str(phase): one.progress() for phase, one in self._phases.items()}
        return {"epoch": self.epoch, "commits": self._num_commits, "phases": phases}

    def close(self, event: str, detail: dict[str, Any]) -> None:
        """Commit, note the end in `runs`, give the output free."""
        self.flush()
        self.record(event, None, detail)
        failpoints.hit("close_before_release")
        self._lock.release()
        self.tables.close()

    def abandon(self) -> None:
        """Let go of the lock and nothing else: what the end of the process would do."""
        self._lock.release()


def _named(unit: Unit) -> dict[str, Any]:
    return {"phase": str(unit.phase), "key": unit.key, "task": unit.task, "attempt": unit.attempt}


def _why(result: Result) -> dict[str, Any]:
    return {"reason": result.reason and str(result.reason), "message": result.message}
