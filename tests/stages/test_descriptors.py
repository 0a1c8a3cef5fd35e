"""What an individual looks like: the same for its own other views, not for others."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import descriptors


def _subject(seed: int, size: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """An ellipse in a few flat colours on grey."""
    rng = np.random.default_rng(seed)
    image = cv2.resize(rng.integers(0, 256, (4, 3, 3), np.uint8), (size, size), interpolation=cv2.INTER_NEAREST)
    rows, columns = np.mgrid[:size, :size] / size - 0.5
    mask = rows**2 / 0.2 + columns**2 / 0.1 < 1
    image[~mask] = 120
    return image, mask


def test_a_descriptor_is_a_unit_vector_of_the_stated_length() -> None:
    vector = descriptors.describe(*_subject(1))
    assert vector.shape == (descriptors.LENGTH,)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.floats(0.5, 2.0))
def test_size_and_place_do_not_matter(seed: int, scale: float) -> None:
    image, mask = _subject(seed)
    side = round(80 * scale)
    bigger = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    larger = cv2.resize(mask.astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST) > 0
    moved = np.pad(bigger, ((30, 5), (7, 40), (0, 0)))
    place = np.pad(larger, ((30, 5), (7, 40)))
    assert descriptors.describe(image, mask) @ descriptors.describe(moved, place) > 0.9


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_the_background_does_not_matter(seed: int) -> None:
    image, mask = _subject(seed)
    other = np.where(mask[..., None], image, np.uint8(255))
    assert descriptors.describe(image, mask) @ descriptors.describe(other, mask) > 0.98


def test_others_are_less_alike_than_the_gate() -> None:
    vectors = np.stack([descriptors.describe(*_subject(seed)) for seed in range(12)])
    cosines = (vectors @ vectors.T)[np.triu_indices(12, 1)]
    assert np.median(cosines) < 0.83
    assert cosines.max() < 0.92
    assert cosines.min() >= 0.4


def test_an_empty_mask_has_no_appearance() -> None:
    image, mask = _subject(1)
    with pytest.raises(ValueError, match="empty"):
        descriptors.describe(image, np.zeros_like(mask))
