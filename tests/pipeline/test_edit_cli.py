"""What a person types to `recast edit`: mistakes cost one line on stderr and exit 2, and leave nothing behind."""

import json
import sys

import pytest
from synthetic_footage import LEFT, write_clip

from pipeline import cli

BEARS = "[bear -> gorilla]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the arguments below name."""
    folder = tmp_path_factory.mktemp("mistakes")
    write_clip(folder, "clip", (LEFT,), 3)
    (folder / "empty").mkdir()
    jobs = {"good": {}, "options": {"options": {"overlap": 3}}, "value": {"options": {"overlap_frames": -1}}}
    jobs |= {"reference": {"prompt": None, "edits": [{"select": "bear", "to": "x", "reference": "no.png"}]}}
    jobs |= {"free": {"prompt": "make it nicer"}, "remote": {"source": "gs://bucket/clip.mp4"}}
    for name, given in jobs.items():
        line = {key: value for key, value in ({"source": "clip.mp4", "prompt": BEARS} | given).items() if value}
        (folder / f"{name}.jsonl").write_text(json.dumps(line) + "\n")
    (folder / "words.jsonl").write_text("bears to gorillas\n")
    (folder / "few.toml").write_text('name = "few"\n[roles.vlm]\nimplementation = "vlm:RulesVlm"\n')
    return folder


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "nothing to edit"),
        (["--prompt", BEARS], "nothing to edit"),
        (["{clip}"], "say what changes"),
        (["{clip}", "--jobs", "{good}"], "give it alone"),
        (["--jobs", "{good}", "--prompt", BEARS], "give it alone"),
        (["--jobs", "{good}", "--seed", "3"], "give it alone"),
        (["--jobs", "/no/such.jsonl"], "cannot be read"),
        (["--jobs", "{words}"], "line 1: not a JSON object"),
        (["--jobs", "{options}"], "overlap"),
        (["--jobs", "{value}"], "overlap_frames"),
        (["--jobs", "{reference}"], "no reference picture 'no.png'"),
        (["--jobs", "{remote}"], "local files or objects on S3"),
        (["--jobs", "{free}"], "line 1: 'make it nicer' is not in the language of edits"),
        (["{clip}", "--prompt", "make it nicer"], "is not in the language of edits"),
        (["{clip}", "--prompt", "[bear -> gorilla"], "["),
        (["{clip}", "--prompt", BEARS, "--set", "editing.overlap=3"], "editing.overlap_frames"),
        (["{clip}", "--prompt", BEARS, "--set", "editing.format=gif"], "editing.format"),
        (["{clip}", "--prompt", BEARS, "--set", "edit_thresholds.min_motion=fast"], "edit_thresholds.min_motion"),
        (["{clip}", "--prompt", BEARS, "--profile", "{few}"], "cannot edit: it names no role"),
        (["{clip}", "--prompt", BEARS, "--profile", "gigantic"], "embedded"),
        (["/no/such/clip.mp4", "--prompt", BEARS], "no such file or folder"),
        (["{empty}", "--prompt", BEARS], "no videos in"),
        (["{clip}", "--prompt", BEARS, "--seed", "-1"], "--seed"),
    ],
)
def test_mistakes_in_edit(arguments, says, folder, tmp_path, monkeypatch, capsys):
    """In this process: mistakes are found before Ray starts, and a process takes longer than they do."""
    names = {path.stem: path for path in folder.iterdir()}
    given = [argument.format(**names) if argument != BEARS else argument for argument in arguments]
    monkeypatch.setattr(sys, "argv", ["recast", "edit", *given, "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, ""), said.err
    assert says in said.err
    assert len(said.err.strip().splitlines()) == 1, said.err
    assert not (tmp_path / "out").exists()
