"""The command line: parse, call, print. Results on stdout, progress on stderr.

Exit 0 done, 1 finished with failures over the configured bound or a failed check, 2 the user's mistake (one line),
130 interrupted.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli_schedule import app as schedule
from pipeline.cli_submit import app as submit
from pipeline.failures import Failure, run_guarded
from pipeline.progress import Progress
from pipeline.visible import Terminal
from schemas.work import Outcome

app = typer.Typer(
    name="recast",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Turn videos into subject-driven image datasets, and into edited videos.",
)
models = typer.Typer(no_args_is_help=True, help="The models that profiles name.")
app.add_typer(models, name="models")
app.add_typer(submit, name="submit")
app.add_typer(schedule, name="schedule")
_out = Terminal()
_err = Terminal(stderr=True)

Out = Annotated[str, typer.Argument(help="The output: a folder or s3://BUCKET/PREFIX.", show_default=False)]
Sources = Annotated[list[str], typer.Argument(help="Videos: files, folders, globs, a .txt list, a Parquet table.")]
ProfileName = Annotated[str | None, typer.Option("--profile", help="Shipped name or .toml. [default: as before]")]
Assignments = Annotated[list[str] | None, typer.Option("--set", help="section.name=value; may be repeated.")]
Category = Annotated[str | None, typer.Option(help="What to call subjects that nothing else names.")]
MaxHours = Annotated[float | None, typer.Option(min=0, help="Stop after this, everything committed.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable result on stdout.")]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"recast {version('recast')}")
        raise typer.Exit


@app.callback()
def recast(
    show_version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
    endpoint_url: Annotated[
        str | None, typer.Option(help="Of S3, for s3:// anywhere. [default: AWS_ENDPOINT_URL]")
    ] = None,
    aws_profile: Annotated[str | None, typer.Option(help="Of the AWS configuration. [default: AWS_PROFILE]")] = None,
    no_sign_request: Annotated[bool, typer.Option("--no-sign-request", help="Public buckets, no credentials.")] = False,
    log_json: Annotated[
        str | None, typer.Option(envvar="RECAST_LOG_JSON", help="Append what happens to this file, JSON; - is stderr.")
    ] = None,
) -> None:
    """Turn videos into subject-driven image datasets, and into edited videos."""
    from cluster.s3 import configure

    configure(endpoint_url, aws_profile, no_sign_request)
    if log_json is not None:
        from pipeline.journal import write_to

        write_to(log_json)


@app.command()
def build(
    sources: Sources,
    out: Annotated[str, typer.Option(help="Where the dataset is, or will be.")],
    profile: ProfileName = None,
    assignments: Assignments = None,
    category: Category = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N sources, by key.")] = None,
    max_hours: MaxHours = None,
    sync: Annotated[bool, typer.Option("--sync", help="Remove what came from sources no longer given.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Agree to a --sync that removes more than 10 %.")] = False,
    as_json: AsJson = False,
) -> None:
    """Build a dataset from videos; on an existing OUT, go on with it or bring it up to date."""
    from pipeline.build import Options
    from pipeline.build import build as run_build
    from pipeline.settings import resolve
    from pipeline.status import show, status

    settings = resolve(out, profile, _chosen(assignments, category))
    options = Options(limit, max_hours, sync, yes)
    with Progress(_err) as progress:
        outcome = run_build(sources, out, settings, options, progress.show, progress.say)
    found = status(out)
    _finish(outcome, found if as_json else None, lambda: show(found, _out))
    _check_failures(outcome.counts, settings.config.engine.max_failed_share)


def _chosen(assignments: list[str] | None, category: str | None) -> list[str]:
    named = [] if category is None else [f"mining.category={json.dumps(category)}"]
    return [*(assignments or []), *named]


def _finish(outcome: Any, found: dict[str, Any] | None, show: Callable[[], None]) -> None:
    """Print what came of a run, as JSON if `found` is given; leave with 130 if somebody stopped it."""
    if found is not None:
        _print_json({**found, "this_run": outcome.detail()})
    else:
        show()
        _out.print(f"took {outcome.seconds['total']:.0f} s", highlight=False)
    if outcome.stopped in ("SIGINT", "SIGTERM"):
        raise typer.Exit(130)


def _check_failures(counts: Mapping[str, Mapping[str, int]], bound: float) -> None:
    units = sum(count for phase in counts.values() for outcome, count in phase.items() if outcome != Outcome.RETRY)
    failed = sum(phase.get(outcome, 0) for phase in counts.values() for outcome in (Outcome.FAILED, Outcome.POISON))
    if failed > bound * units:
        raise Failure(f"{failed} of {units} units failed: recast status says where, the table `rejects` why")


Prompts = Annotated[
    list[str] | None, typer.Option("--prompt", help="'[bear on the left -> gorilla]'; again for another turn.")
]


@app.command()
def edit(
    out: Annotated[str, typer.Option(help="Where the edited videos are, or will be.")],
    sources: Annotated[list[str] | None, typer.Argument(help="Videos, as for build; none with --jobs.")] = None,
    prompts: Prompts = None,
    jobs: Annotated[Path | None, typer.Option(help="A JSONL file, a clip and its edits per line.")] = None,
    preview: Annotated[bool, typer.Option("--preview", help="Only show what each edit is about.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Another one draws it another way.")] = 0,
    profile: ProfileName = None,
    assignments: Assignments = None,
    category: Category = None,
    max_hours: MaxHours = None,
    as_json: AsJson = False,
) -> None:
    """Change any number of subjects in videos, and leave everything else as it is."""
    from pipeline.edit import edit as run_edit
    from pipeline.edit import requested
    from pipeline.edit_results import results
    from pipeline.edit_results import show as show_results
    from pipeline.settings import resolve

    settings = resolve(out, profile, _chosen(assignments, category))
    wanted = requested(sources or [], prompts or [], jobs, seed, settings)
    with Progress(_err) as progress:
        outcome, keys = run_edit(wanted, out, settings, progress.show, progress.say, preview, max_hours)
    found = results(out, keys)
    _finish(outcome, {"jobs": found} if as_json else None, lambda: show_results(found, out, _out))
    failed = sum(entry["status"] in ("rejected", "failed") for entry in found)
    failed += sum(phase[Outcome.UNAVAILABLE] for phase in outcome.counts.values())  # of these no row says so
    if failed > settings.config.engine.max_failed_share * len(found):
        raise Failure(f"{failed} of {len(found)} clips were not edited")


@app.command()
def plan(
    sources: Sources,
    profile: ProfileName = None,
    assignments: Assignments = None,
    sample: Annotated[int, typer.Option(min=2, help="Sources to build, into a temporary output.")] = 24,
    workers: Annotated[int | None, typer.Option(min=1, help="To plan for. [default: as many as here]")] = None,
    as_json: AsJson = False,
) -> None:
    """Build a few sources, then say time, CPU and GPU hours, disk and number of samples for all."""
    from pipeline.plan import plan as run_plan
    from pipeline.plan_words import show as show_plan

    with Progress(_err) as progress:
        found = run_plan(sources, profile, list(assignments or []), sample, workers, progress.show, progress.say)
    if as_json:
        _print_json(found.to_json())
    else:
        show_plan(found, _out)


@app.command()
def status(
    out: Out,
    as_json: AsJson = False,
    list_versions: Annotated[bool, typer.Option("--versions", help="What each run left, and what it changed.")] = False,
    span: Annotated[str | None, typer.Option("--diff", help="Two versions, A..B, or A and now: row by row.")] = None,
) -> None:
    """What is done, what was dropped and why, and the run in progress or the latest ones; or OUT's versions."""
    from pipeline import status as now
    from pipeline import versions

    if span is not None:
        _print(versions.diff(out, span), versions.show_diff, as_json)
    elif list_versions:
        _print(versions.listed(out), versions.show, as_json)
    else:
        _print(now.status(out), now.show, as_json)


