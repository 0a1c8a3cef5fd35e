"""`recast schedule`: prints what runs a command again and again; a build on an existing output is its rebuild."""

import sys
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from cluster import s3
from cluster.cron import Schedule
from cluster.jobs import assigned
from cluster.kube_schedules import cron_job, ray_cron_job, to_yaml
from cluster.local_schedules import crontab, systemd_units
from pipeline import cli_cluster_options as shared
from pipeline.visible import Terminal

if TYPE_CHECKING:
    from pipeline.remote_command import RemoteCommand

app = typer.Typer(
    no_args_is_help=True,
    help="Print what runs a command every night: for Kubernetes, or for one machine.",
)
_err = Terminal(stderr=True)


class Kind(StrEnum):
    cronjob = "cronjob"
    raycronjob = "raycronjob"
    crontab = "crontab"
    systemd = "systemd"


@app.callback()
def schedule(
    cron: Annotated[str, typer.Option(help="When: minute hour day month weekday, like '0 3 * * *'.")],
    timezone: Annotated[
        str, typer.Option(help="Like Europe/Berlin. (default: UTC in Kubernetes, else the machine's)")
    ] = "",
    kind: Annotated[Kind, typer.Option(help="Who keeps the time.")] = Kind.cronjob,
    environment: shared.Environment = None,
    name: shared.Name = "recast",
    namespace: shared.Namespace = "default",
    image: shared.Image = None,
    workers: shared.Workers = None,
    gpus: shared.Gpus = 1,
    gpu_gb: shared.GpuGb = 80,
    cpus: shared.Cpus = 16,
    memory_gb: shared.MemoryGb = 64,
    hours: shared.Hours = 24,
    secret: shared.Secret = "",
    service_account: shared.Account = "",
    token_secret: shared.TokenSecret = "",
    claim: shared.Claim = None,
) -> None:
    """Print what runs a command every night: for Kubernetes, or for one machine."""


def _run(command: "RemoteCommand", options: dict[str, Any]) -> None:
    when = Schedule(options["cron"], options["timezone"])
    shared.check(command)
    _say_when(when, in_kubernetes=options["kind"] in (Kind.cronjob, Kind.raycronjob))
    match options["kind"]:
        case Kind.crontab:
            if when.timezone:
                _say("cronie reads CRON_TZ; Debian's cron does not: there, write the time in the machine's own zone")
            sys.stdout.write(crontab(_local_words(command, options), when))
        case Kind.systemd:
            _print_units(command, options, when)
        case Kind.cronjob:
            plan, entrypoint = shared.kubernetes_plan(command, options)
            sys.stdout.write(to_yaml(cron_job(plan, entrypoint, when, options["hours"])))
        case Kind.raycronjob:
            _say(
                "RayCronJob is alpha, behind a feature gate of KubeRay, and has no concurrency policy: a run that is "
                "not over when the next one starts makes that one fail, since the output is locked"
            )
            plan, entrypoint = shared.kubernetes_plan(command, options)
            sys.stdout.write(to_yaml(ray_cron_job(plan, entrypoint, when, options["hours"])))


def _say_when(when: Schedule, in_kubernetes: bool) -> None:
    zone = when.timezone or ("UTC" if in_kubernetes else "")
    now = datetime.now(ZoneInfo(zone)) if zone else datetime.now()
    times = ", ".join(f"{time:%a %d %b %Y %H:%M}" for time in when.next_times(now, 3))
    _say(f"next: {times}{f' ({zone})' if zone else ''}")


def _recast(command: "RemoteCommand") -> list[str]:
    """The command on this machine, by a path that does not depend on the shell's: schedulers have few folders in it."""
    installed = Path(sys.executable).with_name("recast")
    program = [str(installed)] if installed.exists() else [sys.executable, "-m", "pipeline.cli"]
    return [*program, *command.arguments_here()]


def _local_words(command: "RemoteCommand", options: dict[str, Any]) -> list[str]:
    variables = [f"{name}={value}" for name, value in _environment(options).items()]
    return [*(["env", *variables] if variables else []), *_recast(command)]


def _environment(options: dict[str, Any]) -> dict[str, str]:
    """Schedulers start with next to none: what says which S3 comes from here. Secrets do not."""
    return s3.settings() | assigned(options["environment"] or [])


def _print_units(command: "RemoteCommand", options: dict[str, Any], when: Schedule) -> None:
    units = systemd_units(options["name"], _recast(command), when, str(Path.cwd()), _environment(options))
    for name, text in units.items():
        sys.stdout.write(f"# ~/.config/systemd/user/{name}\n{text}\n")
    timer = f"{options['name']}.timer"
    _say(
        "put both in place, then: loginctl enable-linger (or it ends when you log out) && "
        f"systemctl --user daemon-reload && systemctl --user enable --now {timer}"
    )


shared.add_inner_commands(app, _run)


def _say(line: str) -> None:
    _err.print(line, highlight=False, markup=False)
