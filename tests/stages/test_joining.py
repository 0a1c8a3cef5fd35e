import numpy as np
import pytest

from stages.joining import ColourFit, fit_colour, join

REGION = np.zeros((40, 60), bool)
REGION[8:32, 10:50] = True


def pictures(number: int, seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(40, 200, (number, 40, 60, 3)).astype(np.uint8))


def tinted(images, gain, offset):
    changed = ColourFit(np.array(gain), np.array(offset))
    return [np.where(REGION[..., None], changed.apply(image, 1.0), image) for image in images]


@pytest.mark.parametrize("seed", [0, 1])
def test_a_tint_is_found_even_when_a_fifth_of_the_pixels_are_something_else(seed):
    old = pictures(4, seed)
    new = tinted(old, [1.1, 0.95, 1.0], [-6.0, 4.0, 9.0])
    for image in new:
        image[8:13] = 255
    fit = fit_colour(new, old, [REGION] * 4)
    back = [fit.apply(image, 1.0) for image in new]
    inside = REGION.copy()
    inside[8:13] = False
    error = np.abs(np.stack(back)[:, inside].astype(int) - np.stack(old)[:, inside])
    untreated = np.abs(np.stack(new)[:, inside].astype(int) - np.stack(old)[:, inside])
    assert error.mean() < 0.45 * untreated.mean()


def test_without_a_difference_nothing_changes():
    old = pictures(3)
    assert all(np.array_equal(*pair) for pair in zip(join(old, [*old, *old], [REGION] * 6)[3:], old, strict=True))


def test_the_joint_is_without_a_step_and_the_window_ends_as_it_was_drawn():
    base = pictures(1)[0]
    old, new = [base] * 4, tinted([base] * 16, [1.0, 1.0, 1.0], [12.0, 12.0, 12.0])
    joined = join(old, new, [REGION] * 16)
    levels = [image[REGION].mean() - base[REGION].mean() for image in joined]
    assert abs(levels[0]) < 1
    assert max(np.abs(np.diff(levels))) < 2
    assert levels[-1] == pytest.approx(12, abs=1.5)


def test_outside_the_region_the_source_stays_bit_exact():
    base = pictures(1)[0]
    joined = join([base] * 4, tinted([base] * 9, [1.2, 1, 1], [0.0, 5, -5]), [REGION] * 9)
    assert all(np.array_equal(image[~REGION], base[~REGION]) for image in joined)


def test_a_first_window_has_nothing_to_be_joined_to():
    new = pictures(3)
    assert join([], new, [REGION] * 3) == new