@app.command()
def check(out: Out, as_json: AsJson = False) -> None:
    """Every row against its bytes; exit 1 on any mismatch."""
    from pipeline.check import check as run_check

    problems = run_check(out)
    if as_json:
        _print_json([asdict(problem) for problem in problems])
    for problem in [] if as_json else problems:
        _out.print(str(problem), highlight=False, markup=False)
    wrong = [problem for problem in problems if problem.is_error]
    if wrong:
        raise Failure(f"{len(wrong)} problems in {out}")
    if not as_json:
        _out.print(f"{out}: every row matches its bytes", highlight=False)


@app.command()
def report(out: Out) -> None:
    """An HTML page that needs no network: funnel, drop reasons, gallery with masks, attempts, timings."""
    from pipeline.report import write_report

    _out.print(str(write_report(out)), highlight=False, markup=False)


@app.command()
def retry(out: Out) -> None:
    """Give dead letters another chance: the next build takes them up."""
    from pipeline.retry import retry as run_retry
    from pipeline.settings import resolve

    count = run_retry(out, resolve(out, None, []), f"retry-{time.time_ns():x}")
    _out.print(f"{count} dead letters are pending again; run the same command again to take them up", highlight=False)


@app.command()
def compact(
    out: Out,
    grace_hours: Annotated[float, typer.Option(min=0, help="Keep unreferenced shards younger than this.")] = 24.0,
) -> None:
    """Rewrite the shards sorted by key, byte-identical for equal datasets, and delete what nothing refers to."""
    from pipeline.compact import compact as run_compact
    from pipeline.settings import resolve
    from pipeline.tables import read_tables

    read_tables(out)
    engine = resolve(out, None, []).config.engine
    _out.print(str(run_compact(out, engine, grace_seconds=grace_hours * 3600)), highlight=False, markup=False)


