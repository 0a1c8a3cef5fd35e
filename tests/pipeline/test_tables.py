"""Atomic upserts, fencing, SQL over the current versions."""

import itertools

import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake
from faulty_s3 import Unanswered, serving
from object_store import everywhere

from cluster.folder import output_folder
from pipeline.storage_errors import storage_errors
from pipeline.tables import Tables, now, read_tables
from schemas.errors import Fenced, UserError
from schemas.tables import TABLES


def row(key, parent="p", task="t", **more):
    return {"key": key, "parent_key": parent, "task": task, "status": "ok", "created_at": now(), **more}


@pytest.fixture
def tables(place):
    tables = Tables(place)
    tables.takeover(1, "run")
    return tables


def options(tables):
    """What delta-rs needs to find a table where it is."""
    return output_folder(tables.location("samples").removesuffix("/tables/samples")).delta_options


OUT = "s3://films/out"


@pytest.fixture
def bucket_that_fails():
    with serving() as running:
        yield running


def few(tables):
    for number in range(5):
        tables.merge("samples", [row(f"{number}", parent=f"p{number}")])


def keys(tables, name="samples"):
    return [each["key"] for each in tables.rows(name)]


@everywhere
def test_merge_upserts_by_key_and_replaces_by_parent_and_task(tables):
    first = [row("a"), row("b"), row("c", task="other"), row("d", parent="q")]
    tables.merge("samples", first, replace=[("p", "t")])
    version = tables.versions()["samples"]
    tables.merge("samples", [row("b", attempt=5), row("e"), row("d", parent="q", attempt=1)], replace=[("p", "t")])
    assert tables.versions()["samples"] == version + 1  # one commit: nobody ever sees half of it
    assert keys(tables) == ["b", "c", "d", "e"]
    assert {each["key"]: each["attempt"] for each in tables.rows("samples")} == {"b": 5, "c": None, "d": 1, "e": None}


def test_no_children_takes_away_what_was_there(tables):
    tables.merge("pairs", [{"key": "a", "parent_key": "clip"}, {"key": "b", "parent_key": "other"}])
    tables.merge("pairs", [], replace=[("clip", "")])  # a table without tasks goes by parent alone
    assert keys(tables, "pairs") == ["b"]


def test_nothing_to_do_makes_no_commit(tables):
    before = tables.versions()
    tables.merge("samples", [], replace=[("p", "t")])
    assert tables.versions() == before


def test_the_last_of_equal_keys_counts(tables):
    tables.merge("samples", [row("a", attempt=1), row("a", attempt=2)])
    assert [(each["key"], each["attempt"]) for each in tables.rows("samples")] == [("a", 2)]


@pytest.mark.parametrize("bad", [{"status": "ok"}, {"key": ""}, {"key": "a", "colour": "red"}])
def test_a_row_without_key_or_with_unknown_columns_is_a_bug(tables, bad):
    with pytest.raises(ValueError, match=r"no key|no column colour"):
        tables.merge("samples", [bad])


def test_maps_lists_and_structs_survive_the_way_through(tables):
    subject = {"identity": "i", "category": "dog", "box_a": [0.0, 1.0, 2.0, 3.0], "box_b": [0.0, 1.0, 2.0, 3.0]}
    subject |= {"mask_a": {"size": [4, 5], "counts": "abc"}, "mask_b": None, "similarity": 0.5}
    tables.merge("pairs", [{"key": "a", "parent_key": "p", "subjects": [subject]}])
    tables.merge("samples", [row("a", caption_short={"en": "one", "zh": "一"}, verdict={"x": 0.25}, members=["m"])])
    assert tables.rows("pairs")[0]["subjects"] == [subject]
    stored = tables.rows("samples")[0]
    assert dict(stored["caption_short"]) == {"en": "one", "zh": "一"}
    tables.merge("samples", [stored | {"attempt": 3}])  # what was read can be written again
    again = tables.rows("samples")[0]
    assert {**again, "attempt": None} == stored
    assert again["created_at"] == stored["created_at"]


@everywhere
def test_query_batches_streams_the_versions_of_the_call(tables):
    tables.merge("samples", [row(f"{number:03}") for number in range(10)])
    stream = tables.query_batches("SELECT key FROM samples ORDER BY key", rows_per_batch=4)
    tables.merge("samples", [], replace=[("p", "t")])
    assert list(itertools.chain(*(batch["key"].to_pylist() for batch in stream))) == [f"{n:03}" for n in range(10)]
    assert tables.count("samples") == 0


ACTS = {
    "append": lambda tables: tables.merge("samples", [row("new")]),
    "merge": lambda tables: tables.merge("samples", [row("mine", attempt=2)]),
    "maintain": lambda tables: tables.maintain(),
    "takeover": lambda tables: tables.takeover(2, "run"),
}


@everywhere
@pytest.mark.parametrize("act", ACTS)
def test_a_foreign_commit_is_fatal_to_the_loser(tables, act):
    """Proves what the protocol rests on: delta-rs must refuse a commit of a handle that is one version behind."""
    tables.merge("samples", [row("mine")])
    for name, schema in TABLES.items():
        foreign = DeltaTable(tables.location(name), storage_options=options(tables))
        write_deltalake(foreign, schema.empty_table(), mode="append")
        assert foreign.version() == tables.versions()[name] + 1
    with pytest.raises(Fenced):
        ACTS[act](tables)
    with pytest.raises(Fenced):  # and for good, in every table
        tables.merge("settled", [{"key": "b", "parent_key": "p"}])


