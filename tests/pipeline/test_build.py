"""`recast build` end to end on the demo clips, through the command line."""

import json
import shutil
import tarfile
from pathlib import Path

import duckdb
import pytest
import webdataset

from pipeline.tables import read_tables
from schemas.sample import Task

pytestmark = pytest.mark.ray


def this_run(done) -> dict:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["this_run"]


def counts(done) -> dict[str, int]:
    """How many units each phase worked on."""
    return {phase: sum(found.values()) for phase, found in this_run(done)["counts"].items()}


def bytes_of(out: Path) -> dict[str, list[str]]:
    rows = read_tables(out).query("select key, member_sha256 from samples where status = 'ok'").to_pylist()
    return {row["key"]: row["member_sha256"] for row in rows}


@pytest.fixture
def dataset(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "dataset"))


@pytest.fixture
def videos(demo_videos: Path) -> Path:
    return demo_videos


def test_every_demo_clip_is_curated_and_samples_come_out(built):
    tables = read_tables(built)
    sources = tables.query("select status, count(*) as n from sources group by 1").to_pylist()
    assert sources == [{"status": "ok", "n": 6}]
    tasks = tables.query("select distinct task from samples where status = 'ok'").to_pylist()
    assert {row["task"] for row in tasks} == {str(task) for task in Task}


def test_shards_open_with_webdataset_and_hold_what_the_table_says(built):
    shards = sorted(str(path) for path in (built / "shards").glob("*.tar"))
    found = {sample["__key__"]: sample for sample in webdataset.WebDataset(shards, shardshuffle=False).decode("rgb8")}
    rows = read_tables(built).query("select * from samples where status = 'ok'").to_pylist()
    assert set(found) == {row["key"] for row in rows}
    for row in rows:
        sample = found[row["key"]]
        is_manipulation = row["task"].endswith("manipulation")
        inputs = [name for name in sample if name.startswith("input_")]
        assert len(inputs) == row["num_references"] + is_manipulation
        assert sample["output.png"].ndim == 3
        assert sample["json"]["task"] == row["task"]


def test_shards_open_with_datasets(built):
    datasets = pytest.importorskip("datasets")
    shards = [str(path) for path in (built / "shards").glob("single_manipulation.2-*.tar")]
    rows = datasets.load_dataset("webdataset", data_files={"train": shards}, split="train", streaming=True)
    found = list(rows)
    assert {"__key__", "input_0.png", "input_1.png", "output.png", "json"} <= set(found[0])
    counted = read_tables(built).query(
        "select count(*) as n from samples where status = 'ok' and task = 'single_manipulation'"
    )
    assert len(found) == counted.to_pylist()[0]["n"]


def test_captions_are_in_both_languages_and_every_sample_has_an_instruction(built):
    for row in read_tables(built).query("select * from samples where status = 'ok'").to_pylist():
        for texts in (row["caption_short"], row["caption_long"], row["instruction"]):
            assert set(dict(texts)) == {"en", "zh"}
            assert all(dict(texts).values())


def test_tables_are_plain_parquet_to_other_engines(built):
    files = read_tables(built)._delta["samples"].file_uris()
    assert duckdb.sql(f"select count(*) from read_parquet({files})").fetchone()[0] > 0


def test_members_carry_no_time_owner_or_run(built):
    for shard in (built / "shards").glob("*.tar"):
        with tarfile.open(shard) as tar:
            assert all((m.mtime, m.uid, m.gid, m.uname, m.gname) == (0, 0, 0, "", "") for m in tar)


def test_check_finds_nothing_wrong_and_a_flipped_byte(built, dataset, recast):
    assert recast("check", built).returncode == 0
    shard = next((dataset / "shards").glob("*.tar"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 0xFF
    shard.write_bytes(data)
    assert recast("check", dataset).returncode == 1


def test_nothing_changed_means_nothing_done(dataset, videos, recast):
    before = read_tables(dataset).versions()
    done = recast("build", videos, "--out", dataset, "--json")
    assert counts(done) == {}
    after = read_tables(dataset).versions()
    assert {name for name in after if name != "runs" and after[name] > before[name] + 1} == set()  # the takeover only


def test_a_threshold_decides_again_decodes_nothing_and_its_return_restores_every_sample(dataset, videos, recast):
    before = bytes_of(dataset)
    done = recast("build", videos, "--out", dataset, "--set", "curation_thresholds.min_seconds=3.5", "--json")
    assert counts(done) == {}
    assert this_run(done)["changed"]["decided_clips"] > 0
    tables = read_tables(dataset)
    short = tables.query("select count(*) as n from clips where reason = 'too_short'").to_pylist()[0]["n"]
    assert short > 0
    orphaned = """select count(*) as n from samples s join clips c on c.key = s.clip_key
                  where s.status = 'ok' and c.status <> 'ok'"""
    assert tables.query(orphaned).to_pylist() == [{"n": 0}]
    back = recast("build", videos, "--out", dataset, "--set", "curation_thresholds.min_seconds=0.8", "--json")
    assert counts(back) == {}
    assert bytes_of(dataset) == before
    assert recast("check", dataset).returncode == 0


def test_one_new_file_is_the_only_one_worked_on(dataset, videos, recast, tmp_path, footage):
    folder = Path(shutil.copytree(videos, tmp_path / "videos"))
    rows = [dict(row) for row in read_tables(dataset).query("select uri from sources").to_pylist()]
    assert len(rows) == 6
    shutil.copy(footage / "clips" / "intel_car_and_cyclist.mp4", folder / "new.mp4")
    done = recast("build", videos, folder / "new.mp4", "--out", dataset, "--json")
    assert counts(done)["curate"] == 1


def test_a_caption_change_keeps_every_image_byte(dataset, videos, recast):
    def images(out: Path) -> dict[str, list[str]]:
        return {key: hashes[:-1] for key, hashes in bytes_of(out).items()}

    before, words = images(dataset), bytes_of(dataset)
    done = recast("build", videos, "--out", dataset, "--set", 'captions.languages=["en"]', "--json")
    assert set(counts(done)) == {"caption"}
    assert images(dataset) == before
    assert all(bytes_of(dataset)[key][-1] != words[key][-1] for key in words)
    assert recast("check", dataset).returncode == 0


def test_removal_needs_sync_and_a_missing_mount_needs_yes(dataset, videos, recast):
    some = sorted(videos.glob("*.mp4"))[:5]
    without = recast("build", *some, "--out", dataset, "--json")
    assert json.loads(without.stdout)["funnel"]["sources"] == {"ok": 6}
    refused = recast("build", *some, "--out", dataset, "--sync")
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    agreed = recast("build", *some, "--out", dataset, "--sync", "--yes", "--json")
    assert json.loads(agreed.stdout)["funnel"]["sources"] == {"ok": 5, "removed": 1}
    assert counts(agreed) == {}


def test_compacted_shards_depend_on_the_samples_alone(built, tmp_path, recast):
    names = []
    for number in range(2):
        copy = Path(shutil.copytree(built, tmp_path / f"copy{number}"))
        assert recast("compact", copy, "--grace-hours", "0").returncode == 0
        assert recast("check", copy).returncode == 0
        names.append({path.name: path.read_bytes() for path in (copy / "shards").glob("*.tar")})
    assert names[0] == names[1]
    assert bytes_of(tmp_path / "copy0") == bytes_of(built)
