"""The audit finds nothing wrong in a build, and finds what was tampered with."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from audit import Audit, audit

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def sound(built: Path, demo_videos: Path) -> Audit:
    return audit(built, demo_videos)


def test_a_build_keeps_its_claims(sound: Audit) -> None:
    assert sound.samples
    assert sound.false == []
    assert set(sound.checked) >= {
        "a member's bytes have the hash of its row",
        "the output is frame B",
        "a reference shows frame A's own pixels",
        "a base differs from the output inside its box only",
    }


def test_pairs_of_the_demo_are_scored_against_its_truth(sound: Audit) -> None:
    assert any(pair.is_confirmed for pair in sound.pairs)


def test_a_changed_byte_is_found(built: Path, demo_videos: Path, tmp_path: Path) -> None:
    copy = tmp_path / "dataset"
    shutil.copytree(built, copy)
    shard = max(copy.glob("shards/*.tar"), key=lambda path: path.stat().st_size)
    content = bytearray(shard.read_bytes())
    content[content.index(b"PNG") + 600] ^= 1
    shard.write_bytes(bytes(content))
    assert any(line.startswith("a member's bytes") for line in audit(copy, demo_videos).false)
