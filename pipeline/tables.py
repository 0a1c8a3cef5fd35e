"""The Delta tables of an output: atomic commits through held handles, SQL over the current versions.

A foreign commit is fatal to whoever still holds an older handle: every commit here uses the handle's own version and
`max_commit_retries=0`, so delta-rs refuses instead of rebasing. Knows nothing of units, leases or phases.
"""

import re
import tempfile
import time
import uuid
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote
from weakref import WeakSet

import duckdb
import pyarrow as pa
from deltalake import DeltaTable

from cluster.folder import Folder, output_folder
from pipeline import failpoints
from pipeline import table_commits as commits
from pipeline.migrations import VERSION_PROPERTY, migrate, table_version
from pipeline.mirror import Mirror
from pipeline.storage_errors import patiently, storage_errors
from schemas.errors import Fenced, UserError
from schemas.tables import TABLES, VERSION

Row = dict[str, Any]

CREDIT_SECONDS = 300.0
"""After which temporary credentials of a profile are asked for again: delta-rs keeps those it was opened with, and
botocore hands out none that end within ten minutes."""

_PROPERTIES = {
    "delta.logRetentionDuration": "interval 7 days",
    "delta.deletedFileRetentionDuration": "interval 7 days",
    VERSION_PROPERTY: str(VERSION),
}
warnings.filterwarnings("ignore", message="Arrow output on a DB-API result")  # its copy is of one batch
_FEW_FILES = 4  # fewer than this are not worth rewriting


class Snapshot:
    """SQL over the latest version of each table at the time it was opened, or over the Delta versions that `at` names,
    and nothing in the tables that it leaves out. Takes no lock and writes nothing."""

    def __init__(self, out: str | Path | Folder, memory_mb: int = 256, at: Mapping[str, int] | None = None) -> None:
        self.root = out if isinstance(out, Folder) else output_folder(out)
        refused = sorted(set(self.root.place) & set("[]^|\\"))
        if refused:  # delta-rs panics or writes elsewhere
            raise UserError(f"{self.root}: the path of an output cannot have {' '.join(refused)} in it")
        self._options, self._credited = self.root.delta_options, time.monotonic()
        self._mirror = None if self.root.is_local else Mirror(self.root)
        self._delta: dict[str, DeltaTable] = {}
        self._viewed: dict[str, int] = {}
        self._streams: WeakSet[Any] = WeakSet()  # that may still read files of an older version
        spill = Path(tempfile.gettempdir()) / f"recast-{uuid.uuid4().hex}"  # made by DuckDB only if it must spill
        self._database = duckdb.connect(
            config={
                "memory_limit": f"{memory_mb}MB",
                "temp_directory": str(spill),
                "threads": 2,
                "preserve_insertion_order": False,
            }
        )
        self._database.execute("SET TimeZone = 'UTC'")
        for name, schema in TABLES.items():
            nothing = schema.empty_table()  # a column that older files lack reads as null
            self._database.register("_nothing", nothing)
            self._database.execute(f"CREATE TABLE _empty_{name} AS SELECT * FROM _nothing")
            self._database.unregister("_nothing")
            if (at is None or name in at) and patiently(self.root, partial(self._is_there, name)):
                self._delta[name] = self._open(name, at[name] if at else None)
        newest = max((table_version(table) for table in self._delta.values()), default=VERSION)
        if newest > VERSION:
            raise UserError(
                f"{self.root} was written by a newer Recast (table version {newest}; this one knows {VERSION})"
            )

    def location(self, name: str) -> str:
        return self.root.address(f"tables/{name}")

    def _is_there(self, name: str) -> bool:
        return DeltaTable.is_deltatable(self.location(name), self._options)

    def _open(self, name: str, version: int | None = None) -> DeltaTable:
        return patiently(self.root, lambda: DeltaTable(self.location(name), version, storage_options=self._options))

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """All rows of `sql`; each table is a view of its name."""
        with storage_errors(self.root):
            return self._cursor().sql(sql, params=list(parameters)).to_arrow_table()

    def query_batches(
        self, sql: str, rows_per_batch: int = 2048, parameters: Sequence[Any] = ()
    ) -> Iterator[pa.RecordBatch]:
        """The rows of `sql` as a stream over the versions current at the call; memory stays at about a batch."""
        cursor = self._cursor().execute(sql, list(parameters))  # a relation would hold the whole answer

        def batches() -> Iterator[pa.RecordBatch]:
            with storage_errors(self.root):
                yield from cast(pa.RecordBatchReader, cursor.to_arrow_reader(rows_per_batch))

        stream = batches()
        self._streams.add(stream)
        return stream

    def count(self, name: str) -> int:
        return int(self.query(f'SELECT count(*) AS n FROM "{name}"')["n"][0].as_py())

    def rows(self, name: str) -> list[Row]:
        """Every row of a table, in order of its key: for small tables and tests."""
        found: list[Row] = self.query(f'SELECT * FROM "{name}" ORDER BY key').to_pylist()
        return found

    def versions(self) -> dict[str, int]:
        return {name: table.version() for name, table in self._delta.items()}

    def file_uris(self) -> list[str]:
        """Of every data file the versions consist of."""
        return [uri for table in self._delta.values() for uri in table.file_uris()]

    def close(self) -> None:
        """Give back the disk that reading took. Nothing can be asked afterwards."""
        if self._mirror is not None:
            self._mirror.close()

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        for name in TABLES:
            table = self._delta.get(name)
            version = -1 if table is None else table.version()
            if self._viewed.get(name) != version:
                self._database.execute(f'CREATE OR REPLACE VIEW "{name}" AS {self._select(name)}')
                self._viewed[name] = version
        return self._database.cursor()

    def _select(self, name: str) -> str:
        files = self._delta[name].file_uris() if name in self._delta else []
        if self._mirror is not None:
            files = self._mirror.files(name, files, prune=not self._streams)
        if not files:
            return f"SELECT * FROM _empty_{name}"
        quoted = ", ".join(_quoted(file) for file in files)
        stored = f"read_parquet([{quoted}], union_by_name = true)"
        return f"SELECT * FROM _empty_{name} UNION ALL BY NAME SELECT * FROM {stored}"


