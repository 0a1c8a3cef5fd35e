"""The versions of an output, one per run, and what differs between two of them.

A version is what a run left: the versions of the Delta tables that `runs` names beside the run's last event, or, for a
run that died, those its successor found. Old ones can be read until `recast compact` and Delta's retention take away
what they are made of.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from deltalake.exceptions import DeltaError
from rich.console import Console

from pipeline.tables import Snapshot, read_tables
from schemas.errors import UserError

CONTENT = {
    "sources": "content_hash",
    "clips": "concat_ws(' ', content_hash, start_frame, end_frame)",
    "pairs": "md5(to_json(subjects)::varchar)",
    "samples": "array_to_string(member_sha256, ' ')",
    "jobs": "concat_ws(' ', content_hash, request, bound)",
    "edits": "video_sha256",
}
"""What a row stands for: with another one under the same key it was replaced. From the source to the result."""

_NAME = {"sources": "uri", "clips": "source_uri", "pairs": "source_uri", "samples": "source_uri", "jobs": "uri"}
_LISTED = 20
"""Changes that people are shown of each kind; --json has all."""


@dataclass(frozen=True)
class Version:
    """number: the run's epoch. ended: finished, stopped, compacted, retried, or None: it died or is in progress.
    tables: the Delta version of each."""

    number: int
    run_id: str
    at: datetime
    ended: str | None
    tables: Mapping[str, int]


def versions(tables: Snapshot) -> list[Version]:
    """Oldest first. A run of a Recast that noted no table versions has none."""
    rows = tables.query(
        "select epoch, run_id, event, created_at, detail from runs order by epoch, created_at"
    ).to_pylist()
    found: list[Version] = []
    for number, (row, following) in enumerate(zip(rows, [*rows[1:], None], strict=True)):
        if following is not None and following["epoch"] == row["epoch"]:
            continue
        ended = None if row["event"] in ("started", "wave_closed", "progress") else row["event"]
        # What a run that died had committed is what the next one took over, which changes no row.
        known = row if ended else following
        at_end = _tables_of(known) if known else tables.versions()
        if at_end:
            found.append(Version(row["epoch"], row["run_id"], rows[number]["created_at"], ended, at_end))
    return found


def _tables_of(row: Mapping[str, Any]) -> dict[str, int]:
    return dict(json.loads(row["detail"] or "{}").get("tables") or {})


def listed(out: str | Path) -> list[dict[str, Any]]:
    """Every version with what it changed in the one before and whether it can still be read (JSON). Counts are null
    where one of the two cannot be read."""
    tables = read_tables(out)
    shards = {file.name for file in tables.root.files("shards")}
    known = versions(tables)
    views = [_view(tables, version) for version in known]
    described = []
    for index, (version, view) in enumerate(zip(known, views, strict=True)):
        before = views[index - 1] if index else None
        first_or_readable = view is not None and (index == 0 or before is not None)
        described.append(
            {
                "version": version.number,
                "run_id": version.run_id,
                "at": version.at.isoformat(),
                "ended": version.ended,
                "tables": {name: number for name, number in version.tables.items() if name != "runs"},
                "readable": view is not None and _shards_of(view) <= shards,
                "changed": _counted(_changes(before, view)) if view is not None and first_or_readable else None,
            }
        )
    return described


def diff(out: str | Path, span: str) -> dict[str, Any]:
    """What differs between two versions, "A..B", or "A" for A and the latest (JSON): by table, key, change (added,
    removed, replaced) and, for what is gone, its reason. Raises UserError for a version that is not there any more."""
    tables = read_tables(out)
    known = {version.number: version for version in versions(tables)}
    first, _, last = span.partition("..")
    try:
        pair = [known[int(first)], known[int(last)] if last else known[max(known)]]
    except (ValueError, KeyError):
        have = ", ".join(map(str, known)) or "none"
        raise UserError(f"--diff {span}: give two versions as A..B; there are {have}") from None
    views = []
    for version in pair:
        view = _view(tables, version)
        if view is None:
            raise UserError(f"version {version.number} of {out} cannot be read any more: its files were removed")
        views.append(view)
    changes = _changes(*views)
    return {"from": pair[0].number, "to": pair[1].number, "counts": _counted(changes), "changes": changes}


def _view(tables: Snapshot, version: Version) -> Snapshot | None:
    """The tables as they were; None when a file of theirs is gone."""
    try:
        view = Snapshot(tables.root, at={name: version.tables[name] for name in CONTENT if name in version.tables})
    except (DeltaError, OSError):
        return None
    there = {Path(file.name).name for name in CONTENT for file in tables.root.files(f"tables/{name}")}
    return view if all(Path(uri).name in there for uri in view.file_uris()) else None


def _shards_of(view: Snapshot) -> set[str]:
    return set(view.query("select distinct shard from samples where status = 'ok'")["shard"].to_pylist()) - {None}


def _changes(before: Snapshot | None, after: Snapshot) -> list[dict[str, Any]]:
    """before: None for an output with nothing in it."""
    with duckdb.connect() as database:
        found: list[dict[str, Any]] = []
        for name in CONTENT:
            new = _rows(after, name)
            database.register("old", _rows(before, name) if before else new.slice(0, 0))
            database.register("new", new)
            found += [{"table": name, **row} for row in database.sql(_JOIN).to_arrow_table().to_pylist()]
    return found


_JOIN = """
    select * from (
        select coalesce(n.key, o.key) as key, coalesce(n.name, o.name) as name,
            case when n.status = 'ok' and o.status = 'ok' then if(n.content = o.content, null, 'replaced')
                when n.status = 'ok' then 'added'
                when o.status = 'ok' then 'removed'
                when n.key is not null and (o.key is null or n.reason is distinct from o.reason) then 'rejected'
            end as change,
            if(change in ('removed', 'rejected'), coalesce(n.reason, n.status), null) as reason
        from old o full join new n using (key))
    where change is not null order by change, key
