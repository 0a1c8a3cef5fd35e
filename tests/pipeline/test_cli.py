"""What a person types: mistakes cost one line on stderr and exit 2, and leave nothing behind."""

import os
import subprocess
import sys

import pytest

from schemas.config import Config


def is_one_line(text: str) -> bool:
    return len(text.strip().splitlines()) == 1


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["build", "/no/such/folder"], "no such file or folder"),
        (["build", "{empty}"], "no videos in"),
        (["build", "{video}", "--set", "nonsense"], "section.name=value"),
        (["build", "{video}", "--set", "curation.cut_treshold=3"], "did you mean 'curation.cut_threshold'"),
        (["build", "{video}", "--set", "curation.cut_threshold=high"], "curation.cut_threshold"),
        (["build", "{video}", "--set", "synthesis.max_attempts=0"], "synthesis.max_attempts"),
        (["build", "{video}", "--profile", "gigantic"], "embedded"),
        (["build", "{video}", "--set", "roles.quality.implementation=nowhere:Nothing"], "nowhere"),
        (["build", "gs://bucket/videos"], "local files or objects on S3"),
        (["build"], "Missing argument"),
        (["build", "{video}", "--frobnicate"], "--frobnicate"),
    ],
)
def test_mistakes_in_build(arguments, says, out, tmp_path, recast):
    (tmp_path / "empty").mkdir()
    video = tmp_path / "video.mp4"
    video.write_bytes(b"not really")
    given = [argument.format(empty=tmp_path / "empty", video=video) for argument in arguments]
    done = recast(*given, "--out", out)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert says in done.stderr
    assert is_one_line(done.stderr)


@pytest.mark.parametrize("command", ["status", "check", "report", "retry", "compact"])
def test_an_output_that_is_not_there(command, out, recast):
    done = recast(command, out)
    assert done.returncode == 2
    assert is_one_line(done.stderr)
    assert not out.exists()


def test_an_output_that_is_a_file(out, tmp_path, recast):
    out.write_text("a file")
    video = tmp_path / "video.mp4"
    video.write_bytes(b"x")
    done = recast("build", video, "--out", out)
    assert done.returncode == 2
    assert "cannot" in done.stderr
    assert is_one_line(done.stderr)
    assert out.read_text() == "a file"


def test_version(recast):
    assert recast("--version").stdout.startswith("recast 0.")


def test_status_into_a_pipe_that_closes_early(tmp_path):
    command = f"{sys.executable} -c 'from pipeline.cli import main; main()' --help | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False, env=os.environ)
    assert "Traceback" not in done.stderr


def test_every_setting_has_a_default():
    Config()
