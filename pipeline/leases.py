"""The queue of one phase: which units wait, which are out, with whom. Pure memory; knows no table, no clock, no Ray.

A unit is `queued`, then `leased` (on its way to a worker), `started` (a worker said so), `handed` (its bytes are with a
writer), then `delivered` and, once committed, forgotten. A retry goes back to `queued` with the next attempt.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from schemas.work import Unit


class State(StrEnum):
    QUEUED = "queued"
    LEASED = "leased"
    STARTED = "started"
    HANDED = "handed"
    DELIVERED = "delivered"


_OUT = (State.LEASED, State.STARTED, State.HANDED)


@dataclass(slots=True)
class _Held:
    unit: Unit
    state: State = State.QUEUED
    writer: str = ""


class LeaseQueue:
    """Units of one phase between the planner's pages and the ledger's commits.

    pages: pulled one at a time, only when nothing else waits; an empty page means "nothing yet, ask again".
    credit: how many units may be leased or started at a time.
    deliveries: (unit id, attempt) -> how often it took its process down in earlier runs.
    """

    def __init__(
        self, pages: Iterator[list[Unit]], credit: int, deliveries: dict[tuple[str, int], int] | None = None
    ) -> None:
        self._pages: Iterator[list[Unit]] | None = pages
        self._credit = credit
        self._deliveries = deliveries or {}
        self._held: dict[str, _Held] = {}
        self._waiting: deque[str] = deque()
        self._again: deque[str] = deque()  # retries go first: they end what was begun
        self._suspects: deque[str] = deque()
        self._num: dict[State, int] = dict.fromkeys(State, 0)
        self._pull()  # so that a phase with nothing to do can be told from one that has not begun

    def count(self, state: State) -> int:
        return self._num[state]

    @property
    def has_more_pages(self) -> bool:
        return self._pages is not None

    @property
    def is_over(self) -> bool:
        """Nothing waits, nothing is out, nothing more is planned. Delivered units may still await their commit."""
        return self._pages is None and not any(self._num[state] for state in (State.QUEUED, *_OUT))

    def lease(self, max_units: int) -> list[Unit]:
        """Up to `max_units` units and what else waits of the last one's key; or one suspect by itself; or nothing."""
        room = self._credit - self._num[State.LEASED] - self._num[State.STARTED]
        if room < min(max_units, self._credit):
            return []  # or a source that asks often would be given units one by one, as they come back
        if self._suspects:
            return [self._take(self._suspects)]
        if not self._again and not self._waiting:
            self._pull()
        taken: list[Unit] = []
        while len(taken) < min(max_units, room) and (self._again or self._waiting):
            taken.append(self._take(self._again or self._waiting))
        while taken and self._waiting and self._held[self._waiting[0]].unit.key == taken[-1].key:
            taken.append(self._take(self._waiting))  # another task of the same pair: its frames are read once
        return taken or ([self._take(self._suspects)] if self._suspects else [])

    def _take(self, line: deque[str]) -> Unit:
        held = self._held[line.popleft()]
        self._move(held, State.LEASED)
        return held.unit

    def _pull(self) -> None:
        if self._pages is None:
            return
        page = next(self._pages, None)
        if page is None:
            self._pages = None
            return
        for unit in page:
            identity = unit.id
            if identity not in self._held:  # a planner that looks twice may see what is not committed yet
                num_deliveries = max(unit.num_deliveries, self._deliveries.pop((identity, unit.attempt), 0))
                self._enqueue(replace(unit, num_deliveries=num_deliveries))

    def _enqueue(self, unit: Unit, again: bool = False) -> None:
        identity = unit.id
        held = self._held.get(identity)
        if held is None:
            held = self._held[identity] = _Held(unit)
            self._num[State.QUEUED] += 1
        else:
            held.unit = unit
            self._move(held, State.QUEUED)
        held.writer = ""
        line = self._suspects if unit.num_deliveries else self._again if again else self._waiting
        line.append(identity)

    def _move(self, held: _Held, state: State) -> None:
        self._num[held.state] -= 1
        self._num[state] += 1
        held.state = state

    def start(self, ids: Iterable[Sequence[str | int]]) -> tuple[list[bool], list[Unit]]:
        """What of `ids` a worker may work on, and the units whose process died: started before, now asked for again.

        ids: (unit id, attempt) or (unit id, attempt, num_deliveries). With a death among them nothing of the
        micro-batch runs: what it had not begun goes back to the queue. The dead stay `started` until `suspect`
        takes them.
        """
        asked = list(ids)
        known = [self._asked(*each) for each in asked]
        dead = [held for held in known if held is not None and held.state is State.STARTED]
        if not dead:
            for held in known:
                if held is not None:
                    self._move(held, State.STARTED)
            return [held is not None for held in known], []
        for held in known:
            if held is not None and held.state is State.LEASED:
                self._enqueue(held.unit, again=True)
        return [False] * len(asked), [held.unit for held in dead]

    def _asked(self, identity: str | int, attempt: str | int, num_deliveries: str | int | None = None) -> _Held | None:
        held = self._held.get(str(identity))
        if held is None or held.state not in (State.LEASED, State.STARTED) or held.unit.attempt != attempt:
            return None
        if num_deliveries is not None and held.unit.num_deliveries != num_deliveries:
            return None  # a replay of an earlier delivery: the unit has long been given to someone else
        return held

    def suspect(self, unit: Unit) -> None:
        """Queue a unit that took its process down; `unit` carries the new count. It will travel alone."""
        self._enqueue(unit)

    def hand_over(self, ids: Iterable[str], writer: str) -> None:
        for identity in ids:
            held = self._held.get(identity)
            if held and held.state in (State.LEASED, State.STARTED):
                self._move(held, State.HANDED)
                held.writer = writer

    def writer_lost(self, writer: str) -> None:
        for held in list(self._held.values()):
            if held.state is State.HANDED and held.writer == writer:
                self._enqueue(held.unit, again=True)

    def accept(self, identity: str, attempt: int) -> Unit | None:
        """The unit this result is for, now `delivered`; None for a replay, a late result or a stranger."""
        held = self._held.get(identity)
        if held is None or held.unit.attempt != attempt or held.state not in _OUT:
            return None
        self._move(held, State.DELIVERED)
        return held.unit

    def retry(self, unit: Unit) -> None:
        """Queue a delivered unit again, one attempt on, with a clean record."""
        self._enqueue(replace(unit, attempt=unit.attempt + 1, num_deliveries=0), again=True)

    def forget(self, identity: str) -> None:
        """The unit's end is committed."""
        held = self._held.pop(identity, None)
        if held is not None:
            self._num[held.state] -= 1


