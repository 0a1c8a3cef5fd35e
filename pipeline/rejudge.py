"""A changed verification threshold judges the stored scores again; only what has another verdict now is made anew.

A unit's sample, or edit, is its first attempt that passes. When that is another one than before, the unit is reopened
at the earlier of the two: what follows is the ordinary path with the same seeds, so the result is a fresh build's.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipeline.edit_planner import TASK
from pipeline.ledger import Ledger
from pipeline.rows import CHILD_TABLE
from pipeline.settings import Settings
from schemas.reasons import Reason
from schemas.sample import Verdict
from schemas.work import Phase
from stages import edit_checks, verification
from stages.verification import lies_in_the_pair

Row = dict[str, Any]
UNITS_PER_COMMIT = 2000


@dataclass(frozen=True, slots=True)
class Judging:
    """How the attempts of one phase are judged, and by which thresholds."""

    phase: Phase
    fingerprint: str  # of the attempts that the present settings stand behind
    decision: str  # fingerprint of the thresholds
    judge: Callable[[dict[str, float]], Verdict]
    is_final: Callable[[str, str], bool]  # reason, task: no other attempt could mend it


def rejudge(ledger: Ledger, settings: Settings) -> int:
    """Attempts at samples. Returns how many units were reopened."""
    thresholds = settings.config.verification
    judging = Judging(
        Phase.SYNTHESIZE,
        settings.fingerprints[Phase.SYNTHESIZE],
        settings.fingerprints["verdict"],
        lambda scores: verification.judge(scores, thresholds),
        lies_in_the_pair,
    )
    return _rejudge(ledger, judging, "")


def rejudge_edits(ledger: Ledger, settings: Settings, listing: str) -> int:
    """Attempts at edits, of the jobs that a run was asked for: others it would withdraw and not make again. Returns how
    many were reopened."""
    thresholds = settings.config.edit_thresholds
    judging = Judging(
        Phase.EDIT,
        settings.fingerprints[Phase.EDIT],
        settings.fingerprints["edit_verdict"],
        lambda scores: edit_checks.judge(scores, thresholds),
        lambda reason, task: False,
    )
    return _rejudge(ledger, judging, f"and a.parent_key in (select key from {listing})")


def _rejudge(ledger: Ledger, judging: Judging, only: str) -> int:
    sql = f"""
        select a.* from attempts a semi join (
            select parent_key, task from attempts where decision is distinct from '{judging.decision}'
        ) using (parent_key, task)
        where a.fingerprint = '{judging.fingerprint}' {only} order by a.parent_key, a.task, a.attempt
    """
    rows = (row for batch in ledger.tables.query_batches(sql) for row in batch.to_pylist())
    units = (Judged(list(attempts), judging) for _, attempts in itertools.groupby(rows, key=_unit_of))
    reopened = 0
    while page := list(itertools.islice(units, UNITS_PER_COMMIT)):
        _commit(ledger, CHILD_TABLE[judging.phase], page)
        reopened += sum(unit.resume is not None for unit in page)
    return reopened


def _unit_of(row: Row) -> tuple[str, str]:
    return row["parent_key"], row["task"]


class Judged:
    """The attempts of a unit under the present thresholds. resume: the attempt to go on from; None: nothing flips."""

    def __init__(self, attempts: list[Row], judging: Judging) -> None:
        verdicts = {row["attempt"]: judging.judge(dict(row["verdict"])) for row in attempts if row["verdict"]}
        final = partial(judging.is_final, task=attempts[0]["task"])
        before = _end(final, [(row["attempt"], row["status"] == "ok", row["reasons"]) for row in attempts])
        after = _end(final, [(row["attempt"], *_judged(row, verdicts.get(row["attempt"]))) for row in attempts])
        self.unit = _unit_of(attempts[0])
        self.resume = min(before[0], after[0]) if before != after else None
        self.reason = next((verdict.reasons[0] for verdict in verdicts.values() if verdict.reasons), Reason.REOPENED)
        if after[1] == "accepted":
            self.reason = Reason.REOPENED
        self.kept = [
            row | {"decision": judging.decision} | _reasons(verdicts.get(row["attempt"]))
            for row in attempts
            if self.resume is None or row["attempt"] < self.resume
        ]


def _judged(row: Row, verdict: Verdict | None) -> tuple[bool, list[str]]:
    """Whether an attempt passes now, and its reasons. One that was never measured keeps the reasons it has."""
    if verdict is None:
        return False, row["reasons"]
    return verdict.passed, [str(reason) for reason in verdict.reasons]


def _end(is_final: Callable[[str], bool], attempts: list[tuple[int, bool, list[str]]]) -> tuple[int, str]:
    """Where the way through the attempts ends: accepted, refused for good, or open after the last."""
    for number, passed, reasons in attempts:
        if passed:
            return number, "accepted"
        if any(map(is_final, reasons)):
            return number, "refused"
    return attempts[-1][0], "open"


def _reasons(verdict: Verdict | None) -> Row:
    """An attempt that was never measured keeps the reason it has."""
    return {} if verdict is None else {"reasons": [str(reason) for reason in verdict.reasons]}


def _commit(ledger: Ledger, children: str, page: list[Judged]) -> None:
    """`attempts` last: until it is there, this whole page is judged again."""
    reopened = {unit.unit: unit for unit in page if unit.resume is not None}
    ledger.tables.merge(children, _withdrawn(ledger, children, reopened))
    for table in ("rejects", "settled"):
        ledger.tables.merge(table, [], replace=list(reopened))
    ledger.tables.merge("attempts", [row for unit in page for row in unit.kept], replace=list(reopened))


def _withdrawn(ledger: Ledger, children: str, reopened: dict[tuple[str, str], Judged]) -> list[Row]:
    """Samples and edits that do not stand any more, until their unit is settled again."""
    if not reopened:
        return []
    keys = ", ".join(f"'{parent}'" for parent, _ in reopened)
    rows = ledger.tables.query(f"select * from {children} where parent_key in ({keys})").to_pylist()
    withdrawn = []
    for row in rows:
        unit = reopened.get((row["parent_key"], row.get("task", TASK)))
        if unit is not None:
            withdrawn.append(row | {"status": "removed", "reason": str(unit.reason)})
    return withdrawn
