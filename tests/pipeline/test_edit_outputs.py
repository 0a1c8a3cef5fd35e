"""What of edits lies in an output, as `recast check`, `compact`, `status` and `report` see it: no Ray."""

import io
from dataclasses import replace

import pytest
from rich.console import Console
from synthetic_edits import Edits, write_two_clips

from pipeline.check import check
from pipeline.compact import compact
from pipeline.report import render
from pipeline.status import show, status


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_two_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture
def edits(tmp_path, clips):
    return Edits(tmp_path, clips)


def problems(edits):
    return [(problem.kind, problem.where.partition("/")[0], problem.is_error) for problem in check(edits.out)]


def test_check_tells_what_became_of_the_files(edits):
    edits.run(edits.jobs("one", "two"))
    one, two = (edits.out / row["video"] for row in sorted(edits.rows("edits"), key=lambda row: row["name"]))
    one.write_bytes(one.read_bytes()[:-1])
    assert problems(edits) == [("checksum", "edits", True)]
    two.unlink()
    assert sorted(problems(edits)) == [("checksum", "edits", True), ("unreadable_video", "edits", True)]
    (edits.out / edits.rows("jobs")[0]["tracks"]).unlink()
    assert ("no_tracks", "jobs", True) in problems(edits)


def test_compact_takes_away_what_no_row_refers_to_and_nothing_else(edits):
    (job,) = edits.jobs("one")
    edits.run([replace(job, options={"format": "png"})])
    kept = {path for path in edits.out.rglob("*.*") if path.parent.name in ("videos", "tracks", "previews")}
    crashed = edits.out / "videos" / ".key-0"
    crashed.mkdir()
    (crashed / "00000.png").write_bytes(b"x")
    (edits.out / "tracks" / "other.npz").write_bytes(b"x")
    assert problems(edits) == [("stray_file", "tracks", False), ("stray_file", "videos", False)]
    engine = edits.settings().config.engine
    assert compact(edits.out, engine, grace_seconds=60).files_removed == 0
    assert compact(edits.out, engine, grace_seconds=0).files_removed == 2
    assert all(path.exists() for path in kept)
    assert problems(edits) == []


def test_another_format_leaves_a_stray_behind(edits):
    jobs = edits.jobs("one")
    edits.run(jobs)
    edits.run(jobs, editing__format='"h264"', edit_thresholds__min_background_psnr=30)
    edits.run(jobs, editing__format='"png"')
    assert len(edits.rows("edits")) == 1
    assert [kind for kind, _, _ in problems(edits)] == ["stray_file"]


def test_status_counts_jobs_and_edits_where_there_are_any(edits):
    edits.run(edits.jobs("one"))
    edits.run(edits.jobs("two", prompts=["[dog -> cat]"]))
    found = status(edits.out)
    assert found["funnel"]["jobs"] == {"ok": 1, "rejected": 1}
    assert found["funnel"]["edits"] == {"ok": 1}
    assert found["reasons"]["jobs"] == {"target_absent": 1}
    told = io.StringIO()
    show(found, Console(file=told, width=200))
    assert "1 clips that cannot be edited as asked" in told.getvalue()
    assert "sources" not in told.getvalue()


def test_the_report_shows_every_edit_and_why_one_failed(edits):
    edits.run([*edits.jobs("two"), *edits.jobs("one", prompts=["[cat -> <b>dog</b>]"])])
    page = render(edits.out)
    for entry in edits.entries().values():
        shown = entry["video"] or entry["preview"]
        assert shown is None or f'"../{shown}"' in page
    assert edits.entries()["two"]["video"] in page
    assert "target_absent" in page
    assert "<b>dog" not in page
    assert "&lt;b&gt;dog" in page
