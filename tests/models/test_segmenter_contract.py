"""What every segmenter holds to, and how SAM 2 is steered: seeds, both directions, late entries, memory.

The weights are random, so what the masks show means nothing; from where to where they go does.
"""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from synthetic_shot import BLUE, RED, Disc, frame_of, shot

from actors.models.sam2 import MAX_OBJECTS
from schemas.subject import Detection, Track
from schemas.video import Footage, Mask
from stages import masks
from tests.models.checkpoints.sam2 import build
from tests.models.roles import role

SAM2 = "models.sam2:Sam2Segmenter"
REAL: dict[str, tuple[Any, ...]] = {
    "sam2-large": (SAM2, "facebook/sam2.1-hiera-large", build),
    "sam2-tiny": (SAM2, "facebook/sam2.1-hiera-tiny", build),
}
TWO = [Disc((70, 70), (2.2, 0.3), 28, colour=RED), Disc((250, 170), (-2.2, 0.2), 30, colour=BLUE)]


@pytest.fixture(scope="module", params=["embedded", *REAL])
def segmenter(request: pytest.FixtureRequest) -> Any:
    return role("segmenter", *REAL.get(request.param, ("segmenter:FlowSegmenter",)))


@pytest.fixture(scope="module")
def sam2() -> Any:
    return role("segmenter", *REAL["sam2-large"])


@pytest.fixture(scope="module")
def moving() -> tuple[Footage, list[list[Mask]]]:
    """Anchors twice the size of the passage, as in mining."""
    footage, truth = shot(TWO, num_frames=24, num_anchors=3)
    images = [cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC) for image in footage.images]
    footage = replace(footage, images=images, frame_px=images[0].shape[:2])
    return footage, [[masks.resize(mask, *images[0].shape[:2]) for mask in found] for found in truth]


def boxes(truth: list[Mask], phrase: str = "subject") -> list[Detection]:
    return [Detection(box, phrase, 0.9) for mask in truth if (box := masks.box_of(mask)) is not None]


def same(some: list[Track], others: list[Track]) -> bool:
    """The same masks at the same anchors, and scores equal to float32's last digits."""
    return len(some) == len(others) and all(
        one.category == other.category
        and one.masks.keys() == other.masks.keys()
        and all(masks.iou(one.masks[at], other.masks[at]) > 0.999 for at in one.masks)
        and one.scores == pytest.approx(other.scores, abs=1e-4)
        for one, other in zip(some, others, strict=True)
    )


def check(tracks: list[Track], footage: Footage, phrases: set[str]) -> None:
    assert tracks
    for track in tracks:
        assert track.category in phrases
        assert track.masks.keys() == track.scores.keys() <= set(footage.anchors)
        assert track.masks
        for anchor, mask in track.masks.items():
            assert mask.dtype == np.bool_
            assert mask.shape == footage.images[anchor].shape[:2]
            assert mask.any()
            assert 0 <= track.scores[anchor] <= 1
            assert isinstance(track.scores[anchor], float)
    for anchor in footage.anchors:
        here = [track.masks[anchor].astype(int) for track in tracks if anchor in track.masks]
        assert not here or np.sum(here, axis=0).max() == 1


def test_masks_are_of_the_anchors_size_and_do_not_overlap(segmenter, moving):
    footage, truth = moving
    check(segmenter.segment(footage, [boxes(found) for found in truth]), footage, {"subject"})


def test_the_same_footage_has_the_same_masks(segmenter, moving):
    footage, truth = moving
    once, again = (segmenter.segment(footage, [boxes(found) for found in truth]) for _ in range(2))
    assert same(once, again)


def test_without_detections_there_are_no_tracks(segmenter, moving):
    footage, _ = moving
    assert segmenter.segment(footage, [[] for _ in footage.anchors]) == []
    assert segmenter.segment(Footage([], [], [], []), []) == []


@pytest.mark.parametrize("size", [(97, 61), (61, 97), (240, 320)])
def test_stills_of_any_size_are_segmented_one_by_one(segmenter, size):
    image = cv2.resize(frame_of(0, TWO)[0], size[::-1])
    other = cv2.resize(frame_of(9, TWO)[0], (64, 80))
    footage = Footage([image, other], [0, 9], [0.0, 0.4], [0, 1])
    inner = (size[1] * 0.1, size[0] * 0.1, size[1] * 0.6, size[0] * 0.7)
    tracks = segmenter.segment(footage, [[Detection(inner, "dog", 0.7)], [Detection((4, 4, 40, 50), "cat", 0.7)]])
    check(tracks, footage, {"dog", "cat"})
    assert all(len(track.masks) == 1 for track in tracks)
    assert {at for track in tracks for at in track.masks} == {0, 1}


