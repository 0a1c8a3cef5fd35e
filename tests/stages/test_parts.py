"""Parts of one body become one subject; individuals that pass each other do not."""

import numpy as np

from schemas.subject import Track
from stages import parts

HEIGHT, WIDTH = 120, 160
JACKET, COAT, WALL = (200, 150, 20), (40, 60, 160), (220, 220, 215)


def block(x0: int, x1: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[30:110, x0:x1] = True
    return mask


def picture(*painted: tuple[np.ndarray, tuple[int, int, int]]) -> np.ndarray:
    image = np.full((HEIGHT, WIDTH, 3), WALL, np.uint8)
    for mask, colour in painted:
        image[mask] = colour
    return image


def track(masks: list[np.ndarray], score: float = 0.9) -> Track:
    return Track("subject", dict(enumerate(masks)), dict.fromkeys(range(len(masks)), score))


def test_halves_of_one_jacket_are_one_subject_as_sure_as_the_less_sure():
    left, right = [block(40, 70)] * 4, [block(71, 100)] * 4
    images = [picture((block(40, 100), JACKET))] * 4
    (found,) = parts.whole([track(left, 0.9), track(right, 0.85)], images)
    assert found.masks[0][:, 71:100].sum() == block(71, 100)[:, 71:100].sum()
    assert found.masks[0][60, 70]  # the gap between them
    assert found.scores == dict.fromkeys(range(4), 0.85)


def test_two_coats_of_different_colour_stay_two():
    images = [picture((block(40, 70), JACKET), (block(71, 100), COAT))] * 4
    assert len(parts.whole([track([block(40, 70)] * 4), track([block(71, 100)] * 4)], images)) == 2


def test_who_only_passes_by_stays_another():
    walking = [block(71 + 20 * step, 90 + 20 * step) for step in range(4)]
    images = [picture((block(40, 70), JACKET), (mask, JACKET)) for mask in walking]
    assert len(parts.whole([track([block(40, 70)] * 4), track(walking)], images)) == 2


def test_three_parts_become_one_and_strangers_stay():
    thirds = [track([block(x, x + 19)] * 3) for x in (20, 40, 60)]
    far = track([block(120, 150)] * 3)
    images = [picture((block(20, 79), JACKET), (block(120, 150), JACKET))] * 3
    assert len(parts.whole([*thirds, far], images)) == 2
