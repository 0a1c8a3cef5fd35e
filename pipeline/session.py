"""What every product's run has in common: sessions that survive the ledger's process, phases, a graceful stop."""

import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ray.exceptions import RayActorError

from pipeline.engine import MakeStep
from pipeline.failures import Failure
from pipeline.host import SessionLost
from pipeline.run import Product, Run, Stopped, ask, started
from pipeline.settings import Settings, save
from schemas.work import Phase

MAX_RESTARTS = 3
"""Sessions that may be lost to the death of the ledger's process before the run gives up."""

Show = Callable[[Phase, dict[str, Any]], None]
Say = Callable[[str], None]


@dataclass
class Outcome:
    """What a run did. counts: per phase, how many units ended how; seconds: wall time per part."""

    stopped: str | None = None
    num_sources: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    changed: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)

    def detail(self) -> dict[str, Any]:
        """What the `runs` table and --json say of it."""
        counts = {phase: dict(found) for phase, found in self.counts.items() if found}
        seconds = {name: round(spent, 2) for name, spent in self.seconds.items()}
        return {"stopped": self.stopped, "counts": counts, "changed": dict(self.changed), "seconds": seconds}


@dataclass(frozen=True)
class Session:
    """One life of the ledger's process, and what the user is told of it."""

    run: Run
    outcome: Outcome
    show: Show
    say: Say

    def begin(self) -> None:
        """Say what changed settings will do again, and keep them."""
        stale = ask(self.run.ledger.stale.remote())
        if stale:
            counted = ", ".join(f"{count} {name}" for name, count in stale.items())
            self.say("the settings differ from those this output was made with; to be done again: " + counted)
        save(self.run.out, self.run.settings)

    def phase(self, name: Phase) -> None:
        """Stream an opened phase to its end."""
        began = time.monotonic()
        try:
            self.run.phase(name, partial(self.show, name))
        finally:
            self.outcome.seconds[name] += time.monotonic() - began
            self.outcome.counts[name].update(self.run.outcomes(name))

    def stream(self, phases: Callable[[], None]) -> None:
        """`phases` to their end, or as far as the run is let; then all is committed and the output given free."""
        try:
            phases()
            self.run.check_stop()
            self.run.finish()
        except Stopped as stop:
            self.outcome.stopped = stop.why
            self.say(f"stopping ({stop.why}): finishing what is running, then committing; run again to go on")
            self.run.wind_down()
        self.run.close("stopped" if self.outcome.stopped else "finished", self.outcome.detail())


def in_sessions(
    work: Callable[[Run], None],
    out: Path,
    settings: Settings,
    listing: Path,
    make_step: MakeStep,
    deadline: float | None,
    product: Product,
    say: Say,
) -> None:
    """Do `work` with a run; anew, from what is committed, when a process dies that it cannot do without."""
    for restarts in itertools.count():
        try:
            with started(out, settings, listing, make_step, deadline, product) as run:
                work(run)
            return
        except (RayActorError, SessionLost) as died:
            if restarts == MAX_RESTARTS:
                raise Failure(f"a process that the run cannot do without died {restarts + 1} times: {died}") from died
            say("a process that the run cannot do without died; going on from what is committed")
