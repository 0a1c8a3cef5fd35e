"""`recast edit` through the command line, on a local Ray cluster: many clips, one that fails, faults, and going on."""

import json
import signal
from pathlib import Path

import pytest
from synthetic_edits import TINY, Edits
from synthetic_footage import BETWEEN, LEFT, RIGHT, write_clip

from pipeline.tables import read_tables

pytestmark = pytest.mark.ray

OFTEN = {"engine.commit_seconds": 0.2, "engine.micro_batch": 1, "engine.num_workers": 1}
"""Many small commits, so that a short run has a middle."""


@pytest.fixture(scope="module")
def command(tmp_path_factory) -> list[object]:
    """Of three clips one shows no bear."""
    folder = tmp_path_factory.mktemp("clips")
    write_clip(folder, "alone", (LEFT,), 9)
    write_clip(folder, "dog", (BETWEEN,), 9)
    write_clip(folder, "pair", (LEFT, RIGHT), 9)
    profile = Edits(tmp_path_factory.mktemp("profile"), folder).profile
    chosen = [word for name, value in (TINY | OFTEN).items() for word in ("--set", f"{name}={value}")]
    return ["edit", folder, "--prompt", "[bear on the left -> white goat]", "--profile", profile, *chosen, "--json"]


@pytest.fixture(scope="module")
def undisturbed(command, tmp_path_factory, recast) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    done = recast(*command, "--out", out)
    assert done.returncode == 1, done.stderr
    assert "1 of 3 clips were not edited" in done.stderr
    assert "Traceback" not in done.stderr
    found = {entry["name"]: entry["status"] for entry in json.loads(done.stdout)["jobs"]}
    assert found == {"alone": "edited", "dog": "rejected", "pair": "edited"}
    return out


def videos(out: Path) -> dict[str, str]:
    return {row["name"]: row["video_sha256"] for row in read_tables(out).rows("edits")}


def counts(done) -> dict[str, int]:
    """How many units each phase worked on."""
    found = json.loads(done.stdout)["this_run"]["counts"]
    return {phase: sum(outcomes.values()) for phase, outcomes in found.items()}


def is_whole(out: Path, recast) -> None:
    checked = recast("check", out, "--json")
    assert (checked.returncode, json.loads(checked.stdout)) == (0, []), checked.stdout


def test_the_same_command_again_does_nothing(undisturbed, command, recast):
    before = {name: read_tables(undisturbed).rows(name) for name in ("settled", "attempts", "edits", "jobs")}
    again = recast(*command, "--out", undisturbed)
    assert again.returncode == 1, again.stderr  # what was not edited still is not
    assert counts(again) == {}
    assert {name: read_tables(undisturbed).rows(name) for name in before} == before
    is_whole(undisturbed, recast)


def test_a_preview_then_a_run_that_is_killed_then_one_that_is_not(undisturbed, command, recast, tmp_path):
    out = tmp_path / "out"
    previewed = recast(*command, "--out", out, "--preview")
    assert counts(previewed) == {"align": 3}, previewed.stderr
    assert not (out / "videos").exists()
    previews = [entry["preview"] for entry in json.loads(previewed.stdout)["jobs"]]
    assert sum(preview is not None and (out / preview).is_file() for preview in previews) == 2

    # A video is in its place, its row is not.
    killed = recast(*command, "--out", out, RECAST_FAILPOINT="before_settled")
    assert killed.returncode == -signal.SIGKILL
    assert list((out / "videos").iterdir())
    assert not [row for row in read_tables(out).rows("settled") if row["phase"] == "edit"]

    done = recast(*command, "--out", out)
    assert done.returncode == 1, done.stderr
    assert counts(done) == {"edit": 2}
    assert videos(out) == videos(undisturbed)
    attempts = read_tables(out).rows("attempts")
    assert [(row["attempt"], row["status"]) for row in attempts] == [(0, "ok")] * 2
    is_whole(out, recast)
