"""A worker fleet in one process: deterministic work, and any mishap a conveyor can add to it. Not a test itself."""

import hashlib
import json
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pipeline.failpoints import Crash
from pipeline.ledger import Ledger
from pipeline.rows import NEXT_ATTEMPT_SQL
from pipeline.writer import ShardWriter
from schemas.config import EngineConfig
from schemas.errors import Fenced, Unreachable
from schemas.keys import digest
from schemas.reasons import Reason
from schemas.work import Outcome, Phase, Result, Unit

CLIPS = [f"clip{number}" for number in range(5)]
FOUND_NOW = [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]  # (clip number, child)
FATES = {digest("pair", CLIPS[clip], child): number % 5 for number, (clip, child) in enumerate(FOUND_NOW)}
MAX_ATTEMPTS = 2
CONFIG = EngineConfig(commit_seconds=0.0, commits_per_compaction=4, max_deliveries=3, seal_seconds=1e9, credit=6)

MISHAPS = (
    "die_before_start",
    "die_after_start",
    "die_after_delivery",
    "deliver_twice",
    "deliver_late",
    "lose_writer",
    "lose_put_acknowledgement",
    "nothing",
)


class Killed(Exception):
    """The unit takes its worker process down."""


def mine(unit: Unit, fingerprint: str) -> Result:
    """0 to 3 pairs per clip; an earlier fingerprint found them all."""
    number = CLIPS.index(unit.key)
    num_children = 3 if fingerprint == "old" else number % 4
    if number == 4 and fingerprint != "old":
        return Result(unit.phase, unit.key, unit.task, unit.attempt, Outcome.FAILED, None, "a bug", "mining")
    pairs = [
        {"key": digest("pair", unit.key, child), "clip_key": unit.key, "clip_key_b": unit.key}
        for child in range(num_children)
    ]
    return Result(unit.phase, unit.key, unit.task, unit.attempt, rows={"pairs": pairs})


def synthesize(unit: Unit, fingerprint: str) -> Result:
    """By the pair: accepted, accepted at the second try, exhausted, rejected, or deadly."""
    fate = FATES.get(unit.key, 0)
    attempt = {"seed": unit.attempt + 7, "verdict": {"score": 0.5}}
    passed = Result(unit.phase, unit.key, unit.task, unit.attempt)
    failed = Result(unit.phase, unit.key, unit.task, unit.attempt, Outcome.RETRY, Reason.COPY_PASTE, "too alike")
    failed.rows = {"attempts": [attempt]}
    if fate == 4:
        raise Killed
    if fate == 3:
        return Result(unit.phase, unit.key, unit.task, unit.attempt, Outcome.REJECTED, Reason.NO_DONOR)
    if fate == 2 or (fate == 1 and unit.attempt == 0):
        return failed
    key = digest("sample", unit.key, unit.task)
    passed.rows = {"attempts": [attempt], "samples": [{"key": key, "pair_key": unit.key, "attempt": unit.attempt}]}
    picture = hashlib.sha256(f"{key} {fingerprint} {unit.attempt}".encode()).digest() * 20
    passed.members = {f"{key}.output.png": picture, f"{key}.json": json.dumps({"key": key}).encode()}
    return passed


STEPS = {Phase.MINE: mine, Phase.SYNTHESIZE: synthesize}


def pending(ledger: Ledger, phase: Phase, fingerprint: str, page: int) -> Iterator[list[Unit]]:
    """What the planner does: parents without a row in `settled`, in key order, with the attempt they are at."""
    parents = {
        Phase.MINE: f"SELECT unnest({CLIPS!r}) AS key, '' AS task",
        Phase.SYNTHESIZE: "SELECT key, 'single_generation' AS task FROM pairs",
    }[phase]
    sql = f"""
        SELECT parents.key, parents.task, coalesce(tried.attempt, 0) AS attempt FROM ({parents}) AS parents
        ANTI JOIN (SELECT * FROM settled WHERE phase = '{phase}' AND fingerprint = '{fingerprint}') AS done
            ON done.parent_key = parents.key AND done.task = parents.task
        LEFT JOIN ({NEXT_ATTEMPT_SQL}) AS tried
            ON tried.parent_key = parents.key AND tried.task = parents.task AND tried.fingerprint = '{fingerprint}'
        ORDER BY parents.key
    """
    for batch in ledger.tables.query_batches(sql, page):
        yield [Unit(phase, row["key"], row["task"], row["attempt"]) for row in batch.to_pylist()]


