"""Regions: the crop holds the region, sizes are ones a model takes, and only the region comes back."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.video import Image, Mask
from stages import regions

sides = st.one_of(st.integers(1, 60), st.sampled_from([33, 47, 97, 333]))


@st.composite
def regions_in_pictures(draw: st.DrawFn) -> Mask:
    """A box with something bitten out of it, anywhere: also along the borders, or the whole picture."""
    height, width = draw(sides), draw(sides)
    x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    x1, y1 = draw(st.integers(x0 + 1, width)), draw(st.integers(y0 + 1, height))
    region = np.zeros((height, width), np.bool_)
    region[y0:y1, x0:x1] = True
    if draw(st.booleans()):
        region[(y0 + y1) // 2 :, (x0 + x1 + 1) // 2 :] = False
    return region


def picture(mask: Mask, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (*mask.shape, 3)).astype(np.uint8)


@given(regions_in_pictures())
def test_the_crop_holds_the_region_with_context_where_the_picture_has_it(region: Mask) -> None:
    x0, y0, x1, y1 = regions.context_crop(region)
    height, width = region.shape
    assert 0 <= x0 < x1 <= width
    assert 0 <= y0 < y1 <= height
    assert region[y0:y1, x0:x1].sum() == region.sum()
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    assert y1 - y0 >= min(len(range(rows[0], rows[-1] + 1)) + 2 * regions.MIN_CONTEXT_PX, height)
    assert x1 - x0 >= min(len(range(columns[0], columns[-1] + 1)) + 2 * regions.MIN_CONTEXT_PX, width)


def test_a_long_region_gets_a_crop_a_model_can_see() -> None:
    region = np.zeros((900, 1500), np.bool_)
    region[440:450, 100:1400] = True
    x0, y0, x1, y1 = regions.context_crop(region)
    assert (x1 - x0) / (y1 - y0) <= regions.MAX_ASPECT


def test_an_empty_region_has_no_crop() -> None:
    with pytest.raises(ValueError, match="empty"):
        regions.context_crop(np.zeros((40, 40), np.bool_))


@given(
    st.integers(1, 6000),
    st.integers(1, 6000),
    st.sampled_from([64 * 64, 128 * 128, 832 * 480, 1024 * 1024]),
    st.sampled_from([16, 32]),
    st.sampled_from([1.0, 2.0, float("inf")]),
)
@example(33, 47, 1024 * 1024, 16, 2.0)
@example(900, 1500, 1024 * 1024, 16, 2.0)
def test_working_sizes_are_whole_tokens_within_the_budget(
    height: int, width: int, budget: int, multiple: int, enlargement: float
) -> None:
    tall, wide = regions.working_size(height, width, budget, multiple, enlargement)
    assert tall % multiple == wide % multiple == 0
    assert min(tall, wide) >= regions.MIN_SIDE_PX
    assert tall * wide <= budget
    for side, before in ((tall, height), (wide, width)):
        assert side <= max(before * enlargement + multiple / 2, regions.MIN_SIDE_PX)
    if budget > 128 * 128 and max(height, width) <= 2 * min(height, width) and min(height, width) > 200:
        assert (tall / wide) / (height / width) == pytest.approx(1, abs=0.09)


def test_a_working_size_stays_as_it_is() -> None:
    assert regions.working_size(480, 832, 832 * 480, max_enlargement=1.0) == (480, 832)
    assert regions.working_size(832, 480, 832 * 480, max_enlargement=1.0) == (832, 480)
    assert regions.working_size(1024, 1024, 1024 * 1024) == (1024, 1024)


@given(regions_in_pictures(), st.integers(1, 90), st.integers(1, 90))
def test_a_covering_mask_misses_no_pixel_of_the_region(region: Mask, height: int, width: int) -> None:
    covered = regions.cover(region, height, width)
    assert covered.shape == (height, width)
    rows, columns = np.nonzero(region)
    for y, x in zip(rows[:: max(len(rows) // 50, 1)], columns[:: max(len(rows) // 50, 1)], strict=True):
        spans = []
        for place, before, after in ((y, region.shape[0], height), (x, region.shape[1], width)):
            spans.append(slice(place * after // before, -(-(place + 1) * after // before)))
        assert covered[tuple(spans)].all()
    assert np.array_equal(regions.cover(region, *region.shape), region)
    assert not regions.cover(np.zeros_like(region), height, width, reach_px=3).any()


def test_reach_grows_in_a_square() -> None:
    region = np.zeros((9, 9), np.bool_)
    region[4, 4] = True
    assert regions.cover(region, 9, 9, reach_px=2).sum() == 25


@settings(max_examples=60)
@given(regions_in_pictures(), st.integers(1, 80), st.integers(1, 80))
def test_only_the_region_comes_back(region: Mask, height: int, width: int) -> None:
    image, crop = picture(region), regions.context_crop(region)
    painted = np.full((height, width, 3), 7, np.uint8)
    result = regions.paste_back(image, region, crop, painted)
    assert np.array_equal(result[~region], image[~region])
    assert (result[region] == 7).all()


@settings(max_examples=60)
@given(regions_in_pictures())
def test_a_crop_at_its_own_size_comes_back_bit_exact(region: Mask) -> None:
    image, (x0, y0, x1, y1) = picture(region), regions.context_crop(region)
    assert np.array_equal(regions.paste_back(image, region, (x0, y0, x1, y1), image[y0:y1, x0:x1]), image)


def test_what_is_painted_lands_where_it_was_seen() -> None:
    region = np.zeros((211, 307), np.bool_)
    region[60:130, 80:200] = True
    y, x = np.mgrid[:211, :307]
    image = np.stack([x // 2, y, np.full_like(x, 90)], axis=2).astype(np.uint8)
    x0, y0, x1, y1 = regions.context_crop(region)
    size = regions.working_size(y1 - y0, x1 - x0, 256 * 256)
    seen = regions.resize(image[y0:y1, x0:x1], *size)
    back = regions.paste_back(np.zeros_like(image), region, (x0, y0, x1, y1), seen)
    assert np.abs(back[region].astype(int) - image[region]).max() <= 2


@given(st.integers(1, 90), st.integers(1, 90))
def test_a_reference_stands_whole_on_white(height: int, width: int) -> None:
    canvas = regions.on_white(np.zeros((height, width, 3), np.uint8), 64, 96)
    assert canvas.shape == (64, 96, 3)
    drawn = canvas[..., 0] < 128
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    tall, wide = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    scale = min(64 / height, 96 / width)
    assert (tall, wide) == pytest.approx((max(height * scale, 1), max(width * scale, 1)), abs=0.51)
    assert abs(rows[0] - (63 - rows[-1])) <= 1
    assert abs(columns[0] - (95 - columns[-1])) <= 1
