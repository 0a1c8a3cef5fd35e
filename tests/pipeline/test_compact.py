"""Compaction: the same samples make the same bytes, nothing that a row refers to goes, and a crash costs nothing."""

import os
import time
from hashlib import sha256

import pytest

from cluster.folder import SPOOL
from pipeline import failpoints
from pipeline.check import check
from pipeline.compact import compact
from pipeline.ledger import Ledger
from pipeline.tables import read_tables
from pipeline.writer import ShardWriter
from schemas.config import EngineConfig
from schemas.errors import UserError
from schemas.work import Phase, Result, Unit

CONFIG = EngineConfig(commit_seconds=0.0, shard_mb=1)
KEYS = [f"{number:02}" for number in range(9)]


def fill(out, groups):
    """An output whose shards hold the keys of each group."""
    ledger = Ledger(out, CONFIG, "run")
    writer = ShardWriter(out, "w", CONFIG, ledger.epoch, ledger.deliver)
    pages = [[Unit(Phase.SYNTHESIZE, key, "t") for key in group] for group in groups]
    ledger.open_phase(Phase.SYNTHESIZE, iter(pages), "fp")
    while (units := ledger.lease(Phase.SYNTHESIZE, 99)) is not None:
        for unit in units:
            members = {f"{unit.key}.png": sha256(unit.key.encode()).digest() * 9000, f"{unit.key}.json": b"{}"}
            rows = {"samples": [{"key": unit.key, "caption_short": {"en": unit.key}}]}
            writer.put([Result(unit.phase, unit.key, unit.task, rows=rows, members=members)])
        writer.seal()
    ledger.close("finished", {})
    return out


@pytest.fixture
def output(tmp_path):
    return fill(tmp_path / "out", [KEYS[5:], KEYS[:2], KEYS[2:5]])


def shards(out):
    return {path.name: path.read_bytes() for path in (out / "shards").glob("*.tar")}


def state(out):
    return [(row["key"], row["shard"], row["member_sha256"]) for row in read_tables(out).rows("samples")]


def test_equal_samples_end_in_equal_bytes(tmp_path, output):
    other = fill(tmp_path / "other", [KEYS[::-2], KEYS[1::2]])
    assert shards(other).keys() != shards(output).keys()
    done = compact(output, CONFIG, grace_seconds=0)
    compact(other, CONFIG, grace_seconds=0)
    assert (done.shards_written, done.shards_removed, done.damaged) == (3, 3, [])  # 0.3 MB each, 1 MB a shard
    assert shards(other) == shards(output)
    assert state(other) == state(output)
    assert check(output) == []


def test_a_second_compaction_writes_nothing(output):
    compact(output, CONFIG, grace_seconds=0)
    before = shards(output)
    done = compact(output, CONFIG, grace_seconds=0)
    assert (done.shards_written, done.shards_kept, done.shards_removed) == (0, 3, 0)
    assert shards(output) == before


def test_replaced_shards_stay_for_the_grace_period(output):
    old = set(shards(output))
    for name in old:
        os.utime(output / "shards" / name, (0, 0))  # sealed long ago, but in use until now
    done = compact(output, CONFIG, grace_seconds=60)
    assert (done.shards_removed, done.shards_in_grace) == (0, 3)
    assert old < set(shards(output))
    for name in old:
        os.utime(output / "shards" / name, (time.time() - 61,) * 2)
    assert compact(output, CONFIG, grace_seconds=60).shards_removed == 3
    assert old.isdisjoint(shards(output))


def test_garbage_goes_and_removed_samples_keep_their_bytes(output):
    (output / "shards" / "9-orphan.tar").write_bytes(b"x")
    (output / SPOOL).mkdir(exist_ok=True)
    (output / SPOOL / "0-dead.tar").write_bytes(b"x")
    ledger = Ledger(output, CONFIG, "run2")
    ledger.put(
        {"samples": [row | {"status": "removed"} for row in ledger.tables.rows("samples") if row["key"] == "00"]}
    )
    ledger.close("finished", {})
    compact(output, CONFIG, grace_seconds=0)
    assert not (output / "shards" / "9-orphan.tar").exists()
    assert not list((output / SPOOL).glob("*"))
    [removed] = [row for row in read_tables(output).rows("samples") if row["status"] == "removed"]
    assert (output / removed["shard"]).exists()  # a row of the current version refers to it


def test_damaged_samples_are_named_and_left_alone(output):
    row = read_tables(output).rows("samples")[0]
    path = output / row["shard"]
    data = bytearray(path.read_bytes())
    data[600] ^= 1
    path.write_bytes(data)
    done = compact(output, CONFIG, grace_seconds=0)
    assert done.damaged == [row["key"]]
    assert read_tables(output).rows("samples")[0]["shard"] == row["shard"]
    assert [problem.kind for problem in check(output) if problem.is_error] == ["checksum"]


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("name", [name for name in failpoints.NAMES if name.startswith("compact_")])
def test_a_crash_costs_nothing(tmp_path, output, name, nth):
    undisturbed = fill(tmp_path / "undisturbed", [KEYS])
    compact(undisturbed, CONFIG, grace_seconds=0)
    with failpoints.armed(name, nth):
        try:
            compact(output, CONFIG, grace_seconds=0)
        except failpoints.Crash:
            assert not [problem for problem in check(output) if problem.is_error]
        else:
            assert nth == 2
    compact(output, CONFIG, grace_seconds=0)
    assert shards(output) == shards(undisturbed)
    assert state(output) == state(undisturbed)


def test_not_while_a_run_has_the_output(output):
    ledger = Ledger(output, CONFIG, "running")
    with pytest.raises(UserError, match="in use by pid"):
        compact(output, CONFIG)
    ledger.abandon()
