"""Which pairs are made, and which never."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from synthetic_shot import BLUE, RED, Disc, shot, texture

from schemas.config import MiningConfig
from schemas.video import Footage, Mask
from stages import masks, pairing
from stages.linking import Identity

CONFIG = MiningConfig(max_alike=1.0)  # discs are copies of themselves
LOOK = np.array([1.0, 0.0], np.float32)
OTHER_LOOK = np.array([0.6, 0.8], np.float32)


def _identity(name: str, at: dict[int, Mask], score: float = 0.9) -> Identity:
    return Identity(name, "subject", at, dict.fromkeys(at, score), dict.fromkeys(at, LOOK))


@pytest.fixture(scope="module")
def two() -> tuple[Footage, list[Identity]]:
    """Two discs that move apart, one of them growing."""
    discs = [Disc((90, 80), (2, 0.4), 28, 0.3, RED), Disc((230, 170), (-1.5, 0.2), 30, 0.0, BLUE)]
    footage, truth = shot(discs)
    found = [
        _identity(name, {anchor: truth[number][disc] for number, anchor in enumerate(footage.anchors)})
        for disc, name in enumerate(("subject_1", "subject_2"))
    ]
    return footage, found


def test_single_and_multi_pairs_are_both_chosen_and_no_more_than_asked(two: tuple[Footage, list[Identity]]) -> None:
    footage, identities = two
    for most in (2, 4):
        config = CONFIG.model_copy(update={"max_pairs_per_clip": most})
        chosen = pairing.choose(footage, pairing.candidates(footage, identities, config), config)
        assert len(chosen) == most
        assert {len(each.identities) for each in chosen} == {1, 2}
        keys = {(each.a, each.b, tuple(identity.name for identity in each.identities)) for each in chosen}
        assert len(keys) == most


def test_one_subject_gives_no_multi_pair(two: tuple[Footage, list[Identity]]) -> None:
    footage, identities = two
    found = pairing.candidates(footage, identities[:1], CONFIG)
    assert found
    assert all(len(each.identities) == 1 for each in found)


def test_more_diverse_pairs_come_first(two: tuple[Footage, list[Identity]]) -> None:
    footage, identities = two
    config = CONFIG.model_copy(update={"diversity_weight": 1.0})
    found = pairing.candidates(footage, identities[:1], config)
    assert pairing.choose(footage, found, config)[0].diversity == max(each.diversity for each in found)


def test_frames_below_the_identity_gate_are_not_paired(two: tuple[Footage, list[Identity]]) -> None:
    footage, identities = two
    odd = footage.anchors[1]
    changed = replace(identities[0], embeddings={**identities[0].embeddings, odd: OTHER_LOOK})
    found = pairing.candidates(footage, [changed], CONFIG)
    assert found
    assert all(odd not in (each.a, each.b) for each in found)


def test_the_surer_frame_is_the_one_references_are_cut_from(two: tuple[Footage, list[Identity]]) -> None:
    footage, identities = two
    last = footage.anchors[-1]
    unsure = {anchor: 0.95 if anchor == last else 0.6 for anchor in footage.anchors}
    found = pairing.candidates(footage, [replace(identities[0], scores=unsure)], CONFIG)
    assert all(each.a == last for each in found if last in (each.a, each.b))


def test_a_copy_is_not_diverse_wherever_it_is_moved() -> None:
    rng = np.random.default_rng(3)
    subject = np.clip(140 + texture(80, 60, 5)[..., None] + rng.normal(size=3) * 30, 0, 255).astype(np.uint8)
    places = [(20, 30), (140, 90), (60, 50)]
    views: list[pairing.View] = []
    for number, (x, y) in enumerate(places):
        image = np.full((200, 260, 3), 90, np.uint8)
        shown = subject if number < 2 else cv2.rotate(subject, cv2.ROTATE_90_CLOCKWISE)
        image[y : y + shown.shape[0], x : x + shown.shape[1]] = shown
        mask = masks.mask_of((x, y, x + shown.shape[1], y + shown.shape[0]), 200, 260)
        views.append(pairing.View.of(image, mask, float(number)))
    moved, turned = (pairing.diversity(views[0], other, 2.0) for other in views[1:])
    assert moved < 0.25 < turned
    assert pairing.diversity(views[0], views[0], 2.0) < 0.01


def test_a_still_clip_gives_no_pair() -> None:
    footage, truth = shot([Disc((160, 120), (0, 0))])
    still = Footage([footage.images[0]] * len(footage.images), footage.indices, footage.seconds, footage.anchors)
    identity = _identity("subject_1", dict.fromkeys(footage.anchors, truth[0][0]))
    assert pairing.candidates(still, [identity], CONFIG) == []


@pytest.mark.parametrize(
    ("box", "score", "usable"),
    [
        ((100, 60, 180, 160), 0.9, True),
        ((100, 60, 180, 160), 0.4, False),  # unsure
        ((100, 60, 110, 70), 0.9, False),  # too small
        ((5, 5, 315, 235), 0.9, False),  # too large
        ((0, 60, 80, 160), 0.9, False),  # cut off by the border
    ],
)
def test_what_is_usable(box: tuple[int, int, int, int], score: float, usable: bool) -> None:
    assert pairing.is_usable(masks.mask_of(box, 240, 320), score, CONFIG) is usable


def test_a_pair_speaks_in_numbers_of_the_source(two: tuple[Footage, list[Identity]]) -> None:
    footage, identities = two
    chosen = next(each for each in pairing.candidates(footage, identities, CONFIG) if len(each.identities) == 2)
    pair = pairing.pair_of(chosen, footage)
    assert (pair.frame_a, pair.frame_b) == (footage.indices[chosen.a], footage.indices[chosen.b])
    for subject in pair.subjects:
        identity = next(each for each in identities if each.name == subject.identity)
        assert np.array_equal(masks.decode(subject.mask_b), identity.masks[chosen.b])
        assert subject.box_a == masks.box_of(identity.masks[chosen.a])
        assert subject.similarity == pytest.approx(1)


def test_pairs_that_are_copies_after_alignment_are_passed_over(two: tuple[Footage, list[Identity]]) -> None:
    footage, identities = two
    found = pairing.candidates(footage, identities, CONFIG)
    assert pairing.choose(footage, found, CONFIG)
    assert pairing.choose(footage, found, CONFIG.model_copy(update={"max_alike": 0.5})) == []


def test_two_pieces_are_not_one_subject() -> None:
    mask = np.zeros((100, 100), np.bool_)
    mask[10:40, 10:40] = True
    assert pairing.is_usable(mask, 1.0, CONFIG)
    mask[60:80, 55:70] = True
    assert not pairing.is_usable(mask, 1.0, CONFIG)
    mask[60:80, 65:70] = False
    assert pairing.is_usable(mask, 1.0, CONFIG)
