"""Where shots begin."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scenedetect import AdaptiveDetector, FrameTimecode

from schemas.config import CurationConfig
from schemas.errors import BadInput
from stages.media import Reading, open_video
from stages.shots import LAG_FRAMES, SHOT_SHORT_SIDE_PX, CutFinder, FastAdaptiveDetector

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from truth import match_cuts


def scene(seed: int, num_frames: int) -> list[np.ndarray]:
    """A textured picture that drifts by a pixel per frame."""
    wide = np.random.default_rng(seed).integers(0, 256, (8, 30, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    return [np.ascontiguousarray(wide[:, i : i + 112]) for i in range(num_frames)]


def boundaries_of(frames: list[np.ndarray]) -> list[tuple[int, int]]:
    finder = CutFinder(CurationConfig())
    found = []
    for index, frame in enumerate(frames):
        boundaries = finder.push(index, frame)
        assert all(index - LAG_FRAMES <= each.end and each.start <= index for each in boundaries)
        found += boundaries
    return [(each.end, each.start) for each in found + finder.finish()]


def cuts_of(frames: list[np.ndarray]) -> list[int]:
    """Where hard cuts are; nothing else may be found."""
    found = boundaries_of(frames)
    assert all(end == start for end, start in found)
    return [start for _, start in found]


def calm(seed: int, num_frames: int) -> list[np.ndarray]:
    """A scene of larger shapes that drifts by a pixel every four frames."""
    wide = np.random.default_rng(seed).integers(0, 256, (4, 9, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    return [np.ascontiguousarray(wide[:, i // 4 : i // 4 + 112]) for i in range(num_frames)]


def mixed(one: list[np.ndarray], other: list[np.ndarray], num_frames: int) -> list[np.ndarray]:
    """A dissolve of the end of one scene into the beginning of another."""
    shares = np.linspace(0, 1, num_frames + 2)[1:-1]
    pairs = zip(shares, one[-num_frames:], other[:num_frames], strict=True)
    between = [((1 - share) * a + share * b).astype(np.uint8) for share, a, b in pairs]
    return one[:-num_frames] + between + other[num_frames:]


@pytest.mark.parametrize("num_frames", [8, 12, 20])
def test_the_frames_of_a_dissolve_belong_to_no_shot(num_frames):
    ((end, start),) = boundaries_of(mixed(calm(1, 80), calm(2, 80), num_frames))
    first, last = 80 - num_frames, 79
    assert abs(end - first) <= 6
    assert abs(start - (last + 1)) <= 6


@pytest.mark.parametrize("level", [0, 255])
def test_fades_out_and_in_are_transitions(level):
    flat = [np.full((64, 112, 3), level, np.uint8)] * 40
    faded = mixed(calm(1, 60), flat, 16)
    found = boundaries_of(faded[:-1] + mixed([*flat[:1]] * 20, calm(2, 60), 16))
    assert all(end <= start for end, start in found)
    assert any(abs(end - 44) <= 6 and abs(start - 60) <= 6 for end, start in found)
    assert len(found) in {1, 2}


def test_a_pan_is_no_transition():
    wide = np.random.default_rng(3).integers(0, 256, (8, 90, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    assert boundaries_of([np.ascontiguousarray(wide[:, 6 * i : 6 * i + 112]) for i in range(90)]) == []


def test_a_video_may_end_in_a_fade():
    flat = [np.zeros((64, 112, 3), np.uint8)] * 16
    ((end, start),) = boundaries_of(mixed(calm(1, 60), flat, 14))
    assert abs(end - 46) <= 6
    assert end < start <= 62


def test_a_hard_cut_is_the_first_frame_of_the_new_shot():
    assert cuts_of(scene(1, 30) + scene(2, 30)) == [30]


def test_one_scene_has_no_cut():
    assert cuts_of(scene(1, 90)) == []


def test_no_frames_no_cuts():
    assert CutFinder(CurationConfig()).finish() == []


@pytest.mark.parametrize("num_white", [1, 2])
def test_a_flash_is_no_cut(num_white):
    frames = scene(1, 60)
    for index in range(30, 30 + num_white):
        frames[index] = np.full_like(frames[index], 255)
    assert cuts_of(frames) == []


def test_black_between_two_shots_is_a_shot_of_its_own():
    black = [np.zeros((64, 112, 3), np.uint8)] * 20
    assert cuts_of(scene(1, 30) + black + scene(2, 30)) == [30, 50]


def test_the_fast_detector_scores_as_pyscenedetect_does():
    plain, fast = AdaptiveDetector(), FastAdaptiveDetector()
    for index, frame in enumerate(scene(1, 5) + scene(2, 5)):
        timecode = FrameTimecode(index, fps=25.0)
        assert plain._calculate_frame_score(timecode, frame) == pytest.approx(
            fast._calculate_frame_score(timecode, frame)
        )


@pytest.mark.footage
def test_hard_cuts_of_real_edits(footage):
    totals = np.zeros(3, int)
    for entry in json.loads((footage / "index.json").read_text())["files"]:
        if not entry["name"].startswith("shots/"):
            continue
        finder, found = CutFinder(CurationConfig()), []
        with open_video(footage / entry["name"]) as container:
            for decoded in Reading(container):
                found += finder.push(decoded.index, decoded.rgb(SHOT_SHORT_SIDE_PX, coarse=True))
        found += finder.finish()
        cuts = [each.start for each in found if each.start == each.end]
        ignore = [(gradual["start"], gradual["end"]) for gradual in entry["transitions"]]
        ignore += [(cut, cut) for cut in entry["ambiguous"]]
        totals += match_cuts(cuts, entry["cuts"], ignore)
        if "flash" in entry["name"]:
            assert found == []
    hits, false, missed = totals
    assert 2 * hits / (2 * hits + false + missed) >= 0.95


@pytest.mark.footage
def test_single_shot_clips_stay_whole(footage):
    for path in sorted((footage / "clips").glob("davis_*.mp4")):
        finder, found = CutFinder(CurationConfig()), []
        with open_video(path) as container:
            try:
                for decoded in Reading(container):
                    found += finder.push(decoded.index, decoded.rgb(SHOT_SHORT_SIDE_PX, coarse=True))
            except BadInput as error:
                pytest.fail(str(error))
        assert found + finder.finish() == [], path.name
