"""What `recast submit` and `recast schedule` share: a command line inside a command line, and the options that describe
a cluster."""

import importlib.metadata
import re
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from cluster.jobs import environment_of
from cluster.kube_schedules import MAX_NAME
from cluster.kuberay import FILES_FOLDER, ClusterPlan
from schemas.errors import UserError

if TYPE_CHECKING:  # what reads a command line must not wait for Ray and pyarrow
    from pipeline.remote_command import RemoteCommand

VERBS = ("build", "edit", "compact", "retry", "check")
"""Commands that may run elsewhere."""

PANEL = "What the manifest asks for"
CPU_NODES = 2  # where nothing wants a GPU

Name = Annotated[str, typer.Option(help="Of what is made: a DNS label.", rich_help_panel=PANEL)]
Namespace = Annotated[str, typer.Option(help="Kubernetes namespace.", rich_help_panel=PANEL)]
Image = Annotated[str | None, typer.Option(help="Built from docker/; KubeRay needs one.", rich_help_panel=PANEL)]
Workers = Annotated[
    int | None,
    typer.Option(min=0, help="Nodes without a GPU. (default: 2 where no model wants one)", rich_help_panel=PANEL),
]
Gpus = Annotated[int, typer.Option(min=1, help="GPUs of each GPU node.", rich_help_panel=PANEL)]
GpuGb = Annotated[float, typer.Option(min=1, help="GiB of each GPU.", rich_help_panel=PANEL)]
Cpus = Annotated[int, typer.Option(min=1, help="CPUs of each worker node.", rich_help_panel=PANEL)]
MemoryGb = Annotated[int, typer.Option(min=1, help="GiB of memory of each worker node.", rich_help_panel=PANEL)]
Hours = Annotated[float, typer.Option(min=0.02, help="A run that takes longer is ended.", rich_help_panel=PANEL)]
Secret = Annotated[str, typer.Option(help="Kubernetes Secret: AWS credentials as variables.", rich_help_panel=PANEL)]
Account = Annotated[str, typer.Option(help="Service account with a cloud role.", rich_help_panel=PANEL)]
TokenSecret = Annotated[
    str, typer.Option(help="Secret with the cluster's auth_token. (default: KubeRay makes one)", rich_help_panel=PANEL)
]
Claim = Annotated[
    str | None, typer.Option(help="A volume claim and where to mount it: NAME:/PATH.", rich_help_panel=PANEL)
]
Environment = Annotated[
    list[str] | None, typer.Option("--env", help="NAME or NAME=value for the job; not for secrets.")
]

SHAPE = (
    "name namespace image workers gpus gpu_gb cpus memory_gb hours secret service_account token_secret claim".split()
)


class _Verbatim(TyperCommand):
    """Takes every word that follows as it is; the inner command's own parser reads them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.args = list(args)
        return []


def add_inner_commands(app: typer.Typer, run: Callable[["RemoteCommand", dict[str, Any]], None]) -> None:
    """A command of each verb in `app`: it parses what follows with the verb's own parser and calls `run` with it and
    with the options of `app`."""

    def handler(verb: str) -> Callable[[typer.Context], None]:
        def handle(context: typer.Context) -> None:
            from pipeline.remote_command import parse

            assert context.parent is not None
            run(parse(context.find_root().command, verb, context.args), context.parent.params)

        return handle

    for verb in VERBS:
        text = f"`recast {verb}`, with its own arguments and options."
        app.command(name=verb, cls=_Verbatim, help=text)(handler(verb))


def entrypoint(command: "RemoteCommand", folder: str) -> str:
    """The shell command of a job, whether or not `recast` is installed there. folder: of the files it carries."""
    return shlex.join(["python", "-m", "pipeline.cli", *command.arguments(folder)])


def check(command: "RemoteCommand") -> None:
    """Raises UserError for a profile or a setting that does not exist."""
    from pipeline.sizing import settings_of

    settings_of(command)


def plan_of(command: "RemoteCommand", options: dict[str, Any]) -> ClusterPlan:
    """options: those of this file, by name. Raises UserError for what Kubernetes would refuse."""
    from pipeline.sizing import num_gpu_nodes, settings_of

    settings = settings_of(command)
    nodes = num_gpu_nodes(command, settings, options["gpus"], options["gpu_gb"])
    name = options["name"]
    if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name) or len(name) > MAX_NAME:
        raise UserError(f"--name takes a-z, 0-9 and -, at most {MAX_NAME} of them, a letter first, not {name!r}")
    workers = options["workers"]
    if workers is None:
        workers = 0 if nodes else CPU_NODES
    if not workers + nodes:
        raise UserError("--workers 0 leaves nobody to do the work: no model of this profile wants a GPU")
    return ClusterPlan(
        name=name,
        namespace=options["namespace"],
        image=options["image"] or "",
        ray_version=importlib.metadata.version("ray"),
        num_workers=workers,
        num_gpu_nodes=nodes,
        gpus_per_node=options["gpus"],
        cpus=options["cpus"],
        memory_gb=options["memory_gb"],
        object_store_mb=settings.config.engine.object_store_mb,
        environment=environment_of(options["environment"] or []),
        secret=options["secret"],
        service_account=options["service_account"],
        token_secret=options["token_secret"],
        claim=_claim(options["claim"]),
        files=command.carried,
    )


def kubernetes_plan(command: "RemoteCommand", options: dict[str, Any]) -> tuple[ClusterPlan, str]:
    """A plan for KubeRay, and the entrypoint that goes with it. Raises UserError without an image."""
    if not options["image"]:
        raise UserError("which image? Build one from docker/ and name it with --image")
    return plan_of(command, options), entrypoint(command, FILES_FOLDER)


def _claim(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    name, colon, path = text.partition(":")
    if not colon or not name or not path.startswith("/"):
        raise UserError(f"--claim takes NAME:/PATH, not {text!r}")
    return name, path
