import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stages import masks
from stages.paste_back import colour_cast, coverage, feather_px, generation_mask, paste_back, upsampled

small_masks = hnp.arrays(np.bool_, (24, 32))


@given(small_masks, small_masks)
def test_farther_than_the_feather_every_pixel_is_the_source(mask, others):
    others = others & ~mask
    source, generated = np.full((24, 32, 3), 10, np.uint8), np.full((24, 32, 3), 250, np.uint8)
    alpha = coverage(mask, others)
    result = paste_back(source, generated, alpha)
    beyond = masks.distance_to(mask) >= feather_px(24, 32)
    assert np.array_equal(result[beyond], source[beyond])
    assert np.array_equal(result[others], source[others])
    deep = mask & (masks.distance_to(others) >= 2)
    assert np.array_equal(result[deep], generated[deep])
    assert not (alpha[~generation_mask(mask, others)] > 0).any()


@given(small_masks)
def test_upsampling_commutes_with_mirroring_and_keeps_the_size(mask):
    assert np.array_equal(upsampled(mask, 48, 64)[:, ::-1], upsampled(mask[:, ::-1], 48, 64))
    assert np.array_equal(upsampled(mask, 24, 32), mask)


def test_an_upsampled_edge_is_smooth():
    rows, columns = np.mgrid[:120, :160]
    true = np.hypot(rows - 240 / 4, columns - 320 / 4) < 40
    large_rows, large_columns = np.mgrid[:480, :640]
    wanted = np.hypot((large_rows + 0.5) / 4 - 60.5, (large_columns + 0.5) / 4 - 80.5) < 40
    blocky = np.kron(true, np.ones((4, 4), bool))
    error = np.count_nonzero(upsampled(true, 480, 640) ^ wanted)
    assert error < 0.75 * np.count_nonzero(blocky ^ wanted)
    assert error < 0.9 * np.count_nonzero(masks.resize(true, 480, 640) ^ wanted)


@given(st.integers(-12, 12))
def test_the_ring_tells_a_cast(levels):
    image = np.full((60, 80, 3), 120, np.uint8)
    ring = np.zeros((60, 80), bool)
    ring[10:20, 10:60] = True
    cast = colour_cast([image], [np.full_like(image, 120 + levels)], [ring])
    assert np.allclose(cast, -levels)


def test_a_ring_in_which_something_else_was_drawn_tells_nothing():
    image = np.full((60, 80, 3), 120, np.uint8)
    other = np.random.default_rng(0).integers(0, 255, image.shape).astype(np.uint8)
    assert not colour_cast([image], [other], [np.ones((60, 80), bool)]).any()
