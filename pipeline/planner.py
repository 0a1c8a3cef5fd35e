"""What is pending: anti-joins of parents against `settled`, paged by key, so that memory stays flat at any scale."""

import base64
import itertools
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.sources import Listed
from cluster.storage import path_of
from pipeline.rows import NEXT_ATTEMPT_SQL, PARENT_TABLE
from pipeline.settings import Settings
from pipeline.tables import Tables
from schemas.keys import seed_of, source_key
from schemas.work import Phase, Unit

PAGE = 1000  # units per page
LINK_PAGE = 16  # of these: each carries all subjects of a source
NUM_DONORS = 9  # three attempts of three
MAX_DONORS_KNOWN = 2048  # the catalogue of one wave
MAX_SUBJECTS = 512  # of one source that are looked for in its other shots, earliest first: a bound on a unit's size

LISTING = pa.schema([("key", pa.string()), ("uri", pa.string()), ("stamp", pa.string())])


def write_listing(listed: Iterator[Listed], path: Path) -> int:
    """The sources a run was asked for, as Parquet beside the tables, so that a million of them need no memory."""
    count = 0
    with pq.ParquetWriter(path, LISTING) as writer:
        while chunk := list(itertools.islice(listed, 50_000)):
            rows = [{"key": source_key(item.uri), "uri": item.uri, "stamp": item.stamp} for item in chunk]
            writer.write_table(pa.Table.from_pylist(rows, schema=LISTING))
            count += len(rows)
    return count


