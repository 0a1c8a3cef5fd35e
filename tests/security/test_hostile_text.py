"""Text that aims at a terminal, a file system or the memory of whoever reads it."""

import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from cluster.sources import list_sources
from cluster.storage import category_of
from pipeline.cli import app
from pipeline.edit_jobs import jobs_of, read_jobs
from pipeline.failures import run_guarded
from pipeline.visible import Terminal, visible
from schemas.errors import BadInput, UserError
from stages.edit_prompts import refuse_free_text

ERASE, RETITLE, TURNED = "\x1b[2J", "\x1b]0;mine\x07", "\u202egpj.exe"
GIGABYTES = 4 * 2**30

hostile = st.text(st.characters() | st.sampled_from("\x1b\x9b\x07\x7f\r\x00\u202e/\\.:"), max_size=300)


@given(hostile)
def test_what_is_shown_controls_nothing(text):
    shown = visible(text)
    assert not any(unicodedata.category(each) in ("Cc", "Cs") for each in shown.replace("\n", "").replace("\t", ""))
    shown.encode()


@given(st.text(st.characters(blacklist_categories=("Cc", "Cs", "Cf"))))
def test_plain_text_is_shown_as_it_is(text):
    assert visible(text) == text


def test_no_escape_reaches_the_terminal(capsys):
    terminal = Terminal()
    terminal.print(f"a {ERASE}{RETITLE}{TURNED}", markup=False)
    table = Table(f"{ERASE}head")
    table.add_row(f"{RETITLE}cell")
    terminal.print(table)
    said = capsys.readouterr().out
    assert not set(said) & set("\x1b\x07\u202e")
    assert "\\u001b[2J" in said
    assert "cell" in said


def test_a_hostile_argument_is_said_in_one_harmless_line(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["recast", "status", f"{ERASE}{RETITLE}no\nsuch\rfolder"])
    assert run_guarded(app, Terminal(stderr=True)) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert not set(said) & set("\x1b\x07\r")


def sparse(path, first: bytes = b""):
    with path.open("wb") as file:
        file.write(first)
        file.truncate(GIGABYTES)
    return path


@pytest.mark.parametrize("name", ["list.txt", "list.parquet"])
def test_a_list_of_gigabytes_without_lines_is_refused_unread(tmp_path, name):
    with pytest.raises(UserError, match="list"):
        list(list_sources([str(sparse(tmp_path / name))]))


def test_jobs_of_gigabytes_without_lines_are_refused_unread(tmp_path):
    with pytest.raises(UserError, match="line 1: a line of more than"):
        list(read_jobs(sparse(tmp_path / "jobs.jsonl"), refuse_free_text))


def test_a_sidecar_of_gigabytes_is_a_bad_sidecar(tmp_path):
    sparse(tmp_path / "film.json", b'{"category": "dog", "more": "')
    with pytest.raises(BadInput):
        category_of(str(tmp_path / "film.mp4"))


names = st.lists(hostile.filter(bool), min_size=1, max_size=5, unique=True)


@given(names, st.sampled_from(["s3://bucket/", "/films/"]))
def test_the_name_of_an_output_stays_in_its_folder(names, place):
    """Whatever a source is called: an object of S3 may be named ../../x."""
    sources = [f"{place}{name}.mp4" for name in names]
    for job in jobs_of([], [source for source in sources if not any("\ud800" <= each <= "\udfff" for each in source)]):
        assert job.name not in ("", ".", "..")
        assert os.path.basename(job.name) == job.name
        assert not job.name.startswith(".")
        assert "\\" not in job.name
        assert not any(unicodedata.category(each) == "Cc" for each in job.name)
        assert len(job.name.encode()) < 250


ELSEWHERE = ["../x", "/etc/x", "..", ".hidden", "a/b", "a\\\\b", "nul\\u0000", "\\u009b2J", "x" * 300]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_job_cannot_name_a_file_elsewhere(tmp_path, name):
    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text(f'{{"source": "a.mp4", "prompt": "[dog -> cat]", "name": "{name}"}}')
    with pytest.raises(UserError, match="line 1: the name"):
        list(read_jobs(jobs, refuse_free_text))
