"""Numbered, append-only steps that bring the tables of an older Recast up to schemas.tables.VERSION.

STEPS[n] leads from version n to n + 1. A step may run twice (a crash in between), so each one looks before it changes.
Never edit a step that was released; add one.
"""

from collections.abc import Callable

from deltalake import CommitProperties, DeltaTable, Field, Schema

from schemas.tables import TABLES, VERSION

VERSION_PROPERTY = "recast.schema_version"
Handles = dict[str, DeltaTable]
Location = Callable[[str], str]


def _decisions_and_history(tables: Handles, location: Location) -> None:
    """0 -> 1: clips remember which thresholds judged them; `suspects` and `runs` exist (made empty by the caller)."""
    if "clips" in tables:
        _add_columns(tables["clips"], ("decision",), "clips")


def _links(tables: Handles, location: Location) -> None:
    """1 -> 2: settled units remember what they consumed, sources their sidecar's category; `subjects` exists (made
    empty by the caller)."""
    for name, column in (("settled", "inputs"), ("sources", "category")):
        if name in tables:
            _add_columns(tables[name], (column,), name)


def _edits(tables: Handles, location: Location) -> None:
    """2 -> 3: `jobs` and `edits` exist (made empty by the caller)."""


def _seconds(tables: Handles, location: Location) -> None:
    """3 -> 4: settled units remember what they took."""
    if "settled" in tables:
        _add_columns(tables["settled"], ("seconds",), "settled")


STEPS: tuple[Callable[[Handles, Location], None], ...] = (_decisions_and_history, _links, _edits, _seconds)


def _add_columns(table: DeltaTable, names: tuple[str, ...], name: str) -> None:
    there = {field.name for field in table.schema().fields}
    wanted = {field.name: field for field in Schema.from_arrow(TABLES[name]).fields}
    missing: list[Field] = [wanted[column] for column in names if column not in there]
    if missing:
        table.alter.add_columns(missing, commit_properties=CommitProperties(max_commit_retries=0))


def table_version(table: DeltaTable) -> int:
    """The schema version an open table was written with; tables from before there were versions have none: 0."""
    return int(table.metadata().configuration.get(VERSION_PROPERTY) or 0)


def migrate(tables: Handles, location: Location) -> None:
    """Bring the open `tables` up to date in place; the version is written last. The caller refused newer versions."""
    oldest = min((table_version(table) for table in tables.values()), default=VERSION)
    for step in STEPS[oldest:]:
        step(tables, location)
    for table in tables.values():
        if table_version(table) < VERSION:
            table.alter.set_table_properties(
                {VERSION_PROPERTY: str(VERSION)},
                raise_if_not_exists=False,
                commit_properties=CommitProperties(max_commit_retries=0),
            )
