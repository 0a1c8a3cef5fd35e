"""One committer per output. On a local disk a lock held by the process that commits, free the moment that dies; on S3
a lease with a heartbeat.

Neither is what keeps two committers apart in the end: that is the commit protocol (tables.py). They keep a second run
from wasting its work, and say who the first one is.
"""

import fcntl
import json
import os
import re
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cluster import s3
from cluster.folder import Folder, LocalFolder, S3Folder
from cluster.s3_errors import ConditionLost
from schemas.errors import BadInput, Unreachable, UserError

NAME = ".lock"
BEAT_SECONDS = 10.0
DEAD_SECONDS = 30.0
"""Without a beat a lease is free: three were missed."""

Owner = dict[str, Any]
_PASSWORD = re.compile(r"://[^/@\s]*@")


def output_lock(out: Folder, driver_pid: int = 0) -> "FileLock | Lease":
    """Take the output, or raise UserError with one line that says who has it.

    driver_pid: the process the user started, where it is not this one. The error carries the owner's as `driver_pid`
    where that runs on this machine, so that a caller can tell an owner that is about to die with its driver.
    """
    return FileLock(out, driver_pid) if isinstance(out, LocalFolder) else Lease(out, driver_pid)


class FileLock:
    """flock on OUT/.lock. The file stays; the lock goes with us."""

    def __init__(self, out: LocalFolder, driver_pid: int = 0) -> None:
        try:
            out.path.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(out.path / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UserError(f"cannot write to {out}: {error.strerror}") from error
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _owner_in(os.pread(self._handle, 4096, 0))
            os.close(self._handle)
            raise _taken(out, owner) from None
        try:
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, json.dumps(_me(driver_pid)).encode(), 0)
        except OSError as error:
            self.release()
            raise UserError(f"cannot write to {out}: {error.strerror}") from error

    def release(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


class Lease:
    """An object that its owner writes anew every BEAT_SECONDS, each time only over its own last writing.

    Whether an owner is alive is seen by whether the object changes while one looks: clocks of different machines are
    never compared. clock: monotonic seconds; sleep: of this thread.
    """

    def __init__(
        self,
        out: S3Folder,
        driver_pid: int = 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._out, self._uri = out, out.address(NAME)
        self._me = _me(driver_pid) | {"lease": uuid.uuid4().hex}
        self._beats = 0
        self._clock, self._sleep = clock, sleep
        self._etag = self._take()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def _take(self) -> str:
        while True:
            found = s3.head(self._uri)
            try:
                if found is None:
                    return s3.put(self._uri, self._body(), if_none_match=True)
                owner = _owner_in(s3.read(self._uri))
                if not (owner.get("released") or died_here(owner)):
                    self._await_silence(found.etag, owner)
                return s3.put(self._uri, self._body(), if_match=found.etag)
            except (ConditionLost, BadInput):
                continue  # somebody was quicker: look again, at them

    def _await_silence(self, etag: str, owner: Owner) -> None:
        """Return once nothing was written for DEAD_SECONDS. Raises UserError when something is."""
        since = self._clock()
        while self._clock() - since < DEAD_SECONDS:
            self._sleep(1.0)
            found = s3.head(self._uri)
            if found is None or found.etag != etag:
                now = _owner_in(s3.read(self._uri)) if found else {"released": True}
                if now.get("released"):
                    raise ConditionLost(self._uri)  # free: take it as it is now
                raise _taken(self._out, now)

    def _keep(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                self.beat()
            except ConditionLost:
                return  # we were silent for too long: the next commit will find out
            except (Unreachable, UserError, BadInput):
                continue

    def beat(self) -> None:
        """Raises ConditionLost when somebody else took the lease."""
        self._beats += 1
        self._write()

    def _write(self, **more: object) -> None:
        """Over our own last writing; also over one of ours whose answer never came."""
        try:
            self._etag = s3.put(self._uri, self._body(**more), if_match=self._etag)
        except ConditionLost:
            found = s3.head(self._uri)
            if found is None or _owner_in(s3.read(self._uri)).get("lease") != self._me["lease"]:
                raise
            self._etag = s3.put(self._uri, self._body(**more), if_match=found.etag)

    def _body(self, **more: object) -> bytes:
        return json.dumps(self._me | {"beat": self._beats} | more).encode()

    def release(self) -> None:
        if self._ended.is_set():
            return
        self._ended.set()
        self._thread.join()
        with suppress(ConditionLost, Unreachable, UserError, BadInput):  # whoever comes next waits for silence
            self._write(released=True)


def owner_of(out: Folder) -> Owner:
    """Who holds an output, or held it last; {} when that cannot be read. Takes no lock."""
    try:
        return _owner_in(out.read(NAME))
    except (OSError, Unreachable):
        return {}


def _taken(out: Folder, owner: Owner) -> UserError:
    taken = UserError(
        f"{out} is in use by pid {owner.get('pid', '?')} on {owner.get('host', '?')} "
        f"since {owner.get('since', '?')} ({owner.get('command', '?')})"
    )
    if _runs_here(owner):
        taken.driver_pid = owner.get("pid")  # type: ignore[attr-defined]
    return taken


def died_here(owner: Mapping[str, Any]) -> bool:
    """Whether an owner was a process of this machine and is gone. Of one elsewhere nothing is known: False."""
    return _runs_here(owner) and not os.path.exists(f"/proc/{owner.get('pid')}")


def _runs_here(owner: Mapping[str, Any]) -> bool:
    return bool(_processes()) and owner.get("processes") == _processes()


def _processes() -> str:
    """Within what a pid means one process: a boot and a namespace, since containers may share a host's name."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:  # no /proc here
        return ""


def _owner_in(text: bytes) -> Owner:
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError):  # it is being written right now
        return {}


def _me(driver_pid: int) -> Owner:
    pid = driver_pid or os.getpid()
    return {
        "pid": pid,
        "host": socket.gethostname(),
        "processes": _processes(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": _PASSWORD.sub("://", " ".join(_command(pid).split()))[:200],
    }


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:  # no /proc here
        return " ".join(sys.argv)
