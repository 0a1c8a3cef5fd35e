"""`recast build`: the four stages of OpenSubject (arXiv 2512.08294), a wave of sources at a time.

sources -> (i) curate -> [decide, near-duplicates] -> clips -> (ii) mine and pair -> pairs
        -> (iii) synthesise -> (iv) verify, caption -> samples        failed verifications go round again
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from actors.profiles import Roles
from cluster.storage import list_sources
from pipeline.caption import CaptionSample
from pipeline.curate import CurateSource
from pipeline.mine import MineClip
from pipeline.planner import write_listing
from pipeline.run import Run, Stopped, ask, check_writable, scratch, started
from pipeline.settings import Settings, save
from pipeline.synthesize import SynthesizeSample
from schemas.errors import UserError
from schemas.work import Phase

MAX_REMOVED_SHARE = 0.10
"""A --sync that would remove more than this asks for --yes: a missing mount must not empty a dataset."""

Show = Callable[[Phase, dict[str, Any]], None]


@dataclass
class Outcome:
    """What a build did. counts: per phase the outcomes of its units; seconds: wall time per part."""

    stopped: str | None = None
    num_sources: int = 0
    counts: dict[str, Any] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Options:
    limit: int | None = None
    max_hours: float | None = None
    sync: bool = False
    yes: bool = False


def build(
    sources: list[str], out: Path, settings: Settings, options: Options, show: Show, say: Callable[[str], None]
) -> Outcome:
    """Build, resume or rebuild the dataset at `out`. Raises UserError before anything is written for bad arguments."""
    began = time.monotonic()
    deadline = began + options.max_hours * 3600 if options.max_hours is not None else None
    with scratch() as folder:
        listing = folder / "listing.parquet"
        outcome = Outcome(num_sources=write_listing(list_sources(sources), listing))
        check_writable(out)
        with started(out, settings, listing, deadline) as run:
            outcome.seconds["start"] = time.monotonic() - began
            _announce(run, say)
            save(out, settings)
            if options.sync:
                _remove_missing(run, options, say)
            try:
                _stream(run, options, outcome, show)
            except Stopped as stop:
                outcome.stopped = stop.why
                say(f"stopping ({stop.why}): finishing what is running, then committing; run again to go on")
                run.wind_down()
            outcome.counts = run.progress.get("phases", {})
            outcome.seconds["total"] = time.monotonic() - began
            run.close(
                "stopped" if outcome.stopped else "finished", {"counts": outcome.counts, "seconds": outcome.seconds}
            )
    return outcome


def _stream(run: Run, options: Options, outcome: Outcome, show: Show) -> None:
    roles, config = partial(Roles, run.settings.profile), run.settings.config

    def phase(name: Phase, step: Callable[[Roles, Any], Any]) -> None:
        began = time.monotonic()
        run.phase(name, lambda: step(roles(), config), partial(show, name))
        outcome.seconds[name] = outcome.seconds.get(name, 0.0) + time.monotonic() - began

    while ask(run.ledger.open_wave.remote(options.limit)):
        phase(Phase.CURATE, CurateSource)
        for kind, count in ask(run.ledger.reconcile.remote()).items():
            outcome.changed[kind] = outcome.changed.get(kind, 0) + count
        ask(run.ledger.open_phase.remote(Phase.MINE))
        phase(Phase.MINE, MineClip)
        ask(run.ledger.open_phase.remote(Phase.SYNTHESIZE))
        phase(Phase.SYNTHESIZE, SynthesizeSample)
        ask(run.ledger.close_wave.remote())
    ask(run.ledger.open_phase.remote(Phase.CAPTION))
    phase(Phase.CAPTION, CaptionSample)


def _announce(run: Run, say: Callable[[str], None]) -> None:
    stale = ask(run.ledger.stale.remote())
    if stale:
        say("the settings differ from those this output was made with; to be done again: " + _counted(stale))


def _remove_missing(run: Run, options: Options, say: Callable[[str], None]) -> None:
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
