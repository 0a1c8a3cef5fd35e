"""The images cannot be built here; what can be said of them without: they are sound, and copy what there is."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from cluster.code import PACKAGES

REPOSITORY = Path(__file__).resolve().parents[2]
DOCKERFILES = sorted((REPOSITORY / "docker").glob("*.Dockerfile"))


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_dockerfile(path):
    hadolint = Path(sys.executable).with_name("hadolint")
    assert subprocess.run([str(hadolint), str(path)], capture_output=True, text=True, check=False).stdout == ""
    text = path.read_text("utf-8")
    copied = [word for line in re.findall(r"^COPY (.+)$", text, re.M) for word in line.split()[1:-1]]
    assert set(PACKAGES) <= set(copied)
    allowed = (REPOSITORY / ".dockerignore").read_text("utf-8").split()
    for source in copied:
        assert (REPOSITORY / source).exists()
        assert f"!{source}" in allowed
    assert "FROM rayproject/ray:${RAY_VERSION}-" in text
    assert re.search(r"^USER [1-9]", text, re.M)
    assert not re.search(r"\d+\.\d+\.\d+", text), "versions are written once, in constraints.txt"


def test_the_command_in_the_dockerfile_finds_the_pinned_ray():
    for path in DOCKERFILES:
        (command,) = re.findall(r"RAY_VERSION=\$\((.*?)\)", path.read_text("utf-8"))
        done = subprocess.run(["sh", "-c", command], cwd=REPOSITORY, capture_output=True, text=True, check=True)
        assert re.fullmatch(r"\d+\.\d+\.\d+", done.stdout.strip())
    wanted = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    assert any(line.startswith("ray[") for line in wanted)