class Planner:
    """Reads the tables, writes nothing."""

    def __init__(self, tables: Tables, settings: Settings, listing: Path) -> None:
        self._tables = tables
        self._settings = settings
        self._listing = f"(select distinct on (key) * from read_parquet('{_quoted(listing)}'))"

    def generation(self) -> int:
        """The wave in progress: one after the last closed one."""
        rows = self._rows("select coalesce(max(generation), -1) + 1 as g from runs where event = 'wave_closed'")
        return int(rows[0]["g"])

    def waves(self, limit: int | None) -> Iterator[list[Unit]]:
        """Pending sources, a wave at a time in key order. The first may be empty: later phases may have work.

        A wave that a crash cut short is filled up to the same members again, since what a wave holds decides which
        donors its samples may borrow from.
        """
        size = self._settings.config.engine.wave_size
        generation = self.generation()
        already = self._rows(f"select count(*) as n from sources where wave = {generation}")[0]["n"]
        pending = self._pending_sources(limit)
        first = list(itertools.islice(pending, max(size - already, 0)))
        yield [self._curate_unit(row, generation) for row in first]
        while rows := list(itertools.islice(pending, size)):
            generation += 1
            yield [self._curate_unit(row, generation) for row in rows]

    def num_pending_sources(self, limit: int | None) -> int:
        """How many sources are to be curated, over all waves."""
        return int(self._rows(f"select count(*) as n from ({self._pending_sources_sql(limit)})")[0]["n"])

    def _pending_sources(self, limit: int | None) -> Iterator[dict[str, Any]]:
        return self._stream(self._pending_sources_sql(limit))

    def _pending_sources_sql(self, limit: int | None) -> str:
        fingerprint = self._settings.fingerprints[Phase.CURATE]
        chosen = f"(select * from {self._listing} order by key limit {limit})" if limit is not None else self._listing
        return f"""
            select l.key, l.uri, l.stamp, coalesce(t.outcome = 'done', false) as settled, s.content_hash, s.generation
            from {chosen} l
            left join settled t on t.phase = 'curate' and t.parent_key = l.key and t.fingerprint = '{fingerprint}'
            left join sources s on s.key = l.key
            where (t.key is null or l.stamp is not null and s.stamp is distinct from l.stamp or s.status = 'removed')
                and not (l.stamp = '' and s.content_hash is not null) -- out of reach, not gone
            order by l.key
        """

    def _curate_unit(self, row: dict[str, Any], wave: int) -> Unit:
        payload = {"uri": row["uri"], "path": path_of(row["uri"]), "stamp": row["stamp"], "wave": wave}
        payload |= {"seen_hash": row["content_hash"], "seen_generation": row["generation"]}
        if row["settled"] and row["content_hash"]:
            known = self._rows(f"select * exclude (created_at) from sources where key = '{row['key']}'")[0]
            payload |= {"known_hash": row["content_hash"], "known_row": _known(known)}
        return Unit(Phase.CURATE, row["key"], payload=payload)

    def mine(self) -> Iterator[list[Unit]]:
        fingerprint = self._settings.fingerprints[Phase.MINE]
        sql = f"""
            select c.key, c.content_hash, c.source_uri, c.generation, c.start_frame, c.end_frame, c.start_seconds,
                c.end_seconds, c.content_box, coalesce(s.fps, 0) as fps, coalesce(s.category, '') as category
            from clips c left join sources s on s.uri = c.source_uri
            where c.status = 'ok' and c.fingerprint = '{self._settings.fingerprints[Phase.CURATE]}' and not exists (
                select 1 from settled t
                where t.phase = 'mine' and t.parent_key = c.key and t.fingerprint = '{fingerprint}'
                    and coalesce(t.inputs, '') = coalesce(s.category, ''))
            order by c.key
        """
        return self._pages(sql, self._mine_unit)

    def _mine_unit(self, row: dict[str, Any]) -> Unit:
        key = row.pop("key")
        payload = {**row, "path": path_of(row["source_uri"])}
        return Unit(Phase.MINE, key, payload=payload, inputs=row["category"])

    def link(self) -> Iterator[list[Unit]]:
        """Contents with subjects in more than one accepted clip, when those are not the ones that were linked before;
        and those whose pairs, still there, can no longer be given."""
        fingerprint = self._settings.fingerprints[Phase.LINK]
        sql = f"""
            with shown as (
                select c.content_hash, count(distinct c.key) as num_clips,
                    md5(string_agg(u.key, ',' order by u.key)) as inputs
                from subjects u join clips c on c.key = u.clip_key
                where c.status = 'ok' and u.fingerprint = '{self._settings.fingerprints[Phase.MINE]}' group by 1)
            select s.content_hash as key, s.uri, s.generation, coalesce(w.inputs, '') as inputs
            from sources s
            left join shown w on w.content_hash = s.content_hash
            left join settled t on t.phase = 'link' and t.parent_key = s.content_hash
            where s.status = 'ok' and case when coalesce(w.num_clips, 0) > 1
                then t.fingerprint is distinct from '{fingerprint}' or t.inputs is distinct from w.inputs
                else exists (select 1 from pairs p where p.parent_key = s.content_hash and p.status = 'ok') end
            order by s.content_hash
        """
        contents = self._stream(sql)
        while page := list(itertools.islice(contents, LINK_PAGE)):
            subjects = self._subjects([row["key"] for row in page])
            yield [_link_unit(row, subjects.get(row["key"], [])) for row in page]

    def _subjects(self, contents: list[str]) -> dict[str, list[dict[str, Any]]]:
        """Rows of `subjects` in accepted clips, by content, the earliest first. Asked for a page at a time, since each
        asking reads the whole table; chosen by their keys first, since masks in a join or an order take much memory."""
        sql = f"""
            select c.content_hash, u.key from subjects u join clips c on c.key = u.clip_key
            where c.status = 'ok' and c.content_hash in ({_quoted_list(contents)})
                and u.fingerprint = '{self._settings.fingerprints[Phase.MINE]}'
            qualify row_number() over (partition by c.content_hash order by c.start_frame, u.key) <= {MAX_SUBJECTS}
            order by c.content_hash, c.start_frame, u.key
        """
        chosen = [(row["content_hash"], row["key"]) for row in self._rows(sql)]
        if not chosen:
            return {}
        wanted = _quoted_list(key for _, key in chosen)
        rows = self._rows(f"select * exclude (run_id, created_at) from subjects where key in ({wanted})")
        row_of = {row["key"]: _jsonable(row) for row in rows}
        by_content = itertools.groupby(chosen, key=lambda each: each[0])
        return {content: [row_of[key] for _, key in each] for content, each in by_content}

    def synthesize(self) -> Iterator[list[Unit]]:
        fingerprint = self._settings.fingerprints[Phase.SYNTHESIZE]
        made = ", ".join(f"'{self._settings.fingerprints[phase]}'" for phase in (Phase.MINE, Phase.LINK))
        sql = f"""
            with wanted as (
                select p.*, array_to_string(list_transform(p.subjects, lambda each: each.category), ',') as inputs,
                    unnest(case when len(p.subjects) > 1
                    then ['multi_generation', 'multi_manipulation']
                    else ['single_generation', 'single_manipulation'] end) as task
                from pairs p where p.status = 'ok' and p.fingerprint in ({made})),
            tried as (
                select parent_key, task, attempt from ({NEXT_ATTEMPT_SQL}) where fingerprint = '{fingerprint}')
            select w.key, w.task, w.clip_key, w.content_hash, c.source_uri, w.generation, w.frame_a, w.frame_b,
                w.seconds_a, w.seconds_b, w.subjects, w.inputs, c.content_box, b.content_box as content_box_b,
                -- Settled with other inputs: a new start. Not settled: cut short, or reopened to go on.
                case when t.key is null then coalesce(a.attempt, 0) else 0 end as attempt
            from wanted w
            left join clips c on c.key = w.clip_key
            left join clips b on b.key = w.clip_key_b
            left join tried a on a.parent_key = w.key and a.task = w.task
            left join settled t on t.phase = 'synthesize' and t.parent_key = w.key and t.task = w.task
                and t.fingerprint = '{fingerprint}'
            where t.key is null or coalesce(t.inputs, w.inputs) <> w.inputs
            order by w.generation, w.key, w.task
        """
        of_generation = lru_cache(maxsize=1)(self._donors)  # they come in order, and a catalogue is large
        return self._pages(sql, lambda row: self._synthesize_unit(row, of_generation(row["generation"])))

    def _synthesize_unit(self, row: dict[str, Any], catalogue: list[dict[str, Any]]) -> Unit:
        key, task, attempt, inputs = (row.pop(name) for name in ("key", "task", "attempt", "inputs"))
        payload = {
            **row,
            "path": path_of(row["source_uri"]),
            "donors": choose_donors(key, row["content_hash"], catalogue),
            "caption_fingerprint": self._settings.fingerprints[Phase.CAPTION],
            "verdict_fingerprint": self._settings.fingerprints["verdict"],
        }
        return Unit(Phase.SYNTHESIZE, key, task, attempt, payload=payload, inputs=inputs)

    def _donors(self, generation: int) -> list[dict[str, Any]]:
        """One donor per clip of this wave and those before it, at a frame with as many known subjects as there are.
        Clips whose subjects are known come first: only there is it known where the background is free."""
        sql = f"""
            with known as (
                select clip_key, min_by(frame_a, rank) as frame, min_by(seconds_a, rank) as seconds,
                    min_by(subjects, rank) as subjects
                from (select *, (-len(subjects), key) as rank from pairs
                    where status = 'ok' and generation <= {generation})
                group by clip_key)
            select c.key, c.content_hash, c.source_uri, c.content_box,
                coalesce(k.frame, (c.start_frame + c.end_frame) // 2) as frame,
                coalesce(k.seconds, (c.start_seconds + c.end_seconds) / 2) as seconds, k.subjects as subjects
            from clips c left join known k on k.clip_key = c.key
            where c.status = 'ok' and c.generation <= {generation}
                and c.fingerprint = '{self._settings.fingerprints[Phase.CURATE]}'
            order by k.clip_key is null, c.key limit {MAX_DONORS_KNOWN}
        """
        donors = []
        for row in self._rows(sql):
            subjects = row.pop("subjects") or []
            known = [subject["mask_a"] for subject in subjects]
            category = subjects[0]["category"] if subjects else ""
            donors.append({**row, "path": path_of(row["source_uri"]), "category": category, "masks": known})
        return donors

    def caption(self) -> Iterator[list[Unit]]:
        fingerprint = self._settings.fingerprints[Phase.CAPTION]
        sql = f"""
            select s.* exclude (created_at, run_id) from samples s
            where s.status = 'ok' and s.caption_fingerprint <> '{fingerprint}' and not exists (
                select 1 from settled t
                where t.phase = 'caption' and t.parent_key = s.key and t.fingerprint = '{fingerprint}'
                    and t.outcome <> 'done')
            order by s.shard, s.key
        """

        def unit(row: dict[str, Any]) -> Unit:
            return Unit(
                Phase.CAPTION,
                row["key"],
                payload={"row": _plain(row), "out": str(self._tables.root), "caption_fingerprint": fingerprint},
            )

        return self._pages(sql, unit)

    def stale(self) -> dict[str, int]:
        """Rows per phase that the current settings no longer stand behind: what a run is about to make again."""
        counts = {}
        for phase in (Phase.CURATE, Phase.MINE, Phase.LINK, Phase.SYNTHESIZE):
            wanted = self._settings.fingerprints[phase]
            name = "content_hash" if phase is Phase.LINK else "key"
            living = f"(select {name} as key from {PARENT_TABLE[phase]} where status <> 'removed')"
            sql = f"""select count(*) as n from settled t semi join {living} p on p.key = t.parent_key
                where t.phase = '{phase}' and t.fingerprint <> '{wanted}'"""
            counts[str(phase)] = int(self._rows(sql)[0]["n"])
        wanted = self._settings.fingerprints[Phase.CAPTION]
        sql = f"select count(*) as n from samples where status = 'ok' and caption_fingerprint <> '{wanted}'"
        counts[str(Phase.CAPTION)] = int(self._rows(sql)[0]["n"])
        wanted = self._settings.fingerprints["decision"]
        sql = f"select count(*) as n from clips where decision <> '{wanted}' and status <> 'removed'"
        counts["decision"] = int(self._rows(sql)[0]["n"])
        wanted, current = self._settings.fingerprints["verdict"], self._settings.fingerprints[Phase.SYNTHESIZE]
        sql = f"select count(*) as n from attempts where decision <> '{wanted}' and fingerprint = '{current}'"
        counts["verdict"] = int(self._rows(sql)[0]["n"])
        return {name: count for name, count in counts.items() if count}

    def _pages(self, sql: str, unit: Any) -> Iterator[list[Unit]]:
        rows = self._stream(sql)
        while page := [unit(row) for row in itertools.islice(rows, PAGE)]:
            yield page

    def _rows(self, sql: str) -> list[dict[str, Any]]:
        return self._tables.query(sql).to_pylist()

    def _stream(self, sql: str) -> Iterator[dict[str, Any]]:
        for batch in self._tables.query_batches(sql, PAGE):
            yield from batch.to_pylist()