def test_a_detection_at_one_anchor_gives_masks_before_and_after(sam2, moving):
    footage, truth = moving
    for only in range(3):
        found = [boxes(truth[only][:1]) if number == only else [] for number in range(3)]
        (track,) = sam2.segment(footage, found)
        assert sorted(track.masks) == footage.anchors


def test_objects_do_not_depend_on_which_others_are_followed_with_them(sam2, moving):
    footage, truth = moving
    together = sam2._follow(*seeded(footage, boxes(truth[0])))
    alone = [sam2._follow(*seeded(footage, [each]))[0] for each in boxes(truth[0])]
    assert len(together) == 2
    assert not same(together[:1], together[1:])
    assert same(together, alone)
    one_by_one = role("segmenter", *REAL["sam2-large"], batch_size=1)
    found = [boxes(at) for at in truth]
    assert same(sam2.segment(footage, found), one_by_one.segment(footage, found))


def seeded(footage: Footage, objects: list[Detection], anchor: int = 0) -> tuple[Any, int, list[Detection]]:
    from actors.models.sam2 import _clips

    (clip,) = _clips(footage)
    return clip, anchor, objects


def test_anchors_are_read_at_full_size(sam2, moving):
    footage, _ = moving
    clip, _, _ = seeded(footage, [])
    sizes = [picture.shape[:2] for picture in clip.pictures]
    assert len(sizes) == 24
    assert [sizes[place] for place in clip.places.values()] == [(480, 640)] * 3
    assert sizes.count((240, 320)) == 21


def test_forgetting_changes_nothing_and_memory_is_bounded(monkeypatch):
    """Against the library's own loop over a passage that is held whole; longer than what the tracker remembers."""
    footage, truth = shot(TWO[:1], num_frames=60, num_anchors=29)
    segmenter = role("segmenter", *REAL["sam2-large"])
    held = []

    def forget(session: Any, *arguments: int) -> None:
        real_forget(session, *arguments)
        outputs = session.output_dict_per_obj[0]
        held.append(len(outputs["non_cond_frame_outputs"]))
        assert all("high_res_masks" not in kept for each in outputs.values() for kept in each.values())

    real_forget = segmenter._forget
    monkeypatch.setattr(segmenter, "_forget", forget)
    (track,) = segmenter._follow(*seeded(footage, boxes(truth[14]), anchor=14))
    assert max(held) <= 2 * segmenter._reach + 2
    expected = by_the_library(segmenter, footage, boxes(truth[14])[0], 14)
    assert track.masks.keys() == expected.keys() == set(footage.anchors)
    for anchor, mask in expected.items():
        assert (track.masks[anchor] == mask).all()


def by_the_library(segmenter: Any, footage: Footage, detection: Detection, anchor: int) -> dict[int, Mask]:
    processor, model = segmenter._processor, segmenter._model
    session = processor.init_video_session(
        video=footage.passage.images, inference_device=next(model.parameters()).device
    )
    places = {footage.passage.indices.index(footage.indices[at]): at for at in footage.anchors}
    start = next(place for place, at in places.items() if at == anchor)
    processor.add_inputs_to_inference_session(session, start, [1], input_boxes=[[list(detection.box)]])
    found = {}
    for reverse in (False, True):
        for seen in model.propagate_in_video_iterator(session, start_frame_idx=start, reverse=reverse):
            if seen.frame_idx in places:
                (mask,) = processor.post_process_masks([seen.pred_masks], [footage.images[0].shape[:2]])
                found[places[seen.frame_idx]] = mask[0, 0].numpy()
    return found


class Follower:
    """Stands in for the model: follows each box to the true masks of what it is on, and notes what it was asked."""

    def __init__(self, truth: list[list[Mask]], lost: dict[int, set[int]] | None = None) -> None:
        self.truth, self.lost = truth, lost or {}
        self.asked: list[tuple[int, int]] = []

    def __call__(self, _clip: Any, anchor: int, objects: list[Detection]) -> list[Track]:
        self.asked.append((anchor, len(objects)))
        return [self._track(anchor, each) for each in objects]

    def _track(self, anchor: int, detection: Detection) -> Track:
        overlaps = [masks.box_iou(detection.box, masks.box_of(mask) or (0, 0, 0, 0)) for mask in self.truth[anchor]]
        disc = int(np.argmax(overlaps))
        seen = {
            at: found[disc]
            for at, found in enumerate(self.truth)
            if found[disc].any() and (at == anchor or at not in self.lost.get(disc, ()))
        }
        return Track(detection.phrase, seen, dict.fromkeys(seen, 0.9))


