"""`recast submit`: a command as a job on a Ray cluster, or the manifest that makes the cluster for it."""

import hashlib
import json
import sys
import tempfile
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.code import EXTRAS, requirements, stage_code
from cluster.jobs import INTERRUPTED, Jobs, environment_of, exit_code, send_token
from cluster.kube_schedules import to_yaml
from cluster.kuberay import files_map, ray_cluster, ray_job
from cluster.slurm import Allocation, batch_script
from pipeline import cli_cluster_options as shared
from pipeline.visible import Terminal
from schemas.errors import UserError

if TYPE_CHECKING:
    from pipeline.remote_command import RemoteCommand

app = typer.Typer(
    no_args_is_help=True,
    help="Run a command as a job on a Ray cluster, and look after it; or print the manifest that makes the cluster.",
)
_err = Terminal(stderr=True)

INPUTS = "inputs"
"""Folder of the carried files in the job's working directory."""

Job = Annotated[str, typer.Argument(help="The job's id, as submit printed it.", show_default=False)]


class Pip(StrEnum):
    core = "core"
    models = "models"
    vllm = "vllm"


assert set(Pip) == set(EXTRAS)


class Manifest(StrEnum):
    rayjob = "rayjob"
    raycluster = "raycluster"
    slurm = "slurm"


@app.callback()
def submit(
    address: Annotated[
        str | None, typer.Option(help="http://HOST:8265. (env: RAY_API_SERVER_ADDRESS, RAY_ADDRESS)")
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Print the job's id and leave.")] = False,
    submission_id: Annotated[str | None, typer.Option(help="The job's id. (default: made of the command)")] = None,
    pip: Annotated[Pip | None, typer.Option(help="Install what Recast needs. (default: the image has it)")] = None,
    environment: shared.Environment = None,
    manifest: Annotated[Manifest | None, typer.Option(help="Print this instead of submitting.")] = None,
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
    """Run a command as a job on a Ray cluster, and look after it; or print the manifest that makes the cluster."""
    send_token()


def _run(command: "RemoteCommand", options: dict[str, Any]) -> None:
    shared.check(command)
    if options["manifest"]:
        sys.stdout.write(_manifest(command, options))
        return
    if "://" not in command.out:
        _say(f"{command.out} is a local path: it has to be on a disk that every node of the cluster shares")
    environment = environment_of(options["environment"] or [])
    pip = requirements(options["pip"]) if options["pip"] else []
    jobs = Jobs(options["address"])
    job, is_new = _job_id(jobs, command, options["submission_id"])
    if is_new:
        with tempfile.TemporaryDirectory(prefix="recast-") as folder:
            stage_code(Path(folder))
            for file, content in command.carried.items():
                path = Path(folder, INPUTS, file)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
            jobs.submit(shared.entrypoint(command, INPUTS), job, Path(folder), environment, pip)
    else:
        _say(f"{job} runs this very command already")
    if options["no_wait"]:
        print(job)
        return
    _say(f"job {job}")
    _follow(jobs, job)


def _job_id(jobs: Jobs, command: "RemoteCommand", wanted: str | None) -> tuple[str, bool]:
    """The id, and whether the job is still to be submitted. The same command has the same id, and a number that counts
    how often it has ended: submitted twice at once, it runs once. Raises UserError for an id that is taken."""
    known = jobs.ids()
    if wanted is not None:
        if wanted in known:
            raise UserError(f"the job {wanted} exists already ({known[wanted].lower()}): take another --submission-id")
        return wanted, True
    text = json.dumps(
        [command.arguments(INPUTS), {name: hashlib.sha256(data).hexdigest() for name, data in command.carried.items()}]
    )
    stem = f"recast-{command.verb}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
    number = 1
    while (job := f"{stem}-{number}") in known:
        if known[job] in ("PENDING", "RUNNING"):
            return job, False
        number += 1
    return job, True


def _follow(jobs: Jobs, job: str) -> None:
    """What the job prints, and then its exit code as ours."""
    try:
        info = jobs.follow(job, _write)
    except KeyboardInterrupt:
        _say(f"{job} goes on; recast submit --address {jobs.address} logs {job}, or stop {job}")
        raise typer.Exit(INTERRUPTED) from None
    code = exit_code(info)
    if info["status"] != "SUCCEEDED":
        what = f"exit code {info['exit_code']}" if info["exit_code"] is not None else str(info["message"])
        _say(f"{job}: {info['status'].lower()}" + ("" if info["status"] == "STOPPED" else f", {what}"))
    if code:
        raise typer.Exit(code)


def _manifest(command: "RemoteCommand", options: dict[str, Any]) -> str:
    if options["manifest"] == Manifest.slurm:
        return _slurm(command, options)
    plan, entrypoint = shared.kubernetes_plan(command, options)
    if options["manifest"] == Manifest.raycluster:
        return to_yaml([ray_cluster(replace(plan, files={}))])  # a job brings its files along
    return to_yaml([*files_map(plan), ray_job(plan, entrypoint, options["hours"])])


def _slurm(command: "RemoteCommand", options: dict[str, Any]) -> str:
    """Its nodes share their disks with this one, so nothing travels: the files stay where they are."""
    plan = shared.plan_of(command, options)
    nodes = max(plan.num_workers, plan.num_gpu_nodes)
    gpus = plan.gpus_per_node if plan.num_gpu_nodes else 0
    allocation = Allocation(plan.name, nodes, plan.cpus, plan.memory_gb, gpus, options["hours"], plan.object_store_mb)
    words = ["python", "-m", "pipeline.cli", *command.arguments_here()]
    return batch_script(allocation, words, plan.environment, str(Path(sys.executable).parent))


shared.add_inner_commands(app, _run)


@app.command()
def status(context: typer.Context, job: Job, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """How a job is; exit 0 while it runs and when it went well, else as the job ended."""
    info = _jobs(context).info(job)
    if as_json:
        print(json.dumps(info, indent=2))
    else:
        code = "" if info["exit_code"] is None else f", exit code {info['exit_code']}"
        print(f"{job}: {info['status'].lower()}{code}")
    if info["status"] in ("FAILED", "STOPPED"):
        raise typer.Exit(exit_code(info))


@app.command()
def logs(
    context: typer.Context,
    job: Job,
    follow: Annotated[bool, typer.Option("--follow", help="Until the job ends; then its exit code.")] = False,
) -> None:
    """What a job has printed."""
    jobs = _jobs(context)
    if follow:
        _follow(jobs, job)
    else:
        _write(jobs.logs(job))


@app.command()
def stop(context: typer.Context, job: Job) -> None:
    """Ask a job to end: it commits what is done, and the same command goes on from there."""
    jobs = _jobs(context)
    print(
        f"{job} is asked to end" if jobs.stop(job) else f"{job} had ended already: {jobs.info(job)['status'].lower()}"
    )


def _jobs(context: typer.Context) -> Jobs:
    assert context.parent is not None
    return Jobs(context.parent.params["address"])


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _say(line: str) -> None:
    _err.print(line, highlight=False, markup=False)
