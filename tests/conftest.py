"""Fixtures every test may use."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from pipeline.demo import make_demo_videos

settings.register_profile("recast", deadline=None)  # a busy machine is no failure
settings.load_profile("recast")

REPOSITORY = Path(__file__).resolve().parent.parent


def footage_folder() -> Path | None:
    """The folder of annotated real clips: RECAST_FOOTAGE, or shared/videos beside the checkout."""
    for place in (os.environ.get("RECAST_FOOTAGE", ""), str(REPOSITORY.parent / "shared" / "videos")):
        if place and (Path(place) / "index.json").is_file():
            return Path(place)
    return None


@pytest.fixture(scope="session")
def footage() -> Path:
    folder = footage_folder()
    if folder is None:
        pytest.skip(
            "no annotated footage: set RECAST_FOOTAGE to a folder with index.json, clips/, shots/, bad/, odd/, masks/"
        )
    return folder


Recast = Callable[..., subprocess.CompletedProcess[str]]


def run_recast(*arguments: object, timeout: float = 600, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, as a user has it."""
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, check=False, env={**os.environ, **environment}
    )


@pytest.fixture(scope="session")
def recast() -> Recast:
    return run_recast


@pytest.fixture(scope="session")
def demo_videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The six demo clips, made once."""
    folder = tmp_path_factory.mktemp("demo") / "videos"
    make_demo_videos(folder)
    return folder


@pytest.fixture(scope="session")
def built(demo_videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset built from the demo clips. Tests that change one copy it first."""
    out = tmp_path_factory.mktemp("built") / "dataset"
    done = run_recast("build", demo_videos, "--out", out)
    assert done.returncode == 0, done.stderr
    return out
