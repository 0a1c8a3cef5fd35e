"""What is pending of edits, and what comes of it: the real ledger, planner and steps, no Ray."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from synthetic_edits import Edits, write_two_clips
from synthetic_footage import LEFT, write_clip

from actors.video_generator import RehearsalGenerator
from pipeline.check import check
from pipeline.edit_planner import write_jobs
from pipeline.retry import retry
from schemas.reasons import Reason
from schemas.work import Phase


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_two_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture
def edits(tmp_path, clips):
    return Edits(tmp_path, clips)


class Refusing:
    """A generator that gives back what it got: nothing of it passes."""

    uses_surroundings = False
    max_frames = 81

    def __init__(self):
        self.seeds = []

    def generate(self, request):
        self.seeds.append(request.seed)
        return list(request.frames)


def statuses(edits):
    return {name: (entry["status"], entry["reason"]) for name, entry in edits.entries().items()}


def is_sound(edits):
    return check(edits.out) == []


def test_what_is_done_is_not_done_again(edits):
    jobs = edits.jobs("one", "two")
    assert edits.run(jobs) == {"align": 2, "edit": 2}
    assert statuses(edits) == {"one": ("edited", None), "two": ("edited", None)}
    assert edits.run(jobs) == {}
    assert is_sound(edits)


def test_a_preview_aligns_and_the_run_after_it_aligns_nothing_again(edits):
    jobs = edits.jobs("one", "two")
    assert edits.run(jobs, (Phase.ALIGN,)) == {"align": 2}
    assert statuses(edits) == {"one": ("aligned", None), "two": ("aligned", None)}
    assert all((edits.out / entry["preview"]).is_file() for entry in edits.entries().values())
    assert edits.run(jobs) == {"edit": 2}


def test_a_source_that_was_only_touched_is_aligned_but_not_drawn_again(edits, tmp_path):
    edits.footage = tmp_path / "own"
    path = write_clip(edits.footage, "one", (LEFT,), 9)
    jobs = edits.jobs("one")
    edits.run(jobs)
    path.touch()
    assert edits.run(jobs) == {"align": 1}
    assert edits.run(jobs) == {}


def test_a_source_with_other_bytes_is_edited_anew(edits, tmp_path):
    edits.footage = tmp_path / "own"
    path = write_clip(edits.footage, "one", (LEFT,), 9)
    jobs = edits.jobs("one")
    edits.run(jobs)
    before = edits.rows("edits")
    path.write_bytes(path.read_bytes() + b"\0\0\0\x08free")
    assert edits.run(jobs, (Phase.ALIGN,)) == {"align": 1}
    assert statuses(edits) == {"one": ("aligned", None)}  # the video is that of the old bytes
    assert edits.run(jobs) == {"edit": 1}
    after = edits.rows("edits")
    assert len(after) == len(before) == 1
    assert after[0]["content_hash"] != before[0]["content_hash"]
    assert is_sound(edits)


def test_a_source_that_is_out_of_reach_costs_nothing_that_was_made(edits, tmp_path):
    edits.footage = tmp_path / "own"
    path = write_clip(edits.footage, "one", (LEFT,), 9)
    jobs = edits.jobs("one")
    edits.run(jobs)
    path.rename(path.with_suffix(".away"))
    assert edits.run(jobs) == {}
    assert statuses(edits) == {"one": ("edited", None)}
    path.with_suffix(".away").rename(path)
    assert edits.run(jobs) == {}


def test_settings_say_what_is_stale(edits):
    jobs = edits.jobs("one")
    edits.run(jobs)
    assert edits.run(jobs, editing__overlap_frames=5) == {"edit": 1}
    host = edits.begin(jobs, editing__anchor_every=1)
    assert host.stale() == {"align": 1, "edit": 1}
    host._ledger.abandon()
    assert edits.run(jobs, editing__anchor_every=1) == {"align": 1, "edit": 1}
    assert len(edits.rows("edits")) == 1


def test_other_jobs_of_the_output_are_left_alone(edits):
    edits.run(edits.jobs("one"))
    edits.run(edits.jobs("two"), editing__overlap_frames=5)
    assert [unit.payload["name"] for unit in edits.worked] == ["one", "one", "two", "two"]
    assert set(statuses(edits)) == {"one", "two"}


def test_the_same_clip_with_another_seed_is_another_job(edits):
    (job,) = edits.jobs("one")
    edits.run([job])
    edits.run([replace(job, seed=1)])
    videos = {row["video"] for row in edits.rows("edits")}
    assert len(videos) == 2
    assert all((edits.out / video).is_file() for video in videos)
    assert is_sound(edits)


def test_keys_go_by_source_name_and_request_and_come_once(edits, tmp_path):
    given = {"uri": "u", "stamp": "1", "name": "n", "request": "r"}
    changed = [given | {name: "x"} for name in ("uri", "name", "request")]
    keys = write_jobs([given, given | {"stamp": "2"}, *changed], tmp_path / "listing.parquet")
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4
    (job,) = edits.jobs("one")
    assert edits.run([job, job]) == {"align": 1, "edit": 1}


def test_an_absent_target_is_rejected_with_what_there_is_and_nothing_is_drawn(edits):
    generator = edits.roles["video_generator"] = Refusing()
    jobs = edits.jobs("one", "two", prompts=["[bear on the left -> gorilla; dog -> cat]"])
    assert edits.run(jobs) == {"align": 2}
    assert statuses(edits) == dict.fromkeys(["one", "two"], ("rejected", Reason.TARGET_ABSENT))
    assert "'dog'" in edits.entries()["one"]["message"]
    assert "bear" in edits.entries()["one"]["message"]
    assert generator.seeds == []
    assert not (edits.out / "videos").exists()
    assert edits.run(jobs) == {}


def test_what_fails_verification_is_tried_again_with_another_seed_then_it_is_a_dead_letter(edits):
    generator = edits.roles["video_generator"] = Refusing()
    jobs = edits.jobs("one")
    assert edits.run(jobs, editing__max_attempts=2) == {"align": 1, "edit": 2}
    assert len(set(generator.seeds)) == 2
    attempts = sorted(edits.rows("attempts"), key=lambda row: row["attempt"])
    assert [(row["attempt"], row["status"]) for row in attempts] == [(0, "rejected"), (1, "failed")]
    assert all(Reason.UNEDITED in row["reasons"] and dict(row["verdict"])["untouched"] > 0.5 for row in attempts)
    (letter,) = edits.rows("rejects")
    assert (letter["table"], letter["row_key"], letter["reason"]) == ("jobs", edits.keys[0], Reason.UNEDITED)
    entry = edits.entries()["one"]
    assert (entry["status"], entry["reason"], entry["video"]) == ("failed", Reason.UNEDITED, None)
    assert "failed verification" in entry["message"]
    assert [path.name for path in (edits.out / "videos").glob("*")] == []
    assert edits.run(jobs, editing__max_attempts=2) == {}
    assert is_sound(edits)


def test_a_dead_edit_can_be_retried_and_goes_on_at_its_next_attempt_without_being_aligned_again(edits):
    edits.roles["video_generator"] = Refusing()
    jobs = edits.jobs("one")
    edits.run(jobs, editing__max_attempts=2)
    assert retry(edits.out, edits.settings(editing__max_attempts=2), "again") == 1
    assert statuses(edits) == {"one": ("aligned", None)}
    del edits.roles["video_generator"]
    before = len(edits.worked)
    assert edits.run(jobs, editing__max_attempts=2) == {"edit": 1}
    assert edits.worked[before].attempt == 2
    assert statuses(edits) == {"one": ("edited", None)}
    assert edits.rows("edits")[0]["attempt"] == 2
    assert edits.rows("rejects") == []
    assert is_sound(edits)


def test_aligning_anew_leaves_the_dead_letter_of_an_edit_in_place(edits, tmp_path):
    edits.footage = tmp_path / "own"
    path = write_clip(edits.footage, "one", (LEFT,), 9)
    edits.roles["video_generator"] = Refusing()
    jobs = edits.jobs("one")
    edits.run(jobs, editing__max_attempts=1)
    path.touch()
    assert edits.run(jobs, editing__max_attempts=1) == {"align": 1}
    assert len(edits.rows("rejects")) == 1
    assert is_sound(edits)


def test_a_bug_in_one_clip_is_on_record_and_the_others_are_edited(edits):
    class Picky:
        uses_surroundings = True
        max_frames = 81

        def __init__(self, good):
            self.good = good

        def generate(self, request):
            if "right" in request.prompt:
                raise RuntimeError("a bug")
            return self.good.generate(request)

    edits.roles["video_generator"] = Picky(RehearsalGenerator())
    edits.run(edits.jobs("one", "two"))
    assert statuses(edits) == {"one": ("edited", None), "two": ("failed", Reason.INTERNAL_ERROR)}
    assert "a bug" in edits.entries()["two"]["message"]


def test_a_bug_in_aligning_is_on_record_once_until_a_retry(edits, monkeypatch):
    class Blind:
        reads_phrases = True

        def detect(self, footage, phrases):
            raise RuntimeError("a bug")

    edits.roles["detector"] = Blind()
    jobs = edits.jobs("one")
    assert edits.run(jobs) == {"align": 1}
    assert statuses(edits) == {"one": ("failed", Reason.INTERNAL_ERROR)}
    assert edits.run(jobs) == {}
    assert is_sound(edits)
    del edits.roles["detector"]
    assert retry(edits.out, edits.settings(), "again") == 1
    assert edits.run(jobs) == {"align": 1, "edit": 1}
    assert statuses(edits) == {"one": ("edited", None)}
    assert is_sound(edits)


def test_a_file_that_is_no_video_and_one_that_is_not_there(edits, tmp_path):
    edits.footage = tmp_path / "own"
    write_clip(edits.footage, "one", (LEFT,), 9)
    (edits.footage / "text.mp4").write_text("no video at all")
    jobs = edits.jobs("one", "text", "gone")
    edits.run(jobs)
    found = statuses(edits)
    assert found["one"] == ("edited", None)
    assert found["gone"] == ("rejected", Reason.MISSING)
    assert found["text"][0] == "rejected"
    assert edits.run(jobs) == {}
    write_clip(tmp_path / "late", "gone", (LEFT,), 9).rename(edits.footage / "gone.mp4")
    assert edits.run(jobs)["align"] == 1


def test_a_clip_that_is_too_long_says_the_limit(edits):
    edits.run(edits.jobs("one"), editing__max_frames=8)
    entry = edits.entries()["one"]
    assert (entry["status"], entry["reason"]) == ("rejected", Reason.TOO_LONG)
    assert "9 frames" in entry["message"]
    assert "editing.max_frames" in entry["message"]
    assert edits.run(edits.jobs("one"), editing__max_frames=9) == {"align": 1, "edit": 1}


def test_options_hold_for_their_job_alone(edits):
    one, two = edits.jobs("one", "two")
    edits.run([replace(one, options={"format": "png"}), two])
    videos = {row["name"]: edits.out / row["video"] for row in edits.rows("edits")}
    assert videos["one"].is_dir()
    assert len(list(videos["one"].glob("*.png"))) == 9
    assert videos["two"].suffix == ".mp4"
    assert is_sound(edits)


def paint(picture, level):
    cv2.imwrite(str(picture), np.full((40, 40, 3), level, np.uint8))
    return picture


def with_reference(job, picture):
    (turn,) = job.turns
    return replace(job, turns=(replace(turn, edits=(replace(turn.edits[0], reference=str(picture)),)),))


def test_a_reference_picture_that_went_away_is_no_answer(edits, tmp_path):
    picture = paint(tmp_path / "reference.png", 90)
    job = with_reference(*edits.jobs("one"), picture)
    edits.run([job], (Phase.ALIGN,))
    picture.unlink()
    edits.run([job])
    assert statuses(edits) == {"one": ("aligned", None)}  # nothing is recorded: the next run tries again
    paint(picture, 90)
    assert "edit" in edits.run([job])
    assert statuses(edits) != {"one": ("aligned", None)}


def test_a_reference_picture_with_other_bytes_is_drawn_anew_and_one_only_touched_is_not(edits, tmp_path):
    picture = paint(tmp_path / "reference.png", 90)
    job = with_reference(*edits.jobs("one"), picture)
    loose = {"edit_thresholds__min_target_identity": -1}
    assert edits.run([job], **loose)["align"] == 1
    assert edits.run([job], **loose) == {}
    picture.touch()
    assert edits.run([job], **loose) == {"align": 1}
    before = edits.rows("settled")
    paint(picture, 200)
    assert {"align", "edit"} <= edits.run([job], **loose).keys()
    inputs = [{row["inputs"] for row in rows if row["phase"] == "edit"} for rows in (before, edits.rows("settled"))]
    assert len(inputs[0]) == len(inputs[1]) == 1
    assert inputs[0] != inputs[1]
    assert edits.run([job], **loose) == {}


def test_thresholds_that_no_verdict_flips_under_draw_nothing_again(edits):
    jobs = edits.jobs("one")
    edits.run(jobs)
    host = edits.begin(jobs, edit_thresholds__max_untouched=0.6)
    assert host.stale() == {"edit_verdict": 1}
    host._ledger.abandon()
    assert edits.run(jobs, edit_thresholds__max_untouched=0.6) == {}
    host = edits.begin(jobs, edit_thresholds__max_untouched=0.6)
    assert host.stale() == {}
    host._ledger.abandon()


def test_a_stricter_threshold_withdraws_an_edit_and_a_looser_one_brings_it_back(edits):
    jobs = edits.jobs("one", "two")
    strict = {"edit_thresholds__min_background_psnr": 98, "editing__max_attempts": 2}
    edits.run(jobs, editing__max_attempts=2)
    (one,) = edits.jobs("one")
    assert edits.run([one], **strict) == {"edit": 2}
    assert statuses(edits) == {"one": ("failed", Reason.BACKGROUND_CHANGED), "two": ("edited", None)}
    assert edits.run([one], **strict) == {}
    assert edits.run([one], editing__max_attempts=2) == {"edit": 1}
    assert statuses(edits) == {"one": ("edited", None), "two": ("edited", None)}
    assert [row["attempt"] for row in edits.rows("attempts")] == [0, 0]
    assert edits.rows("rejects") == []
    assert is_sound(edits)


def test_the_request_is_kept_as_it_was_asked(edits):
    edits.run(edits.jobs("one"), (Phase.ALIGN,))
    (row,) = edits.rows("jobs")
    request = json.loads(row["request"])
    assert request["turns"][0]["edits"][0]["target"] == "gorilla"
    assert row["instances"] == ["bear 1"]
    assert row["num_frames"] == 9
