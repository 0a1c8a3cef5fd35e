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


def test_crossing_subjects_are_told_apart_by_appearance() -> None:
    tracks = [_track(0, 10), _track(0, 70), _track(1, 12), _track(1, 72)]
    looks = [{0: RED}, {0: BLUE}, {1: BLUE}, {1: RED}]
    found = {identity.name: identity for identity in linking.link(tracks, looks, 0.8)}
    assert np.array_equal(found["subject_1"].masks[1], _mask(72))
    assert np.array_equal(found["subject_2"].masks[1], _mask(12))


def test_twins_are_told_apart_by_place() -> None:
    tracks = [_track(0, 10), _track(0, 70), _track(1, 72), _track(1, 12)]
    found = linking.link(tracks, [{0: RED}, {0: RED}, {1: RED}, {1: RED}], 0.8)
    assert [np.array_equal(each.masks[1], mask) for each, mask in zip(found, (_mask(12), _mask(72)), strict=True)]
    assert len(found) == 2


def test_below_the_gate_or_of_another_category_is_somebody_else() -> None:
    assert len(linking.link([_track(0, 10), _track(1, 10)], [{0: RED}, {1: BLUE}], 0.8)) == 2
    found = linking.link([_track(0, 10, "dog"), _track(1, 10, "cat")], [{0: RED}, {1: RED}], 0.8)
    assert [identity.name for identity in found] == ["dog_1", "cat_1"]


def test_a_subject_that_was_away_is_recognised() -> None:
    tracks = [_track(0, 10), _track(0, 70), _track(1, 70), _track(5, 40)]
    found = linking.link(tracks, [{0: RED}, {0: BLUE}, {1: BLUE}, {5: RED}], 0.8)
    assert [sorted(identity.masks) for identity in found] == [[0, 5], [0, 1]]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 8), st.booleans()), max_size=12))
def test_every_mask_lands_in_one_identity_and_none_twice_in_a_frame(seen: list[tuple[int, int, bool]]) -> None:
    tracks = [_track(position, 10 * place) for position, place, _ in seen]
    looks = [{position: RED if red else BLUE} for position, _, red in seen]
    found = linking.link(tracks, looks, 0.8)
    assert sum(len(identity.masks) for identity in found) == len(tracks)
    for identity in found:
        assert identity.masks.keys() == identity.scores.keys() == identity.embeddings.keys()
        assert len({tuple(vector) for vector in identity.embeddings.values()}) == 1
