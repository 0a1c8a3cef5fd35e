"""Recast's own code as a folder that Ray can carry to other nodes: the packages, the pins, and what says the version.

A checkout and an installed wheel give the same folder: nothing is taken but what the packages consist of.
"""

import importlib.metadata
import shutil
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement

PACKAGES = ("schemas", "stages", "actors", "cluster", "pipeline")
EXTRAS = {"core": (), "models": ("models",), "vllm": ("models", "vllm")}
"""What `--pip` may install, and the extras of the distribution behind it."""

_NOT_CODE = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
_HERE = "${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}"  # Ray's name for the carried folder while it installs


def stage_code(folder: Path) -> None:
    """Copy the five packages into `folder`, with the metadata that `recast --version` reads."""
    for name in PACKAGES:
        spec = find_spec(name)
        assert spec is not None, name
        assert spec.origin is not None, name
        shutil.copytree(Path(spec.origin).parent, folder / name, ignore=_NOT_CODE)
    found = importlib.metadata.distribution("recast")
    metadata = folder / f"recast-{found.version}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(found.read_text("METADATA") or "", encoding="utf-8")


def requirements(kind: str) -> list[str]:
    """What Ray's `runtime_env["pip"]` installs for a kind of EXTRAS: the versions that were tested together."""
    pins = ["constraints.txt"] if kind == "core" else ["constraints.txt", "constraints-models.txt"]
    wanted = [Requirement(line) for line in importlib.metadata.requires("recast") or []]
    chosen = [
        requirement
        for requirement in wanted
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in EXTRAS[kind])
    ]
    for requirement in chosen:
        requirement.marker = None
    return [*(f"-c {_HERE}/cluster/{name}" for name in pins), *map(str, chosen)]
