"""Outputs of older versions open and keep their rows; newer ones are refused."""

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from pipeline.migrations import STEPS, VERSION_PROPERTY, table_version
from pipeline.tables import Tables, read_tables
from schemas.errors import UserError
from schemas.tables import TABLES, VERSION

LATER_TABLES = {"suspects", "runs"}


@pytest.fixture
def version_0(tmp_path):
    """The first layout: no version anywhere, no `suspects`, no `runs`, clips that do not say what judged them."""
    for name, schema in TABLES.items():
        if name in LATER_TABLES:
            continue
        fields = [field for field in schema if not (name == "clips" and field.name == "decision")]
        old = pa.schema(fields)
        table = DeltaTable.create(str(tmp_path / "tables" / name), schema=old)
        if name == "clips":
            row = {"key": "a", "parent_key": "s", "status": "ok"}
            write_deltalake(table, pa.Table.from_pylist([row], schema=old), mode="append")
    return tmp_path


def test_version_0_is_brought_up_to_date(version_0):
    tables = Tables(version_0)
    tables.takeover(1, "run")
    assert tables.rows("clips")[0]["key"] == "a"
    assert tables.rows("clips")[0]["decision"] is None
    tables.merge("clips", [{"key": "b", "parent_key": "s", "decision": "strict"}])
    tables.merge("clips", [{"key": "a", "parent_key": "s", "decision": "strict"}])
    assert [row["decision"] for row in tables.rows("clips")] == ["strict", "strict"]
    for name in TABLES:
        assert table_version(DeltaTable(tables.location(name))) == VERSION


def test_version_0_can_be_read_without_a_change(version_0):
    assert read_tables(version_0).query("SELECT key, decision FROM clips").to_pylist() == [
        {"key": "a", "decision": None}
    ]
    assert read_tables(version_0).rows("runs") == []
    assert table_version(DeltaTable(str(version_0 / "tables" / "clips"))) == 0


def test_a_migration_cut_short_goes_on(version_0):
    tables = {name: DeltaTable(str(version_0 / "tables" / name)) for name in TABLES if name not in LATER_TABLES}
    STEPS[0](tables, str)
    STEPS[0](tables, str)
    tables["sources"].alter.set_table_properties({VERSION_PROPERTY: str(VERSION)}, raise_if_not_exists=False)
    assert Tables(version_0).rows("clips")[0]["decision"] is None


def test_there_is_a_step_for_every_version():
    assert len(STEPS) == VERSION


def test_a_newer_output_is_refused(tmp_path):
    tables = Tables(tmp_path)
    tables._delta["pairs"].alter.set_table_properties({VERSION_PROPERTY: str(VERSION + 1)}, raise_if_not_exists=False)
    for opens in (Tables, read_tables):
        with pytest.raises(UserError, match="newer Recast"):
            opens(tmp_path)
