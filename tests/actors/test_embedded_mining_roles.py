"""Detector, segmenter, embedder and depth that need no model: a made-up shot with known truth, and real ones."""

import numpy as np
import pytest
from synthetic_shot import BLUE, RED, Disc, frame_of, shot

from actors.depth import GroundContactDepth
from actors.detector import MotionDetector, suppress
from actors.embedder import DescriptorEmbedder
from actors.segmenter import FlowSegmenter
from schemas.subject import Detection
from schemas.video import Footage
from stages import masks

ONE = [Disc((80, 110), (2.5, 0.4), 34)]
TWO = [Disc((70, 70), (2.2, 0.3), 28, colour=RED), Disc((250, 170), (-2.2, 0.2), 30, colour=BLUE)]


def test_moving_discs_are_boxed_and_cut_out_with_confidence() -> None:
    footage, truth = shot(TWO)
    detections = MotionDetector().detect(footage, ["subject"])
    assert len(detections) == len(footage.anchors)
    tracks = FlowSegmenter().segment(footage, detections)
    for number, anchor in enumerate(footage.anchors):
        here = [track for track in tracks if anchor in track.masks]
        for mask in truth[number]:
            best = max(here, key=lambda track: masks.iou(track.masks[anchor], mask))
            assert masks.iou(best.masks[anchor], mask) > 0.8
            assert best.scores[anchor] > 0.5
        stacked = np.stack([track.masks[anchor] for track in here])
        assert stacked.sum(axis=0).max() == 1


def test_the_same_footage_gives_the_same_bytes() -> None:
    footage, _ = shot(ONE, num_anchors=2)
    once, again = (FlowSegmenter().segment(footage, MotionDetector().detect(footage, ["subject"])) for _ in range(2))
    assert [masks.encode(mask) for track in once for mask in track.masks.values()] == [
        masks.encode(mask) for track in again for mask in track.masks.values()
    ]
    assert [track.scores for track in once] == [track.scores for track in again]


def test_boxes_carry_the_phrase_and_without_a_phrase_nothing_is_asked() -> None:
    footage, _ = shot(ONE, num_anchors=2)
    found = MotionDetector().detect(footage, ["dog"])
    assert {each.phrase for boxes in found for each in boxes} == {"dog"}
    assert MotionDetector().detect(footage, []) == [[], []]


def test_nothing_is_found_where_only_the_camera_moves() -> None:
    footage, _ = shot([])
    assert MotionDetector().detect(footage, ["subject"]) == [[]] * len(footage.anchors)
    assert FlowSegmenter().segment(footage, [[]] * len(footage.anchors)) == []


def test_a_box_on_a_still_subject_is_evidence_of_its_own() -> None:
    image, (mask,) = frame_of(0, [Disc((160, 120), (0, 0), 45)])
    box = masks.box_of(mask)
    assert box is not None
    (track,) = FlowSegmenter().segment(Footage([image], [0], [0.0], [0]), [[Detection(box, "subject", 0.5)]])
    assert masks.iou(track.masks[0], mask) > 0.8


@pytest.mark.parametrize("size", [(97, 61), (61, 97), (128, 64), (200, 33)])
def test_people_are_looked_for_in_pictures_smaller_than_the_finders_window(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    assert MotionDetector().detect(Footage([image], [0], [0.0], [0]), ["person"]) == [[]]


def test_of_overlapping_boxes_the_best_is_kept() -> None:
    boxes = [
        Detection((0, 0, 10, 10), "a", 0.5),
        Detection((1, 1, 11, 11), "a", 0.9),
        Detection((50, 0, 60, 9), "a", 0.1),
    ]
    assert [each.score for each in suppress(boxes)] == [0.9, 0.1]


def test_descriptors_know_a_subject_again_and_tell_it_from_another() -> None:
    seen = [frame_of(number, TWO) for number in (0, 20)]
    vectors = DescriptorEmbedder().embed([(image, found[disc]) for disc in range(2) for image, found in seen])
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1)
    alike = vectors @ vectors.T
    assert min(alike[0, 1], alike[2, 3]) > 0.9
    assert alike[:2, 2:].max() < 0.75
    assert DescriptorEmbedder().embed([]).shape == (0, vectors.shape[1])


def test_what_stands_lower_is_nearer() -> None:
    image = np.zeros((100, 80, 3), np.uint8)
    far, near = masks.mask_of((10, 10, 40, 60), 100, 80), masks.mask_of((30, 20, 60, 90), 100, 80)
    (nearness,) = GroundContactDepth().nearness([image], [[near & ~far, far]])
    assert nearness.dtype == np.float32
    assert nearness[50, 20] == pytest.approx(0.6)
    assert nearness[50, 50] == pytest.approx(0.9)
    assert nearness[0, 0] < nearness[99, 0] == 1