class Fleet:
    """One life of the driver process. `mishaps` are drawn from, one per unit or task, until they run out."""

    def __init__(self, out: Path, run_id: str, fingerprint: str, mishaps: deque[str]) -> None:
        self.ledger = Ledger(out, CONFIG, run_id)
        self.out, self.fingerprint, self.mishaps = out, fingerprint, mishaps
        self.num_writers = 0
        self.writer = self._new_writer()
        self.tasks: deque[list[Unit]] = deque()
        self.late: list[Result] = []

    def _new_writer(self) -> ShardWriter:
        self.num_writers += 1
        return ShardWriter(self.out, f"writer{self.num_writers}", CONFIG, self.ledger.epoch, self.ledger.deliver)

    def _mishap(self) -> str:
        return self.mishaps.popleft() if self.mishaps else "nothing"

    def run(self, phases: Iterable[Phase]) -> None:
        for phase in phases:
            max_attempts = MAX_ATTEMPTS if phase is Phase.SYNTHESIZE else 1
            pages = pending(self.ledger, phase, self.fingerprint, 4)
            self.ledger.open_phase(phase, pages, self.fingerprint, max_attempts)
            for _ in range(2000):
                units = self.ledger.lease(phase, 2)
                if units is None:
                    break
                if units:
                    self.tasks.append(units)
                self._work()
            else:
                raise AssertionError(f"{phase} does not end: {self.ledger.progress()}")
        self.ledger.deliver(self.late)
        self.ledger.close("finished", {})

    def _work(self) -> None:
        if self.tasks:
            self._task(self.tasks.popleft())
            if self.late and len(self.tasks) % 2:
                self.ledger.deliver([self.late.pop(0)])
        else:
            self.writer.seal()
        self.ledger.tick()

    def _task(self, units: list[Unit]) -> None:
        phase = units[0].phase
        mishap = self._mishap()
        if mishap == "die_before_start":
            self.tasks.append(units)
            return
        fresh = all(unit.num_deliveries == 0 for unit in units)
        ids = [(unit.id, unit.attempt, unit.num_deliveries) for unit in units]
        granted = self.ledger.start(phase, ids)
        if mishap == "die_after_start" and fresh:  # else mishaps alone would make the unit poison
            self.tasks.append(units)
            return
        for unit, go in zip(units, granted, strict=True):
            if go and not self._unit(unit):
                self.tasks.append(units)  # the process is dead: the conveyor replays its task
                return

    def _unit(self, unit: Unit) -> bool:
        """Whether the worker lives on."""
        try:
            result = STEPS[unit.phase](unit, self.fingerprint)
        except Killed:
            return False
        mishap = self._mishap()
        if mishap == "lose_writer":
            name, self.writer = self.writer.name, self._new_writer()
            self.ledger.writer_lost(name)
        if result.members:
            self.writer.put([result])
            if mishap == "lose_put_acknowledgement" and unit.num_deliveries == 0:
                return False
            self.ledger.handed_over([unit.id], self.writer.name)
        else:
            self.ledger.deliver([result])
        if mishap == "deliver_twice":
            self.ledger.deliver([_copy(result)] if not result.members else [])
        if mishap == "deliver_late" and not result.members:
            self.late.append(_copy(result))
        return mishap != "die_after_delivery"


def _copy(result: Result) -> Result:
    return Result(
        result.phase, result.key, result.task, result.attempt, result.outcome, result.reason, result.message,
        rows={table: [dict(row) for row in rows] for table, rows in result.rows.items()},
    )  # fmt: skip


def live(out: Path, run_id: str, fingerprint: str, mishaps: deque[str], phases: Iterable[Phase] = tuple(STEPS)) -> bool:
    """One life, perhaps cut short by an armed failpoint or by what the store does. Whether it got to the end."""
    fleet: Fleet | None = None
    try:
        fleet = Fleet(out, run_id, fingerprint, mishaps)
        fleet.run(phases)
    except (Crash, Unreachable, Fenced):
        if fleet is not None:
            fleet.ledger.abandon()
        return False
    return True


COMPARED: dict[str, tuple[str, ...]] = {
    "pairs": ("key", "parent_key", "clip_key", "status", "fingerprint"),
    "samples": ("key", "parent_key", "task", "attempt", "members", "member_sha256", "status", "fingerprint"),
    "attempts": ("key", "parent_key", "task", "attempt", "seed", "status", "reason", "fingerprint"),
    "rejects": ("key", "parent_key", "task", "stage", "reason", "num_attempts"),
    "settled": ("key", "phase", "parent_key", "task", "attempt", "outcome", "status", "num_children", "fingerprint"),
}


def contents(tables: Any, fingerprint: str) -> dict[str, list[tuple[Any, ...]]]:
    """What must be the same whatever happened: rows of the units the current pairs and clips ask for."""
    parents = {row["key"] for row in tables.rows("pairs")} | set(CLIPS)
    found: dict[str, list[tuple[Any, ...]]] = {}
    for table, columns in COMPARED.items():
        rows = [row for row in tables.rows(table) if row["parent_key"] in parents]
        found[table] = [tuple(repr(row[column]) for column in columns) for row in rows]
    return found
