"""What happens in a run as JSON, a line each, for whoever collects logs: `recast --log-json FILE|-`.

    {"time": "2026-01-02T03:04:05.678Z", "level": "WARNING", "run": "...", "event": "retry", "phase": "synthesize",
     "key": "...", "reason": "copy_paste", "message": "too alike", ...}

The driver writes them all; what the ledger tells comes with each pulse. The tables are the truth: of a driver that is
killed the last half second is missing here.
"""

import io
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from schemas.errors import UserError

LEVELS = {
    "retry": logging.INFO,
    "rejected": logging.INFO,
    "exhausted": logging.WARNING,
    "unavailable": logging.WARNING,
    "worker_died": logging.WARNING,
    "session_lost": logging.WARNING,
    "run_stopped": logging.WARNING,
    "failed": logging.ERROR,
    "poison": logging.ERROR,
    "run_failed": logging.ERROR,
}
_LOG = logging.getLogger("recast.journal")
_LOG.propagate = False
_LOG.setLevel(logging.INFO)


def write_to(target: str) -> None:
    """A file, appended to, or "-" for stderr. Raises UserError for a file that cannot be written."""
    try:
        handler = logging.StreamHandler(sys.stderr) if target == "-" else logging.FileHandler(target, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write the log {target!r}: {error.strerror}") from None
    handler.setFormatter(JsonFormatter([]))
    _LOG.addHandler(handler)


def note(run_id: str, event: str, fields: Mapping[str, Any]) -> None:
    """One line; fields that are None are left out."""
    if _LOG.handlers:
        level = LEVELS.get(event, logging.INFO)
        moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        said = {name: value for name, value in fields.items() if value is not None}
        _LOG.log(level, {"time": moment, "level": logging.getLevelName(level), "run": run_id, "event": event, **said})


class Overheard(io.TextIOBase):
    """A stream whose lines are events `ray` of a run, once it has one."""

    run_id = ""

    def write(self, text: str) -> int:
        for line in filter(None, map(str.strip, text.splitlines())):
            note(self.run_id, "ray", {"message": line})
        return len(text)


@contextmanager
def overhearing() -> Iterator[Overheard]:
    """Stands in for stdout while Ray is up: a thread of its driver prints there what Ray does about calls that failed
    and actors that died, which must not come between results. RECAST_LOG_WORKERS=1 leaves it as it is."""
    heard = Overheard()
    with redirect_stdout(sys.stdout if os.environ.get("RECAST_LOG_WORKERS") else heard):
        yield heard
