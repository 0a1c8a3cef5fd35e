"""What is particular to each family of image editors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from synthetic_scene import donor, scene

from actors.image_editor import GENERIC_CATEGORY
from actors.models.filling import NEUTRAL
from actors.models.flux2_klein import Flux2KleinEditor
from actors.models.flux_fill import FluxFillEditor
from actors.models.qwen_image_edit import QwenImageEditor
from schemas.config import SynthesisConfig
from schemas.errors import UserError
from schemas.fill import Fill, FillRequest
from schemas.video import Image
from stages import masks
from stages.generation import draft_generation
from stages.manipulation import draft_manipulation
from tests.models.checkpoints import flux2_klein, flux_fill, qwen_image_edit
from tests.models.hub import UNPINNED, publish

KLEIN, FILL, QWEN = (
    "black-forest-labs/FLUX.2-klein-4B",
    "black-forest-labs/FLUX.1-Fill-dev",
    "Qwen/Qwen-Image-Edit-2509",
)


@pytest.fixture(scope="module")
def klein() -> Flux2KleinEditor:
    return Flux2KleinEditor(publish(KLEIN, flux2_klein.build), UNPINNED, "float32", working_pixels=128 * 128)


def noise(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def removal(rung: int = 0) -> FillRequest:
    region = np.zeros((80, 100), np.bool_)
    region[20:50, 30:60] = True
    return FillRequest(noise(80, 100), region, Fill.REMOVE, "the empty place", seed=1, rung=rung, category="dog")


@contextmanager
def watched(editor: Any, attribute: str) -> Iterator[list[dict[str, Any]]]:
    """The arguments of each call of the editor's pipeline, which goes on as it is."""
    pipeline, calls = getattr(editor, attribute), []

    def call(**arguments: Any) -> Any:
        calls.append(arguments)
        return pipeline(**arguments)

    setattr(editor, attribute, call)
    yield calls
    setattr(editor, attribute, pipeline)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (97, 61), (50, 300)])
def test_klein_draws_pictures_of_the_size_asked(klein: Flux2KleinEditor, height: int, width: int) -> None:
    for references in ([], [noise(40, 30)], [noise(300, 20, 1), noise(61, 97, 2)]):
        drawn = klein.draw("a dog on a beach", references, height, width, seed=3)
        assert drawn.shape == (height, width, 3)
        assert drawn.dtype == np.uint8


def test_klein_draws_after_words_references_and_seed(klein: Flux2KleinEditor) -> None:
    first = klein.draw("a dog", [noise(64, 64)], 64, 96, seed=3)
    assert np.array_equal(first, klein.draw("a dog", [noise(64, 64)], 64, 96, seed=3))
    assert not np.array_equal(first, klein.draw("a cat", [noise(64, 64)], 64, 96, seed=3))
    assert not np.array_equal(first, klein.draw("a dog", [noise(64, 64, seed=1)], 64, 96, seed=3))
    assert not np.array_equal(first, klein.draw("a dog", [], 64, 96, seed=3))
    assert not np.array_equal(first, klein.draw("a dog", [noise(64, 64)], 64, 96, seed=4))


def test_klein_has_its_weights_once_and_in_the_dtype_asked() -> None:
    editor = Flux2KleinEditor(publish(KLEIN, flux2_klein.build), UNPINNED, "bfloat16", working_pixels=64 * 64)
    for name, component in editor._inpaint.components.items():
        assert getattr(editor._draw, name) is component
    assert editor._inpaint.transformer.dtype == editor._inpaint.text_encoder.dtype == torch.bfloat16
    assert editor.draw("a dog", [noise(64, 64)], 64, 64, seed=0).shape == (64, 64, 3)


def test_klein_takes_the_steps_it_was_distilled_to(klein: Flux2KleinEditor) -> None:
    with watched(klein, "_inpaint") as calls:
        klein.fill([removal(), removal(rung=2)])
    assert [call["num_inference_steps"] for call in calls] == [4, 8]
    assert {call["guidance_scale"] for call in calls} == {1.0}


def test_pipelines_get_sizes_they_do_not_floor(klein: Flux2KleinEditor) -> None:
    fill = FluxFillEditor(publish(FILL, flux_fill.build), UNPINNED, "float32", num_steps=1)
    with watched(fill, "_pipeline") as calls:
        fill.fill([removal()])
    with watched(klein, "_inpaint") as others:
        klein.fill([removal()])
    assert len(calls) == len(others) == 1
    for call in (*calls, *others):
        assert (call["width"], call["height"]) == call["image"].size == call["mask_image"].size
        assert call["width"] % 16 == call["height"] % 16 == 0


def test_klein_may_paint_every_token_that_shows_some_of_the_region(klein: Flux2KleinEditor) -> None:
    with watched(klein, "_inpaint") as calls:
        klein.fill([removal()])
    mask, image = np.asarray(calls[0]["mask_image"]) > 0, np.asarray(calls[0]["image"])
    tokens = mask.reshape(mask.shape[0] // 16, 16, mask.shape[1] // 16, 16)
    hidden = (image == NEUTRAL).all(axis=2).reshape(tokens.shape)
    touched = hidden.any(axis=(1, 3))
    assert touched.any()
    assert tokens.all(axis=(1, 3))[touched].all()


def test_samples_are_drafted_with_a_model(klein: Flux2KleinEditor) -> None:
    pair, config = scene(), SynthesisConfig()
    for draft in (draft_generation, draft_manipulation):
        for attempt in range(3):
            made = draft(pair, "ab" * 16, attempt, [donor()], config, klein.fill)
            assert made.references[0].origin == KLEIN
    assert made.base is not None
    assert (made.base.operation, made.base.replacement, made.base.origin) == ("replace", "person", KLEIN)
    outside = ~masks.mask_of(made.base.box, *made.output.shape[:2])
    assert np.array_equal(made.base.image[outside], made.output[outside])
    pair.categories[0] = GENERIC_CATEGORY  # no other of its kind can be asked for: the box is emptied
    made = draft_manipulation(pair, "ab" * 16, 0, [donor()], config, klein.fill)
    assert made.base is not None
    assert made.base.operation == "add"


def test_qwen_works_at_a_megapixel_and_reads_a_small_picture() -> None:
    editor = QwenImageEditor(publish(QWEN, qwen_image_edit.build), UNPINNED, "float32", num_steps=1)
    with watched(editor, "_pipeline") as calls:
        answer = editor.fill([removal()])[0]
    (call,) = calls
    width, height = call["image"].size
    assert 0.95 * 2**20 < width * height <= 2**20
    pipeline = editor._pipeline
    prompt = pipeline.prompt_template_encode.format(call["prompt"])
    assert "Picture 1: <|vision_start|><|image_pad|>" in prompt
    read = pipeline.processor(text=[prompt], images=call["image"], return_tensors="pt")
    assert 0.8 * 384**2 < int(read["image_grid_thw"].prod()) * 14**2 <= 384**2
    assert answer.image.shape == (80, 100, 3)


@pytest.mark.parametrize("cls", [Flux2KleinEditor, FluxFillEditor, QwenImageEditor])
def test_a_model_that_is_not_there_is_one_line(cls: Any) -> None:
    with pytest.raises(UserError, match="nobody/nothing") as caught:
        cls("nobody/nothing", "", "bfloat16")
    assert "\n" not in str(caught.value)
