"""Tars: when they are sealed, what is in them, what a failure leaves."""

import errno
import tarfile

import pytest

from pipeline.writer import ShardWriter
from schemas.config import EngineConfig
from schemas.errors import UserError
from schemas.work import Phase, Result


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def sample(key, size=1000):
    members = {f"{key}.png": key.encode() * (size // len(key)), f"{key}.json": b"{}"}
    return Result(Phase.SYNTHESIZE, key, "t", rows={"samples": [{"key": key}]}, members=members)


class Writing:
    def __init__(self, out, **settings):
        self.out, self.clock, self.told = out, Clock(), []
        config = EngineConfig(**{"shard_mb": 1, "seal_seconds": 60.0, **settings})
        self.writer = ShardWriter(out, "w0", config, 7, self.told.append, self.clock)

    def rows(self):
        return [row for results in self.told for result in results for row in result.rows["samples"]]

    def files(self):
        return sorted(path.name for path in (self.out / "shards").rglob("*.tar"))


@pytest.fixture
def writing(tmp_path):
    return Writing(tmp_path)


def test_nothing_is_told_before_the_tar_is_in_place(writing):
    writing.writer.put([sample("a"), sample("b")])
    assert writing.told == []
    assert all(".spool" in str(path) for path in (writing.out / "shards").rglob("*.tar"))
    writing.writer.seal()
    [results] = writing.told
    assert [result.members for result in results] == [{}, {}]
    assert {row["shard"] for row in writing.rows()} == {f"shards/{writing.files()[0]}"}
    assert writing.files()[0].startswith("t.0-7-")


def test_members_in_order_with_zeroed_headers(writing):
    writing.writer.put([sample("a"), sample("b")])
    writing.writer.seal()
    row = writing.rows()[0]
    with tarfile.open(writing.out / row["shard"]) as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == ["a.png", "a.json", "b.png", "b.json"]
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {(0, 0, 0, "", "", 0o644)}
    assert row["members"] == ["a.png", "a.json"]


def test_equal_samples_make_equal_bytes(tmp_path):
    shards = []
    for name in ("one", "two"):
        writing = Writing(tmp_path / name)
        writing.writer.put([sample("a"), sample("b")])
        writing.writer.seal()
        shards.append((writing.out / "shards" / writing.files()[0]).read_bytes())
    assert shards[0] == shards[1]


def test_sealed_by_size_so_that_put_bounds_what_is_held(writing):
    writing.writer.put([sample(f"{number}", 400_000) for number in range(7)])
    assert [len(results) for results in writing.told] == [3, 3]
    assert writing.writer.num_unsealed == 1


def test_unsealed_bytes_bound_a_large_shard(tmp_path):
    writing = Writing(tmp_path, shard_mb=512, unsealed_mb=1)
    writing.writer.put([sample(f"{number}", 600_000) for number in range(3)])
    assert [len(results) for results in writing.told] == [2]


def test_sealed_by_age_counted_from_the_first_put(writing):
    writing.writer.put([sample("a")])
    writing.clock.now = 59
    writing.writer.put([sample("b")])
    assert writing.told == []
    writing.clock.now = 60
    writing.writer.tick()
    assert len(writing.rows()) == 2
    writing.writer.tick()
    writing.writer.seal()
    assert len(writing.told) == 1  # nothing open, nothing told


def test_a_replayed_put_adds_nothing(writing):
    writing.writer.put([sample("a")])
    writing.writer.put([sample("a")])
    writing.writer.seal()
    with tarfile.open(writing.out / writing.rows()[0]["shard"]) as tar:
        assert tar.getnames() == ["a.png", "a.json"]
    assert len(writing.rows()) == 1


FULL_AT = {
    "write": ("pipeline.writer.tarfile.TarFile.addfile", lambda writer: writer.put([sample("b")])),
    "seal": ("pipeline.writer.os.fsync", lambda writer: writer.seal()),
}


@pytest.mark.parametrize("step", FULL_AT)
def test_a_full_disk_leaves_nothing_half_written(writing, monkeypatch, step):
    writing.writer.put([sample("a")])

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    place, act = FULL_AT[step]
    monkeypatch.setattr(place, full)
    with pytest.raises(UserError, match="no space left on the disk of"):
        act(writing.writer)
    assert writing.told == []
    assert writing.files() == []


def test_a_tar_holds_samples_of_one_kind(writing):
    one, two = sample("a"), sample("b")
    one.members = {"a.input_0.png": b"1", "a.json": b"{}"}
    two.members = {"b.input_0.png": b"1", "b.input_1.png": b"2", "b.json": b"{}"}
    writing.writer.put([one, two])
    writing.writer.seal()
    assert [name.split("-")[0] for name in writing.files()] == ["t.1", "t.2"]
    assert {row["key"]: row["shard"].split("-")[0] for row in writing.rows()} == {"a": "shards/t.1", "b": "shards/t.2"}
