"""`recast edit`: the three modules of IMAGEdit (arXiv 2510.01186), for as many clips as were asked for.

jobs -> A. align: who is in the clip, and what each change is about     a preview stops here
     -> B, C. edit: masks retargeted, frames generated, put back        failed verifications go round again
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from actors.profiles import Roles, check_implementations
from cluster.sources import list_sources
from pipeline import stamps
from pipeline.align import AlignJob
from pipeline.edit_jobs import jobs_of, read_jobs
from pipeline.edit_planner import EditPlanner, write_jobs
from pipeline.edit_rows import JOB, options_of, stamp_of_job
from pipeline.edit_video import EditVideo
from pipeline.engine import Step
from pipeline.free_text import understand
from pipeline.models import fetch_for_new
from pipeline.run import Product, Run, ask, check_writable, scratch
from pipeline.session import Outcome, Say, Session, Show, in_sessions
from pipeline.settings import Settings, roles_of
from pipeline.storage_errors import storage_errors
from schemas.edit import EditJob, Turn
from schemas.errors import UserError
from schemas.work import EDIT_PHASES, Phase
from stages.edit_grammar import parse_prompts

PRODUCT = Product(EDIT_PHASES, EditPlanner)

STEPS: dict[Phase, type[Step]] = {Phase.ALIGN: AlignJob, Phase.EDIT: EditVideo}


def _make(settings: Settings, phase: Phase, roles: Roles) -> Step:
    return STEPS[phase](roles, settings.config)


def requested(
    sources: list[str], prompts: list[str], jobs_file: Path | None, seed: int, settings: Settings
) -> Iterator[EditJob]:
    """The jobs that a command line asks for. Raises UserError, one line, for what is wrong with it."""
    if jobs_file is not None:
        if sources or prompts or seed:
            raise UserError("--jobs names sources, prompts and seeds itself: give it alone")
        return (_checked(job, settings) for job in read_jobs(jobs_file, partial(understand, settings.profile)))
    if not sources:
        raise UserError("nothing to edit: give videos and --prompt, or --jobs")
    if not prompts:
        raise UserError("say what changes: --prompt '[bear -> gorilla]', or --jobs")
    parsed = [
        [turn] if isinstance(turn, Turn) else understand(settings.profile, turn.text) for turn in parse_prompts(prompts)
    ]
    turns = [turn for each in parsed for turn in each]
    return jobs_of(turns, (listed.uri for listed in list_sources(sources)), seed)


def _checked(job: EditJob, settings: Settings) -> EditJob:
    """Raises UserError for options that are no settings of `editing`."""
    options_of(job, settings.config.editing)
    return job


def edit(
    jobs: Iterable[EditJob],
    out: str | Path,
    settings: Settings,
    show: Show,
    say: Say,
    preview: bool = False,
    max_hours: float | None = None,
) -> tuple[Outcome, list[str]]:
    """Edit, or go on with it; preview: only find what each edit is about. Returns what was done, and the keys of the
    jobs asked for. Raises UserError before anything is written for bad arguments."""
    began = time.monotonic()
    phases = (Phase.ALIGN,) if preview else EDIT_PHASES
    check_implementations(settings.profile)
    _check_roles(settings, phases)
    fetch_for_new(out, settings, phases, say)
    deadline = began + max_hours * 3600 if max_hours is not None else None
    with scratch() as folder:
        listing = folder / "jobs.parquet"
        with storage_errors(folder):
            keys = write_jobs(map(_listed, jobs), listing)
        outcome = Outcome(num_sources=len(keys))
        check_writable(out)
        stamps.fill(listing, out, "jobs")

        def work(run: Run) -> None:
            outcome.seconds["start"] += time.monotonic() - began
            session = Session(run, outcome, show, say)
            session.begin()
            session.stream(partial(_stream, session, phases))

        in_sessions(work, out, settings, listing, partial(_make, settings), deadline, PRODUCT, say)
    outcome.seconds["total"] = time.monotonic() - began
    return outcome, keys


def _check_roles(settings: Settings, phases: Sequence[Phase]) -> None:
    """Raises UserError for a profile that names too few roles to edit with."""
    if missing := sorted(roles_of(phases, settings.config) - settings.profile.roles.keys()):
        raise UserError(f"profile {settings.profile.name!r} cannot edit: it names no role {', '.join(missing)}")


def _stream(session: Session, phases: Sequence[Phase]) -> None:
    for phase in phases:
        if phase is Phase.EDIT and (reopened := ask(session.run.ledger.rejudge_edits.remote())):
            session.outcome.changed["reopened_edits"] += reopened
        ask(session.run.ledger.open_phase.remote(phase))
        session.phase(phase)
        if phase is Phase.ALIGN:
            ask(session.run.ledger.record_dead_jobs.remote())


def _listed(job: EditJob) -> dict[str, str | None]:
    return {"uri": job.source, "stamp": stamp_of_job(job), "name": job.name, "request": JOB.dump_json(job).decode()}
