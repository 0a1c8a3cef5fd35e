"""Every file that is given ends as one row with a reason a person can read, and none of them stops the others."""

import json
import os
import shutil
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from cluster.storage import path_of
from pipeline.tables import Snapshot, read_tables
from schemas.reasons import Reason

pytestmark = [pytest.mark.ray, pytest.mark.footage]

HOSTILE_NAMES = (
    "a\nnewline.mp4",
    "-dash.mp4",
    "--help.mp4",
    "  spaces  .mp4",
    "quote'\"; drop table sources --.mp4",
    "100% {braces} [bold red]brackets *?.mp4",
    "ünï 马 çødé.mp4",
    "🎬🐫.mp4",
    os.fsdecode(b"not \xff\xfe utf-8.mp4"),
    "a" * 196 + ".mp4",
)

DROPPED_SOURCES = {
    "bad/audio_only.mp4": Reason.NO_VIDEO_STREAM,
    "bad/audio_with_cover_art.m4a": Reason.NOT_A_VIDEO,
    "bad/header_only.mp4": Reason.NO_DECODABLE_FRAMES,
    "bad/jpeg_renamed.mp4": Reason.NOT_A_VIDEO,
    "bad/text_renamed.mp4": Reason.UNREADABLE,
    "bad/truncated_no_moov.mp4": Reason.UNREADABLE,
    "bad/zero_byte.mp4": Reason.EMPTY_FILE,
    "made/dangling.mp4": Reason.MISSING,
    "made/pipe.mp4": Reason.UNREADABLE,
}

DAMAGED_SOURCES = {"bad/bitflipped_mdat.mp4", "bad/truncated_moov_first_half.mp4"}
"""Used as far as they can be read: the source stays ok, and says where it broke."""

DROPPED_SHOTS = {
    "bad/all_black.mp4": Reason.NO_CONTENT,
    "bad/bitflipped_mdat.mp4": Reason.TOO_SHORT,
    "bad/blurred.mp4": Reason.BLURRED,
    "bad/frozen_single_image.mp4": Reason.STATIC,
    "bad/lowres_160x90.mp4": Reason.LOW_RESOLUTION,
    "bad/noisy_blocky.mp4": Reason.NOISY,
    "bad/slides_no_subject.mp4": Reason.STATIC,
    "bad/truncated_moov_first_half.mp4": Reason.TOO_SHORT,
    "bad/underexposed.mp4": Reason.UNDEREXPOSED,
    "odd/burnt_in_text_and_logo.mp4": Reason.BURNT_IN_TEXT,
    "odd/carphone_qcif_176x144.mp4": Reason.LOW_RESOLUTION,
    "odd/no_duration_header_dark_real.webm": Reason.NO_CONTENT,
    "odd/one_frame.mp4": Reason.TOO_SHORT,
    "odd/three_frames.mp4": Reason.TOO_SHORT,
}

FADING_OUT = "odd/aeroplane_broken_audio_real.mp4"
"""It ends in a fade, and what is left of the picture then is too short."""

PASSED = Reason.LOW_QUALITY
ONLY_CURATE = ["--set", "curation_thresholds.min_quality=1.1"]
"""The last threshold, set so that nothing passes: every other reason shows, and nothing is mined."""


