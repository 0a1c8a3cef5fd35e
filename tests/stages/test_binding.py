"""Edits bind to the instances a person would mean, or say in words why not."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actors.profiles import load_profile
from schemas.edit import Side, Turn
from schemas.errors import BadInput
from schemas.reasons import Reason
from schemas.tracks import InstanceTrack
from stages import binding
from stages.edit_grammar import parse_prompts
from stages.instance_facts import InstanceFacts, list_found, measure
from stages.nouns import is_plural, same_kind, singular

T = 12


def fact(name, x, category="bear", colors=(), nearness=0.5, y=0.5, size=0.1, frames=range(T)):
    """An instance whose centre is at x, y: numbers, or (T,) values."""
    boxes = np.full((T, 4), np.nan)
    here = list(frames)
    centre = np.stack([np.broadcast_to(x, T), np.broadcast_to(y, T)], axis=1)
    boxes[here, :2], boxes[here, 2:] = centre[here] - size / 2, centre[here] + size / 2
    near = np.full(T, np.nan)
    near[here] = np.broadcast_to(nearness, T)[here]
    return InstanceFacts(name, category, boxes, near, size * size, tuple(colors))


def edits_of(prompt):
    (turn,) = parse_prompts([prompt])
    assert isinstance(turn, Turn)
    return turn.edits


def bound(prompt, found, before=()):
    return [each.instances for each in binding.bind(edits_of(prompt), found, before)]


def refused(prompt, found, before=()):
    with pytest.raises(BadInput) as caught:
        binding.bind(edits_of(prompt), found, before)
    assert "\n" not in caught.value.message
    return caught.value


TWO = [
    fact("bear 1", 0.2, colors=["brown"], nearness=0.9),
    fact("bear 2", 0.8, colors=["white"], nearness=0.3, size=0.2),
]
FOUR = [
    fact(f"dancer {n + 1}", x, "dancer", y=y)
    for n, (x, y) in enumerate([(0.1, 0.2), (0.4, 0.8), (0.6, 0.8), (0.9, 0.3)])
]


@pytest.mark.parametrize(
    ("prompt", "instances"),
    [
        ("bear -> gorilla", [(0, 1)]),
        ("all -> gorilla", [(0, 1)]),
        ("each animal 7 -> x; bear 2 -> gorilla", None),
        ("bear 2 -> gorilla", [(1,)]),
        ("[bear on the left -> gorilla; bear on the right -> polar bear]", [(0,), (1,)]),
        ("Left -> Ultraman; Right -> Robot", [(0,), (1,)]),
        ("second bear -> gorilla", [(1,)]),
        ("last bear -> gorilla; first bear -> wolf", [(1,), (0,)]),
        ("two bears -> gorillas", [(0, 1)]),
        ("white bear -> gorilla", [(1,)]),
        ("nearest bear -> gorilla; farthest bear -> wolf", [(0,), (1,)]),
        ("the big bear -> gorilla; the small bear -> mouse", [(1,), (0,)]),
        ("bears on the left -> gorillas", [(0,)]),
        ("polar bears -> gorillas", [(0, 1)]),
        ("bear on the left -> gorilla; the other bear -> wolf", [(0,), (1,)]),
        ("the others -> wolves; white bear -> gorilla", [(0,), (1,)]),
        ("the dancing bear on the left -> gorilla", [(0,)]),
        ("remove the bear on the right", [(1,)]),
        ("[background -> snow]", [()]),
        ("add a hat to the bear on the left", [(0,)]),
        ("add glasses", [(0, 1)]),
        ("add a rainbow", [()]),
        ("add glasses; left -> robot", [(0, 1), (0,)]),
    ],
)
def test_what_binds(prompt, instances):
    if instances is None:
        assert refused(prompt, TWO).reason is Reason.TARGET_ABSENT
    else:
        assert bound(prompt, TWO) == instances


@pytest.mark.parametrize(
    ("prompt", "reason", "words"),
    [
        (
            "dog -> cat",
            Reason.TARGET_ABSENT,
            "'dog': nothing in the clip answers to it; found 2 bears: bear 1 (brown left)",
        ),
        ("red bear -> cat", Reason.TARGET_ABSENT, "nothing in the clip"),
        ("three bears -> cats", Reason.TARGET_COUNT, "3 are asked for, 2 answer"),
        ("a bear -> cat", Reason.TARGET_COUNT, "1 are asked for"),
        ("third bear -> cat", Reason.TARGET_ABSENT, "only 2"),
        ("bear in the middle -> cat", Reason.TARGET_AMBIGUOUS, "in the middle"),
        ("bear at the top -> cat", Reason.TARGET_AMBIGUOUS, "bear 1 and bear 2"),
        ("left -> cat; bear 1 -> dog", Reason.TARGET_AMBIGUOUS, "both mean bear 1"),
        ("background -> snow; forest -> beach", Reason.TARGET_AMBIGUOUS, "the background"),
        ("polar bear -> cat", Reason.TARGET_AMBIGUOUS, "which of 2 that is"),
        ("bear in the red dress -> cat", Reason.TARGET_AMBIGUOUS, "which of 2 that is"),
        ("two bears -> cats; the others -> dogs", Reason.TARGET_ABSENT, "no subject"),
        ("bears in front -> cats", Reason.TARGET_AMBIGUOUS, "say how many"),
        ("remove the hat", Reason.TARGET_ABSENT, "no 'hat'"),
        ("five bears on the left -> cats", Reason.TARGET_COUNT, "5 are asked for"),
    ],
)
def test_what_does_not_says_why(prompt, reason, words):
    error = refused(prompt, TWO)
    assert error.reason is reason
    assert words in error.message
    assert "bear 2 (white right)" in error.message


def test_nothing_found_is_said():
    assert "found nothing" in refused("all -> cat", []).message
    assert bound("[background -> snow]", []) == [()]


def test_what_is_never_seen_is_not_there():
    found = [*TWO, fact("bear 3", 0.5, frames=())]
    assert bound("two bears -> gorillas; background -> snow", found) == [(0, 1), ()]
    assert refused("bear 3 -> gorilla", found).reason is Reason.TARGET_ABSENT


def test_left_of_nobody():
    alone = [fact("car 1", 0.85, "car")]
    assert refused("Left -> bus", alone).reason is Reason.TARGET_AMBIGUOUS
    assert bound("Right -> bus", alone) == [(0,)]
    assert bound("car in front -> bus", alone) == [(0,)]


def test_middle():
    three = [fact("a", 0.2), fact("c", 0.9), fact("b", 0.6)]
    assert bound("middle -> cat", three) == [(2,)]
    assert bound("two in the middle -> cats", FOUR) == [(1, 2)]
    assert refused("middle -> cat", FOUR).reason is Reason.TARGET_AMBIGUOUS
    assert bound("middle -> cat", [fact("a", 0.5), fact("b", 0.9)]) == [(0,)]
    assert refused("middle -> cat", [fact("a", 0.1), fact("b", 0.3), fact("c", 0.5)]).reason is Reason.TARGET_AMBIGUOUS


def test_order_is_that_of_most_frames_together():
    crossing = np.where(np.arange(T) < 3, 0.9, 0.1)  # to the right of the other for 3 of 12 frames
    assert bound("Left -> cat", [fact("a", 0.5), fact("b", crossing)]) == [(1,)]
    half = np.where(np.arange(T) < T // 2, 0.9, 0.1)
    assert refused("Left -> cat", [fact("a", 0.5), fact("b", half)]).reason is Reason.TARGET_AMBIGUOUS
    # b, seen alone far on the left at first, is to the right of a whenever both are there
    wandering = np.where(np.arange(T) < 7, 0.05, 0.9)
    assert bound("Left -> cat", [fact("a", 0.5, frames=range(7, T)), fact("b", wandering)]) == [(0,)]
    assert bound("Left -> cat", [fact("a", 0.7, frames=range(6)), fact("b", 0.3, frames=range(6, T))]) == [(1,)]


def test_what_nothing_named_binds_by_place_and_name_but_not_by_noun():
    subjects = [fact("subject 1", 0.2, "subject", ["red"]), fact("subject 2", 0.8, "subject", ["blue"])]
    assert bound("Left -> Ultraman; Right -> Robot", subjects) == [(0,), (1,)]
    assert bound("subject 2 -> robot; red subject -> cat", subjects) == [(1,), (0,)]
    assert bound("two subjects -> robots", subjects) == [(0, 1)]
    for prompt in (
        "bear on the left -> gorilla",
        "Three [People -> Super Mario] in a car",
        "remove the hat",
        "face -> x",
    ):
        error = refused(prompt, subjects)
        assert error.reason is Reason.TARGET_UNNAMED
        assert binding.NAMING_PROFILES in error.message
    named = [replace(one, category="bear") for one in subjects]
    assert bound("bear on the left -> gorilla", named) == [(0,)]
    tall = [replace(one, category="tall bear") for one in named]
    assert bound("tall bear -> gorilla", tall) == [(0, 1)]


def test_the_profiles_named_are_those_that_name():
    shipped = ("embedded", "cpu-small", "gpu-24gb", "h100", "cluster")
    naming = [name for name in shipped if not load_profile(name).roles["vlm"].implementation.startswith("vlm:")]
    assert binding.NAMING_PROFILES.replace(" or ", ", ").split(", ") == naming


def test_parts_are_found_on_their_owner():
    man, woman = fact("man 1", 0.3, "man", size=0.3), fact("woman 1", 0.7, "woman", size=0.3)
    hats = [fact("hat 1", 0.3, "hat", y=0.33, size=0.1), fact("hat 2", 0.7, "hat", y=0.33, size=0.1)]
    found = [hats[0], man, hats[1], woman]
    assert bound("hat of the man -> crown", found) == [(0,)]
    assert bound("the woman's hat -> ", found) == [(2,)]
    assert bound("hat of the subject on the right -> crown", found) == [(2,)]
    assert bound("[hat -> crown]", found) == [(0, 2)]
    assert bound("all -> robots", found) == [(1, 3)]
    assert refused("hat of the woman -> crown", found[:2] + found[3:]).reason is Reason.TARGET_ABSENT
    assert bound("man -> robot", found) == [(1,)]


def test_later_turns_speak_of_what_the_earlier_made():
    riders = [replace(one, category="horse rider") for one in FOUR]
    first = binding.bind(edits_of("horse riders -> Gokus"), riders)
    for prompt in ("Gokus -> Iron-Men", "all -> Iron-Men"):
        assert bound(prompt, riders, [first]) == [(0, 1, 2, 3)]
    assert refused("horse riders -> Iron-Men", riders, [first]).reason is Reason.TARGET_ABSENT
    (turn,) = parse_prompts(["x -> y", "The two above (Gokus -> Iron-Men)"])[1:]
    assert [each.instances for each in binding.bind(turn.edits, riders, [first])] == [(0, 3)]
    two = binding.bind(edits_of("second -> Goku; third -> Goku"), riders)
    assert [each.instances for each in binding.bind(turn.edits, riders, [two])] == [(1, 2)]
    gone = binding.bind(edits_of("remove the first rider"), riders)
    assert bound("all -> robots", riders, [gone]) == [(1, 2, 3)]


PROMPTS = [
    "Left -> a", "Right -> a", "first -> a; last -> b", "second -> a", "second from the right -> a", "middle -> a",
    "two on the left -> a", "nearest -> a", "white bear -> a", "all -> a", "three -> a", "bears on the right -> a",
    "top -> a", "small one -> a", "bear on the left -> a; dog -> b",
]  # fmt: skip
SOME = st.lists(
    st.tuples(
        st.lists(st.floats(0.05, 0.95), min_size=T, max_size=T), st.sampled_from(["bear", "dog", "subject"]),
        st.floats(0, 1), st.floats(0.05, 0.95), st.sampled_from([0.05, 0.1, 0.3]), st.sets(st.integers(0, T - 1)),
    ),
    max_size=5,
)  # fmt: skip
OTHER_SIDE = {Side.LEFT: Side.RIGHT, Side.RIGHT: Side.LEFT}


def outcome(edits, found):
    try:
        return [{found[at].name for at in each.instances} for each in binding.bind(edits, found)]
    except BadInput as bad:
        return bad.reason


def drawn(some):
    return [
        fact(
            f"{category} {n}",
            np.array(x),
            category,
            ["white"] if n % 2 else ["black"],
            near,
            y,
            size,
            set(range(T)) - gone,
        )
        for n, (x, category, near, y, size, gone) in enumerate(some)
    ]


@given(SOME, st.sampled_from(PROMPTS), st.randoms())
def test_binding_does_not_depend_on_the_order_of_tracks(some, prompt, random):
    found = drawn(some)
    shuffled = random.sample(found, len(found))
    assert outcome(edits_of(prompt), shuffled) == outcome(edits_of(prompt), found)


@given(SOME, st.sampled_from(PROMPTS))
@example([([0.5] * T, "bear", 0.5, 0.5, 0.1, set())], "bears on the right -> a")
def test_a_mirrored_clip_swaps_left_and_right(some, prompt):
    found, edits = drawn(some), edits_of(prompt)
    mirrored = [
        replace(one, boxes=np.stack([1 - one.boxes[:, 2], one.boxes[:, 1], 1 - one.boxes[:, 0], one.boxes[:, 3]], 1))
        for one in found
    ]
    swapped = [
        replace(e, selector=replace(
            e.selector, side=OTHER_SIDE.get(e.selector.side, e.selector.side), nth=e.selector.nth and -e.selector.nth
        )) for e in edits
    ]  # fmt: skip
    assert outcome(swapped, mirrored) == outcome(edits, found)


def test_facts_are_measured_from_tracks():
    video = np.zeros((3, 40, 100), bool)
    video[1:, 10:30, 10:30] = True
    track = InstanceTrack("dog 1", "dog", video, video.any((1, 2)), np.ones(3, np.float32), np.full(3, 0.7, np.float32))
    picture = np.full((80, 200, 3), (20, 20, 220), np.uint8)
    (one,) = measure([track], {2: picture})
    assert one.colors == ("blue",)
    assert one.place == "left"
    assert one.area == pytest.approx(0.1)
    assert one.boxes[2].tolist() == [0.1, 0.25, 0.3, 0.75]
    assert np.isnan(one.boxes[0]).all()
    assert np.isnan(one.nearness[0])
    assert list_found([one, replace(one, name="dog 2", colors=())]) == "2 dogs: dog 1 (blue left), dog 2 (left)"


@pytest.mark.parametrize(
    ("phrase", "category", "same"),
    [
        ("bears", "bear", True), ("Hungry Dogs", "dog", True), ("bear", "polar bear", True), ("man", "person", True),
        ("people", "person", True), ("dancer", "person", True), ("wolves", "wolf", True), ("Gokus", "a Goku", True),
        ("man in the red car", "man", True), ("man", "woman", False), ("polar bear", "brown bear", False),
        ("bear", "dog", False), ("", "dog", False), ("car", "cart", False), ("glasses", "glass", False),
    ],
)  # fmt: skip
def test_nouns(phrase, category, same):
    assert same_kind(phrase, category) is same
    assert same_kind(category, phrase) is same


def test_number_of_nouns():
    assert [singular(word) for word in ("bears", "wolves", "buses", "bus", "glasses", "puppies", "men", "grass")] == [
        "bear", "wolf", "bus", "bus", "glasses", "puppy", "man", "grass",
    ]  # fmt: skip
    assert [is_plural(phrase) for phrase in ("bears", "bear", "glasses", "people on the left", "")] == [
        True,
        False,
        False,
        True,
        False,
    ]
