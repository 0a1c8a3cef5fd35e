"""Decisions over what is stored: thresholds, duplicates, removals, and what follows from them below.

Nothing is decoded and no model is asked. Everything is a function of the tables, so it can be run again at any time:
between two runs of it nothing changes. It is the barrier between curating a wave and mining it, since whether a clip
is a near-duplicate can only be said once everything that came before it is known.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from cluster.storage import path_of, stamp_of
from pipeline.ledger import Ledger
from pipeline.rejudge import rejudge
from pipeline.settings import Settings
from schemas.reasons import Reason
from schemas.video import Shot
from stages import curation

Row = dict[str, Any]

CASCADED = (str(Reason.PARENT_REJECTED), str(Reason.PARENT_REPLACED))
_PAGE = 5000

_HOLDS = "(s.status = 'ok' or s.reason = 'near_duplicate')"
"""A source `s` that stands for its content; an exact duplicate leaves that to another one."""


def reconcile(ledger: Ledger, settings: Settings) -> dict[str, int]:
    """Bring decisions up to date. Returns how many rows changed, by kind."""
    changed = {
        "exact_duplicates": _exact_duplicates(ledger),
        "orphaned_clips": _orphans(ledger),
        "decided_clips": _decide(ledger, settings),
        "near_duplicates": _near_duplicates(ledger, settings),
        "duplicate_sources": _duplicate_sources(ledger),
        "cascaded_subjects": _cascade(ledger, "subjects", "clips", "clip_key"),
        "cascaded_pairs": _cascade(ledger, "pairs", "clips", "clip_key", "clip_key_b"),
        "cascaded_samples": _cascade(ledger, "samples", "pairs", "pair_key"),
        "reopened_samples": rejudge(ledger, settings),
    }
    return {kind: count for kind, count in changed.items() if count}


def cascade(ledger: Ledger) -> None:
    """After mining and linking: what was made from pairs that are no longer given is removed, and its bookkeeping
    forgotten."""
    _cascade(ledger, "samples", "pairs", "pair_key")
    gone = ledger.tables.query(
        """select distinct parent_key, task from settled t
           where phase = 'synthesize' and not exists (select 1 from pairs p where p.key = t.parent_key)"""
    ).to_pylist()
    units = [(row["parent_key"], row["task"]) for row in gone]
    for table in ("attempts", "rejects", "settled"):
        ledger.tables.merge(table, [], replace=units)


def record_dead_sources(ledger: Ledger, listing: str, wave: int) -> int:
    """A source whose curation ended as a dead letter has no row of its own making: it gets one that says why."""
    rows = ledger.tables.query(
        f"""select l.key, l.uri, l.stamp, r.reason, r.message from {listing} l join rejects r on r.row_key = l.key
            where r."table" = 'sources' and not exists (
                select 1 from sources s
                where s.key = l.key and s.status = 'failed' and s.created_at >= r.created_at)"""
    ).to_pylist()
    return _put(ledger, "sources", rows, lambda row: {"status": "failed", "wave": wave, "stamp": _stamp(row)})


def record_dead_jobs(ledger: Ledger, listing: str) -> int:
    """A job whose alignment ended as a dead letter: the same."""
    rows = ledger.tables.query(
        f"""select l.*, r.reason, r.message from (select distinct on (key) * from {listing}) l
            join settled t on t.parent_key = l.key and t.phase = 'align' and t.status = 'failed'
            join rejects r on r.parent_key = t.parent_key and r.task = t.task
            where not exists (
                select 1 from jobs j where j.key = l.key and j.status = 'failed' and j.created_at >= r.created_at)"""
    ).to_pylist()
    return _put(ledger, "jobs", rows, lambda row: {"status": "failed", "stamp": _stamp(row)})


def _stamp(row: dict[str, Any]) -> str:
    """As listed; asked for now where it was listed without."""
    return stamp_of(path_of(row["uri"])) if row["stamp"] is None else str(row["stamp"])


def remove_missing(ledger: Ledger, listing: str) -> int:
    """--sync: sources that are no longer listed become `removed`; what hangs on them follows in `reconcile`."""
    rows = ledger.tables.query(
        f"""select s.* from sources s where s.status <> 'removed'
            and not exists (select 1 from {listing} l where l.key = s.key)"""
    ).to_pylist()
    return _put(ledger, "sources", rows, lambda row: {"status": "removed", "reason": str(Reason.MISSING)})


def _exact_duplicates(ledger: Ledger) -> int:
    """Among sources with the same bytes the earliest wave wins, then the smallest key; the clips carry its uri. Those
    that were refused for what is in them keep that reason."""
    rows = ledger.tables.query(
        f"""with ranked as (
               select *, first_value(key) over same as owner, first_value(uri) over same as owner_uri
               from sources s where content_hash is not null and ({_HOLDS} or s.reason = 'exact_duplicate')
               window same as (partition by content_hash order by generation, key))
           select * from ranked
           where (key <> owner and (duplicate_of is distinct from owner or reason is distinct from 'exact_duplicate'))
              or (key = owner and reason = 'exact_duplicate')"""
    ).to_pylist()
    owners = {row["key"]: row.pop("owner") for row in rows}
    for row in rows:
        row.pop("owner_uri")

    def decided(row: Row) -> Row:
        if owners[row["key"]] == row["key"]:
            return {"status": "ok", "reason": None, "duplicate_of": None}
        return {
            "status": "rejected",
            "reason": str(Reason.EXACT_DUPLICATE),
            "duplicate_of": owners[row["key"]],
        }

    count = _put(ledger, "sources", rows, decided)
    moved = ledger.tables.query(
        f"""select c.*, s.uri as owner_uri, s.generation as owner_wave
           from clips c join sources s on s.content_hash = c.content_hash
           where {_HOLDS} and (c.source_uri <> s.uri or c.generation <> s.generation)"""
    ).to_pylist()
    owner = {row["key"]: {"source_uri": row.pop("owner_uri"), "generation": row.pop("owner_wave")} for row in moved}
    return count + _put(ledger, "clips", moved, lambda row: owner[row["key"]])


def _orphans(ledger: Ledger) -> int:
    """Clips whose content no source holds any more are removed; they come back when the content does."""
    held = f"exists (select 1 from sources s where s.content_hash = c.content_hash and {_HOLDS})"
    gone = ledger.tables.query(f"select c.* from clips c where c.status <> 'removed' and not {held}").to_pylist()
    count = _put(ledger, "clips", gone, lambda row: {"status": "removed", "reason": str(Reason.PARENT_REPLACED)})
    back = ledger.tables.query(f"select c.* from clips c where c.status = 'removed' and {held}").to_pylist()
    return count + _put(ledger, "clips", back, lambda row: {"status": "rejected", "reason": None, "decision": None})


def _decide(ledger: Ledger, settings: Settings) -> int:
    """Thresholds against stored scores, for clips these thresholds have not judged yet."""
    thresholds, wanted = settings.config.curation_thresholds, settings.fingerprints["decision"]
    rows = ledger.tables.query(
        f"select * from clips where status <> 'removed' and decision is distinct from '{wanted}' order by key"
    ).to_pylist()

    def decided(row: Row) -> Row:
        shot = Shot(row["start_frame"], row["end_frame"], row["start_seconds"], row["end_seconds"])
        reason = curation.decide(dict(row["scores"]), shot, row["width"], row["height"], thresholds)
        return {"status": "rejected" if reason else "ok", "reason": str(reason) if reason else None, "decision": wanted}

    return _put(ledger, "clips", rows, decided)


def _near_duplicates(ledger: Ledger, settings: Settings) -> int:
    """A clip that shows the same footage as an accepted clip of another source before it (earlier wave, then smaller
    key) is dropped. Candidates share one of four 16-bit bands of a perceptual hash."""
    rows = ledger.tables.query(
        f"""with candidates as (
               select key, content_hash, generation, status, unnest(hashes) as hash from clips
               where status = 'ok' or reason = '{Reason.NEAR_DUPLICATE}'),
           bands as (
               select *, unnest([0, 4, 8, 12]) as band, substr(hash, unnest([1, 5, 9, 13]), 4) as bits from candidates)
           select distinct b.key as key, a.key as other, a.generation as generation
           from bands a join bands b on a.band = b.band and a.bits = b.bits and a.content_hash <> b.content_hash
               and (a.generation, a.key) < (b.generation, b.key)"""
    ).to_pylist()
    suspected: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for row in rows:
        suspected[row["key"]].append((row["generation"], row["other"]))
    keys = set(suspected) | {other for others in suspected.values() for _, other in others}
    clips = _by_key(ledger, keys | _already(ledger))
    duplicates: set[str] = set()
    limit = settings.config.curation_thresholds.max_hash_distance
    for key in sorted(suspected, key=lambda key: (clips[key]["generation"], key)):
        others = [other for _, other in sorted(suspected[key]) if other not in duplicates]
        if any(curation.same_footage(clips[key]["hashes"], clips[other]["hashes"], limit) for other in others):
            duplicates.add(key)
    return _put(ledger, "clips", _changed_duplicates(clips, duplicates), _toggle)


def _already(ledger: Ledger) -> set[str]:
    rows = ledger.tables.query(f"select key from clips where reason = '{Reason.NEAR_DUPLICATE}'").to_pylist()
    return {row["key"] for row in rows}


def _changed_duplicates(clips: dict[str, dict[str, Any]], duplicates: set[str]) -> list[dict[str, Any]]:
    code = str(Reason.NEAR_DUPLICATE)
    return [row for key, row in sorted(clips.items()) if (row["reason"] == code) != (key in duplicates)]


def _toggle(row: Row) -> Row:
    if row["reason"] == str(Reason.NEAR_DUPLICATE):
        return {"status": "ok", "reason": None}
    return {"status": "rejected", "reason": str(Reason.NEAR_DUPLICATE)}


def _duplicate_sources(ledger: Ledger) -> int:
    """A source is called a near-duplicate when it has clips and every one that passed the thresholds is."""
    rows = ledger.tables.query(
        """with judged as (
               select content_hash, bool_and(reason = 'near_duplicate') as every from clips
               where status = 'ok' or reason = 'near_duplicate' group by content_hash)
           select s.* from sources s left join judged j on j.content_hash = s.content_hash
           where (s.status = 'ok' and coalesce(j.every, false))
              or (s.reason = 'near_duplicate' and not coalesce(j.every, false))"""
    ).to_pylist()
    return _put(ledger, "sources", rows, _toggle)


def _cascade(ledger: Ledger, table: str, parents: str, *columns: str) -> int:
    """Rows of which a parent is no longer ok are `removed`, and come back when all are again."""
    joins = " ".join(f"left join {parents} {column}_p on {column}_p.key = t.{column}" for column in columns)
    worst = [f"coalesce({column}_p.status, 'removed')" for column in columns]
    rows = ledger.tables.query(
        f"""select * from (
                select t.*, case {" ".join(f"when {each} <> 'ok' then {each}" for each in worst)} else 'ok' end
                    as parent_status
                from {table} t {joins})
            where (status = 'ok' and parent_status <> 'ok')
               or (status = 'removed' and parent_status = 'ok' and reason in {CASCADED})"""
    ).to_pylist()
    parent = {row["key"]: row.pop("parent_status") for row in rows}

    def decided(row: Row) -> Row:
        if parent[row["key"]] == "ok":
            return {"status": "ok", "reason": None}
        replaced = parent[row["key"]] == "removed"
        return {"status": "removed", "reason": str(Reason.PARENT_REPLACED if replaced else Reason.PARENT_REJECTED)}

    return _put(ledger, table, rows, decided)


def _by_key(ledger: Ledger, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
    wanted = ", ".join(f"'{key}'" for key in sorted(keys))
    if not wanted:
        return {}
    rows = ledger.tables.query(f"select * from clips where key in ({wanted})").to_pylist()
    return {row["key"]: row for row in rows}


def _put(
    ledger: Ledger, table: str, rows: list[dict[str, Any]], decided: Callable[[dict[str, Any]], dict[str, Any]]
) -> int:
    for start in range(0, len(rows), _PAGE):
        page = [{**row, **decided(row)} for row in rows[start : start + _PAGE]]
        ledger.put({table: page})
    return len(rows)
