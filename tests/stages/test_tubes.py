import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import masks
from stages.tubes import MULTIPLE, Sizing, plan_tube

HEIGHT, WIDTH = 150, 230


def boxes_of(num_frames: int, draw) -> list[np.ndarray]:
    found = []
    for _ in range(num_frames):
        x, y = draw(st.integers(0, WIDTH - 8)), draw(st.integers(0, HEIGHT - 8))
        box = (x, y, x + draw(st.integers(1, 60)), y + draw(st.integers(1, 60)))
        found.append(masks.mask_of(tuple(map(float, box)), HEIGHT, WIDTH))
    return found


@given(st.data(), st.integers(1, 9))
def test_a_fast_tube_is_whole_tokens_holds_the_masks_and_comes_back_exactly(data, num_frames):
    frame_masks = boxes_of(num_frames, data.draw)
    tube = plan_tube(frame_masks, Sizing.FAST, 10_000)
    assert tube.height_px % MULTIPLE == tube.width_px % MULTIPLE == 0
    assert tube.shown_px == (tube.height_px, tube.width_px)
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    for number, mask in enumerate(frame_masks):
        shown = tube.take(image, number)
        assert np.count_nonzero(tube.take_mask(mask, number)) == np.count_nonzero(mask)
        assert np.array_equal(tube.put_back(image, shown, number), image)
        painted = shown.copy()
        painted[tube.take_mask(mask, number)] = 7
        assert np.array_equal(tube.put_back(image, painted, number), np.where(mask[..., None], 7, image))


@given(st.data())
def test_to_shown_says_where_a_pixel_is_seen(data):
    frame_masks = boxes_of(3, data.draw)
    tube = plan_tube(frame_masks, Sizing.FAST, 10_000)
    image = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    for number, mask in enumerate(frame_masks):
        y, x = np.argwhere(mask)[0]
        column, row, _ = tube.to_shown(number) @ (x, y, 1)
        assert np.array_equal(tube.take(image, number)[round(row), round(column)], image[y, x])


def walking(num_frames: int, step: int) -> list[np.ndarray]:
    return [masks.mask_of((20.0 + step * n, 200, 80.0 + step * n, 320), 480, 854) for n in range(num_frames)]


def test_a_subject_that_crosses_the_picture_gets_a_tube_that_goes_along_smoothly():
    frame_masks = walking(60, 12)
    tube = plan_tube(frame_masks, Sizing.FAST, 400_000)
    assert tube.width_px < 300
    steps = np.diff([x for x, _ in tube.corners])
    assert steps.min() >= 0
    assert np.abs(np.diff(steps)).max() <= 3


def test_a_subject_that_stays_gets_a_tube_that_stands():
    assert len(set(plan_tube(walking(20, 1), Sizing.FAST, 400_000).corners)) == 1


def test_a_tube_that_would_cover_most_of_the_frame_is_the_frame():
    big = [masks.mask_of((60, 20, 800, 470), 480, 854)]
    tube = plan_tube(big, Sizing.FAST, 400_000)
    assert tube.corners == ((0, 0),)
    assert (tube.height_px, tube.width_px) == (480, 864)


def test_a_sharp_tube_shows_what_the_generator_works_at_natively():
    tube = plan_tube(walking(9, 1), Sizing.SHARP, 832 * 480)
    height, width = tube.shown_px
    assert 0.85 * 832 * 480 <= height * width <= 832 * 480
    assert height % MULTIPLE == width % MULTIPLE == 0
    assert height / width == pytest.approx(tube.height_px / tube.width_px, rel=0.06)


def test_frames_without_a_mask_are_between_and_only_empty_masks_are_refused():
    frame_masks = walking(9, 5)
    frame_masks[4] = np.zeros_like(frame_masks[4])
    assert len(plan_tube(frame_masks, Sizing.FAST, 400_000).corners) == 9
    with pytest.raises(ValueError, match="nothing"):
        plan_tube([np.zeros((48, 64), bool)], Sizing.FAST, 400_000)
