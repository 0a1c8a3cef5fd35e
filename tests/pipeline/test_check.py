"""Each kind of damage is found, and named by row or file."""

import pytest
from test_compact import CONFIG, KEYS, fill

from pipeline.check import check
from pipeline.ledger import Ledger
from pipeline.tables import read_tables
from schemas.errors import UserError


@pytest.fixture
def output(tmp_path):
    return fill(tmp_path / "out", [KEYS[:3], KEYS[3:5]])


def first(out, table="samples"):
    return read_tables(out).rows(table)[0]


def change(out, table, **columns):
    ledger = Ledger(out, CONFIG, "vandal")
    ledger.put({table: [ledger.tables.rows(table)[0] | columns]})
    ledger.close("finished", {})


def errors(out):
    return [(problem.kind, problem.where) for problem in check(out) if problem.is_error]


def test_a_sound_output_has_no_problems(output):
    assert check(output) == []


@pytest.mark.parametrize("offset", [512, 100_000])
def test_flipped_bytes(output, offset):
    path = output / first(output)["shard"]
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)
    assert errors(output) == [("checksum", "samples/00")]


def test_a_truncated_shard(output):
    path = output / first(output)["shard"]
    path.write_bytes(path.read_bytes()[:300_000])
    assert {kind for kind, _ in errors(output)} <= {"checksum", "missing_member", "unreadable_shard"}
    assert errors(output)


def test_a_lost_shard(output):
    shard = first(output)["shard"]
    (output / shard).unlink()
    assert errors(output) == [("unreadable_shard", shard)]


def test_a_missing_member(output):
    change(output, "samples", members=["00.png", "00.txt"])
    assert errors(output) == [("missing_member", "samples/00")]
    assert [problem.kind for problem in check(output)] == ["missing_member", "orphan_members"]


def test_a_row_without_bytes(output):
    change(output, "samples", shard="", members=[], member_sha256=[])
    assert errors(output) == [("unreadable_shard", "")]


def test_children_that_are_not_as_many_as_settled(output):
    change(output, "settled", num_children=2)
    row = first(output, "settled")
    assert errors(output) == [("num_children", f"synthesize/{row['parent_key']}/t")]


def test_a_dead_letter_that_is_missing(output):
    change(output, "settled", outcome="exhausted")
    assert [kind for kind, _ in errors(output)] == ["no_dead_letter"]


def test_orphans_are_information(output):
    (output / "shards" / "1-orphan.tar").write_bytes(b"")
    [problem] = check(output)
    assert (problem.kind, problem.where, problem.is_error) == ("orphan_shard", "shards/1-orphan.tar", False)


def test_no_output(tmp_path):
    with pytest.raises(UserError):
        check(tmp_path)
