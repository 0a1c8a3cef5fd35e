"""What `recast status` counts, over made-up files. No Ray, no video."""

import io

import pytest
from rich.console import Console
from synthetic_build import Build, build_over_made_up_files

from pipeline import report_numbers
from pipeline.status import show, status
from pipeline.tables import read_tables


@pytest.fixture
def build(tmp_path, monkeypatch) -> Build:
    return build_over_made_up_files(tmp_path, monkeypatch)


def test_a_source_that_is_used_with_a_flaw_is_told_of_apart_from_those_that_are_dropped(build):
    build.write(a="film, damaged", b="broken", c="another film")
    build.run()
    found = status(build.out)
    assert found["reasons"]["sources"] == {"no_video_stream": 1}
    assert found["reasons"]["sources_kept"] == {"decode_error": 1}
    told = io.StringIO()
    show(found, Console(file=told, width=200))
    assert "1 sources used with a flaw" in told.getvalue()
    assert "decode_error" in str(report_numbers.reasons(read_tables(build.out)))