Chosen = Annotated[str, typer.Option("--profile", help="Shipped name or .toml.", show_default=False)]


@models.command(name="list")
def list_models(profile: ProfileName = None, as_json: AsJson = False) -> None:
    """Ids, revisions, licences and sizes, and what is here: of a profile, or of all shipped ones."""
    from pipeline import models as known

    profiles = known.profiles_named(profile)
    if as_json:
        _print_json([asdict(row) for row in known.rows(profiles)])
    else:
        known.show(profiles, _out)


@models.command(name="pull")
def pull_models(profile: Chosen) -> None:
    """Fetch what a profile loads into the hub's cache and compare it with the hub's hashes; again to go on."""
    from actors.profiles import load_profile
    from pipeline.models import pull_all

    pull_all(load_profile(profile), lambda line: _err.print(line, highlight=False, markup=False))
    _out.print(f"{profile}: every model is here", highlight=False, markup=False)


@models.command(name="check")
def check_models(profile: Chosen, as_json: AsJson = False) -> None:
    """Whether a profile can run on this machine: packages, models, GPU memory; exit 1 if not."""
    from actors.profiles import load_profile
    from pipeline.models import check as run_check

    problems = run_check(load_profile(profile))
    if as_json:
        _print_json(problems)
    for problem in [] if as_json else problems:
        _out.print(problem, highlight=False, markup=False)
    if problems:
        raise Failure(f"{profile} cannot run here: {len(problems)} problems")
    if not as_json:
        _out.print(f"{profile} can run here", highlight=False, markup=False)


def _print(found: Any, show: Callable[[Any, Terminal], None], as_json: bool) -> None:
    if as_json:
        _print_json(found)
    else:
        show(found, _out)


def _print_json(found: Any) -> None:
    sys.stdout.write(json.dumps(found, indent=2, default=str) + "\n")


def main() -> None:
    """Entry point of the `recast` command."""
    sys.exit(run_guarded(app, _err))


if __name__ == "__main__":
    main()
