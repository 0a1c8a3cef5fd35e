"""What a command line means elsewhere, what travels with it, and what is refused before anything is sent."""

import io
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer

from cluster import s3
from cluster.code import stage_code
from cluster.jobs import ADDRESS_VARIABLES, assigned, environment_of, exit_code
from pipeline.cli import app
from pipeline.remote_command import MAX_CARRIED_MB, RemoteCommand, parse
from pipeline.sizing import num_gpu_nodes, settings_of
from schemas.errors import UserError

ROOT = typer.main.get_command(app)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (*s3.SETTINGS, *ADDRESS_VARIABLES):
        monkeypatch.setenv(name, "")  # or what is set meanwhile would stay
        monkeypatch.delenv(name)
    return tmp_path


def build(*words: str) -> RemoteCommand:
    return parse(ROOT, "build", words)


def test_local_paths_become_absolute_and_uris_stay(folder):
    command = build("clips", "s3://bucket/films/*.mp4", "--out", "s3://bucket/dataset")
    assert command.arguments("inputs") == [
        "build", "--out=s3://bucket/dataset", "--", f"{folder}/clips", "s3://bucket/films/*.mp4",
    ]  # fmt: skip
    assert build("x", "--out", "../o").out == os.path.normpath(f"{folder}/../o")


def test_a_profile_file_travels(folder):
    (folder / "mine.toml").write_text('name = "mine"\n[roles]\n')
    command = build("s3://b/c", "--out", "s3://b/o", "--profile", "mine.toml")
    assert command.carried == {"0-mine.toml": (folder / "mine.toml").read_bytes()}
    assert "--profile=inputs/0-mine.toml" in command.arguments("inputs")
    assert f"--profile={folder}/mine.toml" in command.arguments_here()
    assert build("x", "--out", "o", "--profile", "embedded").carried == {}


def test_a_list_travels_with_absolute_entries(folder):
    (folder / "lists").mkdir()
    (folder / "lists" / "new.txt").write_text("# today\na.mp4\r\n\ns3://b/c.mp4\n/data/d.mp4\n")
    command = build("lists/new.txt", "--out", "o")
    lines = command.carried["0-new.txt"].decode().splitlines()
    assert lines == ["# today", f"{folder}/lists/a.mp4", "", "s3://b/c.mp4", "/data/d.mp4"]
    assert command.arguments("inputs")[-1] == "inputs/0-new.txt"


def test_a_parquet_list_travels_with_absolute_entries(folder):
    (folder / "lists").mkdir()
    columns = {"uri": ["a.mp4", None, "s3://b/c.mp4", "/data/d.mp4"], "more": [b"x" * 1000] * 4}
    pq.write_table(pa.table(columns), folder / "lists" / "new.parquet")
    command = build("lists/new.parquet", "--out", "o")
    table = pq.read_table(io.BytesIO(command.carried["0-new.parquet"]))
    assert table.to_pydict() == {"uri": [f"{folder}/lists/a.mp4", "s3://b/c.mp4", "/data/d.mp4"]}
    (folder / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="as Parquet"):
        build("bad.parquet", "--out", "o")


def test_a_jobs_file_that_is_no_text_is_refused(folder):
    (folder / "jobs.jsonl").write_bytes(b'{"source": "caf\xe9.mp4"}\n')
    with pytest.raises(UserError, match="not UTF-8"):
        parse(ROOT, "edit", ["--jobs", "jobs.jsonl", "--out", "o"])


def test_a_jobs_file_travels_with_its_pictures(folder):
    (folder / "jobs").mkdir()
    (folder / "jobs" / "red.png").write_bytes(b"red")
    line = {"source": "a.mp4", "edits": [{"select": "bear", "to": "fox", "reference": "red.png"}]}
    turns = {"source": "s3://b/c.mp4", "turns": [[{"select": "", "to": "hat", "reference": f"{folder}/jobs/red.png"}]]}
    (folder / "jobs" / "all.jsonl").write_text(f"# all\n{json.dumps(line)}\n\n{json.dumps(turns)}\n")
    command = parse(ROOT, "edit", ["--jobs", "jobs/all.jsonl", "--out", "o"])
    (jobs,) = (text.decode() for name, text in command.carried.items() if name.endswith(".jsonl"))
    first, second = (json.loads(line) for line in jobs.splitlines() if line.startswith("{"))
    assert first["source"] == f"{folder}/jobs/a.mp4"
    assert second["source"] == "s3://b/c.mp4"
    assert command.carried[first["edits"][0]["reference"]] == b"red"
    assert command.carried[second["turns"][0][0]["reference"]] == b"red"


def test_two_files_of_one_name_do_not_meet(folder):
    for name in "ab":
        (folder / name).mkdir()
        (folder / name / "list.txt").write_text(f"/{name}.mp4\n")
    command = build("a/list.txt", "b/list.txt", "--out", "o")
    assert sorted(command.carried.values()) == [b"/a.mp4\n", b"/b.mp4\n"]


def test_videos_do_not_travel(folder):
    (folder / "film.mp4").write_bytes(b"film")
    assert build("film.mp4", "--out", "o").carried == {}