def _link_unit(row: dict[str, Any], subjects: list[dict[str, Any]]) -> Unit:
    payload = {"path": path_of(row["uri"]), "content_hash": row["key"], "source_uri": row["uri"]}
    payload |= {"generation": row["generation"], "subjects": subjects}
    return Unit(Phase.LINK, row["key"], payload=payload, inputs=row["inputs"])


def choose_donors(pair: str, content_hash: str, catalogue: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Donors of one pair: distinct other sources, those with a known subject first, where to begin drawn from the
    pair's key."""
    chosen: list[dict[str, Any]] = []
    seen = {content_hash}
    known = [donor for donor in catalogue if donor["masks"]]
    for group in (known, [donor for donor in catalogue if not donor["masks"]]):
        start = seed_of(pair, 0, "donors") % len(group) if group else 0
        for donor in itertools.chain(group[start:], group[:start]):
            if len(chosen) == NUM_DONORS:
                return chosen
            if donor["content_hash"] not in seen:
                seen.add(donor["content_hash"])
                chosen.append(donor)
    return chosen


def _known(row: dict[str, Any]) -> dict[str, Any]:
    """A sources row to carry over when only its stamp changed; a damage that was recorded stays."""
    dropped = {"key", "uri", "stamp", "generation", "wave", "run_id", "status", "duplicate_of"}
    kept = {name: value for name, value in row.items() if name not in dropped}
    return {**kept, "status": "ok", "reason": row["reason"] if row["status"] == "ok" else None}


def _jsonable(row: dict[str, Any]) -> dict[str, Any]:
    views = [{**view, "embedding": base64.b64encode(view["embedding"]).decode()} for view in row["views"]]
    return {**row, "views": views}


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Maps come out of Arrow as lists of pairs."""
    maps = ("caption_short", "caption_long", "instruction", "verdict")
    return {name: dict(value) if name in maps and value is not None else value for name, value in row.items()}


def _quoted_list(keys: Iterable[str]) -> str:
    return ", ".join(f"'{key}'" for key in keys)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
