"""Shards that depend on the samples alone: sorted by key, named by content; and away with what no row refers to.

Two outputs with equal samples have byte-identical shards after this. Each step can be interrupted: rows are pointed at
a new shard only after it is in place, and an old one goes only after no row points at it.
"""

import hashlib
import tarfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cluster.folder import File, Folder
from pipeline import failpoints
from pipeline.ledger import Ledger
from pipeline.shards import ShardReader, kind_of
from pipeline.stray_files import stray_files
from pipeline.tables import Row, Snapshot
from pipeline.writer import Tar
from schemas.config import EngineConfig

GRACE_SECONDS = 3600.0
ROWS_PER_COMMIT = 20_000


@dataclass(slots=True)
class Compacted:
    """What was done. damaged: keys of samples whose bytes do not match their row; they were left where they are."""

    shards_written: int = 0
    shards_kept: int = 0
    shards_removed: int = 0
    shards_in_grace: int = 0  # not referred to, but too young to remove
    bytes_removed: int = 0
    files_removed: int = 0  # of edits
    damaged: list[str] = field(default_factory=list)


def compact(out: str | Path, config: EngineConfig, run_id: str = "", grace_seconds: float = GRACE_SECONDS) -> Compacted:
    """Rewrite the accepted samples in order of their keys, then remove shards that nothing has referred to for longer
    than the grace period (readers may still be in them). Raises UserError when OUT is in use or the disk is full.
    """
    ledger = Ledger(out, config, run_id or f"compact-{uuid.uuid4().hex[:8]}")
    try:
        done = Compacted()
        _rewrite(ledger, config.shard_mb * 1_000_000, done)
        failpoints.hit("compact_after_commit")
        _remove_unreferenced(ledger.tables, grace_seconds, done)
        _remove_strays(ledger.tables, grace_seconds, done)
        ledger.out.clear_abandoned(grace_seconds)
        ledger.tables.maintain()
        ledger.close("compacted", {"written": done.shards_written, "removed": done.shards_removed})
        return done
    finally:
        ledger.abandon()


def referenced_shards(tables: Snapshot) -> set[str]:
    found = tables.query("SELECT DISTINCT shard FROM samples WHERE shard IS NOT NULL")
    return set(found["shard"].to_pylist())


def shard_files(out: Folder) -> Iterator[File]:
    """Without those that are still being written."""
    yield from (file for file in out.files("shards") if file.name.count("/") == 1 and file.name.endswith(".tar"))


def _rewrite(ledger: Ledger, max_bytes: int, done: Compacted) -> None:
    reader = ShardReader(ledger.out)
    moved: list[Row] = []
    left: set[str] = set()
    for rows in _groups(ledger.tables, reader, max_bytes, done):
        shard = _settled_shard(rows, reader)
        if shard is not None:
            done.shards_kept += 1
            continue
        shard = _write_shard(ledger.out, rows, reader)
        done.shards_written += 1
        failpoints.hit("compact_after_shard")
        left |= {row["shard"] for row in rows}
        moved += [row | {"shard": shard} for row in rows if row["shard"] != shard]
        if len(moved) >= ROWS_PER_COMMIT:
            _point(ledger, moved)
            moved = []
    _point(ledger, moved)
    for shard in left - referenced_shards(ledger.tables):
        ledger.out.touch(shard)  # its grace begins now


def _point(ledger: Ledger, rows: list[Row]) -> None:
    failpoints.hit("compact_before_commit")
    ledger.tables.merge("samples", rows)


def _groups(tables: Snapshot, reader: ShardReader, max_bytes: int, done: Compacted) -> Iterator[list[Row]]:
    """Accepted samples with sound bytes, by kind and key, as many as fit a shard."""
    group: list[Row] = []
    num_bytes = 0
    for row in _by_kind(tables):
        size = _sound_bytes(row, reader)
        if size is None:
            done.damaged.append(row["key"])
            continue
        if group and (num_bytes + size > max_bytes or _kind(row) != _kind(group[0])):
            yield group
            group, num_bytes = [], 0
        group.append(row)
        num_bytes += size
    if group:
        yield group


def _by_kind(tables: Snapshot) -> Iterator[Row]:
    order = "task, len(list_filter(members, lambda name: contains(name, '.input_'))), key"
    for batch in tables.query_batches(f"SELECT * FROM samples WHERE status = 'ok' ORDER BY {order}"):
        yield from batch.to_pylist()


def _kind(row: Row) -> str:
    return kind_of(row["task"], row["members"])


def _sound_bytes(row: Row, reader: ShardReader) -> int | None:
    try:
        members = [reader.read(row["shard"], name) for name in row["members"]]
    except (OSError, KeyError, TypeError, tarfile.TarError):
        return None
    if [hashlib.sha256(data).hexdigest() for data in members] != row["member_sha256"]:
        return None
    return sum(len(data) for data in members)


def _settled_shard(rows: list[Row], reader: ShardReader) -> str | None:
    """The shard that holds exactly these samples under its content's name already."""
    shards = {row["shard"] for row in rows}
    shard = str(next(iter(shards)))
    if len(shards) > 1 or shard.rpartition("/")[2].count("-") != 1:  # a writer's name: kind-epoch-uuid
        return None
    members = [name for row in rows for name in row["members"]]
    return shard if list(reader.index(shard)) == members else None


def _write_shard(out: Folder, rows: list[Row], reader: ShardReader) -> str:
    tar = Tar(out.scratch() / f"compact-{uuid.uuid4().hex}.tar")
    for row in rows:
        for name in row["members"]:
            tar.add(name, reader.read(row["shard"], name))
    tar.finish()
    with tar.path.open("rb") as file:
        name = hashlib.file_digest(file, "sha256").hexdigest()[:32]
    shard = f"shards/{_kind(rows[0])}-{name}.tar"
    tar.seal(out, shard)
    return shard


def _remove_unreferenced(tables: Snapshot, grace_seconds: float, done: Compacted) -> None:
    referenced = referenced_shards(tables)
    for file in list(shard_files(tables.root)):
        if file.name in referenced:
            continue
        if time.time() - file.modified < grace_seconds:
            done.shards_in_grace += 1
            continue
        tables.root.delete(file.name)
        done.shards_removed += 1
        done.bytes_removed += file.size


def _remove_strays(tables: Snapshot, grace_seconds: float, done: Compacted) -> None:
    for name, modified in stray_files(tables).items():
        if time.time() - modified >= grace_seconds:
            tables.root.delete(name)
            done.files_removed += 1