def test_what_is_too_large_to_travel_is_refused(folder):
    with open(folder / "list.txt", "wb") as file:
        file.truncate((MAX_CARRIED_MB << 20) + 1)
    with pytest.raises(UserError, match="too large"):
        build("list.txt", "--out", "o")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["build", "x"], "Missing option '--out'"),
        (["build", "--out", "o"], "Missing argument"),
        (["build", "x", "--out", "o", "--limt", "3"], "No such option"),
        (["build", "x", "--out", "o", "--limit", "many"], "valid integer"),
        (["build", "x", "--out", "o", "--set", "mining.frames_typo=3"], "no such setting"),
        (["build", "x", "--out", "o", "--profile", "no-such"], "there is no profile"),
        (["build", "x", "--out", "o", "--profile", "./no.toml"], "cannot be read"),
        (["edit", "x", "--out", "o", "--prompt", "[bear -> fox"], "prompt"),
        (["edit", "--out", "o", "--jobs", "no.jsonl"], "cannot be read"),
        (["--env", "AWS_SECRET_ACCESS_KEY=x", "build", "x", "--out", "o"], "sounds like a secret"),
        (["--env", "HF_TOKEN", "build", "x", "--out", "o"], "sounds like a secret"),
        (["--address", "localhost:8265", "build", "x", "--out", "o"], "http://HOST:8265"),
        (["--address", "http://127.0.0.1:1", "build", "x", "--out", "o"], "no job server answers"),
        (["--manifest", "rayjob", "build", "x", "--out", "o"], "--image"),
        (["--manifest", "rayjob", "--image", "i", "--name", "Nightly", "build", "x", "--out", "o"], "--name"),
        (["--manifest", "rayjob", "--image", "i", "--claim", "x", "build", "x", "--out", "o"], "--claim"),
        (["--manifest", "rayjob", "--image", "i", "--workers", "0", "build", "x", "--out", "o"], "--workers 0"),
    ],
)
def test_a_bad_command_line_is_refused_here(words, why, capsys):
    assert run("submit", *words) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "is a local path" not in line]
    assert why in line


def run(*words: str) -> int:
    import sys

    from rich.console import Console

    from pipeline.failures import run_guarded

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["recast", *words])
        return run_guarded(app, Console(stderr=True, soft_wrap=True))


def test_a_plain_submit_asks_which_cluster(capsys):
    assert run("submit", "check", "o") == 2
    assert "which cluster?" in capsys.readouterr().err


def test_only_harmless_variables_are_passed_on(monkeypatch):
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "hunter2")
    found = environment_of(["OMP_NUM_THREADS=2"])
    assert found["AWS_REGION"] == "eu-central-1"
    assert found["OMP_NUM_THREADS"] == "2"
    assert "hunter2" not in found.values()
    with pytest.raises(UserError, match="no such variable"):
        assigned(["NO_SUCH_VARIABLE_HERE"])


@pytest.mark.parametrize(
    ("status", "driver", "code"),
    [("SUCCEEDED", 0, 0), ("FAILED", 1, 1), ("FAILED", 2, 2), ("FAILED", 130, 130), ("FAILED", -9, 1),
     ("FAILED", 137, 1), ("FAILED", None, 1), ("STOPPED", None, 130)],
)  # fmt: skip
def test_exit_codes_are_those_of_the_command(status, driver, code):
    assert exit_code({"status": status, "exit_code": driver}) == code


def test_the_code_is_all_there_and_nothing_else(tmp_path):
    stage_code(tmp_path / "code")
    files = {str(path.relative_to(tmp_path / "code")) for path in (tmp_path / "code").rglob("*") if path.is_file()}
    assert {"pipeline/cli.py", "actors/profiles/embedded.toml", "pipeline/report_template.html"} <= files
    assert {"cluster/constraints.txt", "actors/models/weights.toml"} <= files
    assert any(name.endswith(".dist-info/METADATA") for name in files)
    assert not [name for name in files if name.startswith("tests") or name.endswith(".pyc")]
    assert not any(path.is_symlink() for path in (tmp_path / "code").rglob("*"))
    assert sum(path.stat().st_size for path in (tmp_path / "code").rglob("*")) < 10 << 20


def nodes_of(*words: str, verb: str = "build", gpus: int = 1, gpu_gb: float = 80.0) -> int:
    command = parse(ROOT, verb, [*words, "--out", "s3://b/o"])
    return num_gpu_nodes(command, settings_of(command), gpus, gpu_gb)


def test_nodes_follow_from_the_profile():
    assert nodes_of("s3://b/c") == 0
    assert nodes_of("s3://b/c", "--profile", "h100") == 1
    few = nodes_of("s3://b/c", "--profile", "cluster")
    assert 1 < few < nodes_of("s3://b/c", "--profile", "cluster", "--set", "roles.image_editor.replicas=12")
    assert nodes_of("s3://b/c", "--profile", "cluster", gpus=8) == 1
    with pytest.raises(UserError, match="do not fit the GPUs"):
        nodes_of("s3://b/c", "--profile", "cluster", gpu_gb=16)


def test_commands_that_ask_no_model_want_no_gpu():
    command = parse(ROOT, "compact", ["s3://b/o"])
    assert num_gpu_nodes(command, settings_of(command), 1, 80) == 0
