"""One committer per output: a lock on a local file, held by the process that commits, free the moment that dies."""

import fcntl
import json
import os
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path

from schemas.errors import UserError


class OutputLock:
    """Takes OUT/.lock or raises UserError with one line that says who has it. The file stays; the lock goes with us.

    driver_pid: the process the user started, where it is not this one. The error carries it as `driver_pid`, so that a
    caller can tell an owner that is about to die with its driver.
    """

    def __init__(self, out: Path, driver_pid: int = 0) -> None:
        try:
            out.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(out / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UserError(f"cannot write to {out}: {error.strerror}") from error
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = self._owner()
            os.close(self._handle)
            taken = UserError(
                f"{out} is in use by pid {owner.get('pid', '?')} on {owner.get('host', '?')} "
                f"since {owner.get('since', '?')} ({owner.get('command', '?')})"
            )
            taken.driver_pid = owner.get("pid")  # type: ignore[attr-defined]
            raise taken from None
        try:
            self._announce(driver_pid or os.getpid())
        except OSError as error:
            self.release()
            raise UserError(f"cannot write to {out}: {error.strerror}") from error

    def _owner(self) -> dict[str, object]:
        try:
            return dict(json.loads(os.pread(self._handle, 4096, 0)))
        except ValueError:  # the owner is writing it right now
            return {}

    def _announce(self, pid: int) -> None:
        me = {
            "pid": pid,
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": " ".join(_command(pid).split())[:200],
        }
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, json.dumps(me).encode(), 0)

    def release(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:  # no /proc here
        return " ".join(sys.argv)
