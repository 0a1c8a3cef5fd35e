"""The commit protocol under every crash and mishap: the tables end up as those of an undisturbed run."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections import deque
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_fleet import MISHAPS, contents, live

from pipeline import failpoints
from pipeline.tables import read_tables
from schemas.tables import TABLES
from schemas.work import Phase

HERE = Path(__file__).parent
OF_COMPACTION = tuple(name for name in failpoints.NAMES if name.startswith("compact_"))
IN_A_RUN = tuple(name for name in failpoints.NAMES if name not in OF_COMPACTION)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """An undisturbed run, and what runs may begin with: nothing, pairs only, what an earlier fingerprint left."""
    folder = tmp_path_factory.mktemp("outputs")
    (folder / "empty").mkdir()
    assert live(folder / "mined", "run", "new", deque(), [Phase.MINE])
    assert live(folder / "undisturbed", "run", "new", deque())
    assert live(folder / "earlier", "run", "old", deque())
    return folder


def assert_same(out: Path, undisturbed: Path) -> None:
    tables = read_tables(out)
    assert contents(tables, "new") == contents(read_tables(undisturbed), "new")
    for name in TABLES:
        keys = [row["key"] for row in tables.rows(name)]
        assert len(keys) == len(set(keys)), f"twice in {name}"
    assert_bytes(out, [row for row in tables.rows("samples") if row["fingerprint"] == "new"])


def assert_bytes(out: Path, samples: list[dict]) -> None:
    for row in samples:
        with tarfile.open(out / row["shard"]) as tar:
            for name, digest in zip(row["members"], row["member_sha256"], strict=True):
                assert sha256(tar.extractfile(name).read()).hexdigest() == digest


def test_the_undisturbed_run_has_every_outcome(outputs):
    found = contents(read_tables(outputs / "undisturbed"), "new")
    outcomes = {row[5] for row in found["settled"]}
    assert outcomes == {"'done'", "'rejected'", "'exhausted'", "'failed'", "'poison'"}
    assert found["samples"]
    assert any("'1'" in repr(row) or row[3] == "1" for row in found["samples"])  # one passed at its second attempt


HITS = {"between_table_commits": 20, "takeover_between_epochs": len(TABLES), "takeover_after_lock": 1}
CRASH = st.sampled_from(IN_A_RUN).flatmap(lambda name: st.tuples(st.just(name), st.integers(1, HITS.get(name, 6))))
LUCK = st.lists(st.sampled_from(MISHAPS), min_size=30, max_size=60)


@given(crashes=st.lists(CRASH, min_size=1, max_size=4), luck=LUCK, start=st.sampled_from(["mined", "empty", "earlier"]))
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
def test_any_crashes_and_mishaps_change_nothing(outputs, tmp_path_factory, crashes, luck, start):
    out = tmp_path_factory.mktemp("crashed")
    shutil.copytree(outputs / start, out, dirs_exist_ok=True)
    mishaps = deque(luck)
    for number, (name, nth) in enumerate(crashes):
        with failpoints.armed(name, nth):
            live(out, f"life{number}", "new", mishaps)
    assert live(out, "last", "new", mishaps)
    assert_same(out, outputs / "undisturbed")
    shutil.rmtree(out)


def test_a_crash_between_any_two_table_commits_changes_nothing(outputs, tmp_path):
    """Without mishaps, one life per commit, each cut off one commit later than the one before."""
    for start in ("mined", "earlier"):
        out = tmp_path / start
        shutil.copytree(outputs / start, out)
        for nth in itertools.count(1):
            with failpoints.armed("between_table_commits", nth):
                if live(out, f"life{nth}", "new", deque()):
                    break
        assert nth > 3
        assert_same(out, outputs / "undisturbed")


def run_process(out: Path, failpoint: str = "") -> int:
    script = (
        "import sys; from collections import deque; from pathlib import Path; from ledger_fleet import live\n"
        "live(Path(sys.argv[1]), sys.argv[2] or 'last', 'new', deque())"
    )
    environment = {**os.environ, "PYTHONPATH": f"{HERE.parent.parent}{os.pathsep}{HERE}"}
    environment["PYTHONPYCACHEPREFIX"] = str(out.parent / "pycache")  # compile once, for the processes that follow
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    if failpoint:
        environment["RECAST_FAILPOINT"] = failpoint
    command = [sys.executable, "-c", script, str(out), failpoint]
    return subprocess.run(command, env=environment, check=False, timeout=120).returncode


@pytest.mark.parametrize("name", IN_A_RUN)
def test_a_process_killed_at_a_failpoint_is_replaced_at_once(outputs, tmp_path, name):
    nth = ":3" if name in ("takeover_between_epochs", "between_table_commits") else ""
    assert run_process(tmp_path, name + nth) == -signal.SIGKILL
    assert live(tmp_path, "last", "new", deque())
    assert_same(tmp_path, outputs / "undisturbed")
