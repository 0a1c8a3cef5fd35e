"""Faults in the middle of a build, through the command line: whatever happens, what is committed is whole, and running
the same command again ends with the dataset that nobody disturbed."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from ray.exceptions import RayTaskError

from pipeline.demo import make_demo_videos
from pipeline.engine import root_cause
from pipeline.tables import read_tables
from schemas.errors import UserError
from schemas.reasons import Reason
from schemas.tables import TABLES

pytestmark = pytest.mark.ray

CLIPS = ("cup_meadow", "launch_two_subjects")
POISON = "montage"
OFTEN = [
    word
    for setting in ("commit_seconds=0.2", "seal_seconds=0.5", "micro_batch=1")
    for word in ("--set", f"engine.{setting}")
] + ["--set", "mining.max_pairs_per_clip=2"]
"""Little work and many small commits, so that a short build has a middle."""
STOP_SECONDS = 25.0
PATIENCE_SECONDS = 300.0


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fault_videos")
    make_demo_videos(folder, names=CLIPS)
    return folder


@pytest.fixture(scope="module")
def undisturbed(videos: Path, tmp_path_factory: pytest.TempPathFactory, recast) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "dataset"
    done = recast("build", videos, "--out", out, *OFTEN)
    assert done.returncode == 0, done.stderr
    assert members(out)
    return out


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "dataset"


@pytest.fixture
def start(videos: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a build and returns while it runs; its stderr goes to tmp_path/stderr."""
    runs: list[subprocess.Popen[str]] = []

    def begin(out: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", "from pipeline.cli import main; main()", "build", videos, "--out", out, *OFTEN]
        with open(tmp_path / "stderr", "w") as stderr:
            runs.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr, text=True))
        return runs[-1]

    yield begin
    for run in runs:
        if run.poll() is None:
            run.kill()
            run.wait()


def members(out: Path) -> dict[str, list[str]]:
    rows = read_tables(out).query("select key, member_sha256 from samples where status = 'ok'").to_pylist()
    return {row["key"]: row["member_sha256"] for row in rows}


def num_rows(out: Path, table: str) -> int:
    """Committed rows of a table of a run that is going; 0 while there is nothing to read."""
    try:
        return int(read_tables(out).query(f"select count(*) as n from {table}").to_pylist()[0]["n"])
    except Exception:  # not there yet, or between two versions
        return 0


