"""A changed verification threshold judges the stored scores again; only samples whose verdict flips are made anew.

A unit's sample is its first attempt that passes. When that is another one than before, the unit is reopened at the
earlier of the two: what follows is the ordinary path, with the same seeds, so the result is that of a fresh build.
"""

import itertools
from typing import Any

from pipeline.ledger import Ledger
from pipeline.settings import Settings
from schemas.reasons import Reason
from schemas.sample import Verdict
from schemas.work import Phase
from stages.verification import judge, lies_in_the_pair

Row = dict[str, Any]
UNITS_PER_COMMIT = 2000


def rejudge(ledger: Ledger, settings: Settings) -> int:
    """Returns how many units were reopened."""
    wanted, fingerprint = settings.fingerprints["verdict"], settings.fingerprints[Phase.SYNTHESIZE]
    sql = f"""
        select a.* from attempts a semi join (
            select parent_key, task from attempts where decision is distinct from '{wanted}') using (parent_key, task)
        where a.fingerprint = '{fingerprint}' order by a.parent_key, a.task, a.attempt
    """
    rows = (row for batch in ledger.tables.query_batches(sql) for row in batch.to_pylist())
    units = (Judged(list(attempts), settings) for _, attempts in itertools.groupby(rows, key=_unit_of))
    reopened = 0
    while page := list(itertools.islice(units, UNITS_PER_COMMIT)):
        _commit(ledger, page)
        reopened += sum(unit.resume is not None for unit in page)
    return reopened


def _unit_of(row: Row) -> tuple[str, str]:
    return row["parent_key"], row["task"]


class Judged:
    """The attempts of a unit under the present thresholds. resume: the attempt to go on from; None: nothing flips."""

    def __init__(self, attempts: list[Row], settings: Settings) -> None:
        thresholds = settings.config.verification
        verdicts = {row["attempt"]: judge(dict(row["verdict"]), thresholds) for row in attempts if row["verdict"]}
        task = attempts[0]["task"]
        before = _end(task, [(row["attempt"], row["status"] == "ok", row["reasons"]) for row in attempts])
        after = _end(task, [(row["attempt"], *_judged(row, verdicts.get(row["attempt"]))) for row in attempts])
        self.unit = _unit_of(attempts[0])
        self.resume = min(before[0], after[0]) if before != after else None
        self.reason = next((verdict.reasons[0] for verdict in verdicts.values() if verdict.reasons), Reason.REOPENED)
        if after[1] == "accepted":
            self.reason = Reason.REOPENED
        self.kept = [
            row | {"decision": settings.fingerprints["verdict"]} | _reasons(verdicts.get(row["attempt"]))
            for row in attempts
            if self.resume is None or row["attempt"] < self.resume
        ]


def _judged(row: Row, verdict: Verdict | None) -> tuple[bool, list[str]]:
    """Whether an attempt passes now, and its reasons. One that was never measured keeps the reasons it has."""
    if verdict is None:
        return False, row["reasons"]
    return verdict.passed, [str(reason) for reason in verdict.reasons]


def _end(task: str, attempts: list[tuple[int, bool, list[str]]]) -> tuple[int, str]:
    """Where the way through the attempts ends: accepted, refused for what lies in the pair, or open after the last."""
    for number, passed, reasons in attempts:
        if passed:
            return number, "accepted"
        if any(lies_in_the_pair(reason, task) for reason in reasons):
            return number, "refused"
    return attempts[-1][0], "open"


def _reasons(verdict: Verdict | None) -> Row:
    """An attempt that was never measured keeps the reason it has."""
    return {} if verdict is None else {"reasons": [str(reason) for reason in verdict.reasons]}


def _commit(ledger: Ledger, page: list[Judged]) -> None:
    """`attempts` last: until it is there, this whole page is judged again."""
    reopened = {unit.unit: unit for unit in page if unit.resume is not None}
    ledger.tables.merge("samples", _withdrawn(ledger, reopened))
    for table in ("rejects", "settled"):
        ledger.tables.merge(table, [], replace=list(reopened))
    ledger.tables.merge("attempts", [row for unit in page for row in unit.kept], replace=list(reopened))


def _withdrawn(ledger: Ledger, reopened: dict[tuple[str, str], Judged]) -> list[Row]:
    """Samples that do not stand any more, until their unit is settled again."""
    if not reopened:
        return []
    keys = ", ".join(f"'{parent}'" for parent, _ in reopened)
    rows = ledger.tables.query(f"select * from samples where parent_key in ({keys})").to_pylist()
    withdrawn = []
    for row in rows:
        unit = reopened.get(_unit_of(row))
        if unit is not None:
            withdrawn.append(row | {"status": "removed", "reason": str(unit.reason)})
    return withdrawn
