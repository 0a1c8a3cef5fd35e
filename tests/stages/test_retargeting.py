"""Retargeted masks: growth never shrinks, instances never overlap, mirrored input gives mirrored output."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from schemas.edit import Action, Bound, Edit, Selector
from schemas.tracks import InstanceTrack, MaskVideo
from stages import masks, retargeting
from stages.retargeting import Shape

label_videos = st.tuples(st.integers(1, 5), st.integers(4, 18), st.integers(4, 18)).flatmap(
    lambda shape: arrays.arrays(np.uint8, shape, elements=st.integers(0, 3))
)
shapes = st.sampled_from(list(Shape))
margins = st.floats(0, 0.6)


def tracks_of(labels: NDArray[np.uint8]) -> list[InstanceTrack]:
    return [track_of(labels == number, f"dog {number}", "dog") for number in (1, 2, 3)]


def track_of(video: MaskVideo, name: str, category: str) -> InstanceTrack:
    seen = video.any(axis=(1, 2))
    return InstanceTrack(name, category, video, seen, seen.astype(np.float32), np.zeros(len(seen), np.float32))


def edits(shape: Shape) -> Edit:
    words = {Shape.SILHOUETTE: "red dog", Shape.HULL: "cat"}
    return Edit(Action.REPLACE, Selector("dog"), words.get(shape, "dragon"))


@given(label_videos, shapes, margins)
def test_growth_never_shrinks_and_stays_away_where_nothing_is(
    labels: NDArray[np.uint8], shape: Shape, margin: float
) -> None:
    video = labels == 1
    grown = retargeting.grow(video, shape, margin)
    assert not (video & ~grown).any()
    assert np.array_equal(grown.any(axis=(1, 2)), video.any(axis=(1, 2)))
    wider = retargeting.grow(video, shape, margin + 0.3)
    assert not (grown & ~wider).any()


@given(label_videos, st.lists(shapes, min_size=1, max_size=3))
def test_masks_cover_their_own_and_overlap_nothing(labels: NDArray[np.uint8], chosen: list[Shape]) -> None:
    tracks = tracks_of(labels)
    made = retargeting.retarget(tracks, [Bound(edits(shape), (place,)) for place, shape in enumerate(chosen)])
    assert set(made) == set(range(len(chosen)))
    assert np.max(np.sum([video for video in made.values()], axis=0)) <= 1
    for position, video in made.items():
        assert not (tracks[position].masks & ~video).any()
        others = [each.masks for place, each in enumerate(tracks) if place != position]
        assert not (video & np.any(others, axis=0)).any()


@given(label_videos, shapes, margins, st.sampled_from([1, 2]))
def test_mirrored_input_gives_mirrored_output(
    labels: NDArray[np.uint8], shape: Shape, margin: float, axis: int
) -> None:
    straight = retargeting.grow(labels == 1, shape, margin)
    mirrored = retargeting.grow(np.flip(labels == 1, axis), shape, margin)
    assert np.array_equal(np.flip(mirrored, axis), straight)
    apart, flipped = (
        retargeting.keep_apart({0: grown, 1: np.asarray(each == 2)}, [each == 1, each == 2])
        for each, grown in ((labels, straight), (np.flip(labels, axis), mirrored))
    )
    for position in apart:
        assert np.array_equal(np.flip(flipped[position], axis), apart[position])


@given(label_videos)
def test_hull_and_box_of_themselves_are_themselves(labels: NDArray[np.uint8]) -> None:
    for mask in labels == 1:
        whole = retargeting.hull(mask)
        assert np.array_equal(retargeting.hull(whole), whole)
        assert masks.box_of(whole) == masks.box_of(mask)
        assert not (mask & ~whole).any()


@given(label_videos)
def test_kept_apart_twice_is_kept_apart_once(labels: NDArray[np.uint8]) -> None:
    own = [labels == 1, labels == 2]
    grown = {place: retargeting.grow(video, Shape.HULL, 0.4) for place, video in enumerate(own)}
    once = retargeting.keep_apart(grown, own)
    twice = retargeting.keep_apart(once, own)
    assert all(np.array_equal(once[place], twice[place]) for place in once)


def test_a_frame_is_generated_where_that_frame_shows_something() -> None:
    """The union over groups of frames, which a latent grid needs, must not be in what is pasted back."""
    video = np.zeros((9, 40, 80), np.bool_)
    for at in range(9):
        video[at, 15:25, 5 + 7 * at : 12 + 7 * at] = True
    video[4] = False
    for shape in (Shape.SILHOUETTE, Shape.HULL):
        grown = retargeting.grow(video, shape, 0.1)
        assert not grown[4].any()
        for at in (0, 3, 5, 8):
            assert not (grown[at] & ~masks.dilate(video[at], 2)).any()


def test_the_margin_does_not_jump_when_an_area_does() -> None:
    video = np.zeros((30, 80, 80), np.bool_)
    video[:, 30:50, 30:50] = True
    video[15, 30:50, 30:70] = True  # noise of one frame
    grown = retargeting.grow(video, Shape.SILHOUETTE, 0.2)
    assert np.array_equal(grown[14], grown[16])
    usual, noisy = (masks.box_of(grown[at]) for at in (14, 15))
    assert usual is not None
    assert noisy is not None
    assert usual[:2] == noisy[:2]
    assert usual[3] == noisy[3]


def test_boxes_move_smoothly_while_a_limb_goes_up_and_down() -> None:
    video = np.zeros((40, 80, 80), np.bool_)
    for at in range(40):
        video[at, 40 - (at % 2) * 6 : 60, 30:50] = True
    boxed = retargeting.grow(video, Shape.BOX, 0.1)
    areas = boxed[5:35].sum(axis=(1, 2))
    assert np.ptp(areas) < np.ptp(video[5:35].sum(axis=(1, 2)))


def test_growth_that_a_neighbour_cuts_off_goes() -> None:
    """A hull around a subject with a gap does not reappear on the far side of who stands in between."""
    own, neighbour = np.zeros((1, 20, 40), np.bool_), np.zeros((1, 20, 40), np.bool_)
    own[0, 5:15, 2:10] = True
    neighbour[0, :, 14:18] = True
    grown = own.copy()
    grown[0, 5:15, 2:30] = True
    (kept,) = retargeting.keep_apart({0: grown}, [own, neighbour]).values()
    assert kept[0, 5:15, 2:14].all()
    assert not kept[0, :, 14:].any()


@pytest.mark.parametrize(
    ("edit", "category", "shape"),
    [
        (Edit(Action.REPLACE, Selector("bear"), "polar bear"), "bear", Shape.SILHOUETTE),
        (Edit(Action.REPLACE, Selector("bear"), "gorilla"), "bear", Shape.HULL),
        (Edit(Action.REPLACE, Selector("woman"), "man"), "person", Shape.SILHOUETTE),
        (Edit(Action.REPLACE, Selector("man", part="shirt"), "business suit"), "person", Shape.SILHOUETTE),
        (Edit(Action.REMOVE, Selector("glasses")), "glasses", Shape.SILHOUETTE),
        (
            Edit(
                Action.REPLACE,
                Selector(
                    "",
                ),
                "dragon",
            ),
            "subject",
            Shape.BOX,
        ),
    ],
)
def test_the_words_tell_how_far_the_outline_may_differ(edit: Edit, category: str, shape: Shape) -> None:
    assert retargeting.shape_for(edit, category) is shape


def test_backdrop_is_what_nobody_covers() -> None:
    labels = np.zeros((2, 6, 6), np.uint8)
    labels[:, 1:3, 1:3], labels[1, 4, 4] = 1, 2
    assert np.array_equal(retargeting.backdrop(tracks_of(labels)), labels == 0)
    with pytest.raises(ValueError, match="instances"):
        retargeting.backdrop([])
