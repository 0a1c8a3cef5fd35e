"""What delta-rs, DuckDB and the disk raise, as Recast has it; and patience with a store that fails now and then."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import duckdb
from deltalake.exceptions import CommitFailedError, DeltaError

from cluster.folder import Folder
from schemas.errors import Fenced, Unreachable, UserError

PAUSES = (0.5, 2.0, 8.0, 30.0)
"""Seconds between tries."""

_REFUSALS = ("ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "NoSuchBucket")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
T = TypeVar("T")


@contextmanager
def storage_errors(place: str | Path | Folder) -> Iterator[None]:
    """A full or unwritable disk is the user's to fix (UserError); a lost race for a commit is Fenced."""
    try:
        yield
    except (OSError, DeltaError, duckdb.Error) as error:
        text = _COLOURS.sub("", str(error))
        if "No space left" in text or "os error 28" in text:
            raise UserError(f"no space left on the disk of {place}") from error
        if refusal := next((sign for sign in _REFUSALS if sign in text), None):
            raise UserError(f"{place}: the store refused the credentials or the access ({refusal})") from error
        if any(sign in text for sign in ("Permission denied", "Read-only file system", "Not a directory")):
            raise UserError(f"cannot write to {place}: {text.splitlines()[0]}") from error
        if isinstance(error, CommitFailedError):
            raise Fenced(f"another run committed to {place}: {text.splitlines()[0]}") from error
        if "Generic S3 error" in text:  # after retries of its own
            raise Unreachable(f"{place} cannot be reached: {' '.join(text.split())[:300]}") from error
        raise


def patiently(place: str | Path | Folder, act: Callable[[], T]) -> T:
    """What `act` returns. delta-rs asks again by itself, for some minutes, where there was no answer, but not where an
    answer broke off: so here all of it is done again. `act` must be one that may be. Raises as `storage_errors` does.
    """
    for pause in PAUSES:
        try:
            return _once(place, act)
        except Unreachable:
            time.sleep(pause)
    return _once(place, act)


def _once(place: str | Path | Folder, act: Callable[[], T]) -> T:
    with storage_errors(place):
        return act()
