import numpy as np
import pytest
from synthetic_clip import clip

from actors.video_generator import RehearsalGenerator
from schemas.edit import Action
from schemas.fill import Surroundings, VideoFillRequest, View
from stages import camera, facts, masks
from stages.appearance import COLOURS


def request_of(action: Action, num_frames: int = 12, **rest) -> tuple[VideoFillRequest, list[np.ndarray]]:
    frames, (first, second), empty = clip(48)
    surveyed = camera.survey(frames, [first.masks, second.masks])
    regions = list(first.masks[:num_frames])
    if action is Action.BACKGROUND:
        regions = [~(one | other) for one, other in zip(first.masks, second.masks, strict=True)][:num_frames]
    elif action is Action.REMOVE:
        regions = [masks.dilate(mask, 4) & ~other for mask, other in zip(regions, second.masks, strict=False)]
    request = VideoFillRequest(
        frames=frames[:num_frames],
        masks=regions,
        prompt="",
        seed=3,
        action=action,
        subjects=list(first.masks[:num_frames]),
        surroundings=Surroundings(surveyed.to_plane[:num_frames], surveyed.views),
        **rest,
    )
    return request, empty[:num_frames]


@pytest.mark.parametrize("action", list(Action))
def test_what_is_outside_the_masks_comes_back_bit_exact_and_the_same_every_time(action):
    request, _ = request_of(action, target="striped")
    made = RehearsalGenerator().generate(request)
    again = RehearsalGenerator().generate(request)
    for frame, mask, one, other in zip(request.frames, request.masks, made, again, strict=True):
        assert np.array_equal(one[~mask], frame[~mask])
        assert (one[mask] != frame[mask]).any()
        assert np.array_equal(one, other)


def test_a_named_colour_is_that_colour_with_the_shade_of_the_source():
    request, _ = request_of(Action.REPLACE, target="a green ball")
    made = RehearsalGenerator().generate(request)
    core = masks.erode(request.masks[0], 3)
    assert facts.name_colors(made[0], core) == ["green"]
    before, after = (image[core].mean(axis=1).astype(float) for image in (request.frames[0], made[0]))
    assert np.corrcoef(before, after)[0, 1] > 0.8


@pytest.mark.parametrize("name", facts.COLORS)
def test_every_colour_that_captions_name_can_be_asked_for(name):
    patch = np.full((20, 20, 3), COLOURS[name], np.uint8)
    assert facts.name_colors(patch, np.ones((20, 20), bool)) == [name]


def test_a_texture_moves_with_the_subject_and_not_with_the_picture():
    request, _ = request_of(Action.REPLACE, num_frames=12, target="zebra")
    made = RehearsalGenerator().generate(request)
    patches = []
    for number in (2, 9):
        x0, y0, _, _ = (int(side) for side in masks.box_of(request.masks[number]))
        patches.append(made[number][y0 + 12 : y0 + 40, x0 + 12 : x0 + 40].mean(axis=2))
    assert np.corrcoef(patches[0].ravel(), patches[1].ravel())[0, 1] > 0.85


def test_what_is_removed_leaves_the_place_that_other_frames_show():
    request, empty = request_of(Action.REMOVE)
    made = RehearsalGenerator().generate(request)
    errors = [
        np.abs(one[mask].astype(int) - true[mask]).mean()
        for one, true, mask in zip(made, empty, request.masks, strict=True)
    ]
    untouched = np.abs(request.frames[0][request.masks[0]].astype(int) - empty[0][request.masks[0]]).mean()
    assert np.mean(errors) < 8 < 0.2 * untouched


def test_a_reference_is_carried_along_where_the_subject_goes():
    reference = np.full((60, 60, 3), 255, np.uint8)
    rows, columns = np.mgrid[:60, :60]
    reference[np.hypot(rows - 30, columns - 30) < 24] = (250, 220, 20)
    request, _ = request_of(Action.REPLACE, references=[reference])
    made = RehearsalGenerator().generate(request)
    for number in (1, 10):
        assert facts.name_colors(made[number], masks.erode(request.masks[number], 5)) == ["yellow"]


def test_a_background_keeps_its_subjects():
    request, _ = request_of(Action.BACKGROUND, target="snowy forest")
    made = RehearsalGenerator().generate(request)
    assert np.array_equal(made[3][~request.masks[3]], request.frames[3][~request.masks[3]])
    difference = np.abs(made[3][request.masks[3]].astype(int) - request.frames[3][request.masks[3]])
    assert np.median(difference) > 20


@pytest.mark.parametrize("action", list(Action))
def test_without_surroundings_its_own_frames_are_enough(action):
    request, _ = request_of(action, target="blue")
    bare = VideoFillRequest(request.frames, request.masks, "blue", 1, action=action)
    assert len(RehearsalGenerator().generate(bare)) == len(request.frames)


def test_too_many_frames_and_what_does_not_fit_are_refused():
    request, _ = request_of(Action.REPLACE)
    with pytest.raises(ValueError, match="1 to 8"):
        RehearsalGenerator(8).generate(request)
    with pytest.raises(ValueError, match="as many"):
        RehearsalGenerator().generate(VideoFillRequest(request.frames, request.masks[1:], "", 0))
    with pytest.raises(ValueError, match="one size"):
        RehearsalGenerator().generate(VideoFillRequest(request.frames, [m[1:] for m in request.masks], "", 0))


def test_the_camera_of_a_panning_clip_is_found():
    frames, tracks, _ = clip(30)
    path = camera.survey(frames, [track.masks for track in tracks]).to_plane
    centre = np.array([[160.0, 120.0]])
    shifts = [camera.mapped(matrix, centre)[0] - centre[0] for matrix in path]
    assert np.allclose([x for x, _ in shifts], np.arange(30), atol=0.7)
    assert np.allclose([y for _, y in shifts], 0, atol=0.7)


def test_views_hide_everything_that_stands_in_front():
    frames, tracks, _ = clip(10)
    for view in camera.survey(frames, [track.masks for track in tracks]).views:
        assert isinstance(view, View)
        assert view.subjects.any()
