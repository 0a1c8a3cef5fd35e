"""Jobs files: what is wrong is said with its line, before anything starts; names of outputs are unique and stay."""

import json
import time

import pytest

from pipeline.edit_jobs import jobs_of, read_jobs
from schemas.edit import Action, Selector, Side
from schemas.errors import UserError
from stages.edit_grammar import parse_prompts

BEARS = {"source": "bears.mp4", "prompt": "[bear -> gorilla]"}


@pytest.fixture
def write(tmp_path):
    def write(*lines):
        path = tmp_path / "jobs.jsonl"
        path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
        return path

    return write


def refusal(path, **options):
    with pytest.raises(UserError) as caught:
        next(read_jobs(path, **options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_job_of_edits(write, tmp_path):
    (tmp_path / "refs").mkdir()
    (tmp_path / "refs" / "g.png").write_bytes(b"picture")
    told = {
        "select": "bear on the left",
        "to": "a gorilla",
        "prompt": "a huge gorilla",
        "reference": "refs/g.png",
        "negative": "fog",
    }
    (job,) = read_jobs(
        write("# two bears", "", {
            "source": "clips/bears.mp4", "edits": [told, {"select": "hat", "to": ""}], "seed": 7, "name": "fight",
            "scene": "[] and []", "options": {"mode": "sharp", "joint": True},
        })
    )  # fmt: skip
    assert job.source == str(tmp_path / "clips" / "bears.mp4")
    assert (job.seed, job.name, job.options) == (7, "fight", {"mode": "sharp", "joint": True})
    (turn,) = job.turns
    first, second = turn.edits
    assert first.selector == Selector("bear", Side.LEFT)
    assert (first.target, first.prompt, first.negative) == ("a gorilla", "a huge gorilla", "fog")
    assert first.reference == str(tmp_path / "refs" / "g.png")
    assert (second.action, second.selector.part) == (Action.REMOVE, "hat")


def test_prompts_turns_and_absolute_sources(write):
    both = ["riders -> Gokus", "the two above (Gokus -> Iron-Men)"]
    turns = [[{"select": "riders", "to": "Gokus"}], [{"select": "the two Gokus above", "to": "Iron-Men"}]]
    one, two, three = read_jobs(
        write({"source": "/a/x.mp4", "prompt": both}, {"source": "s3://b/y.mp4", "turns": turns}, BEARS)
    )
    assert (one.source, two.source) == ("/a/x.mp4", "s3://b/y.mp4")
    assert [turn.edits for turn in one.turns] == [turn.edits for turn in two.turns]
    assert (one.name, two.name, three.name) == ("x", "y", "bears")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "not a JSON object"),
        ("[1]", "valid dictionary"),
        ('{"source": "a.mp4", "source": "b.mp4"}', "a key is given twice"),
        ('{"source": "a.mp4", "prompt": "a -> b", "options": {"x": NaN}}', "NaN is no JSON"),
        ({"source": "a.mp4"}, "one of prompt, edits and turns is needed, not none"),
        ({**BEARS, "edits": [{"to": "x"}]}, "not prompt and edits"),
        ({**BEARS, "sead": 3}, "sead"),
        ({**BEARS, "seed": "3"}, "seed"),
        ({**BEARS, "seed": -1}, "seed"),
        ({"prompt": "a -> b"}, "source"),
        ({"source": "a.mp4", "edits": []}, "edits"),
        ({"source": "a.mp4", "edits": [{"select": "bear", "too": "x"}]}, "edits.0.too"),
        ({"source": "a.mp4", "edits": [{}]}, "neither what to change nor what to draw"),
        ({"source": "a", "edits": [{"to": "x"}, {"select": "left right bear"}]}, "edit 2, select: character 6"),
        ({"source": "a.mp4", "edits": [{"select": "two above", "to": "x"}]}, "no turn came before"),
        ({"source": "a", "edits": [{"to": "x", "reference": "none.png"}]}, "no reference picture 'none.png'"),
        ({"source": "a.mp4", "prompt": "[bear -> x"}, "prompt, character 1, '['"),
        ({"source": "a.mp4", "prompt": "make it nicer"}, "profiles that can: cpu-small"),
        ({"source": "a.mp4", "prompt": []}, "empty list"),
        ({**BEARS, "name": "../up"}, "cannot be that of a file"),
        ({**BEARS, "name": ".hidden"}, "cannot be that of a file"),
        ({**BEARS, "scene": "x"}, "scene"),
        ("[" * 100000, "line 2"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line_before_the_first_job(write, line, words):
    message = refusal(write(BEARS, line))
    assert "jobs.jsonl, line 2: " in message
    assert words in message


def test_files_that_are_none(tmp_path, write):
    assert "cannot be read" in refusal(tmp_path / "none.jsonl")
    assert "no jobs in it" in refusal(write("# nothing", ""))
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe{}")
    assert "not UTF-8" in refusal(tmp_path / "bytes.jsonl")


def test_free_text_goes_to_whom_understands_it(write):
    asked = []

    def understand(text):
        asked.append(text)
        return parse_prompts(["bear -> gorilla"])

    (job,) = read_jobs(write({"source": "a.mp4", "prompt": "make it a gorilla"}), understand)
    assert job.turns[0].edits[0].target == "gorilla"
    assert set(asked) == {"make it a gorilla"}


def test_names_asked_for_are_kept_and_others_stay_when_lines_are_added(write):
    jobs = [
        {**BEARS, "source": "a/clip.mp4"}, {**BEARS, "source": "b/CLIP.mp4"},
        {**BEARS, "source": "c/x.mp4", "name": "other"},
        {**BEARS, "source": "d/other.mp4"}, {**BEARS, "source": "a/clip.mp4", "seed": 1},
    ]  # fmt: skip
    names = [job.name for job in read_jobs(write(*jobs))]
    assert len({name.lower() for name in names}) == 5
    assert (names[0], names[2]) == ("clip", "other")
    assert names[1].startswith("CLIP-")
    assert names[3].startswith("other-")
    more = [job.name for job in read_jobs(write(jobs[0], {**BEARS, "source": "e/clip.mp4"}, *jobs[1:]))]
    assert [more[0], *more[2:]] == names


def test_names_that_cannot_be_told_apart_are_refused(write):
    message = refusal(write({**BEARS, "name": "One"}, {**BEARS, "name": "two"}, {**BEARS, "name": "one"}))
    assert message.endswith("line 3: the name 'one' is taken by line 1")
    assert "line 2: the same edit of the same source" in refusal(write(BEARS, BEARS))
    assert [job.name for job in read_jobs(write(BEARS, {**BEARS, "name": "again"}))] == ["bears", "again"]


def test_one_prompt_for_many_sources():
    turns = parse_prompts(["Left -> robot"])
    jobs = list(jobs_of(turns, ["/a/x.mp4", "/b/x.mp4", "/a/x.mp4", "file:///c/%ff.mp4"], seed=3))
    assert [job.source for job in jobs] == ["/a/x.mp4", "/b/x.mp4", "file:///c/%ff.mp4"]
    assert jobs[0].name == "x"
    assert jobs[1].name.startswith("x-")
    assert all(job.seed == 3 and job.turns == tuple(turns) for job in jobs)
    assert jobs[2].name.encode("utf-8")


def test_ten_thousand_jobs_stream(write):
    path = write(
        *(
            {"source": f"clip_{n % 5000}.mp4", "prompt": "[bear on the left -> gorilla]", "seed": n}
            for n in range(10_000)
        )
    )
    start = time.monotonic()
    assert len({job.name for job in read_jobs(path)}) == 10_000
    assert time.monotonic() - start < 60  # 3 s on a quiet machine


def test_names_fit_file_systems_whatever_they_are_written_in(write):
    source = "\u718a" * 80 + ".mp4"  # 240 bytes
    (job,) = read_jobs(write(BEARS | {"source": source}))
    assert 150 <= len(job.name.encode()) <= 160
    assert set(job.name) == {"\u718a"}
    assert "cannot be that of a file" in refusal(write(BEARS | {"name": "\u718a" * 80}))


@pytest.mark.parametrize("field", ["name", "source", "prompt"])
def test_half_a_surrogate_pair_is_no_text(write, field):
    assert "line 1" in refusal(write(BEARS | {field: "\ud800"}))