@everywhere
def test_a_takeover_fences_the_former_owner_in_every_table(place, tables):
    Tables(place).takeover(2, "other")
    for name in ("sources", "samples", "settled"):
        stale = Tables(place)
        Tables(place).takeover(3, "another")
        with pytest.raises(Fenced):
            stale.merge(name, [{"key": "a", "parent_key": "p"}])


@everywhere
def test_a_foreign_commit_found_while_reopening_is_fatal_too(tables, monkeypatch):
    compact = tables._compact

    def compacted_then_overtaken(name):
        compact(name)
        where, how = tables.location(name), options(tables)
        write_deltalake(where, TABLES[name].empty_table(), mode="append", storage_options=how)

    monkeypatch.setattr(tables, "_compact", compacted_then_overtaken)
    with pytest.raises(Fenced):
        tables.maintain()


def test_temporary_credentials_are_asked_for_again_before_they_end(bucket, tmp_path, monkeypatch):
    keys_file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys_file))
    monkeypatch.setenv("AWS_PROFILE", "night")

    def hand_out(token: str) -> None:
        lines = ["[night]", "aws_access_key_id = testing", "aws_secret_access_key = testing"]
        keys_file.write_text("\n".join([*lines, f"aws_session_token = {token}", ""]))

    hand_out("first")
    tables = Tables(bucket + "/out")
    tables.takeover(1, "run")
    hand_out("second")
    tables.merge("samples", [row("a")])
    assert tables._options["aws_session_token"] == "first"
    monkeypatch.setattr("pipeline.tables.CREDIT_SECONDS", -1.0)
    tables.merge("samples", [row("b")])
    assert {table._storage_options["aws_session_token"] for table in tables._delta.values()} == {"second"}
    assert keys(tables) == ["a", "b"]
    Tables(bucket + "/out").takeover(2, "other")
    with pytest.raises(Fenced):
        tables.merge("samples", [row("c")])


@everywhere
def test_a_stale_run_makes_no_files_one(tables, place):
    """delta-rs's compaction commits behind others; two of them would leave every row twice."""
    few(tables)
    other = Tables(place)
    other.takeover(2, "other")
    other.maintain()
    with pytest.raises(Fenced):
        tables.maintain()
    assert keys(Tables(place)) == list("01234")


def test_a_compaction_whose_answer_was_lost_leaves_no_row_twice(bucket_that_fails):
    tables = Tables(OUT)
    tables.takeover(1, "run")
    few(tables)
    before = tables.versions()["samples"]
    bucket_that_fails.fail(Unanswered(), 1, "PUT", "/films/out/tables/samples/_delta_log/")
    tables._compact("samples")
    assert tables.versions()["samples"] > before + 2, "it was not committed twice: nothing was tried"
    assert keys(tables) == keys(Tables(OUT)) == list("01234")
    tables.merge("samples", [row("5")])
    tables.maintain()
    assert keys(Tables(OUT)) == list("012345")


@everywhere
def test_a_compaction_that_was_committed_twice_by_a_run_that_died_is_undone(tables, place):
    few(tables)
    commit = CommitProperties(custom_metadata={"recast.commit": "the same"})
    for handle in [DeltaTable(tables.location("samples"), storage_options=options(tables)) for _ in range(2)]:
        handle.optimize.compact(commit_properties=commit)
    assert len(keys(Tables(place))) == 10, "delta-rs refuses it by now: what undoes it can go"
    later = Tables(place)
    later.takeover(2, "later")
    assert keys(later) == list("01234")


@everywhere
def test_maintain_makes_few_files_and_loses_nothing(tables):
    for number in range(6):
        tables.merge("samples", [row(f"{number}", parent=f"p{number}")])
    before = keys(tables)
    tables.maintain()
    assert len(tables._delta["samples"].file_uris()) == 1
    assert keys(tables) == before
    tables.merge("samples", [row("z")])  # the fresh handle still commits
    third = DeltaTable(tables.location("samples"), version=3, storage_options=options(tables))
    assert len(third.to_pyarrow_table()) == 2  # and time still travels


@everywhere
def test_read_tables_needs_no_lock_and_no_complete_output(place, tables):
    tables.merge("samples", [row("a")])
    output_folder(place).delete("tables/suspects")
    snapshot = read_tables(place)
    assert snapshot.query("SELECT key, shard FROM samples").to_pylist() == [{"key": "a", "shard": None}]
    assert snapshot.rows("suspects") == []


def test_no_output_there(tmp_path):
    with pytest.raises(UserError, match="holds no Recast output"):
        read_tables(tmp_path)


@pytest.mark.parametrize("name", ["it's here", "100% *.? {a}", "电影"])
def test_any_folder_name_will_do(tmp_path, name):
    tables = Tables(tmp_path / name)
    tables.takeover(1, "run")
    tables.merge("samples", [row("a")])
    assert keys(tables) == ["a"]


@pytest.mark.parametrize("name", ["a[1]", "a|b", "a^b", "a\\b"])
def test_names_that_delta_cannot_take_are_the_users_mistake(tmp_path, name):
    with pytest.raises(UserError, match="cannot have"):
        Tables(tmp_path / name)


def test_an_output_below_a_file_is_the_users_mistake(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write to"):
        Tables(tmp_path / "file")


def test_a_full_disk_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"^no space left on the disk of \S+$"), storage_errors(tmp_path):
        raise OSError(28, "No space left on device")
