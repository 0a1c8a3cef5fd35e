"""What is pending of edits: jobs that were not aligned yet, and aligned ones that have no video."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.storage import path_of
from pipeline.rows import NEXT_ATTEMPT_SQL
from pipeline.settings import Settings
from pipeline.tables import Tables
from schemas.keys import digest
from schemas.work import Phase, Unit

TASK = "edit"
"""Of the units of phase EDIT: what a job is replaced by, and gets another chance as, apart from its alignment."""

PAGE = 1000  # units per page
CHUNK = 50_000  # jobs held while they are listed
LISTING = pa.schema([(name, pa.string()) for name in ("key", "uri", "stamp", "name", "request")])


def write_jobs(jobs: Iterable[dict[str, str | None]], path: Path) -> list[str]:
    """The jobs a run was asked for, each with the columns of LISTING but its key, as Parquet. Their keys."""
    keys, waiting = list[str](), iter(jobs)
    with pq.ParquetWriter(path, LISTING) as writer:
        while chunk := list(itertools.islice(waiting, CHUNK)):
            rows = [{**job, "key": digest("job", job["uri"], job["name"], job["request"])} for job in chunk]
            writer.write_table(pa.Table.from_pylist(rows, schema=LISTING))
            keys += [row["key"] for row in rows]
    return keys


class EditPlanner:
    """Reads the tables, writes nothing. Only jobs that this run was asked for are pending: an output may hold more."""

    def __init__(self, tables: Tables, settings: Settings, listing: Path) -> None:
        self._tables, self._settings = tables, settings
        quoted = str(listing).replace("'", "''")
        self._listing = f"(select distinct on (key) * from read_parquet('{quoted}'))"

    def align(self) -> Iterator[list[Unit]]:
        """Jobs that no run has looked at, or whose source changed since."""
        fingerprint = self._settings.fingerprints[Phase.ALIGN]
        sql = f"""
            select l.key, l.uri, l.stamp, l.name, l.request, j.content_hash as seen_hash
            from {self._listing} l
            left join jobs j on j.key = l.key
            left join settled t on t.phase = 'align' and t.parent_key = l.key and t.fingerprint = '{fingerprint}'
            where (t.key is null or l.stamp is not null and j.stamp is distinct from l.stamp)
                and not (l.stamp = '' and j.content_hash is not null) -- out of reach, not gone
            order by l.name, l.key
        """
        return self._pages(sql, self._align_unit)

    def _align_unit(self, row: dict[str, Any]) -> Unit:
        payload = {**row, "path": path_of(row["uri"]), "out": str(self._tables.root)}
        return Unit(Phase.ALIGN, row["key"], payload=payload)

    def edit(self) -> Iterator[list[Unit]]:
        """Aligned jobs without a video of the present settings, at the attempt they had come to."""
        fingerprint = self._settings.fingerprints[Phase.EDIT]
        aligned = self._settings.fingerprints[Phase.ALIGN]
        sql = f"""
            with tried as (
                select parent_key, attempt from ({NEXT_ATTEMPT_SQL}) where fingerprint = '{fingerprint}')
            select j.* exclude (created_at, run_id, fingerprint, parent_key, status, reason, message),
                case when t.key is null then coalesce(a.attempt, 0) else 0 end as attempt
            from jobs j
            join {self._listing} l on l.key = j.key
            left join tried a on a.parent_key = j.key
            left join settled t on t.phase = 'edit' and t.parent_key = j.key and t.fingerprint = '{fingerprint}'
            where j.status = 'ok' and j.fingerprint = '{aligned}'
                and (t.key is null or t.inputs is distinct from j.content_hash)
            order by j.name, j.key
        """
        return self._pages(sql, self._edit_unit)

    def _edit_unit(self, row: dict[str, Any]) -> Unit:
        key, attempt = row["key"], row.pop("attempt")
        payload = {**row, "path": path_of(row["uri"]), "out": str(self._tables.root)}
        payload["verdict_fingerprint"] = self._settings.fingerprints["edit_verdict"]
        return Unit(Phase.EDIT, key, TASK, attempt, payload=payload, inputs=row["content_hash"])

    def stale(self) -> dict[str, int]:
        """Rows per phase, of the jobs asked for, that the current settings no longer stand behind."""
        counts = {}
        for phase in (Phase.ALIGN, Phase.EDIT):
            sql = f"""select count(*) as n from settled t semi join {self._listing} l on l.key = t.parent_key
                where t.phase = '{phase}' and t.fingerprint <> '{self._settings.fingerprints[phase]}'"""
            counts[str(phase)] = int(self._tables.query(sql).to_pylist()[0]["n"])
        wanted, current = self._settings.fingerprints["edit_verdict"], self._settings.fingerprints[Phase.EDIT]
        sql = f"""select count(*) as n from attempts a semi join {self._listing} l on l.key = a.parent_key
            where a.decision is distinct from '{wanted}' and a.fingerprint = '{current}'"""
        counts["edit_verdict"] = int(self._tables.query(sql).to_pylist()[0]["n"])
        return {name: count for name, count in counts.items() if count}

    def _pages(self, sql: str, unit: Any) -> Iterator[list[Unit]]:
        rows = (row for batch in self._tables.query_batches(sql) for row in batch.to_pylist())
        while page := [unit(row) for row in itertools.islice(rows, PAGE)]:
            yield page