def read_tables(root: str | Path) -> Snapshot:
    """The tables as they are now, for status, check and export. Raises UserError where there is no output."""
    folder = output_folder(root)
    if not folder.exists("tables"):
        raise UserError(f"{root} holds no Recast output (no tables/ in it)")
    return Snapshot(folder)


class Tables(Snapshot):
    """The same, for the one process that may write. Call `takeover` before anything else; the lock is the caller's."""

    def __init__(self, out: str | Path | Folder, memory_mb: int = 256) -> None:
        with storage_errors(out):
            super().__init__(out, memory_mb)
            migrate(self._delta, self.location)
            for name, schema in TABLES.items():
                if name not in self._delta:
                    self._delta[name] = patiently(out, partial(self._create, name, schema))
        self.epoch = 0
        self._fenced = False
        self._maintained: dict[str, int] = {}  # table -> its version then

    def _create(self, name: str, schema: pa.Schema) -> DeltaTable:
        return DeltaTable.create(
            self.location(name),
            schema=schema,
            mode="ignore",  # its answer may have been lost
            configuration=_PROPERTIES,
            storage_options=self._options,
            raise_if_key_not_exists=False,
        )

    def last_epoch(self) -> int:
        return max(commits.table_epoch(table) for table in self._delta.values())

    def takeover(self, epoch: int, run_id: str) -> None:
        """Write the epoch into every table: from here on no older handle can commit to any of them."""
        self.epoch = epoch
        for name in self._delta:
            self._undo_repetitions(name)  # of a run that was killed before it could
            self._commit(name, partial(commits.set_epoch, epoch), run_id=run_id)
            failpoints.hit("takeover_between_epochs")

    def check_usable(self) -> None:
        if self._fenced:
            raise Fenced(f"another run took {self.root} over")

    def _commit(self, name: str, act: commits.Act, **metadata: str) -> None:
        """One commit of `act`, which is given what it needs for it, and maybe done again."""
        self.check_usable()
        if time.monotonic() - self._credited > CREDIT_SECONDS and "aws_session_token" in (self._options or {}):
            self._renew_credentials()
        table, mark = self._delta[name], uuid.uuid4().hex
        commit = commits.properties(mark, **metadata)
        try:
            patiently(self.location(name), lambda: act(table, commit))
        except Fenced:
            if not self._was_taken(name, mark):
                self._fenced = True
                raise

    def _renew_credentials(self) -> None:
        self._options, self._credited = self.root.delta_options, time.monotonic()
        for name in self._delta:
            self._reopen(name)

    def _was_taken(self, name: str, mark: str) -> bool:
        """Whether the version that is in the way is our own: the store took the commit, its answer was lost, and
        asking again found the version there."""
        fresh = self._open(name)
        ours = fresh.version() == self._delta[name].version() + 1 and commits.is_last(fresh, mark)
        if ours:
            self._delta[name] = fresh
        return ours

    def merge(self, name: str, rows: Iterable[Row], replace: Iterable[tuple[str, str]] = ()) -> None:
        """One commit: `rows` upserted by key; what else a replaced (parent_key, task) had is gone.

        Of rows with equal keys the last one counts. Tables without a task column are replaced by parent_key. Nothing to
        do makes no commit. A plain append, ten times as fast as a Delta MERGE, is taken when no row is in the way.
        Raises Fenced, UserError (disk), ValueError for a row without key or with unknown columns.
        """
        by_key = {_key(name, row): row for row in rows}
        present = self._present(name, list(by_key), list(replace))
        gone = [{"key": key} for key in present if key not in by_key]
        if not by_key and not gone:
            return
        schema = TABLES[name]
        data = pa.Table.from_pylist([*by_key.values(), *gone], schema=schema)
        if present:
            marks = pa.array([False] * len(by_key) + [True] * len(gone))
            self._commit(name, partial(commits.merge, data.append_column(commits.GONE, marks)))
        else:
            self._commit(name, partial(commits.append, data))

    def _present(self, name: str, keys: list[str], replace: list[tuple[str, str]]) -> set[str]:
        """Keys of stored rows that `keys` would update or `replace` takes away."""
        if not self._delta[name].file_uris():
            return set()
        cursor = self._cursor()
        cursor.register("_keys", pa.table({"key": pa.array(keys, pa.string())}))
        parents = pa.table({
            "parent_key": pa.array([parent for parent, _ in replace], pa.string()),
            "task": pa.array([task for _, task in replace], pa.string()),
        })  # fmt: skip
        cursor.register("_parents", parents)
        using = "parent_key, task" if "task" in TABLES[name].names else "parent_key"
        sql = f'SELECT key FROM "{name}" SEMI JOIN _keys USING (key)'
        if replace:
            sql += f' UNION SELECT key FROM "{name}" SEMI JOIN _parents USING ({using})'
        with storage_errors(self.root):
            return {key for (key,) in cursor.execute(sql).fetchall()}

    def maintain(self) -> None:
        """Small files into large ones, a checkpoint, old versions (7 days) away, fresh handles."""
        for name, table in list(self._delta.items()):
            if table.version() != self._maintained.get(name):
                self._compact(name)
                self._reopen(name)
                self._maintained[name] = self._delta[name].version()

    def _compact(self, name: str) -> None:
        before = self._delta[name].version()
        if len(self._delta[name].file_uris()) >= _FEW_FILES:
            self._commit(name, commits.compact)
            if self._delta[name].version() > before + 1:
                self._undo_repetitions(name)
        failpoints.hit("during_table_compaction")
        self._commit(name, commits.clean)

    def _undo_repetitions(self, name: str) -> None:
        table = self._delta[name]
        if again := commits.num_repetitions(table):
            self._commit(name, partial(commits.restore, table.version() - again))

    def _reopen(self, name: str) -> None:
        """A held handle replays its log more slowly with each commit. The new one must be at the very same version."""
        held, fresh = self._delta[name], self._open(name)
        if (fresh.version(), commits.table_epoch(fresh)) != (held.version(), commits.table_epoch(held)):
            self._fenced = True
            raise Fenced(f"another run committed to {self.location(name)}")
        self._delta[name] = fresh


def _key(name: str, row: Row) -> str:
    key = row.get("key")
    if not key:
        raise ValueError(f"a row for {name} has no key: {row}")
    unknown = set(row) - set(TABLES[name].names)
    if unknown:
        raise ValueError(f"{name} has no column {', '.join(sorted(unknown))}")
    return str(key)


def _quoted(file: str) -> str:
    """A file of delta-rs (percent-encoded) as a DuckDB string that is no glob pattern."""
    path = re.sub(r"([*?])", r"[\1]", unquote(file))
    return "'" + path.replace("'", "''") + "'"


def now() -> datetime:
    return datetime.now(UTC)
