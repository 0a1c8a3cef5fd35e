"""`recast retry`: dead letters become pending again; the next `recast build` takes them up with fresh attempts."""

from pathlib import Path

from pipeline.ledger import Ledger
from pipeline.settings import Settings
from schemas.work import DEAD


def retry(out: Path, settings: Settings, run_id: str) -> int:
    """Un-settles every dead letter (exhausted, poison, failed). Returns how many there were.

    Their attempts stay: the next one continues the numbering, so it has a new seed, and the ledger counts off another
    max_attempts from there.
    """
    ledger = Ledger(out, settings.config.engine, run_id)
    try:
        outcomes = ", ".join(f"'{outcome}'" for outcome in DEAD)
        dead = ledger.tables.query(f"select parent_key, task from settled where outcome in ({outcomes})").to_pylist()
        units = [(row["parent_key"], row["task"]) for row in dead]
        for table in ("rejects", "suspects", "settled"):  # settled last: a crash before it leaves them dead, not lost
            ledger.tables.merge(table, [], replace=units)
    finally:
        ledger.close("retried", {"units": len(units)})
    return len(units)
