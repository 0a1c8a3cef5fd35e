"""What every product's run has in common: sessions that survive the ledger's process, phases, a graceful stop."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ray.exceptions import RayActorError

from pipeline.engine import MakeStep, num_workers
from pipeline.failures import Failure
from pipeline.host import SessionLost
from pipeline.run import Product, Run, Stopped, ask, started
from pipeline.settings import Settings, save
from schemas.work import Phase

MAX_RESTARTS = 3
"""Sessions in a row that may be lost, to the death of the ledger's process or of a node, without a commit."""

Show = Callable[[Phase, dict[str, Any]], None]
Say = Callable[[str], None]


@dataclass
class Outcome:
    """What a run did. counts: per phase, how many units ended how; seconds: wall time per part; models: per role with
    a pool, the gpus it held and its busy_seconds."""

    stopped: str | None = None
    num_sources: int = 0
    num_workers: int = 0
    models: dict[str, dict[str, float]] = field(default_factory=dict)
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    changed: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)

    def detail(self) -> dict[str, Any]:
        """What the `runs` table and --json say of it."""
        counts = {phase: dict(found) for phase, found in self.counts.items() if found}
        seconds = {name: round(spent, 2) for name, spent in self.seconds.items()}
        return {
            "stopped": self.stopped,
            "workers": self.num_workers,
            "counts": counts,
            "changed": dict(self.changed),
            "seconds": seconds,
            "models": self.models,
        }


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
        self.outcome.num_workers = num_workers(self.run.settings, self.run.num_cpus)
        self.run.note("run_started", out=self.run.out, workers=self.outcome.num_workers)

    def phase(self, name: Phase) -> None:
        """Stream an opened phase to its end."""
        began = time.monotonic()
        try:
            self.run.phase(name, partial(self.show, name))
        finally:
            self.outcome.seconds[name] += time.monotonic() - began
            self.outcome.counts[name].update(found := self.run.outcomes(name))
            if found:
                self.run.note("phase_over", phase=str(name), seconds=round(time.monotonic() - began, 2), outcomes=found)

    def stream(self, phases: Callable[[], None]) -> None:
        """`phases` to their end, or as far as the run is let; then all is committed and the output given free."""
        try:
            phases()
            self.outcome.models = self.run.models()
            self.run.check_stop()
            self.run.finish()
        except Stopped as stop:
            self.outcome.stopped = stop.why
            self.say(f"stopping ({stop.why}): finishing what is running, then committing; run again to go on")
            self.run.wind_down()
        event = "stopped" if self.outcome.stopped else "finished"
        self.run.close(event, self.outcome.detail())
        self.run.note(f"run_{event}", **self.outcome.detail())


def in_sessions(
    work: Callable[[Run], None],
    out: str | Path,
    settings: Settings,
    listing: Path,
    make_step: MakeStep,
    deadline: float | None,
    product: Product,
    say: Say,
) -> None:
    """Do `work` with a run; anew, from what is committed, when a process dies that it cannot do without."""
    restarts = 0
    while True:
        commits = 0
        try:
            with started(out, settings, listing, make_step, deadline, product) as run:
                try:
                    work(run)
                except Exception as error:
                    lost = isinstance(error, RayActorError | SessionLost)
                    run.note("session_lost" if lost else "run_failed", message=str(error))
                    raise
                finally:
                    commits = run.progress.get("commits", 0)
            return
        except (RayActorError, SessionLost) as died:
            restarts = 0 if commits else restarts + 1
            if restarts > MAX_RESTARTS:
                raise Failure(f"a process that the run cannot do without died {restarts} times: {died}") from died
            say(f"{_what_died(died)}; going on from what is committed")


def _what_died(error: Exception) -> str:
    return str(error) if isinstance(error, SessionLost) else "a process that the run cannot do without died"
