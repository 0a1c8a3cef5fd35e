"""Fixtures every test may use."""

import atexit
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from object_store import CREDENTIALS, new_bucket, serving

from cluster import s3
from pipeline.demo import make_demo_videos

settings.register_profile("recast", deadline=None)  # a busy machine is no failure
settings.load_profile("recast")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End at once where a test ran Ray in this process: its exporter of metrics outlives ray.shutdown, and logs to what
    is destroyed while a process ends slowly (Ray 2.60: a segmentation fault after all tests have passed)."""
    session: pytest.Session | None = getattr(config, "recast_session", None)
    if session is not None and "ray" in sys.modules:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(int(session.exitstatus))


def pytest_sessionstart(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        session.config.recast_session = session  # type: ignore[attr-defined]


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


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    with serving() as server:
        yield server.endpoint


@pytest.fixture
def bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A new bucket on a server on loopback, as an uri; the environment leads there."""
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": s3_endpoint}.items():
        monkeypatch.setenv(name, value)
    s3._client.cache_clear()
    yield new_bucket()
    s3._client.cache_clear()


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an output: a folder; of a test that is marked `everywhere`, also in a bucket."""
    in_bucket = getattr(request, "param", "local") == "s3"
    return str(request.getfixturevalue("bucket")) + "/deep/out" if in_bucket else str(tmp_path)


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
    """A small dataset built from the demo clips. Tests that change one copy it first."""
    out = tmp_path_factory.mktemp("built") / "dataset"
    done = run_recast("build", demo_videos, "--out", out, "--set", "mining.max_pairs_per_clip=4")
    assert done.returncode == 0, done.stderr
    return out
