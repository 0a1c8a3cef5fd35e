"""Roles as a profile builds them, on tiny checkpoints under the ids that a profile names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from actors.profiles import build_role
from schemas.config import RoleConfig
from tests.models.hub import publish


def role(
    name: str, implementation: str, model: str = "", build: Callable[[Path], None] | None = None, **settings: Any
) -> Any:
    """The role `name`, answered by `implementation` with the weights that `build` makes for `model`.

    settings: of RoleConfig, float32 and batches of 2 unless they say otherwise.
    """
    if build is not None:
        publish(model, build)
    given = {"dtype": "float32", "batch_size": 2, **settings}
    return build_role(name, RoleConfig(implementation=implementation, model=model, **given))