def make_clip(path: Path, tail: bytes) -> None:
    """30 moving frames of 320x240; `tail` makes the bytes unlike those of any other clip."""
    blocks = np.random.default_rng(7).integers(0, 256, (20, 30, 3), np.uint8)
    texture = cv2.resize(blocks, (690, 460), interpolation=cv2.INTER_NEAREST)  # no 8-pixel grid
    plain = path.with_name("plain.mp4")
    with av.open(str(plain), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for index in range(30):
            picture = np.ascontiguousarray(texture[index:][:240, 2 * index :][:, :320])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    data = plain.read_bytes()
    plain.unlink()
    path.write_bytes(data + (8 + len(tail)).to_bytes(4, "big") + b"free" + tail)


@pytest.fixture(scope="module")
def videos(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bad_input") / "videos"
    shutil.copytree(footage / "bad", root / "bad")
    shutil.copytree(footage / "odd", root / "odd")
    made = root / "made"
    made.mkdir()
    for name in HOSTILE_NAMES:
        make_clip(made / name, os.fsencode(name))
    shutil.copy(made / "-dash.mp4", made / "twin.mp4")
    (made / "dangling.mp4").symlink_to(made / "nowhere.mp4")
    os.mkfifo(made / "pipe.mp4")
    (made / "loop").symlink_to(root, target_is_directory=True)
    (made / "notes.md").write_text("not media, so not a source")
    return root


@pytest.fixture(scope="module")
def out(videos: Path, recast) -> Path:
    out = videos.parent / "dataset"
    done = recast("--log-json", out.with_name("log.jsonl"), "build", videos, "--out", out, *ONLY_CURATE)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return out


@pytest.fixture(scope="module")
def tables(out: Path) -> Snapshot:
    return read_tables(out)


@pytest.fixture(scope="module")
def sources(tables: Snapshot, videos: Path) -> dict[str, dict]:
    """The rows of `sources` by path below the folder; every uri once."""
    rows = tables.query("select * from sources").to_pylist()
    found = {os.path.relpath(path_of(row["uri"]), videos): row for row in rows}
    assert len(found) == len(rows)
    return found


def shot_reasons(tables: Snapshot, source: dict) -> set[str | None]:
    sql = "select reason from clips where content_hash = ?"
    return {row["reason"] for row in tables.query(sql, [source["content_hash"]]).to_pylist()}


def test_every_file_is_one_row(sources, footage):
    given = {f"{folder}/{path.name}" for folder in ("bad", "odd") for path in (footage / folder).iterdir()}
    given |= {f"made/{name}" for name in (*HOSTILE_NAMES, "twin.mp4", "dangling.mp4", "pipe.mp4")}
    assert set(sources) == given


def test_every_row_has_a_status_and_every_reject_a_reason_with_a_meaning(sources):
    for name, row in sources.items():
        assert row["status"] in ("ok", "rejected"), name
        if row["status"] == "rejected":
            assert len(Reason(row["reason"]).meaning) > 10, name


def test_every_shot_is_judged(tables):
    rows = tables.query("select status, reason, decision from clips").to_pylist()
    assert len(rows) > 20
    for row in rows:
        assert row["status"] == "rejected"
        assert Reason(row["reason"]).meaning
        assert row["decision"]


def test_files_that_are_no_video_say_why(sources):
    dropped = {
        name: row["reason"]
        for name, row in sources.items()
        if row["status"] == "rejected" and row["reason"] != Reason.EXACT_DUPLICATE
    }
    assert dropped == DROPPED_SOURCES


def test_damaged_files_are_used_as_far_as_they_go_and_say_where_they_broke(sources):
    damaged = {name for name, row in sources.items() if row["reason"] == Reason.DECODE_ERROR}
    assert damaged == DAMAGED_SOURCES
    for name in damaged:
        assert sources[name]["status"] == "ok"
        assert "frames" in sources[name]["message"]
        assert sources[name]["num_frames"] > 0


def test_bad_pictures_are_dropped_for_what_is_wrong_with_them_and_good_ones_are_not(sources, tables):
    found = {name: shot_reasons(tables, row) for name, row in sources.items() if row["status"] == "ok"}
    assert found.pop(FADING_OUT) == {PASSED, Reason.TOO_SHORT}
    wrong = {name: reasons for name, reasons in found.items() if reasons != {DROPPED_SHOTS.get(name, PASSED)}}
    assert wrong == {}
    assert sum(reasons == {PASSED} for reasons in found.values()) >= 20


def test_hostile_names_are_read_like_any_other(sources):
    for name in HOSTILE_NAMES:
        row = sources[f"made/{name}"]
        if row["reason"] != Reason.EXACT_DUPLICATE:  # the twin of one of them is
            assert (row["status"], row["num_frames"], row["width"]) == ("ok", 30, 320), name


def test_upright_sizes(sources):
    portrait, anamorphic = sources["odd/portrait_rotate90.mp4"], sources["odd/anamorphic_sar4x3.mp4"]
    assert (portrait["width"], portrait["height"]) == (406, 720)
    assert anamorphic["width"] / anamorphic["height"] == pytest.approx(16 / 9, rel=0.01)


def test_of_two_identical_files_one_is_the_duplicate_of_the_other(sources):
    twins = [sources["made/-dash.mp4"], sources["made/twin.mp4"]]
    first, second = sorted(twins, key=lambda row: row["reason"] is not None)
    assert (first["status"], first["duplicate_of"]) == ("ok", None)
    assert (second["status"], second["reason"]) == ("rejected", Reason.EXACT_DUPLICATE)
    assert second["duplicate_of"] == first["key"]
    assert sum(row["reason"] == Reason.EXACT_DUPLICATE for row in sources.values()) == 1


def test_the_other_commands_can_show_it(out, recast):
    checked = recast("check", out)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    status = json.loads(recast("status", out, "--json").stdout)
    assert status["funnel"]["sources"]["rejected"] == len(DROPPED_SOURCES) + 1
    assert status["reasons"]["sources"]["unreadable"] == 3
    shown = recast("status", out)
    assert shown.returncode == 0
    assert Reason.EMPTY_FILE.meaning in shown.stdout
    reported = recast("report", out)
    assert reported.returncode == 0, reported.stderr
    assert Reason.EMPTY_FILE.meaning in Path(reported.stdout.strip()).read_text(encoding="utf-8")


def test_the_log_tells_what_the_tables_say(out):
    lines = [json.loads(line) for line in out.with_name("log.jsonl").read_text().splitlines()]
    assert len({line["run"] for line in lines}) == 1
    told = {line["key"]: line["reason"] for line in lines if line["event"] == "rejected"}
    rows = read_tables(out).query("select key, reason from sources where status = 'rejected'").to_pylist()
    duplicates = {row["key"] for row in rows if row["reason"] == Reason.EXACT_DUPLICATE}  # decided after the phase
    assert told == {row["key"]: row["reason"] for row in rows if row["key"] not in duplicates}
    events = [line["event"] for line in lines]
    assert (events[0], events[-1]) == ("run_started", "run_finished")
    assert "phase_over" in events


def test_a_second_run_looks_at_nothing_again(out, videos, recast):
    done = recast("build", videos, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["this_run"]["counts"] == {}


def test_footage_seen_before_is_a_near_duplicate_and_a_picture_without_subject_gives_no_pair(footage, tmp_path, recast):
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("clips/davis_camel.mp4", "odd/near_duplicate_of_davis_camel.mp4", "bad/test_pattern.mp4"):
        shutil.copy(footage / name, folder)
    done = recast("build", folder, "--out", tmp_path / "out", "--set", "mining.anchors_per_clip=2")
    assert done.returncode == 0, done.stderr
    tables = read_tables(tmp_path / "out")
    rows = tables.query("select uri, status, reason, content_hash from sources").to_pylist()
    found = {Path(row["uri"]).name: row for row in rows}
    pattern = found.pop("test_pattern.mp4")
    twins = sorted((row["status"], row["reason"]) for row in found.values())
    assert twins == [("ok", None), ("rejected", Reason.NEAR_DUPLICATE)]
    mined = tables.query(
        """select t.reason from settled t join clips c on c.key = t.parent_key
           where t.phase = 'mine' and c.content_hash = ?""",
        [pattern["content_hash"]],
    ).to_pylist()
    assert mined == [{"reason": Reason.NO_SUBJECT}]
