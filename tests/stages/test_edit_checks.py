"""Checks of an edit: what is right passes; what is frozen, blurred, flickering or leaking does not get away with it."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.config import EditThresholds
from schemas.reasons import Reason
from stages import edit_checks, masks

SIZE, NUM_FRAMES, FEATHER_PX = (120, 160), 10, 3.0


def texture(seed: int, size: tuple[int, int]) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 255, (size[0] // 4, size[1] // 4, 3), np.uint8)
    return cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)


GROUND, SUBJECT, TARGET = texture(0, SIZE), texture(1, (48, 40)), texture(2, (48, 40))


def place(number: int) -> tuple[slice, slice]:
    return slice(30, 78), slice(20 + 4 * number, 60 + 4 * number)


def video(subject: np.ndarray) -> list[np.ndarray]:
    frames = []
    for number in range(NUM_FRAMES):
        frames.append(GROUND.copy())
        frames[-1][place(number)] = subject
    return frames


def region() -> np.ndarray:
    made = np.zeros((NUM_FRAMES, *SIZE), bool)
    for number in range(NUM_FRAMES):
        made[(number, *place(number))] = True
    return made


SOURCE, CLEAN = video(SUBJECT), video(TARGET)


def reasons(edited, **options) -> list[Reason]:
    scores = edit_checks.measure(SOURCE, edited, region(), FEATHER_PX, **options)
    return edit_checks.judge(scores, EditThresholds()).reasons


def everywhere(change) -> list[np.ndarray]:
    """`change(frame number, part)` of the edited subject in every frame."""
    frames = [frame.copy() for frame in CLEAN]
    for number, frame in enumerate(frames):
        frame[place(number)] = np.clip(change(number, frame[place(number)].astype(float)), 0, 255)
    return frames


def test_a_clean_edit_passes():
    assert reasons(CLEAN) == []


def test_a_frozen_edit_is_caught():
    """What stands under the mask is the same picture in every frame: without flicker, and without the motion."""
    still = texture(3, SIZE)
    frames = [np.where(mask[..., None], still, frame) for mask, frame in zip(region(), SOURCE, strict=True)]
    assert Reason.FROZEN in reasons(frames)


def test_a_blurred_edit_is_caught_though_it_warps_better_than_the_clean_one():
    blurred = everywhere(lambda _, part: cv2.GaussianBlur(part, (0, 0), 5))
    assert reasons(blurred) == [Reason.UNSHARP]
    clean, soft = (edit_checks.measure(SOURCE, each, region(), FEATHER_PX) for each in (CLEAN, blurred))
    assert soft["warping_error"] <= clean["warping_error"]
    assert soft["flicker"] <= clean["flicker"] + 1


def test_flicker_is_caught():
    assert Reason.FLICKER in reasons(everywhere(lambda number, part: part + 16 * (-1) ** number))


def test_noise_drawn_anew_in_every_frame_is_caught():
    random = np.random.default_rng(0)
    assert Reason.UNSTEADY in reasons(everywhere(lambda _, part: random.uniform(0, 255, part.shape)))


def test_a_leak_in_a_single_frame_is_caught():
    leaking = [frame.copy() for frame in CLEAN]
    leaking[6][100:118, 4:40] = 255 - leaking[6][100:118, 4:40]
    assert reasons(leaking)[0] == Reason.BACKGROUND_CHANGED


def test_a_video_that_is_a_frame_late_is_caught():
    assert Reason.BACKGROUND_CHANGED in reasons([CLEAN[0], *CLEAN[:-1]])


@pytest.mark.parametrize("edited", [CLEAN[:-1], [*CLEAN, CLEAN[-1]], [frame[:-2] for frame in CLEAN]])
def test_frames_that_are_lost_too_many_or_of_another_size_are_caught(edited):
    assert Reason.FRAMES_LOST in reasons(edited)


def test_an_edit_that_did_nothing_is_caught():
    assert Reason.UNEDITED in reasons(SOURCE)


def test_a_hard_edge_where_paste_back_ends_is_caught():
    frames = []
    for mask, frame in zip(region(), CLEAN, strict=True):
        rim = masks.dilate(mask, FEATHER_PX) & ~mask
        frames.append(np.where(rim[..., None], np.uint8(255), frame))
    assert Reason.SEAM in reasons(frames)


def test_what_is_removed_must_not_look_like_its_motion():
    """The clean background is right for a removal and wrong for a replacement, which must move as the subject did."""
    removed = [GROUND] * NUM_FRAMES
    assert reasons(removed, emptied=region()) == []
    assert Reason.FROZEN in reasons(removed)


def test_a_changed_threshold_judges_stored_scores():
    scores = edit_checks.measure(SOURCE, CLEAN, region(), FEATHER_PX)
    assert not edit_checks.judge(scores, EditThresholds(min_sharpness=50.0)).passed
    assert edit_checks.judge({**scores, "count_share": None}, EditThresholds()).passed


def test_background_psnr_leaves_the_edit_out_of_both_pictures():
    """Masking the edited picture alone would count the subject that was replaced as an error of the background."""
    scores = edit_checks.measure(SOURCE, CLEAN, region(), FEATHER_PX)
    assert scores["background_psnr"] == edit_checks.MAX_PSNR
    assert scores["background_ssim"] == 1.0


def test_counts_are_asked_for_and_never_assumed():
    expected = [2, 2, 1]
    assert edit_checks.count_share(SOURCE[:3], expected, None) is None
    assert edit_checks.count_share(SOURCE[:3], expected, lambda frames: None) is None
    assert edit_checks.count_share(SOURCE[:3], expected, lambda frames: [2, 1, 1]) == pytest.approx(2 / 3)


def test_target_identity_takes_the_nearest_reference():
    def embed(subjects):
        return np.array([[1.0, 0.0] if image[0, 0, 0] else [0.0, 1.0] for image, _ in subjects], np.float32)

    white, black, mask = np.full((4, 4, 3), 255, np.uint8), np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), bool)
    assert edit_checks.target_identity([(white, mask)], [(black, mask), (white, mask)], embed) == 1.0
    assert edit_checks.target_identity([(white, mask)], [(black, mask)], embed) == 0.0
    assert edit_checks.target_identity([(white, mask)], [], embed) is None


@given(st.integers(0, 2**32 - 1), st.integers(1, 255))
def test_background_scores_do_not_depend_on_what_is_inside(seed, level):
    random = np.random.default_rng(seed)
    before, after = (random.integers(0, 255, (40, 50, 3), np.uint8) for _ in range(2))
    inside = np.zeros((40, 50), bool)
    inside[10:25, 12:30] = True
    other = np.where(masks.dilate(inside, 2.0)[..., None], np.uint8(level), after)
    found = []
    for edited in (after, other):
        scores = edit_checks.PictureScores()
        scores.add(before, edited, inside, 2.0, inside, np.zeros_like(inside))
        found.append([scores.scores()[name] for name in ("background_psnr", "background_ssim", "background_blocks")])
    assert found[0] == pytest.approx(found[1])


def test_a_new_place_is_not_held_against_its_own_edges_and_blur_but_an_old_one_is_found():
    smooth = cv2.GaussianBlur(texture(3, SIZE), (0, 0), 6)
    outside = ~region()
    swapped = [np.where(mask[..., None], smooth, frame) for frame, mask in zip(SOURCE, outside, strict=True)]
    wide = edit_checks.measure(SOURCE, swapped, outside, FEATHER_PX, scene=outside)
    assert wide["seam"] is None
    assert wide["sharpness"] is None
    assert edit_checks.judge(wide, EditThresholds()).passed
    same = edit_checks.measure(SOURCE, SOURCE, outside, FEATHER_PX, scene=outside)
    assert Reason.UNEDITED in edit_checks.judge(same, EditThresholds()).reasons


def test_of_several_parts_the_worst_counts():
    everything = np.ones((NUM_FRAMES, *SIZE), bool)
    blurred = everywhere(lambda _, part: cv2.GaussianBlur(part, (0, 0), 4))
    scores = edit_checks.measure(SOURCE, blurred, everything, FEATHER_PX, core=region(), scene=~region())
    assert Reason.UNSHARP in edit_checks.judge(scores, EditThresholds()).reasons
