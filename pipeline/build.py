"""`recast build`: the four stages of OpenSubject (arXiv 2512.08294), a wave of sources at a time.

sources -> (i) curate -> [decide, near-duplicates] -> clips -> (ii) mine and pair -> pairs
        -> (ii) link shots of one source -> pairs across shots
        -> (iii) synthesise -> (iv) verify, caption -> samples        failed verifications go round again
"""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from actors.profiles import Roles, check_implementations
from cluster.sources import list_sources
from pipeline import stamps
from pipeline.caption import CaptionSample
from pipeline.curate import CurateSource
from pipeline.engine import Step
from pipeline.link import LinkSource
from pipeline.mine import MineClip
from pipeline.models import fetch_for_new
from pipeline.planner import Planner, write_listing
from pipeline.run import Product, Run, ask, check_writable, scratch
from pipeline.session import Outcome, Say, Session, Show, in_sessions
from pipeline.settings import Settings
from pipeline.storage_errors import storage_errors
from pipeline.synthesize import SynthesizeSample
from schemas.errors import UserError
from schemas.work import BUILD_PHASES, Phase

MAX_REMOVED_SHARE = 0.10
"""A --sync that would remove more than this asks for --yes: a missing mount must not empty a dataset."""

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


@dataclass(frozen=True)
class Options:
    limit: int | None = None
    max_hours: float | None = None
    sync: bool = False
    yes: bool = False


def build(
    sources: list[str],
    out: str | Path,
    settings: Settings,
    options: Options,
    show: Show,
    say: Say,
    product: Product = PRODUCT,
) -> Outcome:
    """Build, resume or rebuild the dataset at `out`. Raises UserError before anything is written for bad arguments."""
    began = time.monotonic()
    check_implementations(settings.profile)
    fetch_for_new(out, settings, product.phases, say)
    deadline = began + options.max_hours * 3600 if options.max_hours is not None else None
    with scratch() as folder:
        listing = folder / "listing.parquet"
        with storage_errors(folder):
            outcome = Outcome(num_sources=write_listing(list_sources(sources), listing))
        check_writable(out)
        stamps.fill(listing, out, "sources")

        def work(run: Run) -> None:
            outcome.seconds["start"] += time.monotonic() - began
            _session(Session(run, outcome, show, say), options)

        in_sessions(work, out, settings, listing, partial(_make, settings), deadline, product, say)
    outcome.seconds["total"] = time.monotonic() - began
    return outcome


def _session(session: Session, options: Options) -> None:
    session.begin()
    if options.sync:
        _remove_missing(session.run, options, session.say)
    session.stream(partial(_stream, session, options))


def _stream(session: Session, options: Options) -> None:
    ledger = session.run.ledger
    while ask(ledger.open_wave.remote(options.limit)):
        session.phase(Phase.CURATE)
        session.outcome.changed.update(ask(ledger.reconcile.remote()))
        ask(ledger.open_phase.remote(Phase.MINE))
        session.phase(Phase.MINE)
        ask(ledger.open_phase.remote(Phase.LINK))
        session.phase(Phase.LINK)
        ask(ledger.cascade.remote())
        ask(ledger.open_phase.remote(Phase.SYNTHESIZE))
        session.phase(Phase.SYNTHESIZE)
        ask(ledger.close_wave.remote())
    ask(ledger.open_phase.remote(Phase.CAPTION))
    session.phase(Phase.CAPTION)


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