LEASE_SECONDS = 2.0
"""Of work in one lease. Ray Data spends about 60 ms on carrying it (measured with both cores busy); of a phase whose
units take longer, one at a time is leased, so that no worker sits on what another could begin."""


@dataclass(slots=True)
class OpenPhase:
    """A phase in progress: its queue, and what came of it since it was opened."""

    queue: LeaseQueue
    fingerprint: str
    max_attempts: int
    num_timed: int = 0
    seconds: float = 0.0  # of those units together
    retried: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    children: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)

    @property
    def num_fitting(self) -> int:
        """How many units fill LEASE_SECONDS, going by those that came back; one before any did."""
        return max(int(LEASE_SECONDS * self.num_timed / self.seconds), 1) if self.seconds else 1

    def time(self, seconds: float) -> None:
        self.num_timed += 1
        self.seconds += seconds

    def progress(self) -> dict[str, Any]:
        count = self.queue.count
        return {
            "queued": count(State.QUEUED),
            "leased": count(State.LEASED) + count(State.STARTED),
            "handed": count(State.HANDED),
            "uncommitted": count(State.DELIVERED),
            "planned": not self.queue.has_more_pages,  # True: every pending unit has been seen
            "retried": self.retried,
            "outcomes": dict(self.outcomes),
            "children": dict(self.children),
            "rejects": dict(self.rejects),
        }
