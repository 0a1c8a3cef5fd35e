"""`recast build`: the four stages of OpenSubject (arXiv 2512.08294), a wave of sources at a time.

sources -> (i) curate -> [decide, near-duplicates] -> clips -> (ii) mine and pair -> pairs
        -> (ii) link shots of one source -> pairs across shots
        -> (iii) synthesise -> (iv) verify, caption -> samples        failed verifications go round again
"""

import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ray.exceptions import RayActorError

from actors.profiles import Roles, check_implementations
from cluster.storage import list_sources
from pipeline.caption import CaptionSample
from pipeline.curate import CurateSource
from pipeline.engine import Step
from pipeline.failures import Failure
from pipeline.host import SessionLost
from pipeline.link import LinkSource
from pipeline.mine import MineClip
from pipeline.models import fetch_missing
from pipeline.planner import Planner, write_listing
from pipeline.run import Product, Run, Stopped, ask, check_writable, scratch, started
from pipeline.settings import Settings, roles_of, save
from pipeline.synthesize import SynthesizeSample
from pipeline.tables import storage_errors
from schemas.errors import UserError
from schemas.work import BUILD_PHASES, Phase

MAX_REMOVED_SHARE = 0.10
"""A --sync that would remove more than this asks for --yes: a missing mount must not empty a dataset."""

MAX_RESTARTS = 3
"""Sessions that may be lost to the death of the ledger's process before the run gives up."""

PRODUCT = Product(BUILD_PHASES, Planner)

STEPS: dict[Phase, type[Step]] = {
    Phase.CURATE: CurateSource,
    Phase.MINE: MineClip,
    Phase.LINK: LinkSource,
    Phase.SYNTHESIZE: SynthesizeSample,
    Phase.CAPTION: CaptionSample,
}


def _make(settings: Settings, phase: Phase, roles: Roles) -> Step:
    return STEPS[phase](roles, settings.config)


Show = Callable[[Phase, dict[str, Any]], None]
Say = Callable[[str], None]


@dataclass
class Outcome:
    """What a build did. counts: per phase, how many units ended how; seconds: wall time per part."""

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
class Options:
    limit: int | None = None
    max_hours: float | None = None
    sync: bool = False
    yes: bool = False


def build(sources: list[str], out: Path, settings: Settings, options: Options, show: Show, say: Say) -> Outcome:
    """Build, resume or rebuild the dataset at `out`. Raises UserError before anything is written for bad arguments."""
    began = time.monotonic()
    check_implementations(settings.profile)
    fetch_missing(settings.profile, roles_of(PRODUCT.phases), say)
    deadline = began + options.max_hours * 3600 if options.max_hours is not None else None
    with scratch() as folder:
        listing = folder / "listing.parquet"
        with storage_errors(folder):
            outcome = Outcome(num_sources=write_listing(list_sources(sources), listing))
        check_writable(out)
        for restarts in itertools.count():
            try:
                with started(out, settings, listing, partial(_make, settings), deadline, PRODUCT) as run:
                    outcome.seconds["start"] += time.monotonic() - began
                    _session(run, options, outcome, show, say)
                break
            except (RayActorError, SessionLost) as died:
                if restarts == MAX_RESTARTS:
                    raise Failure(
                        f"a process that the run cannot do without died {restarts + 1} times: {died}"
                    ) from died
                say("a process that the run cannot do without died; going on from what is committed")
    outcome.seconds["total"] = time.monotonic() - began
    return outcome


def _session(run: Run, options: Options, outcome: Outcome, show: Show, say: Say) -> None:
    """What one life of the ledger's process sees of a build."""
    _announce(run, say)
    save(run.out, run.settings)
    if options.sync:
        _remove_missing(run, options, say)
    try:
        _stream(run, options, outcome, show)
    except Stopped as stop:
        outcome.stopped = stop.why
        say(f"stopping ({stop.why}): finishing what is running, then committing; run again to go on")
        run.wind_down()
    run.close("stopped" if outcome.stopped else "finished", outcome.detail())


def _stream(run: Run, options: Options, outcome: Outcome, show: Show) -> None:
    def phase(name: Phase) -> None:
        began = time.monotonic()
        try:
            run.phase(name, partial(show, name))
        finally:
            outcome.seconds[name] += time.monotonic() - began
            outcome.counts[name].update(run.outcomes(name))

    while ask(run.ledger.open_wave.remote(options.limit)):
        phase(Phase.CURATE)
        outcome.changed.update(ask(run.ledger.reconcile.remote()))
        ask(run.ledger.open_phase.remote(Phase.MINE))
        phase(Phase.MINE)
        ask(run.ledger.open_phase.remote(Phase.LINK))
        phase(Phase.LINK)
        ask(run.ledger.cascade.remote())
        ask(run.ledger.open_phase.remote(Phase.SYNTHESIZE))
        phase(Phase.SYNTHESIZE)
        ask(run.ledger.close_wave.remote())
    ask(run.ledger.open_phase.remote(Phase.CAPTION))
    phase(Phase.CAPTION)
    run.check_stop()
    run.finish()


def _announce(run: Run, say: Say) -> None:
    stale = ask(run.ledger.stale.remote())
    if stale:
        say("the settings differ from those this output was made with; to be done again: " + _counted(stale))


def _remove_missing(run: Run, options: Options, say: Say) -> None:
    gone, known = ask(run.ledger.missing.remote())
    if gone > MAX_REMOVED_SHARE * known and not options.yes:
        run.close("stopped", {"why": "sync refused"})
        raise UserError(
            f"--sync would remove {gone} of {known} sources; is a mount missing? Add --yes if this is meant"
        )
    if gone:
        ask(run.ledger.remove_missing.remote())
        say(f"--sync: {gone} sources are no longer listed and were removed")


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
