"""What is around every inpainting model, without a model: what it is shown, what comes back, what it is told."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.models import fill_words, filling
from schemas.errors import BadInput
from schemas.fill import Fill, Filled, FillRequest
from schemas.reasons import Reason
from schemas.sample import Plate
from schemas.video import Image

WORKING = filling.Working(max_pixels=96 * 96)


def asked(fill: Fill, height: int = 60, width: int = 80, seed: int = 0) -> FillRequest:
    rng = np.random.default_rng(seed)
    region = np.zeros((height, width), np.bool_)
    region[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = True
    image = rng.integers(0, 100, (height, width, 3)).astype(np.uint8)
    return FillRequest(image, ~region if fill is Fill.OUTPAINT else region, fill, "a dog", seed, category="dog")


def bright(request: FillRequest, canvas: filling.Canvas) -> Image:
    return np.full((32, 48, 3), 220, np.uint8)


def never(request: FillRequest, canvas: filling.Canvas) -> Image:
    raise AssertionError("nothing is left to paint")


def filled(request: FillRequest, paint: filling.Paint = bright, working: filling.Working = WORKING) -> Filled:
    answer = filling.answer(request, working, "a/model", paint)
    assert isinstance(answer, Filled), answer
    return answer


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(list(Fill)), st.integers(5, 150), st.integers(5, 150), st.data())
def test_outside_the_region_every_pixel_stays(fill: Fill, height: int, width: int, data: st.DataObject) -> None:
    request = asked(fill, height, width)
    rows = sorted(data.draw(st.tuples(st.integers(0, height), st.integers(0, height))))
    columns = sorted(data.draw(st.tuples(st.integers(0, width), st.integers(0, width))))
    region = np.zeros((height, width), np.bool_)
    region[slice(*rows), slice(*columns)] = True
    request = replace(request, region=region)
    answer = filling.answer(request, WORKING, "a/model", bright)
    if isinstance(answer, BadInput):
        assert not region.any() or region.all()
        return
    assert answer.image.shape == request.image.shape
    assert np.array_equal(answer.image[~region], request.image[~region])
    assert (answer.image != request.image)[region].any()


@pytest.mark.parametrize("fill", list(Fill))
def test_the_model_is_shown_the_surroundings_and_not_the_region(fill: Fill) -> None:
    seen: list[filling.Canvas] = []

    def look(request: FillRequest, canvas: filling.Canvas) -> Image:
        seen.append(canvas)
        return canvas.image

    request = asked(fill, 96, 96)
    filled(request, look, filling.Working(max_pixels=96 * 96, reach_px=5))
    (canvas,) = seen
    assert canvas.image.shape == (96, 96, 3)  # the whole picture, which is its working size
    assert (canvas.image[request.region] == filling.NEUTRAL).all()
    assert np.array_equal(canvas.image[~request.region], request.image[~request.region])
    assert canvas.mask[request.region].all()
    assert (canvas.mask & ~request.region).any()  # the reach
    assert not canvas.mask.all()


def test_what_is_known_behind_the_subject_is_shown_and_kept() -> None:
    request = asked(Fill.REMOVE, 96, 96)
    known = np.zeros_like(request.region)
    known[:, :48] = True
    plate = Plate(np.full_like(request.image, 60), known)
    for fill, painted in ((Fill.REMOVE, request.region & ~known), (Fill.REPLACE, request.region)):
        seen: list[filling.Canvas] = []

        def look(request: FillRequest, canvas: filling.Canvas, seen: list[filling.Canvas] = seen) -> Image:
            seen.append(canvas)
            return np.full_like(canvas.image, 220)

        filled(replace(request, fill=fill, plate=plate), look)
        assert (seen[0].image[request.region & known] == 60).all()
        assert (seen[0].image[request.region & ~known] == filling.NEUTRAL).all()
        assert np.array_equal(seen[0].mask, painted)


def test_a_region_known_all_over_needs_no_model() -> None:
    request = asked(Fill.REMOVE)
    request = replace(request, image=np.full_like(request.image, 60))
    plate = Plate(np.full_like(request.image, 60), np.ones_like(request.region))
    assert (filled(replace(request, plate=plate), never).image == 60).all()


def test_a_replacement_that_changes_nothing_is_none() -> None:
    request = asked(Fill.REPLACE)
    request = replace(request, image=np.full_like(request.image, 90))

    def same(request: FillRequest, canvas: filling.Canvas) -> Image:
        return np.full_like(canvas.image, 90)

    answer = filling.answer(request, WORKING, "a/model", same)
    assert isinstance(answer, BadInput)
    assert answer.reason is Reason.SUBJECT_IN_BASE
    mask = filled(request).replacement_mask
    assert mask is not None
    assert mask[request.region].mean() > 0.7  # but for the rim, which fades into what was there


@pytest.mark.parametrize("level", [filling.NEUTRAL, 0])
def test_an_outpainted_edge_is_of_subject_and_background_only(level: int) -> None:
    request = asked(Fill.OUTPAINT, 96, 96)
    subject = np.full_like(request.image, 200)
    made = filled(replace(request, image=np.where(request.region[..., None], np.uint8(level), subject)))
    assert made.image[request.region].min() >= 200  # the synthesis hands in grey there: none of it is mixed in


def test_a_request_that_does_not_fit_in_memory_falls_alone() -> None:
    small, large = asked(Fill.REMOVE), asked(Fill.REMOVE, 300, 400)

    def short_of_memory(request: FillRequest, canvas: filling.Canvas) -> Image:
        if request.image.shape[0] == 300:
            raise torch.OutOfMemoryError
        return bright(request, canvas)

    first, second, third = filling.fill_each([small, large, small], WORKING, "a/model", short_of_memory)
    assert isinstance(second, BadInput)
    assert second.reason is Reason.OUT_OF_MEMORY
    assert isinstance(first, Filled)
    assert isinstance(third, Filled)
    assert np.array_equal(first.image, third.image)


def test_higher_rungs_take_more_steps_and_ask_for_plainer_places() -> None:
    requests = [replace(asked(Fill.OUTPAINT), rung=rung) for rung in (0, 1, 2, 9)]
    assert [filling.num_steps(request, 4) for request in requests] == [4, 6, 8, 8]
    for request in requests:
        assert fill_words.place(request) in fill_words.PLACES[min(request.rung, 2)]


def test_places_differ_by_seed_and_are_repeated_by_it() -> None:
    places = [fill_words.place(replace(asked(Fill.OUTPAINT), seed=seed)) for seed in range(40)]
    assert len(set(places)) > 10
    assert places == [fill_words.place(replace(asked(Fill.OUTPAINT), seed=seed)) for seed in range(40)]


def test_a_removal_does_not_name_what_it_removes_but_to_forbid_it() -> None:
    request = replace(asked(Fill.REMOVE), prompt="the empty place, background only")
    assert "dog" not in fill_words.description(request) + fill_words.instruction(request)
    assert "dog" in fill_words.negative(request)


@pytest.mark.parametrize("fill", list(Fill))
def test_words_hold_what_was_asked_and_change_with_the_rung(fill: Fill) -> None:
    request = replace(asked(fill), prompt="a brown dog on its own")
    for words in (fill_words.description, fill_words.instruction):
        assert "a brown dog on its own" in words(request)
        if fill is not Fill.REMOVE:
            assert words(request) != words(replace(request, rung=2))