@pytest.fixture
def followed(sam2, moving, monkeypatch):
    """Segments what is given with a Follower instead of the model."""
    footage, truth = moving

    def segment(found: list[list[Detection]], own: list[list[Mask]] = truth, **lost: Any) -> tuple[list[Track], Any]:
        follower = Follower(own, **lost)
        monkeypatch.setattr(sam2, "_follow", follower)
        return sam2.segment(footage, found), follower

    return segment


def test_the_anchor_with_the_surest_detections_comes_first_and_explains_the_others(followed, moving):
    _, truth = moving
    tracks, follower = followed([boxes(truth[0][:1]), boxes(truth[1]), boxes(truth[2][1:])])
    assert follower.asked == [(1, 2)]
    assert [sorted(track.masks) for track in tracks] == [[0, 1, 2], [0, 1, 2]]


def test_who_enters_late_is_seeded_where_seen(followed, moving):
    _, truth = moving
    late = [[first, second & (at == 2)] for at, (first, second) in enumerate(truth)]
    tracks, follower = followed([boxes(found) for found in late], late)
    assert follower.asked == [(2, 2)]
    assert [sorted(track.masks) for track in tracks] == [[0, 1, 2], [2]]
    tracks, follower = followed([boxes(late[0]), boxes(late[1]), boxes(late[2][1:])], late)
    assert follower.asked == [(0, 1), (2, 1)]
    assert [sorted(track.masks) for track in tracks] == [[0, 1, 2], [2]]


def test_a_track_that_was_lost_is_found_again_and_stays_one(followed, moving):
    _, truth = moving
    found = [[*boxes(first), *boxes([second], "ball")] for first, second in ((at[:1], at[1]) for at in truth)]
    tracks, follower = followed(found, lost={0: {2}})
    assert follower.asked == [(0, 2), (2, 1)]
    assert [(track.category, sorted(track.masks)) for track in tracks] == [("subject", [0, 1, 2]), ("ball", [0, 1, 2])]


def test_two_boxes_or_names_of_one_thing_make_one_track(followed, moving):
    _, truth = moving
    twice = [*boxes(truth[0][:1]), *boxes(truth[0][:1]), *boxes(truth[0][:1], "ball")]
    tracks, _ = followed([twice, boxes(truth[1][:1], "ball"), []])
    assert [track.category for track in tracks] == ["subject"]


def test_no_more_objects_at_once_than_the_batch(followed, moving):
    _, truth = moving
    _, follower = followed([boxes(truth[0]) * 2, [], []])
    assert follower.asked == [(0, 2), (0, 2)]


def test_a_crowd_is_followed_up_to_a_bound(followed, moving):
    height, width = moving[0].images[0].shape[:2]
    crowd = [np.zeros((height, width), np.bool_) for _ in range(2 * MAX_OBJECTS)]
    for number, mask in enumerate(crowd):
        mask[4 + 14 * (number // 12) :, 4 + 14 * (number % 12) :][:10, :10] = True
    tracks, follower = followed([boxes(crowd)] * 3, [crowd] * 3)
    assert len(tracks) == MAX_OBJECTS == sum(number for _, number in follower.asked)


def test_objects_that_do_not_fit_together_are_followed_one_by_one(sam2, moving, monkeypatch):
    footage, truth = moving
    together = sam2.segment(footage, [boxes(found) for found in truth])
    follow = sam2._follow

    def small(clip: Any, anchor: int, objects: list[Detection]) -> list[Track]:
        if len(objects) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return follow(clip, anchor, objects)

    monkeypatch.setattr(sam2, "_follow", small)
    assert same(sam2.segment(footage, [boxes(found) for found in truth]), together)


def test_tracks_are_found_in_bfloat16_too(moving):
    footage, truth = moving
    segmenter = role("segmenter", *REAL["sam2-large"], dtype="bfloat16")
    check(segmenter.segment(footage, [boxes(found) for found in truth]), footage, {"subject"})