def wait_for(table: str, out: Path, run: subprocess.Popen[str]) -> None:
    """Until the run has committed a row of that table."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not num_rows(out, table):
        assert run.poll() is None, "the run ended before its middle"
        assert time.monotonic() < give_up, f"no row in {table} after {PATIENCE_SECONDS:.0f} s"
        time.sleep(0.1)


def is_whole(out: Path, recast) -> None:
    checked = recast("check", out)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def goes_on_to_the_end(out: Path, undisturbed: Path, videos: Path, recast) -> None:
    """The same command again finishes, with the same samples, byte for byte, and no row twice."""
    done = recast("build", videos, "--out", out, *OFTEN)
    assert done.returncode == 0, done.stderr
    assert members(out) == members(undisturbed)
    for name in TABLES:
        twice = read_tables(out).query(f"select key from {name} group by key having count(*) > 1")
        assert not twice.num_rows, name
    is_whole(out, recast)


def test_an_error_of_ours_is_found_below_those_of_ray_and_above_what_it_came_from():
    try:
        raise UserError("no space left") from OSError(28, "No space left on device")
    except UserError as mistake:
        wrapped = RayTaskError("put", "a traceback", mistake)
    assert str(root_cause(wrapped)) == "no space left"
    assert str(root_cause(wrapped.as_instanceof_cause())) == "no space left"
    bug = ValueError("a bug")
    assert root_cause(RayTaskError("put", "a traceback", bug)) is bug


def test_a_second_run_on_one_output_is_refused_and_the_first_finishes(start, out, undisturbed, recast, videos):
    first = start(out)
    wait_for("runs", out, first)
    second = recast("build", videos, "--out", out)
    assert (second.returncode, second.stdout) == (2, "")
    assert second.stderr.strip().count("\n") == 0
    assert f"in use by pid {first.pid} " in second.stderr
    for command in (("retry", out), ("compact", out)):
        refused = recast(*command)
        assert refused.returncode == 2, command
        assert f"in use by pid {first.pid} " in refused.stderr
    assert recast("status", out, "--json").returncode == 0  # reading is always allowed
    assert first.wait(PATIENCE_SECONDS) == 0
    assert members(out) == members(undisturbed)


def test_sigterm_stops_soon_and_the_next_run_goes_on(start, out, undisturbed, recast, videos):
    run = start(out)
    wait_for("pairs", out, run)
    began = time.monotonic()
    run.send_signal(signal.SIGTERM)
    assert run.wait(PATIENCE_SECONDS) == 130
    assert time.monotonic() - began < STOP_SECONDS
    is_whole(out, recast)
    events = [row["event"] for row in read_tables(out).query("select event from runs").to_pylist()]
    assert "stopped" in events
    assert "finished" not in events
    goes_on_to_the_end(out, undisturbed, videos, recast)


def test_max_hours_stops_in_good_order(out, undisturbed, recast, videos):
    stopped = recast("build", videos, "--out", out, *OFTEN, "--max-hours", "0.001", "--json")
    assert stopped.returncode == 0, stopped.stderr
    assert json.loads(stopped.stdout)["this_run"]["stopped"] == "--max-hours"
    assert len(members(out)) < len(members(undisturbed))
    is_whole(out, recast)
    goes_on_to_the_end(out, undisturbed, videos, recast)


def test_a_driver_killed_in_the_middle_costs_nothing(start, out, undisturbed, recast, videos):
    run = start(out)
    wait_for("clips", out, run)
    run.kill()
    assert run.wait() == -signal.SIGKILL
    is_whole(out, recast)
    goes_on_to_the_end(out, undisturbed, videos, recast)


def test_a_row_that_kills_its_worker_is_a_dead_letter_and_can_be_retried(out, undisturbed, recast, videos, tmp_path):
    make_demo_videos(tmp_path / "poison", names=[POISON])
    poison = tmp_path / "poison" / f"{POISON}.mp4"
    command = ("build", videos, poison, "--out", out, *OFTEN)

    failed = recast(*command, RECAST_FAULT=f"crash={poison.name}")
    assert failed.returncode == 1, failed.stderr
    assert "1 of " in failed.stderr
    assert "Traceback" not in failed.stderr
    tables = read_tables(out)
    [letter] = tables.query("select * from rejects where reason = 'poison'").to_pylist()
    assert (letter["reason"], letter["table"], letter["status"]) == (Reason.POISON, "sources", "failed")
    [source] = tables.query("select * from sources where status <> 'ok'").to_pylist()
    assert (source["uri"], source["status"], source["reason"]) == (str(poison), "failed", Reason.POISON)
    assert source["key"] == letter["row_key"]
    assert members(out) == members(undisturbed)
    is_whole(out, recast)

    again = recast(*command, "--json")  # a dead letter stays one until a person says otherwise
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["this_run"]["counts"] == {}

    assert "dead letters are pending" in recast("retry", out).stdout
    done = recast(*command)
    assert done.returncode == 0, done.stderr
    tables = read_tables(out)
    assert tables.query("select distinct status from sources").to_pylist() == [{"status": "ok"}]
    assert not tables.query("select key from rejects where reason = 'poison'").num_rows
    found = members(out)
    assert {key: found.get(key) for key in members(undisturbed)} == members(undisturbed)
    is_whole(out, recast)


def test_a_foreign_commit_ends_the_run_and_hurts_nothing(start, out, undisturbed, recast, videos, tmp_path):
    run = start(out)
    wait_for("clips", out, run)
    table = DeltaTable(str(out / "tables" / "settled"))
    write_deltalake(table, pa.schema(table.schema().to_arrow()).empty_table(), mode="append")
    assert run.wait(PATIENCE_SECONDS) == 1
    said = (tmp_path / "stderr").read_text()
    assert "Traceback" not in said
    is_whole(out, recast)
    goes_on_to_the_end(out, undisturbed, videos, recast)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A folder on a disk of its own; called again it has another size, in bytes."""
    place = tmp_path / "disk"
    place.mkdir()

    def sized(num_bytes: int) -> Path:
        how = "remount," if place.is_mount() else ""
        command = ["mount", "-t", "tmpfs", "-o", f"{how}size={num_bytes}", "tmpfs", str(place)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("may not mount a tmpfs here, so there is no small disk to fill")
        return place

    yield sized
    if place.is_mount():
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_is_one_line_and_with_more_room_the_run_goes_on(small_disk, undisturbed, recast, videos):
    needed = sum(path.stat().st_size for path in undisturbed.rglob("*") if path.is_file())
    out = small_disk(needed // 2) / "dataset"
    full = recast("build", videos, "--out", out, *OFTEN)
    assert full.returncode == 2, full.stderr
    assert "Traceback" not in full.stderr
    assert full.stderr.lower().count("no space left") == 1
    assert "no space left" in full.stderr.lower().splitlines()[-1]
    is_whole(out, recast)
    small_disk(4 * needed)
    goes_on_to_the_end(out, undisturbed, videos, recast)
    assert recast("compact", out, "--grace-hours", "0").returncode == 0
    held = {row["shard"] for row in read_tables(out).query("select shard from samples").to_pylist()}
    assert {str(path.relative_to(out)) for path in (out / "shards").rglob("*.tar*")} == held
