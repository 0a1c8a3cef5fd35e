from dataclasses import replace

import numpy as np
import pytest
from synthetic_clip import clip

from actors.video_generator import RehearsalGenerator
from schemas.edit import Action
from schemas.passes import EditPass
from stages import camera, masks, paste_back
from stages.edit_clip import Generation, edit_clip
from stages.leakage import Leakage
from stages.passes import plan_passes
from stages.tubes import Sizing

HOW = Generation("clip", max_frames=17, overlap=5)


def grown(track, radius_px: float) -> np.ndarray:
    return np.stack([masks.dilate(mask, radius_px) for mask in track.masks])


def passes_of(action: Action, tracks, reference) -> list[EditPass]:
    first, second = tracks
    if action is Action.BACKGROUND:
        return [EditPass(action, ~(first.masks | second.masks), ((),), "snowy forest")]
    references = (reference,) if action is Action.ADD else ()
    region = grown(first, 4) & ~second.masks
    return [EditPass(action, region, ((0,),), "a green ball", references=references)]


@pytest.fixture(scope="module")
def scene():
    return clip(40)


@pytest.fixture(scope="module")
def surveyed(scene):
    frames, tracks, _ = scene
    return camera.survey(frames, [track.masks for track in tracks])


@pytest.mark.parametrize("sizing", list(Sizing))
@pytest.mark.parametrize("action", list(Action))
def test_every_action_leaves_what_is_beyond_the_feather_bit_exact(scene, surveyed, action, sizing):
    frames, tracks, _ = scene
    reference = np.full((40, 40, 3), 255, np.uint8)
    reference[8:32, 8:32] = (20, 160, 60)
    passes = passes_of(action, tracks, reference)
    how = replace(HOW, sizing=sizing, native_pixels=320 * 240)
    edited = list(edit_clip(frames, tracks, passes, RehearsalGenerator(17).generate, how, surveyed))
    assert len(edited) == len(frames)
    reach = paste_back.feather_px(*frames[0].shape[:2])
    for number, (before, after) in enumerate(zip(frames, edited, strict=True)):
        region = passes[0].masks[number]
        beyond = masks.distance_to(region) >= reach
        assert np.array_equal(before[beyond], after[beyond])
        assert (before[region] != after[region]).any()


class Recorder:
    """A generator that keeps what it was asked and paints everything one level of grey per call."""

    def __init__(self) -> None:
        self.requests = []

    def generate(self, request):
        self.requests.append(request)
        level = 40 * len(self.requests)
        return [np.full_like(frame, level) for frame in request.frames]


def test_a_window_is_guided_by_what_the_one_before_drew_where_both_are(scene):
    frames, tracks, _ = scene
    recorder = Recorder()
    list(edit_clip(frames, tracks, passes_of(Action.REPLACE, tracks, None), recorder.generate, HOW))
    first, second, *_ = recorder.requests
    assert first.controls is None
    shared = [number for number, control in enumerate(second.controls) if not (control == 127).all()]
    assert shared == list(range(len(shared)))
    assert len(shared) >= HOW.overlap
    core = second.subjects[0]
    assert np.abs(second.controls[0][core].astype(int) - 40).max() <= 1


def test_seeds_follow_from_key_attempt_pass_and_window_alone(scene):
    frames, tracks, _ = scene

    def seeds(how):
        recorder = Recorder()
        passes = plan_passes([EditPass(Action.REPLACE, track.masks, ((n,),), f"{n}") for n, track in enumerate(tracks)])
        list(edit_clip(frames, tracks, passes, recorder.generate, how))
        return [request.seed for request in recorder.requests]

    assert seeds(HOW) == seeds(HOW)
    assert len(set(seeds(HOW))) == len(seeds(HOW)) > 2
    assert not set(seeds(HOW)) & set(seeds(replace(HOW, attempt=1)))


