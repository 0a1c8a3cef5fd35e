"""The Delta tables of an output: atomic commits through held handles, SQL over the current versions.

A foreign commit is fatal to whoever still holds an older handle: every commit here uses the handle's own version and
`max_commit_retries=0`, so delta-rs refuses instead of rebasing. Knows nothing of units, leases or phases.
"""

import re
import tempfile
import uuid
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import duckdb
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from pipeline import failpoints
from pipeline.migrations import VERSION_PROPERTY, migrate, table_version
from schemas.errors import Fenced, UserError
from schemas.tables import TABLES, VERSION

Row = dict[str, Any]

EPOCH_PROPERTY = "recast.epoch"
KEEP_HOURS = 7 * 24  # time travel
_PROPERTIES = {
    "delta.logRetentionDuration": "interval 7 days",
    "delta.deletedFileRetentionDuration": "interval 7 days",
    VERSION_PROPERTY: str(VERSION),
}
warnings.filterwarnings("ignore", message="Arrow output on a DB-API result")  # its copy is of one batch
_FEW_FILES = 4  # fewer than this are not worth rewriting
_GONE = "_gone"  # marks the source rows of a merge that delete


def commit_properties() -> CommitProperties:
    return CommitProperties(max_commit_retries=0)


@contextmanager
def storage_errors(place: Path) -> Iterator[None]:
    """A full or unwritable disk is the user's to fix (UserError); a lost race for a commit is Fenced."""
    try:
        yield
    except (OSError, DeltaError, duckdb.Error) as error:
        text = str(error)
        if "No space left" in text or "os error 28" in text:
            raise UserError(f"no space left on the disk of {place}") from error
        if any(sign in text for sign in ("Permission denied", "Read-only file system", "Not a directory")):
            raise UserError(f"cannot write to {place}: {text.splitlines()[0]}") from error
        if isinstance(error, CommitFailedError):
            raise Fenced(f"another run committed to {place}: {text.splitlines()[0]}") from error
        raise


class Snapshot:
    """SQL over the latest version of each table at the time it was opened. Takes no lock and writes nothing."""

    def __init__(self, root: str | Path, memory_mb: int = 256) -> None:
        self.root = Path(root)
        refused = sorted(set(str(self.root.absolute())) & set("[]^|\\"))
        if refused:  # delta-rs panics or writes elsewhere
            raise UserError(f"{self.root}: the path of an output cannot have {' '.join(refused)} in it")
        self._delta: dict[str, DeltaTable] = {}
        self._viewed: dict[str, int] = {}
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
            if DeltaTable.is_deltatable(self.location(name)):
                self._delta[name] = DeltaTable(self.location(name))
        newest = max((table_version(table) for table in self._delta.values()), default=VERSION)
        if newest > VERSION:
            raise UserError(
                f"{self.root} was written by a newer Recast (table version {newest}; this one knows {VERSION})"
            )

    def location(self, name: str) -> str:
        return str(self.root / "tables" / name)

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

        return batches()

    def count(self, name: str) -> int:
        return int(self.query(f'SELECT count(*) AS n FROM "{name}"')["n"][0].as_py())

    def rows(self, name: str) -> list[Row]:
        """Every row of a table, in order of its key: for small tables and tests."""
        found: list[Row] = self.query(f'SELECT * FROM "{name}" ORDER BY key').to_pylist()
        return found

    def versions(self) -> dict[str, int]:
        return {name: table.version() for name, table in self._delta.items()}

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
        if not files:
            return f"SELECT * FROM _empty_{name}"
        quoted = ", ".join(_quoted(file) for file in files)
        stored = f"read_parquet([{quoted}], union_by_name = true)"
        return f"SELECT * FROM _empty_{name} UNION ALL BY NAME SELECT * FROM {stored}"


def read_tables(root: str | Path) -> Snapshot:
    """The tables as they are now, for status, check and export. Raises UserError where there is no output."""
    if not (Path(root) / "tables").is_dir():
        raise UserError(f"{root} holds no Recast output (no tables/ in it)")
    return Snapshot(root)


def table_epoch(table: DeltaTable) -> int:
    return int(table.metadata().configuration.get(EPOCH_PROPERTY) or 0)


class Tables(Snapshot):
    """The same, for the one process that may write. Call `takeover` before anything else; the lock is the caller's."""

    def __init__(self, root: str | Path, memory_mb: int = 256) -> None:
        with storage_errors(Path(root)):
            super().__init__(root, memory_mb)
            migrate(self._delta, self.location)
            for name, schema in TABLES.items():
                if name not in self._delta:
                    self._delta[name] = DeltaTable.create(
                        self.location(name), schema=schema, configuration=_PROPERTIES, raise_if_key_not_exists=False
                    )
        self.epoch = 0
        self._fenced = False
        self._maintained: dict[str, int] = {}  # table -> its version then

    def last_epoch(self) -> int:
        return max(table_epoch(table) for table in self._delta.values())

    def takeover(self, epoch: int, run_id: str) -> None:
        """Write the epoch into every table: from here on no older handle can commit to any of them."""
        self.epoch = epoch
        for name, table in self._delta.items():
            with self._commit(name):
                table.alter.set_table_properties(
                    {EPOCH_PROPERTY: str(epoch)},
                    raise_if_not_exists=False,
                    commit_properties=CommitProperties(max_commit_retries=0, custom_metadata={"run_id": run_id}),
                )
            failpoints.hit("takeover_between_epochs")

    def check_usable(self) -> None:
        if self._fenced:
            raise Fenced(f"another run took {self.root} over")

    @contextmanager
    def _commit(self, name: str) -> Iterator[None]:
        self.check_usable()
        try:
            with storage_errors(Path(self.location(name))):
                yield
        except Fenced:
            self._fenced = True
            raise

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
        with self._commit(name):
            if not present:
                write_deltalake(self._delta[name], data, mode="append", commit_properties=commit_properties())
                return
            marks = pa.array([False] * len(by_key) + [True] * len(gone))
            self._merge(name, data.append_column(_GONE, marks))

    def _merge(self, name: str, data: pa.Table) -> None:
        merger = self._delta[name].merge(
            data,
            predicate="target.key = source.key",
            source_alias="source",
            target_alias="target",
            commit_properties=commit_properties(),
        )
        (
            merger.when_matched_delete(f"source.{_GONE}")
            .when_matched_update_all(except_cols=[_GONE])
            .when_not_matched_insert_all(except_cols=[_GONE])
            .execute()
        )

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
        table = self._delta[name]
        if len(table.file_uris()) >= _FEW_FILES:
            with self._commit(name):
                table.optimize.compact(commit_properties=commit_properties())
        failpoints.hit("during_table_compaction")
        with self._commit(name):
            table.create_checkpoint()
            table.cleanup_metadata()
            if table.vacuum(retention_hours=KEEP_HOURS, dry_run=True):
                table.vacuum(retention_hours=KEEP_HOURS, dry_run=False, commit_properties=commit_properties())

    def _reopen(self, name: str) -> None:
        """A held handle replays its log more slowly with each commit. The new one must be at the very same version."""
        version = self._delta[name].version()
        fresh = DeltaTable(self.location(name))
        with self._commit(name):
            if fresh.version() != version or table_epoch(fresh) != self.epoch:
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
