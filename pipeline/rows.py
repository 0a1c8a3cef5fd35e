"""What results become: rows in full columns, what they replace, gathered into one generation per commit."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipeline.tables import Row
from schemas.keys import digest
from schemas.reasons import Reason
from schemas.tables import TABLES
from schemas.work import DEAD, Outcome, Phase, Result, Unit

PARENT_TABLE = {
    Phase.CURATE: "sources",
    Phase.MINE: "clips",
    Phase.LINK: "sources",  # by content hash
    Phase.SYNTHESIZE: "pairs",
    Phase.CAPTION: "samples",
    Phase.ALIGN: "jobs",
    Phase.EDIT: "jobs",
}
CHILD_TABLE = {
    Phase.CURATE: "clips",
    Phase.MINE: "pairs",
    Phase.LINK: "pairs",
    Phase.SYNTHESIZE: "samples",
    Phase.CAPTION: "samples",
    Phase.ALIGN: "jobs",
    Phase.EDIT: "edits",
}
ATTEMPTED = (Phase.SYNTHESIZE, Phase.EDIT)
"""What is tried again with another seed and rung when its verification fails."""

NEXT_ATTEMPT_SQL = """
    SELECT parent_key, task, fingerprint, max(attempt) + 1 AS attempt
    FROM attempts WHERE status = 'rejected' GROUP BY parent_key, task, fingerprint
"""
"""Where a pending (parent, task) goes on after a crash. An attempt's row is `rejected` when another attempt follows,
`failed` when it was the last one, `ok` when it passed; only the first kind moves a unit on."""

_STATUS = {Outcome.DONE: "ok", Outcome.REJECTED: "rejected"}
_REASONS = {
    Outcome.EXHAUSTED: Reason.ATTEMPTS_EXHAUSTED,
    Outcome.POISON: Reason.POISON,
    Outcome.FAILED: Reason.INTERNAL_ERROR,
}


@dataclass
class Generation:
    """Buffered rows by table, and the (parent_key, task) whose other rows must go."""

    run_id: str
    rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    replaced: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    settled: list[tuple[Phase, str]] = field(default_factory=list)  # unit ids this generation finishes

    @property
    def num_rows(self) -> int:
        return sum(len(rows) for rows in self.rows.values())

    def add_retry(self, unit: Unit, result: Result, fingerprint: str, moment: datetime) -> None:
        """A failed attempt that another one follows."""
        self._add_children(unit, result, fingerprint, moment)

    def add_end(self, unit: Unit, result: Result, fingerprint: str, moment: datetime) -> None:
        """A settled unit: its rows replace what it made before; `settled` says so; a dead letter if it failed."""
        self._add_children(unit, result, fingerprint, moment)
        owner = (unit.key, unit.task)
        if unit.phase is not Phase.CAPTION:  # its sample keeps the pair as parent and is replaced by key
            children = result.rows.get(CHILD_TABLE[unit.phase], [])
            parents = {owner, *((row.get("parent_key", unit.key), unit.task) for row in children)}
            self.replaced[CHILD_TABLE[unit.phase]].extend(sorted(parents))
        if unit.phase is Phase.MINE:
            self.replaced["subjects"].append(owner)
        self.replaced["rejects"].append(owner)
        common: Row = {
            "parent_key": unit.key,
            "task": unit.task,
            "status": _STATUS.get(result.outcome, "failed"),
            "reason": result.reason or _REASONS.get(result.outcome),
        }
        if result.outcome in DEAD:
            self._add("rejects", common | _dead_letter(unit, result), fingerprint, moment)
        if unit.num_deliveries:
            self.rows["suspects"].append(suspect_row(unit, 0, fingerprint, self.run_id, moment))
        self._add("settled", common | _end(unit, result), fingerprint, moment)
        self.settled.append((unit.phase, unit.id))

    def _add_children(self, unit: Unit, result: Result, fingerprint: str, moment: datetime) -> None:
        rows = dict(result.rows)
        if unit.phase in ATTEMPTED:
            rows["attempts"] = [_attempt_row(unit, result, row) for row in rows.get("attempts") or [{}]]
            if unit.attempt == 0:  # a new start: what another fingerprint tried before is history
                self.replaced["attempts"].append((unit.key, unit.task))
        for table, children in rows.items():
            defaults: Row = {"parent_key": unit.key}
            if "task" in TABLES[table].names:
                defaults["task"] = unit.task
            for number, child in enumerate(children):
                if table == "rejects":
                    defaults["key"] = digest("reject", unit.id, number)
                self._add(table, defaults | child, fingerprint, moment)

    def _add(self, table: str, row: Row, fingerprint: str, moment: datetime) -> None:
        self.rows[table].append(complete(row, fingerprint, self.run_id, moment))


def complete(row: Row, fingerprint: str, run_id: str, moment: datetime) -> Row:
    """The common columns where the maker left them out."""
    common: dict[str, Any] = {"status": "ok", "fingerprint": fingerprint, "run_id": run_id, "created_at": moment}
    given = {name: str(value) if isinstance(value, str) else value for name, value in row.items() if value is not None}
    return common | given


def suspect_row(unit: Unit, num_deliveries: int, fingerprint: str, run_id: str, moment: datetime) -> Row:
    row: Row = {
        "key": unit.id,
        "parent_key": unit.key,
        "phase": unit.phase,
        "task": unit.task,
        "attempt": unit.attempt,
        "num_deliveries": num_deliveries,
    }
    return complete(row, fingerprint, run_id, moment)


def _attempt_row(unit: Unit, result: Result, row: Row) -> Row:
    status = {Outcome.DONE: "ok", Outcome.RETRY: "rejected"}.get(result.outcome, "failed")
    defaults: Row = {
        "pair_key": unit.key if unit.phase is Phase.SYNTHESIZE else None,
        "reason": None if result.outcome is Outcome.DONE else result.reason,
        "reasons": [str(result.reason)] if result.reason else [],
    }
    ours: Row = {
        "key": digest("attempt", unit.id, unit.attempt),
        "task": unit.task,
        "attempt": unit.attempt,
        "status": status,
        "seconds": dict(result.seconds),
    }
    return defaults | row | ours


def _dead_letter(unit: Unit, result: Result) -> Row:
    return {
        "key": digest("reject", unit.id),
        "table": PARENT_TABLE[unit.phase],
        "row_key": unit.key,
        "stage": result.stage or str(unit.phase),
        "message": result.message,
        "num_attempts": unit.attempt + 1,
    }


def _end(unit: Unit, result: Result) -> Row:
    return {
        "key": unit.id,
        "phase": unit.phase,
        "attempt": unit.attempt,
        "outcome": result.outcome,
        "num_children": len(result.rows.get(CHILD_TABLE[unit.phase], [])),
        "num_deliveries": unit.num_deliveries,
        "inputs": unit.inputs,
        "seconds": dict(result.seconds),
    }
