"""How many nodes a command needs: the models of its profile, packed on GPUs as a run will pack them."""

import tempfile
from pathlib import Path

from pipeline.pools import gpu_parts, pooled
from pipeline.remote_command import RemoteCommand
from pipeline.settings import Settings, resolve, roles_of
from schemas.errors import UserError
from schemas.work import BUILD_PHASES, EDIT_PHASES

PHASES_OF = {"build": BUILD_PHASES, "edit": EDIT_PHASES}


def settings_of(command: RemoteCommand) -> Settings:
    """What the command will run with.

    Raises UserError for a profile or a setting that does not exist. An output that is not on this machine says nothing
    of its earlier profile here: the command itself reads that where it runs.
    """
    assignments = list(command.given.get("assignments") or [])
    if Path(command.out, "recast.json").is_file():
        return resolve(Path(command.out), command.profile, assignments)
    with tempfile.TemporaryDirectory() as empty:
        return resolve(Path(empty), command.profile, assignments)


def num_gpu_nodes(command: RemoteCommand, settings: Settings, gpus_per_node: int, gpu_gb: float) -> int:
    """Nodes with `gpus_per_node` GPUs of `gpu_gb` GiB each that hold every replica of every model the command asks; 0
    where nothing wants a GPU. Raises UserError when no number of them is enough."""
    needed = roles_of(PHASES_OF.get(command.verb, ()), settings.config)
    roles = {name: role for name, role in pooled(settings.profile).items() if name in needed and role.gpu_memory_gb > 0}
    most = sum(role.replicas for role in roles.values())
    for count in range(1, most):
        try:
            gpu_parts(roles, [[gpu_gb] * gpus_per_node] * count)
            return count
        except UserError:
            continue
    if most:
        gpu_parts(roles, [[gpu_gb] * gpus_per_node] * most)
    return most
