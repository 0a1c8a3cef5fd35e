"""Jobs on a real Ray head that is protected by a token."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from token_cluster import TokenCluster, token_cluster

from pipeline.status import status

pytestmark = pytest.mark.ray
REPOSITORY = Path(__file__).resolve().parents[2]
Submit = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[TokenCluster]:
    with token_cluster() as found:
        yield found


@pytest.fixture
def submit(cluster: TokenCluster) -> Submit:
    def run(*arguments: object, token: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pipeline.cli", "submit", *map(str, arguments)]
        environment = cluster.environment(token) | {"PYTHONPATH": str(REPOSITORY)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)

    return run


@pytest.fixture
def clip(demo_videos: Path) -> Path:
    return demo_videos / "cup_meadow.mp4"


@pytest.mark.parametrize(("token", "why"), [("0" * 64, "is not the cluster's"), ("", "wants one")])
def test_without_the_token_one_line_says_so(submit, token, why):
    done = submit("status", "some-job", token=token)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert why in line
    assert "RAY_AUTH_TOKEN" in line


def test_a_build_runs_there_and_is_heard_here(submit, clip, tmp_path):
    done = submit("build", clip, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "curate" in done.stdout
    assert status(tmp_path / "out")["funnel"]["sources"]["ok"] == 1
    assert done.stdout.count("latest run") == 1, "what was printed is heard once"
    job = done.stderr.split("job ")[-1].split()[0]
    assert submit("status", job).stdout == f"{job}: succeeded, exit code 0\n"
    mistake = submit("build", tmp_path / "none.mp4", "--out", tmp_path / "out")
    assert mistake.returncode == 2
    assert "no such file or folder" in mistake.stdout


@contextmanager
def heeded(number: signal.Signals) -> Iterator[None]:
    """Processes started here are ended by this signal also where the tests run in the background, which ignores it."""
    before = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def interrupt(cluster: TokenCluster, words: list[str]) -> int:
    """Exit code of a client that gets a Ctrl-C when it has heard something."""
    environment = cluster.environment() | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "pipeline.cli", "submit", *words]
    with (
        heeded(signal.SIGINT),
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client,
    ):
        assert client.stdout is not None
        client.stdout.readline()
        client.send_signal(signal.SIGINT)
        _, said = client.communicate(timeout=180)
    assert f"stop {words[-1]}" in said
    return client.returncode


def test_a_job_is_submitted_once_and_stopped_gently(cluster, submit, clip, tmp_path):
    out = tmp_path / "out"
    words = ["--no-wait", "build", clip.parent, "--out", out]
    job = submit(*words).stdout.strip()
    assert submit(*words).stdout.strip() == job
    while not (out / "recast.json").exists():
        assert submit("status", job).returncode == 0
        time.sleep(1)
    assert interrupt(cluster, ["logs", "--follow", job]) == 130
    assert submit("status", job).stdout == f"{job}: running\n", "Ctrl-C only ends the looking"
    assert submit("stop", job).returncode == 0
    followed = submit("logs", "--follow", job)
    assert followed.returncode == 130
    assert "stopping (SIGTERM)" in followed.stdout
    assert status(out)["runs"][0]["event"] == "stopped", "what was done is committed"
    assert submit(*words).stdout.strip() != job, "the same command goes on as a job of its own"


def test_a_plain_shell_of_the_cluster_brings_the_code_along(cluster, clip, tmp_path):
    environment = cluster.environment() | {"RAY_ADDRESS": cluster.gcs, "RAY_AUTH_MODE": "token"}
    path = {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "pipeline.cli", "build", str(clip), "--out", "relative"]
    done = subprocess.run(
        command, env=environment | path, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert status(tmp_path / "relative")["funnel"]["sources"]["ok"] == 1
    assert os.listdir(tmp_path) == ["relative"]
