"""`recast models`: what profiles load, under which licence, and whether it is here and fits this machine."""

import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from actors.profiles import check_implementations, load_profile, shipped_profiles
from cluster.folder import output_folder
from cluster.weights import State, Weights, access, pull, state
from pipeline.failures import Failure
from pipeline.pools import gpu_memory, gpu_parts, pooled
from pipeline.settings import SAVED, Settings, roles_of
from schemas.config import Config, Profile, RoleConfig
from schemas.errors import UserError
from schemas.work import BUILD_PHASES, Phase

Say = Callable[[str], None]

MUST_PULL = ("absent", "incomplete")
"""States of weights that cannot be loaded."""


@dataclass(frozen=True)
class Row:
    """What one role of a profile loads. None: not known. gpu_gb in GiB for all replicas; disk_gb in 10^9 bytes."""

    profile: str
    role: str
    model: str
    revision: str
    file: str
    licence: str | None
    gated: bool | None
    access: bool | None  # asked of the hub only where `gated`
    disk_gb: float | None
    gpu_gb: float
    cached: State


def rows(profiles: Iterable[Profile]) -> list[Row]:
    known: dict[str, dict[str, Any]] = tomllib.loads((resources.files("actors.models") / "weights.toml").read_text())
    found = []
    for profile in profiles:
        for role_name, role in profile.roles.items():
            for number, weights in enumerate(weights_of(role)):
                facts = known.get(weights.model, {})
                gated = facts.get("gated")
                found.append(
                    Row(
                        profile=profile.name,
                        role=role_name,
                        model=weights.model,
                        revision=weights.revision,
                        file=weights.file,
                        licence=facts.get("licence"),
                        gated=gated,
                        access=access(weights) if gated else None,
                        disk_gb=facts.get("disk_gb"),
                        gpu_gb=0.0 if number else role.gpu_memory_gb * role.replicas,
                        cached=state(weights),
                    )
                )
    return found


def weights_of(role: RoleConfig) -> list[Weights]:
    """A role's model, unless an endpoint serves it, and the head on top of it, when its options name one."""
    found = [Weights(role.model, role.revision)] if role.model and "base_url" not in role.options else []
    if head := role.options.get("head"):
        found.append(Weights(head, role.options.get("head_revision", ""), role.options.get("head_file", "")))
    return found


def profiles_named(name: str | None) -> list[Profile]:
    """The one of this name, or every shipped one that loads something."""
    if name is not None:
        return [load_profile(name)]
    shipped = [load_profile(each) for each in shipped_profiles()]
    return [profile for profile in shipped if any(map(weights_of, profile.roles.values()))]


def fetch_for_new(out: str | Path, settings: Settings, phases: Iterable[Phase], say: Say) -> None:
    """Pull what these phases load and this machine has not, before a new output is written or processes are waited
    for. One that exists may have nothing to do, and then needs no model. Raises what `pull_all` raises."""
    if output_folder(out).exists(SAVED):
        return
    asked = roles_of(phases, settings.config)
    roles = [role for name, role in settings.profile.roles.items() if name in asked]
    absent = [weights for role in roles for weights in weights_of(role) if state(weights) in MUST_PULL]
    if absent:
        _pull(absent, say)


def pull_all(profile: Profile, say: Say) -> None:
    """Fetch and check what a profile loads. Raises UserError when something cannot be had, Failure when something was
    damaged."""
    _pull([weights for role in profile.roles.values() for weights in weights_of(role)], say)


def _pull(wanted: list[Weights], say: Say) -> None:
    for weights in dict.fromkeys(wanted):
        say(f"fetching {weights.model} {weights.file}".strip())
        commit, damaged = pull(weights)
        if damaged:
            raise Failure(f"{weights.model}: damaged and deleted: {', '.join(damaged)}; pull again")
        say(
            f"  whole at {commit}" + ("" if weights.revision else "; not pinned: write it into the profile as revision")
        )


def unfit(profile: Profile) -> str:
    """Why a build with this profile does not fit the GPUs of this machine; "" when it does."""
    needed = roles_of(BUILD_PHASES, Config())
    roles = {name: role for name, role in pooled(profile).items() if name in needed}
    gpus = gpu_memory()
    if not gpus and any(role.gpu_memory_gb for role in roles.values()):
        return "there is no GPU here: its models would run on the CPUs"
    try:
        gpu_parts(roles, [gpus])
    except UserError as mistake:
        return str(mistake)
    return ""


def check(profile: Profile) -> list[str]:
    """What stands in the way of a build with this profile on this machine, a line each."""
    problems = []
    try:
        check_implementations(profile)
    except UserError as mistake:
        problems.append(str(mistake))
    if why_not := unfit(profile):
        problems.append(why_not)
    for row in rows([profile]):
        if row.cached in MUST_PULL:
            problems.append(f"{row.role}: {row.model} is {row.cached} in the cache; recast models pull gets it")
    return problems


def show(profiles: list[Profile], console: Console) -> None:
    table = Table("profile", "role", "model", "revision", "licence", "disk GB", "GPU GiB", "access", "cached")
    for row in rows(profiles):
        may = {None: "not known", False: "refused", True: "granted"}[row.access] if row.gated else "open"
        table.add_row(
            row.profile,
            row.role,
            row.model,
            row.revision[:12] or "newest",
            row.licence or "not known",
            "not known" if row.disk_gb is None else f"{row.disk_gb:g}",
            f"{row.gpu_gb:g}",
            "not known" if row.gated is None else may,
            row.cached,
        )
    console.print(table)
    for profile in profiles:
        console.print(f"{profile.name}: {unfit(profile) or 'fits this machine'}", highlight=False, markup=False)
