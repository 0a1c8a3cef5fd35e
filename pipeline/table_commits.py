"""What Recast commits to a Delta table, one commit each, and how a commit is known again whose answer was lost."""

from collections.abc import Callable
from itertools import takewhile
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake

EPOCH_PROPERTY = "recast.epoch"
GONE = "_gone"
"""The column that marks the source rows of a merge that delete."""

KEEP_HOURS = 7 * 24  # time travel
_MARK = "recast.commit"

Act = Callable[[DeltaTable, CommitProperties], object]


def properties(mark: str, **metadata: str) -> CommitProperties:
    """mark: of this commit alone. delta-rs refuses it behind one that the handle does not know, instead of rebasing."""
    return CommitProperties(max_commit_retries=0, custom_metadata={_MARK: mark, **metadata})


def table_epoch(table: DeltaTable) -> int:
    return int(table.metadata().configuration.get(EPOCH_PROPERTY) or 0)


def is_last(table: DeltaTable, mark: str) -> bool:
    return [commit.get(_MARK) for commit in table.history(1)] == [mark]


def num_repetitions(table: DeltaTable, at_most: int = 10) -> int:
    """How often the OPTIMIZE that is the last commit was committed before.

    OPTIMIZE alone commits behind what lies there, whatever `max_commit_retries` says (delta-rs 1.6). Not behind a
    takeover; but where its answer was lost that is itself, and then every row it moved is there twice. at_most: more
    than one commit is ever tried. Both commits of a VACUUM have one mark too, and are no repetition.
    """

    def marks(count: int) -> list[Any]:
        return [commit.get(_MARK) for commit in table.history(count) if commit.get("operation") == "OPTIMIZE"]

    if len(marks(2)) < 2:
        return 0
    last, *earlier = marks(at_most)
    return sum(1 for _ in takewhile(last.__eq__, earlier)) if last else 0


def set_epoch(epoch: int, table: DeltaTable, commit: CommitProperties) -> None:
    table.alter.set_table_properties({EPOCH_PROPERTY: str(epoch)}, raise_if_not_exists=False, commit_properties=commit)


def append(data: pa.Table, table: DeltaTable, commit: CommitProperties) -> None:
    write_deltalake(table, data, mode="append", commit_properties=commit)


def merge(data: pa.Table, table: DeltaTable, commit: CommitProperties) -> None:
    """data: with GONE, True for a row to delete."""
    merger = table.merge(
        data,
        predicate="target.key = source.key",
        source_alias="source",
        target_alias="target",
        commit_properties=commit,
    )
    (
        merger.when_matched_delete(f"source.{GONE}")
        .when_matched_update_all(except_cols=[GONE])
        .when_not_matched_insert_all(except_cols=[GONE])
        .execute()
    )


def compact(table: DeltaTable, commit: CommitProperties) -> None:
    table.optimize.compact(commit_properties=commit)


def restore(version: int, table: DeltaTable, commit: CommitProperties) -> None:
    table.restore(version, commit_properties=commit)


def clean(table: DeltaTable, commit: CommitProperties) -> None:
    """A checkpoint; the log and the files of old versions away."""
    table.create_checkpoint()
    table.cleanup_metadata()
    if table.vacuum(retention_hours=KEEP_HOURS, dry_run=True):
        table.vacuum(retention_hours=KEEP_HOURS, dry_run=False, commit_properties=commit)