def test_frames_stream_and_no_more_than_a_window_is_read_ahead(scene):
    frames, tracks, _ = scene
    read = 0

    def reading():
        nonlocal read
        for frame in frames:
            read += 1
            yield frame

    passes = passes_of(Action.REPLACE, tracks, None)
    for number, _ in enumerate(edit_clip(reading(), tracks, passes, RehearsalGenerator(17).generate, HOW)):
        assert read - number <= HOW.max_frames


def test_a_target_that_comes_late_costs_no_window_before(scene):
    frames, tracks, _ = scene
    late = tracks[0].masks.copy()
    late[:30] = False
    recorder = Recorder()
    passes = [EditPass(Action.REPLACE, late, ((0,),), "x")]
    edited = list(edit_clip(frames, tracks, passes, recorder.generate, HOW))
    assert len(recorder.requests) == 1
    assert all(one is other for one, other in zip(frames[:30], edited[:30], strict=True))


@pytest.mark.parametrize("change", [-1, 1])
def test_frames_that_are_not_as_many_as_the_masks_are_an_error(scene, change):
    frames, tracks, _ = scene
    given = frames[:change] if change < 0 else [*frames, frames[-1]]
    with pytest.raises(ValueError, match="frames"):
        list(edit_clip(given, tracks, passes_of(Action.REPLACE, tracks, None), RehearsalGenerator(17).generate, HOW))


def test_passes_go_from_the_background_to_the_front_and_what_is_alike_is_one(scene):
    _, tracks, _ = scene
    one, two = (
        EditPass(Action.REPLACE, track.masks, ((n,),), f"t{n}", nearness=1.0 - n) for n, track in enumerate(tracks)
    )
    back = EditPass(Action.BACKGROUND, ~one.masks, ((),), "sea", nearness=2.0)
    assert [each.target for each in plan_passes([one, two, back])] == ["sea", "t1", "t0"]
    (same,) = plan_passes([one, replace(two, target="t0")])
    assert same.targets == ((0, 1),)
    assert np.array_equal(same.masks, one.masks | two.masks)
    joint = plan_passes([one, two, back], joint=True)
    assert [each.targets for each in joint] == [((),), ((0,), (1,))]


def test_one_pass_per_target_leaks_next_to_nothing_and_a_joint_one_much(scene):
    frames, tracks, _ = scene
    wanted = [EditPass(Action.REPLACE, track.masks, ((n,),), ("green", "white")[n]) for n, track in enumerate(tracks)]
    found = {}
    for joint in (False, True):
        passes = plan_passes(wanted, joint)
        leakage = Leakage(tracks, passes)
        list(edit_clip(frames, tracks, passes, RehearsalGenerator(17).generate, HOW, leakage=leakage))
        found[joint] = [share for shares in leakage.shares() for share in shares]
    assert len(found[False]) == len(found[True]) == 2
    assert max(found[False]) < 0.01
    assert min(found[True]) > 0.2


def test_a_control_is_shown_where_something_is_replaced_and_gives_way_to_what_was_drawn_before(scene):
    frames, tracks, _ = scene
    recorder, asked = Recorder(), []

    def nearness(images, masks):
        asked.append([len(each) for each in masks])
        return [np.full(image.shape[:2], 0.5, np.float32) for image in images]

    passes = passes_of(Action.REPLACE, tracks, None)[:1]
    list(edit_clip(frames, tracks, passes, recorder.generate, HOW, control=nearness))
    first, second = recorder.requests[:2]
    assert asked[0] == [1] * len(first.frames)
    assert all((control == 128).all() for control in first.controls)
    assert not (second.controls[0] == 128).all()  # what the window before drew
    assert (second.controls[-1] == 128).all()
    removing, recorder.requests = passes_of(Action.REMOVE, tracks, None)[:1], []
    list(edit_clip(frames, tracks, removing, recorder.generate, HOW, control=nearness))
    assert recorder.requests[0].controls is None  # depth would draw what is to go
