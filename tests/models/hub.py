"""A hub cache in which real model ids resolve to tiny random checkpoints, so that shipped profiles load unmodified."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

CACHE = Path(os.environ.get("RECAST_TEST_HUB", "") or tempfile.mkdtemp(prefix="recast-tiny-hub-"))
UNPINNED = "0" * 39 + "1"


def publish(model: str, build: Callable[[Path], None], revision: str = "") -> str:
    """The id, once `build` has written its checkpoint into the cache under `revision` (40 hex digits); built once."""
    sha = revision or UNPINNED
    root = CACHE / f"models--{model.replace('/', '--')}"
    snapshot = root / "snapshots" / sha
    if not snapshot.is_dir():
        fresh = Path(tempfile.mkdtemp(dir=CACHE))
        build(fresh)
        snapshot.parent.mkdir(parents=True, exist_ok=True)
        (root / "refs").mkdir(exist_ok=True)
        (root / "refs" / "main").write_text(sha)
        shutil.move(fresh, snapshot)
    return model
