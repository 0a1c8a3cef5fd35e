"""The commit protocol with its tables and shards in a bucket: crashes, a store that fails, and bytes that are there."""

from collections import deque
from hashlib import sha256

import pytest
from faulty_s3 import Answer, Cut, serving
from ledger_fleet import MISHAPS, contents, live

from cluster.folder import output_folder
from pipeline import failpoints
from pipeline.check import check
from pipeline.compact import compact
from pipeline.shards import ShardReader
from pipeline.tables import Tables, read_tables
from schemas.config import EngineConfig
from schemas.errors import Fenced
from schemas.tables import TABLES

OUT = "s3://films/sets/one"
CRASHES = ["takeover_after_lock", "takeover_between_epochs", "after_upload", "between_table_commits", "before_settled"]
"""Where a bucket differs from a disk; all of them are tried on disk (test_ledger_crashes.py)."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What a run on disk comes to."""
    out = tmp_path_factory.mktemp("undisturbed")
    assert live(out, "run", "new", deque())
    return contents(read_tables(out), "new")


@pytest.fixture
def server():
    with serving() as running:
        yield running


def assert_same(undisturbed) -> None:
    tables = read_tables(OUT)
    assert contents(tables, "new") == undisturbed
    for name in TABLES:
        keys = [row["key"] for row in tables.rows(name)]
        assert len(keys) == len(set(keys)), f"twice in {name}"
    reader = ShardReader(output_folder(OUT))
    for row in tables.rows("samples"):
        for member, digest in zip(row["members"], row["member_sha256"], strict=True):
            assert sha256(reader.read(row["shard"], member)).hexdigest() == digest


@pytest.mark.parametrize("name", CRASHES)
def test_a_crash_changes_nothing(server, undisturbed, name):
    nth = 3 if name in ("takeover_between_epochs", "between_table_commits") else 1
    with failpoints.armed(name, nth):
        assert not live(OUT, "first", "new", deque())
    assert live(OUT, "last", "new", deque())
    assert_same(undisturbed)


def test_mishaps_and_a_crash_between_commits_change_nothing(server, undisturbed):
    mishaps = deque(MISHAPS * 4)
    with failpoints.armed("between_table_commits", 7):
        assert not live(OUT, "first", "new", mishaps)
    assert live(OUT, "last", "new", mishaps)
    assert_same(undisturbed)


FAULTS = {
    "errors": (Answer(500, "InternalError"), Answer(503, "SlowDown")),
    "resets": (Cut(), Cut(3)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_fails_now_and_then_changes_nothing(server, undisturbed, fault):
    """While tables, shards and the lease are read and written. A run may end of it; then the next goes on."""
    for each, every in zip(FAULTS[fault], (11, 17), strict=True):
        server.fail(each, 10_000, "PUT", every=every)
        server.fail(each, 10_000, "GET", every=every + 2)
    assert any(live(OUT, f"life{number}", "new", deque()) for number in range(12))
    server.heal()
    assert_same(undisturbed)


def test_compact_and_check_find_every_byte(server, undisturbed):
    assert live(OUT, "run", "new", deque())
    assert [problem for problem in check(OUT) if problem.is_error] == []
    done = compact(OUT, EngineConfig(), grace_seconds=0)
    assert done.damaged == []
    assert_same(undisturbed)
    assert [problem for problem in check(OUT) if problem.is_error] == []
    folder = output_folder(OUT)
    shard = next(row["shard"] for row in read_tables(OUT).rows("samples"))
    content = bytearray(folder.read(shard))
    content[600] ^= 1
    folder.write(shard, bytes(content))
    assert [problem for problem in check(OUT) if problem.is_error]


def test_a_commit_whose_answer_was_lost_is_known_for_ours(server):
    """The store took it, and what delta-rs then asks, whose it is that lies there, breaks off too."""
    tables = Tables(OUT)
    tables.takeover(1, "run")
    before = tables.versions()["samples"]
    for number in range(3):
        server.heal()
        server.fail(Cut(0), 1, "PUT", "/films/sets/one/tables/samples/_delta_log/")
        server.fail(Cut(3), 1, "GET", "/films?list-type", every=2)
        tables.merge("samples", [{"key": f"{number}", "parent_key": "p", "task": "t"}])
    assert tables.versions()["samples"] == before + 3
    assert [row["key"] for row in read_tables(OUT).rows("samples")] == ["0", "1", "2"]
    server.heal()
    Tables(OUT).takeover(2, "other")
    with pytest.raises(Fenced):
        tables.merge("samples", [{"key": "4", "parent_key": "p", "task": "t"}])
