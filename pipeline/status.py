"""`recast status`: what is done, pending, failing and why, read from the tables alone, also while a run is going."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.live import live, words
from pipeline.tables import Snapshot, read_tables
from schemas.reasons import Reason

_FUNNEL = ("sources", "clips", "pairs", "samples")
_EDIT_FUNNEL = ("jobs", "edits")
"""Only where there are any: most outputs are datasets."""
_REASONED = {
    "sources": "sources dropped",
    "sources_kept": "sources used with a flaw",
    "clips": "clips dropped",
    "mining": "clips without a pair",
    "jobs": "clips that cannot be edited as asked",
}


def status(out: str | Path) -> dict[str, Any]:
    """Counts per table and status, reasons, samples per task, retries, dead letters, the run in progress and the latest
    ones (JSON)."""
    tables = read_tables(out)
    return {
        "out": str(out),
        "live": live(tables),
        "funnel": _funnel(tables),
        "reasons": {
            "sources": _reasons(tables, "sources"),
            "sources_kept": _reasons(tables, "sources", "status = 'ok'"),
            "clips": _reasons(tables, "clips"),
            "mining": _mining(tables),
            "jobs": _reasons(tables, "jobs"),
        },
        "settled": _settled(tables),
        "tasks": _pairs(tables, "select task, count(*) from samples where status = 'ok' group by 1 order by 1"),
        "attempts": _attempts(tables),
        "attempt_reasons": _pairs(
            tables,
            "select r, count(*) from (select unnest(reasons) as r from attempts) group by 1 order by 2 desc, 1",
        ),
        "dead_letters": _pairs(
            tables,
            "select stage || ': ' || reason, count(*) from rejects where status <> 'removed' group by 1 order by 1",
        ),
        "model_seconds": _seconds(tables),
        "runs": _runs(tables),
        "versions": tables.versions(),
    }


def _funnel(tables: Snapshot) -> dict[str, dict[str, int]]:
    edits = {name: counts for name in _EDIT_FUNNEL if (counts := _counts(tables, name))}
    return {name: _counts(tables, name) for name in _FUNNEL} | edits


def _counts(tables: Snapshot, name: str) -> dict[str, int]:
    return _pairs(tables, f"select status, count(*) from {name} group by 1 order by 1")


def _reasons(tables: Snapshot, name: str, where: str = "status <> 'ok'") -> dict[str, int]:
    sql = f"select reason, count(*) from {name} where {where} and reason is not null group by 1 order by 2 desc, 1"
    return _pairs(tables, sql)


def _mining(tables: Snapshot) -> dict[str, int]:
    """Clips that were looked at and gave no pair: the answer is in `settled`, the clip itself stays ok."""
    where = "phase = 'mine' and outcome = 'rejected'"
    return _pairs(tables, f"select reason, count(*) from settled where {where} group by 1 order by 2 desc, 1")


def _settled(tables: Snapshot) -> dict[str, dict[str, int]]:
    rows = tables.query("select phase, outcome, count(*) as n from settled group by all order by all").to_pylist()
    settled: dict[str, dict[str, int]] = {}
    for row in rows:
        settled.setdefault(row["phase"], {})[row["outcome"]] = row["n"]
    return settled


def _attempts(tables: Snapshot) -> dict[str, int]:
    sql = "select status, count(*) from attempts group by 1 order by 1"
    return _pairs(tables, sql)


def _seconds(tables: Snapshot) -> dict[str, float]:
    sql = "select unnest(map_entries(seconds)) as lap from attempts"
    sql = f"select lap.key as key, round(sum(lap.value), 1) as total from ({sql}) group by 1 order by 1"
    return {row["key"]: row["total"] for row in tables.query(sql).to_pylist()}


def _runs(tables: Snapshot) -> list[dict[str, Any]]:
    sql = """select run_id, event, epoch, generation, created_at, detail from runs where event <> 'progress'
        order by created_at desc, key limit 10"""
    return [{**row, "created_at": row["created_at"].isoformat()} for row in tables.query(sql).to_pylist()]


def _pairs(tables: Snapshot, sql: str) -> dict[str, int]:
    found = tables.query(sql)
    return dict(zip(found.column(0).to_pylist(), found.column(1).to_pylist(), strict=True))


def show(found: dict[str, Any], console: Console) -> None:
    """The same for people."""
    funnel = Table("table", "ok", "rejected", "failed", "removed", title=found["out"], title_justify="left")
    is_edited = any(name in found["funnel"] for name in _EDIT_FUNNEL)
    for name, counts in found["funnel"].items():
        if is_edited and not counts:
            continue
        funnel.add_row(name, *(str(counts.get(kind, 0)) for kind in ("ok", "rejected", "failed", "removed")))
    console.print(funnel)
    if found["tasks"]:
        console.print("samples by task: " + ", ".join(f"{task} {count}" for task, count in found["tasks"].items()))
    attempts = found["attempts"]
    if attempts:
        console.print(f"attempts: {attempts.get('ok', 0)} accepted, {attempts.get('rejected', 0)} sent back")
    for name, reasons in found["reasons"].items():
        for code, count in reasons.items():
            what = _REASONED[name]
            console.print(f"  {count:>6} {what}: {Reason(code).meaning} ({code})", highlight=False)
    for code, count in found["attempt_reasons"].items():
        console.print(f"  {count:>6} attempts sent back: {Reason(code).meaning} ({code})", highlight=False)
    for what, count in found["dead_letters"].items():
        console.print(f"  {count:>6} dead letters, {what} (recast retry gives them another chance)", highlight=False)
    if found["live"]:
        for line in words(found["live"]):
            console.print(line, highlight=False, markup=False)
    elif found["runs"]:
        latest = found["runs"][0]
        console.print(f"latest run: {latest['run_id']} {latest['event']} at {latest['created_at']}", highlight=False)
