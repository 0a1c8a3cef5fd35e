"""Stage i: one pass measures, deciding is pure, and every real file ends as it should."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from actors.quality import MeasuredQuality
from schemas.config import CurationConfig, CurationThresholds
from schemas.errors import BadInput
from schemas.reasons import Reason
from schemas.video import Shot
from stages.curation import Measured, decide, measure, same_footage

CONFIG, THRESHOLDS = CurationConfig(), CurationThresholds()
GOOD = {
    "brightness": 0.5,
    "contrast": 0.2,
    "sharpness": 0.5,
    "noise": 0.002,
    "chroma_noise": 0.002,
    "blockiness": 0.05,
    "motion": 0.5,
    "still_share": 0.0,
    "text": 0.0,
    "quality": 0.8,
    "content_short_side_px": 480.0,
}
SHOT = Shot(0, 48, 0.0, 2.0)


def test_a_good_shot_is_kept():
    assert decide(GOOD, SHOT, 854, 480, THRESHOLDS) is None


@pytest.mark.parametrize(
    ("score", "value", "reason"),
    [
        ("contrast", 0.01, Reason.NO_CONTENT),
        ("brightness", 0.03, Reason.UNDEREXPOSED),
        ("brightness", 0.98, Reason.OVEREXPOSED),
        ("motion", 0.001, Reason.STATIC),
        ("still_share", 1.0, Reason.STATIC),
        ("sharpness", 0.02, Reason.BLURRED),
        ("noise", 0.1, Reason.NOISY),
        ("chroma_noise", 0.02, Reason.NOISY),
        ("blockiness", 2.0, Reason.NOISY),
        ("text", 0.02, Reason.BURNT_IN_TEXT),
        ("quality", 0.1, Reason.LOW_QUALITY),
        ("content_short_side_px", 200.0, Reason.LOW_RESOLUTION),
    ],
)
def test_each_score_has_its_reason(score, value, reason):
    assert decide(GOOD | {score: value}, SHOT, 854, 480, THRESHOLDS) is reason


def test_length_and_size():
    assert decide(GOOD, replace(SHOT, end_seconds=0.5), 854, 480, THRESHOLDS) is Reason.TOO_SHORT
    assert decide({}, SHOT, 854, 480, THRESHOLDS) is Reason.TOO_SHORT
    assert decide(GOOD, SHOT, 854, 239, THRESHOLDS) is Reason.LOW_RESOLUTION


def test_a_threshold_alone_changes_the_decision():
    assert decide(GOOD, SHOT, 854, 480, CurationThresholds(min_quality=0.9)) is Reason.LOW_QUALITY


def test_same_footage_needs_most_of_the_shorter_list():
    first = ["0000000000000000", "ffffffffffffffff", "00000000ffffffff"]
    assert same_footage(first, [*first, "0f0f0f0f0f0f0f0f"], 6)
    assert same_footage(["000000000000003f"], first, 6)
    assert not same_footage(["000000000000007f"], first, 6)
    assert not same_footage(["0000000000000000", "0f0f0f0f0f0f0f0f", "3333333333333333"], first, 6)
    assert not same_footage([], first, 64)


# What the files of bad/ and odd/ must become; files not named are kept.
WHOLE_FILE = {
    "bad/audio_only.mp4": Reason.NO_VIDEO_STREAM,
    "bad/audio_with_cover_art.m4a": Reason.NOT_A_VIDEO,
    "bad/header_only.mp4": Reason.NO_DECODABLE_FRAMES,
    "bad/jpeg_renamed.mp4": Reason.NOT_A_VIDEO,
    "bad/text_renamed.mp4": Reason.UNREADABLE,
    "bad/truncated_no_moov.mp4": Reason.UNREADABLE,
    "bad/zero_byte.mp4": Reason.EMPTY_FILE,
}
EVERY_SHOT = {
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
DAMAGED = ("bad/bitflipped_mdat.mp4", "bad/truncated_moov_first_half.mp4")


@pytest.fixture(scope="module")
def outcomes(footage: Path) -> dict[str, Measured | BadInput]:
    """Every file of bad/, odd/ and clips/, measured once."""
    result: dict[str, Measured | BadInput] = {}
    for entry in json.loads((footage / "index.json").read_text())["files"]:
        name = entry["name"]
        if name.split("/")[0] in ("bad", "odd", "clips"):
            try:
                result[name] = measure(footage / name, CONFIG, MeasuredQuality().score)
            except BadInput as error:
                result[name] = error
    return result


@pytest.mark.footage
def test_unreadable_files_have_the_right_reason(outcomes):
    found = {name: got.reason for name, got in outcomes.items() if isinstance(got, BadInput)}
    assert found == WHOLE_FILE


@pytest.mark.footage
def test_every_shot_of_a_bad_file_is_rejected_and_no_other(outcomes):
    decisions = {}
    for name, got in outcomes.items():
        if isinstance(got, Measured):
            size = got.probe.width, got.probe.height
            decisions[name] = {decide(shot.scores, shot.shot, *size, THRESHOLDS) for shot in got.shots}
    kept = {name: reasons for name, reasons in decisions.items() if None in reasons}
    assert {name: reasons for name, reasons in decisions.items() if name not in kept} == {
        name: {reason} for name, reason in EVERY_SHOT.items()
    }
    assert len([name for name in kept if name.startswith("clips/")]) == 23
    assert all(decisions[name] == {None} for name in kept if name.startswith("clips/"))


@pytest.mark.footage
def test_damage_is_recorded_beside_what_was_readable(outcomes):
    damaged = {name for name, got in outcomes.items() if isinstance(got, Measured) and got.damage}
    assert damaged == set(DAMAGED)
    assert all(
        outcomes[name].damage.reason is Reason.DECODE_ERROR and outcomes[name].num_frames > 10 for name in DAMAGED
    )


@pytest.mark.footage
def test_shots_cover_the_video_but_for_transitions_and_bars_are_found(outcomes):
    for got in outcomes.values():
        if isinstance(got, Measured):
            ends = [0] + [shot.shot.end_frame for shot in got.shots]
            starts = [shot.shot.start_frame for shot in got.shots] + [got.num_frames]
            assert all(end <= start for end, start in zip(ends, starts, strict=True))  # transitions between them
            gaps = sum(start - end for end, start in zip(ends, starts, strict=True))
            assert gaps <= 0.15 * got.num_frames + 6
    boxes = {shot.content_box for shot in outcomes["odd/pillarbox_letterbox.mp4"].shots}
    assert np.abs(np.array([*boxes]) - (107, 60, 747, 420)).max() <= 2


@pytest.mark.footage
def test_only_recoded_footage_is_a_near_duplicate(outcomes):
    hashes = {
        name: [one for shot in got.shots for one in shot.hashes]
        for name, got in outcomes.items()
        if isinstance(got, Measured) and name.startswith("clips/")
    }
    copy = [one for shot in outcomes["odd/near_duplicate_of_davis_camel.mp4"].shots for one in shot.hashes]
    same = [name for name in hashes if same_footage(copy, hashes[name], THRESHOLDS.max_hash_distance)]
    assert same == ["clips/davis_camel.mp4"]
    pairs = [(a, b) for a in hashes for b in hashes if a < b]
    assert [pair for pair in pairs if same_footage(*map(hashes.get, pair), THRESHOLDS.max_hash_distance)] == []


@pytest.mark.footage
def test_measuring_again_gives_the_same_numbers(footage, outcomes):
    again = measure(footage / "clips/davis_libby.mp4", CONFIG, MeasuredQuality().score)
    assert again == outcomes["clips/davis_libby.mp4"]
