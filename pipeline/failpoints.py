"""Named places at which a test may end the process, so that crash safety is a tested property and not a hope.

`hit(NAME)` does nothing unless armed: by RECAST_FAILPOINT="name[:nth]" in the environment (the process kills itself at
the nth hit) or, inside one test process, by `armed(name, nth)`, which raises `Crash`.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

NAMES = (
    "takeover_after_lock",
    "takeover_between_epochs",
    "lease_granted",
    "spool_written",
    "before_upload",
    "after_upload",
    "before_commit",
    "between_table_commits",
    "before_settled",
    "after_settled",
    "during_table_compaction",
    "compact_after_shard",
    "compact_before_commit",
    "compact_after_commit",
    "close_before_release",
)


def _kill_run() -> None:
    """The driver first, if this process works for one: a run that loses its driver is the case that matters."""
    driver = int(os.environ.get("RECAST_DRIVER_PID", "0"))
    if driver and os.environ.get("RECAST_FAILPOINT_VICTIM", "driver") == "driver":
        os.kill(driver, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


class Crash(BaseException):
    """What an armed failpoint raises in process; a BaseException, lest a handler of ours take it for an error."""


_countdown: dict[str, int] = {}
_kill = False


def _arm_from_environment() -> None:
    global _kill  # noqa: PLW0603  (read once, at import)
    name, _, nth = os.environ.get("RECAST_FAILPOINT", "").partition(":")
    if name:
        _check(name)
        _countdown[name] = int(nth or 1)
        _kill = True


def _check(name: str) -> None:
    if name not in NAMES:
        raise ValueError(f"unknown failpoint {name!r}; there are {', '.join(NAMES)}")


def hit(name: str) -> None:
    """End here if armed. Raises ValueError for a name that is not in NAMES."""
    _check(name)
    if name not in _countdown:
        return
    _countdown[name] -= 1
    if _countdown[name] > 0:
        return
    del _countdown[name]
    if _kill:
        _kill_run()
    raise Crash(name)


@contextmanager
def armed(name: str, nth: int = 1) -> Iterator[None]:
    """Within the block the nth hit of `name` raises Crash."""
    _check(name)
    _countdown[name] = nth
    try:
        yield
    finally:
        _countdown.pop(name, None)


def begun(unit: str) -> None:
    """Note that work on a unit begins, in the file RECAST_TRACE names if it does: what is done twice can be counted."""
    if trace := os.environ.get("RECAST_TRACE"):
        with open(trace, "a") as file:
            file.write(f"{time.time():.3f} {unit}\n")


def misbehave(text: str) -> None:
    """Crash or hang the process that works on a unit, when RECAST_FAULT says so: "crash=TEXT" or "hang=TEXT", for every
    unit in whose description the text occurs."""
    kind, _, needle = os.environ.get("RECAST_FAULT", "").partition("=")
    if needle and needle in text:
        if kind == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        while True:
            time.sleep(1)


_arm_from_environment()
