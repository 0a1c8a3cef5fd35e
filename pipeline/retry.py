"""`recast retry`: dead letters become pending again; the next `recast build` takes them up with fresh attempts."""

from pathlib import Path

from pipeline.ledger import Ledger
from pipeline.settings import Settings
from pipeline.tables import read_tables


def retry(out: str | Path, settings: Settings, run_id: str) -> int:
    """Reopens every dead letter (exhausted, poison, failed). Returns how many there were.

    Their attempts stay: the next one continues the numbering, so it has a new seed, and the ledger counts off another
    max_attempts from there. Raises UserError where there is no output, or while a run holds it.
    """
    read_tables(out)
    ledger = Ledger(out, settings.config.engine, run_id)
    count = ledger.reopen()
    ledger.close("retried", {"units": count})
    return count
