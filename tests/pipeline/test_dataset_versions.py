"""The versions of an output: listed, compared, read again. No Ray, no video."""

import json

import pytest
from deltalake import DeltaTable
from synthetic_build import Build, abandon, build_over_made_up_files
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.tables import read_tables
from pipeline.versions import diff, listed, versions
from schemas.errors import UserError


@pytest.fixture
def build(tmp_path, monkeypatch) -> Build:
    return build_over_made_up_files(tmp_path, monkeypatch)


def with_shards(build: Build) -> list[dict]:
    """The versions, once every shard that a row names is there: made-up samples are in made-up shards."""
    for row in read_tables(build.out).rows("samples"):
        (build.out / row["shard"]).parent.mkdir(exist_ok=True)
        (build.out / row["shard"]).touch()
    return listed(build.out)


def changes(build: Build, span: str, table: str) -> set[tuple[str, str, str | None]]:
    found = diff(build.out, span)["changes"]
    return {(each["change"], each["name"], each["reason"]) for each in found if each["table"] == table}


def test_each_run_is_a_version_that_says_what_it_changed(build):
    build.write(a="film", b="broken", c="other film")
    build.run()
    build.run()
    build.write(c="quite another film", d="third film")
    build.run()
    del build.disk.files["/a"]
    build.sources.remove("/a")
    build.run(sync=True)
    found = with_shards(build)
    assert [each["version"] for each in found] == [1, 2, 3, 4]
    assert all(each["readable"] and each["ended"] == "finished" for each in found)
    assert found[0]["changed"]["sources"] == {"added": 2, "rejected": 1}
    assert found[1]["changed"] == {}, "nothing was new"
    assert found[2]["changed"]["sources"] == {"added": 1, "replaced": 1}
    assert found[2]["changed"]["samples"].keys() >= {"added", "removed"}
    assert found[3]["changed"]["sources"] == {"removed": 1}
    assert changes(build, "1..4", "sources") == {
        ("added", "/d", None),
        ("replaced", "/c", None),
        ("removed", "/a", "missing"),
    }
    assert changes(build, "1", "sources") == changes(build, "1..4", "sources")
    assert changes(build, "4..1", "sources") >= {("added", "/a", None), ("removed", "/d", None)}
    assert diff(build.out, "2..2")["changes"] == []


def test_a_changed_threshold_is_told_by_the_reason(build):
    build.write(a="film")
    build.run()
    build.run("curation_thresholds.min_seconds=60")
    ((change, name, reason),) = changes(build, "1..2", "clips")
    assert (change, name, reason) == ("removed", "/a", "too_short")


def test_an_old_version_is_read_by_any_reader_of_delta_tables(build):
    build.write(a="film", b="other film")
    build.run()
    del build.disk.files["/a"]
    build.sources.remove("/a")
    build.run(sync=True)
    first, second = versions(read_tables(build.out))

    def names(number: int) -> set[str]:
        rows = DeltaTable(build.out / "tables" / "sources", version=number).to_pyarrow_table().to_pylist()
        return {row["uri"] for row in rows if row["status"] == "ok"}

    assert names(first.tables["sources"]) == {"/a", "/b"}
    assert names(second.tables["sources"]) == {"/b"}


def test_a_run_that_died_is_the_version_its_successor_found(build):
    build.write(a="film")
    host = build.begin()
    host.open_wave(None)
    build.finish_wave(host)
    abandon(host)
    build.run()
    died, finished = listed(build.out)
    assert (died["ended"], finished["ended"]) == (None, "finished")
    assert died["changed"]["sources"] == {"added": 1}
    assert finished["changed"] == {}


def test_a_version_whose_files_or_shards_are_gone_is_said_not_to_be_readable(build):
    build.write(a="film")
    build.run()
    build.write(a="other film")
    build.run()
    tables = read_tables(build.out)
    now = set(tables.file_uris())
    old = [uri for uri in DeltaTable(build.out / "tables/sources", versions(tables)[0].tables["sources"]).file_uris()]
    gone = [uri for uri in old if uri not in now]
    assert gone
    for uri in gone:
        (build.out / "tables" / "sources" / uri.rpartition("/")[2]).unlink()
    first, second = with_shards(build)
    assert not first["readable"]
    assert second["readable"]
    assert second["changed"] is None, "what it changed cannot be told any more"
    with pytest.raises(UserError, match=r"version 1 .* cannot be read any more"):
        diff(build.out, "1..2")


def test_a_version_whose_shard_was_removed_is_said_not_to_be_readable(build):
    build.write(a="film")
    build.run()
    (version,) = with_shards(build)
    assert version["readable"]
    for row in read_tables(build.out).rows("samples"):
        (build.out / row["shard"]).unlink(missing_ok=True)
    (version,) = listed(build.out)
    assert not version["readable"]


@pytest.mark.parametrize("span", ["1..9", "x", "..", "1..2..3"])
def test_a_version_that_is_not_there_is_the_users_mistake(build, span):
    build.write(a="film")
    build.run()
    with pytest.raises(UserError, match="there are 1"):
        diff(build.out, span)


def test_the_command_line_lists_and_compares(build):
    build.write(a="film", b="broken")
    build.run()
    build.write(c="other film")
    build.run()
    run = CliRunner().invoke
    told = run(app, ["status", str(build.out), "--versions"]).stdout
    assert "run1 finished" in told
    assert "sources: 1 added, 1 rejected" in told
    told = run(app, ["status", str(build.out), "--diff", "1..2"]).stdout
    assert "sources added" in told
    assert "/c" in told
    found = json.loads(run(app, ["status", str(build.out), "--diff", "1", "--json"]).stdout)
    assert found["counts"]["sources"] == {"added": 1}
