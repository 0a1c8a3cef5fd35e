"""Identity: appearance first, space-time second, never two in one frame."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.subject import Track
from stages import linking

RED, BLUE = np.eye(4, dtype=np.float32)[:2]


def _mask(x: int) -> np.ndarray:
    mask = np.zeros((20, 100), np.bool_)
    mask[5:15, x : x + 10] = True
    return mask


def _track(position: int, x: int, category: str = "subject") -> Track:
    return Track(category, {position: _mask(x)}, {position: 0.8})


def _match(some, others, min_similarity, margin):
    return linking.match(some, others, (linking.likest(some), linking.likest(others)), min_similarity, margin)


def test_appearance_decides_who_goes_on_where_two_stood_together() -> None:
    tracks = [_track(0, 40), _track(0, 46), _track(1, 42), _track(1, 44)]
    looks = [{0: RED}, {0: BLUE}, {1: BLUE}, {1: RED}]
    found = {identity.name: identity for identity in linking.link(tracks, looks, 0.8, 0.03)}
    assert np.array_equal(found["subject_1"].masks[1], _mask(44))
    assert np.array_equal(found["subject_2"].masks[1], _mask(42))


def _blend(share: float) -> np.ndarray:
    """A look that is RED but for a share of BLUE."""
    return np.asarray((1 - share) * RED + share * BLUE, np.float32) / np.float32(np.hypot(1 - share, share))


def test_twins_are_not_told_apart() -> None:
    tracks = [_track(0, 10), _track(0, 70), _track(1, 72), _track(1, 12)]
    assert len(linking.link(tracks, [{0: RED}, {0: RED}, {1: RED}, {1: RED}], 0.8, 0.03)) == 4


def test_a_track_is_one_individual_even_beside_its_twin() -> None:
    tracks = [Track("cup", {at: _mask(10 + at) for at in range(4)}, dict.fromkeys(range(4), 0.8)), _track(2, 70, "cup")]
    found = linking.link(tracks, [dict.fromkeys(range(4), RED), {2: RED}], 0.8, 0.03)
    assert [sorted(identity.masks) for identity in found] == [[0, 1, 2, 3], [2]]


def test_three_views_of_one_individual_are_no_rivals_of_each_other() -> None:
    found = linking.link([_track(at, 10) for at in range(3)], [{at: RED} for at in range(3)], 0.8, 0.03)
    assert [sorted(identity.masks) for identity in found] == [[0, 1, 2]]


def test_a_look_alike_that_is_clearly_less_similar_does_not_stop_a_link() -> None:
    tracks = [_track(0, 10), _track(0, 70), _track(1, 12)]
    near, far = ([{0: RED}, {0: _blend(share)}, {1: RED}] for share in (0.05, 0.3))
    assert len(linking.link(tracks, near, 0.8, 0.03)) == 3
    assert sorted(len(each.masks) for each in linking.link(tracks, far, 0.8, 0.03)) == [1, 2]


def _identity(name: str, *looks: np.ndarray) -> linking.Identity:
    return linking.Identity(name, "subject", embeddings=dict(enumerate(looks)))


def test_match_finds_who_returns() -> None:
    here, there = [_identity("a", RED), _identity("b", BLUE)], [_identity("c", BLUE, BLUE), _identity("d", RED)]
    assert [(one.name, other.name) for one, other, _ in _match(here, there, 0.8, 0.03)] == [
        ("a", "d"),
        ("b", "c"),
    ]


def test_match_takes_nobody_who_has_a_look_alike() -> None:
    twins = [_identity("a", RED), _identity("b", _blend(0.02))]
    assert _match(twins, [_identity("c", RED)], 0.8, 0.03) == []
    assert _match([_identity("c", RED)], twins, 0.8, 0.03) == []
    away = [_identity("c", RED), _identity("d", BLUE)]
    assert _match(away, twins, 0.8, 0.03) == []


def test_below_the_gate_or_of_another_category_is_somebody_else() -> None:
    assert len(linking.link([_track(0, 10), _track(1, 10)], [{0: RED}, {1: BLUE}], 0.8, 0.03)) == 2
    found = linking.link([_track(0, 10, "dog"), _track(1, 10, "cat")], [{0: RED}, {1: RED}], 0.8, 0.03)
    assert [identity.name for identity in found] == ["dog_1", "cat_1"]


def test_an_interrupted_track_goes_on_where_it_stopped() -> None:
    tracks = [_track(0, 10), _track(0, 70), _track(1, 70), _track(5, 14)]
    found = linking.link(tracks, [{0: RED}, {0: BLUE}, {1: BLUE}, {5: RED}], 0.8, 0.03)
    assert [sorted(identity.masks) for identity in found] == [[0, 5], [0, 1]]


def test_who_appears_elsewhere_may_be_a_look_alike_that_stood_still() -> None:
    assert len(linking.link([_track(0, 10), _track(5, 40)], [{0: RED}, {5: RED}], 0.8, 0.03)) == 2


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 8), st.booleans()), max_size=12))
def test_every_mask_lands_in_one_identity_and_none_twice_in_a_frame(seen: list[tuple[int, int, bool]]) -> None:
    tracks = [_track(position, 10 * place) for position, place, _ in seen]
    looks = [{position: RED if red else BLUE} for position, _, red in seen]
    found = linking.link(tracks, looks, 0.8, 0.03)
    assert sum(len(identity.masks) for identity in found) == len(tracks)
    for identity in found:
        assert identity.masks.keys() == identity.scores.keys() == identity.embeddings.keys()
        assert len({tuple(vector) for vector in identity.embeddings.values()}) == 1


def _wide(width: int) -> np.ndarray:
    mask = np.zeros((20, 100), np.bool_)
    mask[5:15, 10 : 10 + width] = True
    return mask


def test_a_track_that_runs_into_another_is_cut_there() -> None:
    widths = [10, 12, 14, 30, 32, 12]
    track = Track("dog", {at: _wide(width) for at, width in enumerate(widths)}, dict.fromkeys(range(6), 0.8))
    assert [sorted(piece.masks) for piece in linking.unbroken([track])] == [[0, 1, 2], [3, 4], [5]]
