"""Ends its own process when something takes too long: nothing else ends a hung decoder, or a hung GPU."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator


class Watchdog:
    """Shoots its process when something it watches takes more than `seconds`. Whoever waits for the process counts the
    death as it does any other. Several threads may be watched at once."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._deadlines: dict[int, tuple[float, str]] = {}  # by thread
        threading.Thread(target=self._watch, daemon=True).start()

    @contextlib.contextmanager
    def watching(self, what: str) -> Iterator[None]:
        self._deadlines[threading.get_ident()] = time.monotonic() + self._seconds, what
        try:
            yield
        finally:
            self._deadlines.pop(threading.get_ident(), None)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """While somebody else works for this thread, who is watched over there."""
        watched, began = self._deadlines.pop(threading.get_ident(), None), time.monotonic()
        try:
            yield
        finally:
            if watched is not None:
                deadline, what = watched
                self._deadlines[threading.get_ident()] = deadline + time.monotonic() - began, what

    def _watch(self) -> None:
        while True:
            time.sleep(min(1.0, self._seconds / 4))
            late = [what for deadline, what in list(self._deadlines.values()) if time.monotonic() > deadline]
            if late:
                print(f"recast: {late[0]} took more than {self._seconds:.0f} s; ending its process", flush=True)
                os._exit(1)
