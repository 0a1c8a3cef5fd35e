"""Every row against its bytes, and the tables against each other. Takes no lock, changes nothing."""

import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from cluster.folder import Folder
from pipeline import edited_files
from pipeline.compact import referenced_shards, shard_files
from pipeline.rows import CHILD_TABLE
from pipeline.shards import ShardReader
from pipeline.stray_files import stray_files
from pipeline.tables import Row, Snapshot, read_tables
from schemas.tables import TABLES
from schemas.work import DEAD, Outcome, Phase


@dataclass(frozen=True, slots=True)
class Problem:
    """is_error: False for what is merely worth knowing, e.g. garbage that `recast compact` removes."""

    kind: str
    where: str  # a row's table and key, or a file below the output
    message: str
    is_error: bool = True

    def __str__(self) -> str:
        return f"{'problem' if self.is_error else 'note'}: {self.kind} in {self.where}: {self.message}"


def check(out: str | Path) -> list[Problem]:
    """All that is wrong with an output; errors first. Raises UserError where there is none."""
    tables = read_tables(out)
    found = [
        *_duplicate_keys(tables),
        *_bytes(tables),
        *_edits(tables),
        *_tracks(tables),
        *_children(tables),
        *_dead_letters(tables),
        *_orphans(tables),
    ]
    return sorted(found, key=lambda problem: not problem.is_error)


def _duplicate_keys(tables: Snapshot) -> Iterator[Problem]:
    for table in TABLES:
        sql = f'SELECT key, count(*) AS n FROM "{table}" GROUP BY key HAVING n > 1 ORDER BY key'
        for row in tables.query(sql).to_pylist():
            yield Problem("duplicate_key", f"{table}/{row['key']}", f"{row['n']} rows have this key")


def _bytes(tables: Snapshot) -> Iterator[Problem]:
    sql = "SELECT key, shard, members, member_sha256 FROM samples WHERE status = 'ok' ORDER BY shard, key"
    rows = (row for batch in tables.query_batches(sql) for row in batch.to_pylist())
    for shard, samples in groupby(rows, key=lambda row: row["shard"]):
        yield from _shard(tables.root, shard, samples)


def _shard(out: Folder, shard: str | None, samples: Iterator[Row]) -> Iterator[Problem]:
    if shard is None:
        for row in samples:
            yield Problem("no_shard", f"samples/{row['key']}", "the row names no shard")
        return
    reader = ShardReader(out)
    try:
        unread = dict(reader.index(shard))
    except (OSError, tarfile.TarError) as error:
        count = sum(1 for _ in samples)
        yield Problem("unreadable_shard", shard, f"{count} samples refer to it: {error}")
        return
    for row in samples:
        yield from _sample(row, reader)
        for name in row["members"] or []:
            unread.pop(name, None)
    if unread:
        yield Problem("orphan_members", shard, f"{len(unread)} members belong to no accepted sample", is_error=False)


def _sample(row: Row, reader: ShardReader) -> Iterator[Problem]:
    where = f"samples/{row['key']}"
    names, digests = row["members"] or [], row["member_sha256"] or []
    if not names or len(names) != len(digests):
        yield Problem("members", where, f"{len(names)} members, {len(digests)} checksums")
        return
    for name, digest in zip(names, digests, strict=True):
        try:
            data = reader.read(row["shard"], name)
        except KeyError:
            yield Problem("missing_member", where, f"{row['shard']} has no {name}")
            continue
        if hashlib.sha256(data).hexdigest() != digest:
            yield Problem(
                "checksum", where, f"{name} in {row['shard']} does not have the bytes the row was written for"
            )


def _edits(tables: Snapshot) -> Iterator[Problem]:
    sql = "SELECT key, video, video_sha256 FROM edits WHERE status = 'ok' ORDER BY key"
    for row in tables.query(sql).to_pylist():
        where = f"edits/{row['key']}"
        if row["video"] is None:
            yield Problem("no_video", where, "the row names no video")
            continue
        try:
            is_same = edited_files.sha256(tables.root, row["video"]) == row["video_sha256"]
        except OSError as error:
            yield Problem("unreadable_video", where, f"{row['video']}: {error.strerror or error}")
            continue
        if not is_same:
            yield Problem("checksum", where, f"{row['video']} does not have the bytes the row was written for")


def _tracks(tables: Snapshot) -> Iterator[Problem]:
    """Without its tracks an aligned job cannot be edited."""
    for row in tables.query("SELECT key, tracks FROM jobs WHERE status = 'ok' ORDER BY key").to_pylist():
        if not row["tracks"] or not tables.root.exists(row["tracks"]):
            yield Problem("no_tracks", f"jobs/{row['key']}", f"{row['tracks'] or 'no file of tracks'} is not there")


def _children(tables: Snapshot) -> Iterator[Problem]:
    """A settled unit has as many children as its row says. Clips belong to content, which several sources may share."""
    for phase in (Phase.MINE, Phase.LINK, Phase.SYNTHESIZE, Phase.EDIT):
        child = CHILD_TABLE[phase]
        of_task = "AND c.task = s.task" if "task" in TABLES[child].names else ""
        sql = f"""
            SELECT s.parent_key, s.task, s.num_children, count(c.key) AS n FROM settled s
            LEFT JOIN "{child}" c ON c.parent_key = s.parent_key {of_task}
            WHERE s.phase = '{phase}' AND s.status <> 'removed'
            GROUP BY ALL HAVING n <> s.num_children ORDER BY s.parent_key
        """
        for row in tables.query(sql).to_pylist():
            message = f"settled with {row['num_children']} {child}, but there are {row['n']}"
            yield Problem("num_children", f"{phase}/{row['parent_key']}/{row['task']}", message)


def _dead_letters(tables: Snapshot) -> Iterator[Problem]:
    dead = ", ".join(f"'{Outcome(outcome)}'" for outcome in DEAD)
    sql = f"""
        SELECT s.parent_key, s.task, s.outcome FROM settled s
        ANTI JOIN rejects r ON r.parent_key = s.parent_key AND r.task = s.task WHERE s.outcome IN ({dead})
    """
    for row in tables.query(sql).to_pylist():
        yield Problem(
            "no_dead_letter", f"settled/{row['parent_key']}/{row['task']}", f"{row['outcome']}, not in rejects"
        )


def _orphans(tables: Snapshot) -> Iterator[Problem]:
    referenced = referenced_shards(tables)
    message = "no row refers to it; `recast compact` removes it"
    for file in shard_files(tables.root):
        if file.name not in referenced:
            yield Problem("orphan_shard", file.name, message, is_error=False)
    for name in stray_files(tables):
        yield Problem("stray_file", name, message, is_error=False)
