"""Who may go on when several threads want something at once."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator


class Turns:
    """Room for many, or for one alone; who wants to be alone is let in before those who come later."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._closed = False

    @contextlib.contextmanager
    def taken(self, alone: bool) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            if alone:
                self._closed = True
                self._changed.wait_for(lambda: self._inside == 0)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._closed = self._closed and not alone
                self._changed.notify_all()


class Room:
    """Room for so much at once; what is more than that by itself has it alone."""

    def __init__(self, size: int) -> None:
        self._changed = threading.Condition()
        self._size = size
        self._taken = 0

    @contextlib.contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + amount <= self._size)
            self._taken += amount
        try:
            yield
        finally:
            with self._changed:
                self._taken -= amount
                self._changed.notify_all()


class BusyClock:
    """Seconds in which at least one thread was inside."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._inside = 0
        self._since = self._seconds = 0.0

    @property
    def seconds(self) -> float:
        with self._lock:
            return self._seconds + (self._clock() - self._since if self._inside else 0.0)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        with self._lock:
            if not self._inside:
                self._since = self._clock()
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._seconds += self._clock() - self._since