"""


def _rows(view: Snapshot, name: str) -> pa.Table:
    called = _NAME.get(name, "name")
    columns = f"key, status, reason, coalesce({called}, '') as name, coalesce({CONTENT[name]}, '') as content"
    return view.query(f"select {columns} from {name}")


def _counted(changes: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for change in changes:
        counts.setdefault(change["table"], Counter())[change["change"]] += 1
    return {name: dict(found) for name, found in counts.items()}


def show(found: list[dict[str, Any]], console: Console) -> None:
    """The versions for people."""
    for version in found:
        end = version["ended"] or "not ended"
        readable = "" if version["readable"] else ", can no longer be read"
        console.print(
            f"{version['version']:>4}  {version['at'][:19]}  {version['run_id']} {end}{readable}", highlight=False
        )
        for line in _lines(version["changed"]):
            console.print(f"      {line}", highlight=False)


def show_diff(found: dict[str, Any], console: Console) -> None:
    """A difference for people: counts, and the first rows of each table."""
    console.print(f"from version {found['from']} to {found['to']}", highlight=False)
    for line in _lines(found["counts"]):
        console.print(line, highlight=False)
    shown: Counter[tuple[str, str]] = Counter()
    for change in found["changes"]:
        shown[change["table"], change["change"]] += 1
        if shown[change["table"], change["change"]] <= _LISTED:
            why = f" ({change['reason']})" if change["reason"] else ""
            console.print(
                f"  {change['table']} {change['change']} {change['key']} {change['name']}{why}",
                highlight=False,
                markup=False,
            )
    left = sum(max(count - _LISTED, 0) for count in shown.values())
    if left:
        console.print(f"  and {left} more: --json has all", highlight=False)


def _lines(counts: dict[str, dict[str, int]] | None) -> list[str]:
    if counts is None:
        return ["changes unknown"]
    lines = [
        f"{name}: " + ", ".join(f"{count} {change}" for change, count in found.items())
        for name, found in counts.items()
    ]
    return lines or ["no change"]
