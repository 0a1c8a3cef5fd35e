"""Ends its own process when something takes too long: nothing else ends a hung decoder, or a hung GPU."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator


class Watchdog:
    """Shoots its process when what it watches takes more than `seconds`. Whoever waits for the process counts the
    death as it does any other."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._deadline: float | None = None
        self._what = ""
        threading.Thread(target=self._watch, daemon=True).start()

    @contextlib.contextmanager
    def watching(self, what: str) -> Iterator[None]:
        self._what, self._deadline = what, time.monotonic() + self._seconds
        try:
            yield
        finally:
            self._deadline = None

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """While somebody else works, who is watched over there."""
        deadline, began = self._deadline, time.monotonic()
        self._deadline = None
        try:
            yield
        finally:
            self._deadline = None if deadline is None else deadline + time.monotonic() - began

    def _watch(self) -> None:
        while True:
            time.sleep(min(1.0, self._seconds / 4))
            deadline = self._deadline
            if deadline is not None and time.monotonic() > deadline:
                print(f"recast: {self._what} took more than {self._seconds:.0f} s; ending its process", flush=True)
                os._exit(1)
