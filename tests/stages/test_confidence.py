"""Confidence is higher for the true mask than for wrong ones."""

import numpy as np
import pytest
from synthetic_shot import Disc, frame_of

from stages import confidence, foreground, instances, masks

DISC = Disc((60, 120), (3, 0), 34)
WRONG = {"half": lambda mask: mask & (np.cumsum(mask, axis=1) > 34), "too large": lambda mask: masks.dilate(mask, 20)}


@pytest.fixture(scope="module")
def passage() -> tuple[foreground.Foreground, list[np.ndarray]]:
    seen = [frame_of(number, [DISC]) for number in range(10)]
    return foreground.find([image for image, _ in seen], set()), [truth[0] for _, truth in seen]


def _score(found: foreground.Foreground, given: list[np.ndarray]) -> float:
    own = instances.Instance(dict(enumerate(given)))
    return confidence.score(confidence.measure(found, own, 5, given[5], np.zeros_like(given[5])))


def test_the_true_mask_is_believed(passage: tuple[foreground.Foreground, list[np.ndarray]]) -> None:
    assert _score(*passage) > 0.8


@pytest.mark.parametrize("name", WRONG)
def test_wrong_ones_are_believed_less(name: str, passage: tuple[foreground.Foreground, list[np.ndarray]]) -> None:
    found, truth = passage
    assert _score(found, [WRONG[name](mask) for mask in truth]) < _score(found, truth) - 0.1


def test_what_does_not_move_with_its_surroundings_is_not_believed(
    passage: tuple[foreground.Foreground, list[np.ndarray]],
) -> None:
    found, truth = passage
    assert _score(found, [np.roll(mask, (70, 90), (0, 1)) for mask in truth]) < 0.3


def test_nothing_has_no_confidence(passage: tuple[foreground.Foreground, list[np.ndarray]]) -> None:
    found, truth = passage
    assert _score(found, [np.zeros_like(mask) for mask in truth]) == 0


def _standing(shade: bool) -> tuple[foreground.Foreground, list[np.ndarray]]:
    """A block, or only its shadow, that passes through a scene before a camera that stands."""
    ground = frame_of(0, [])[0]
    images, truth = [], []
    for number in range(20):
        mask = np.zeros(ground.shape[:2], np.bool_)
        mask[90:150, 10 + 12 * number : 60 + 12 * number] = True
        image = ground.copy()
        image[mask] = ground[mask] * 0.6 if shade else (200, 40, 40)
        images.append(image)
        truth.append(mask)
    return foreground.find(images, set()), truth


def test_before_a_camera_that_stands_what_differs_from_the_scene_is_believed() -> None:
    found, truth = _standing(shade=False)
    assert found.scene is not None
    assert _score(found, truth) > 0.8


def test_a_shadow_is_no_subject() -> None:
    found, truth = _standing(shade=True)
    assert found.scene is not None
    assert _score(found, truth) == 0
