"""Builds whose models live in pools, through the command line: the same dataset, whatever happens to a host."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from pipeline.demo import make_demo_videos
from tests.pipeline.test_faults import members
from tests.pipeline.test_pools import FAKED, REPOSITORY, noted

pytestmark = pytest.mark.ray

SETTINGS = [
    word
    for setting in ("engine.commit_seconds=0.2", "engine.seal_seconds=0.5", "mining.max_pairs_per_clip=2")
    for word in ("--set", setting)
]
PROFILE = """
name = "faked"
[roles.quality]
implementation = "faked:{quality}"
model = "{notes}"
batch_size = 16
[roles.vlm]
implementation = "faked:Words"
model = "{notes}"
[roles.detector]
implementation = "detector:MotionDetector"
[roles.segmenter]
implementation = "segmenter:FlowSegmenter"
[roles.embedder]
implementation = "faked:Vectors"
model = "{notes}"
[roles.image_editor]
implementation = "image_editor:DonorEditor"
"""


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pooled_videos")
    make_demo_videos(folder, names=("cup_meadow", "launch_two_subjects"))
    return folder


@pytest.fixture(scope="module")
def in_process(videos, tmp_path_factory, recast) -> Path:
    out = tmp_path_factory.mktemp("in_process") / "dataset"
    done = recast("build", videos, "--out", out, *SETTINGS)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture
def build(videos, tmp_path):
    """Starts a build with the faked profile; its notes are in tmp_path/notes."""

    def begin(quality: str = "Marks") -> subprocess.Popen[str]:
        profile = tmp_path / "faked.toml"
        profile.write_text(PROFILE.format(notes=tmp_path, quality=quality))
        paths = os.pathsep.join([str(FAKED), str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-c", "from pipeline.cli import main; main()", "build", videos]
        command += ["--out", tmp_path / "dataset", "--profile", profile, *SETTINGS]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths}, **pipes)

    return begin


def test_a_host_killed_in_the_middle_changes_nothing_and_a_rebuild_loads_nothing(build, in_process, tmp_path):
    run = build()
    while not (called := noted(tmp_path, "Words.called")):
        assert run.poll() is None, run.stderr.read()
        time.sleep(0.02)
    os.kill(called[-1][0], signal.SIGKILL)
    stdout, stderr = run.communicate(timeout=300)
    assert run.returncode == 0, stderr
    assert "ModelHost" not in stdout + stderr
    assert members(tmp_path / "dataset") == members(in_process)
    lines = (tmp_path / "notes").read_text().splitlines()
    loads = Counter(line.split()[0] for line in lines if ".loaded" in line)
    assert loads == {"Marks.loaded": 1, "Words.loaded": 2, "Vectors.loaded": 1}  # by all workers and phases

    stdout, stderr = (again := build()).communicate(timeout=300)
    assert again.returncode == 0, stderr
    assert (tmp_path / "notes").read_text().splitlines() == lines


def test_a_model_that_cannot_be_loaded_ends_the_run_with_one_line(build, tmp_path):
    stdout, stderr = (run := build(quality="Absent")).communicate(timeout=120)
    assert run.returncode == 2
    assert f"recast: model {tmp_path} cannot be loaded: not in the cache" in stderr
    assert "Traceback" not in stderr
    assert not stdout
