"""What every image editor promises, by the embedded one and by the real ones on tiny checkpoints."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from synthetic_scene import background, figure

from actors.image_editor import DonorEditor, ImageEditor
from actors.profiles import build_role
from schemas.config import RoleConfig
from schemas.errors import BadInput
from schemas.fill import Donor, Fill, Filled, FillRequest
from schemas.reasons import Reason
from schemas.sample import Plate
from schemas.video import Image, Mask
from stages import compositing
from tests.models.checkpoints import flux2_klein, flux_fill, qwen_image_edit
from tests.models.hub import UNPINNED, publish

Build = Callable[[Path], None]
SMALL = {"num_steps": 2, "working_pixels": 128 * 128}
REAL: dict[str, tuple[str, str, Build, dict[str, int]]] = {
    "klein": ("flux2_klein:Flux2KleinEditor", "black-forest-labs/FLUX.2-klein-4B", flux2_klein.build, SMALL),
    "fill": ("flux_fill:FluxFillEditor", "black-forest-labs/FLUX.1-Fill-dev", flux_fill.build, SMALL),
    "qwen": ("qwen_image_edit:QwenImageEditor", "Qwen/Qwen-Image-Edit-2509", qwen_image_edit.build, {"num_steps": 1}),
}
SIZES = [(97, 61), (61, 97), (160, 239)]  # height, width


def real_editor(name: str) -> ImageEditor:
    """As a profile builds it."""
    implementation, model, build, options = REAL[name]
    role = RoleConfig(
        implementation=f"models.{implementation}",
        model=publish(model, build),
        revision=UNPINNED,
        dtype="float32",
        options=dict(options),
    )
    editor: ImageEditor = build_role("image_editor", role)
    return editor


@pytest.fixture(scope="module")
def small_qwen() -> Iterator[None]:
    """Qwen's pipeline brings every picture to a megapixel: seconds on a CPU. Here it is a sixty-fourth of that."""
    from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_inpaint as module

    whole = module.calculate_dimensions
    module.calculate_dimensions = lambda area, ratio: whole(area // 64, ratio)
    yield
    module.calculate_dimensions = whole


@pytest.fixture(scope="module", params=list(REAL))
def real(request: pytest.FixtureRequest, small_qwen: None) -> ImageEditor:
    return real_editor(request.param)


@pytest.fixture(scope="module", params=["donor", *REAL])
def editor(request: pytest.FixtureRequest, small_qwen: None) -> ImageEditor:
    return DonorEditor() if request.param == "donor" else real_editor(request.param)


def picture(height: int, width: int, seed: int = 0) -> Image:
    noise = np.random.default_rng(seed).integers(0, 256, (height // 8 + 2, width // 8 + 2, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def asked(fill: Fill, height: int = 160, width: int = 239, seed: int = 5, rung: int = 0) -> FillRequest:
    """A picture with a subject a third as tall. OUTPAINT: all but it; else a box around it without its lower left."""
    subject: Mask = np.zeros((height, width), np.bool_)
    subject[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = True
    region: Mask = np.zeros_like(subject)
    region[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = True
    region[5 * height // 8 :, : width // 3] = False
    if fill is Fill.OUTPAINT:
        region = ~subject
    lender = Donor(background(9, (90, 120, 90), (60, 110, 50)), figure(70, 215, 130), "person", "another source")
    prompt = "another person, same place and light"
    return FillRequest(
        picture(height, width), region, fill, prompt, seed, rung, category="person", donors=[lender], avoid=subject
    )


def filled(editor: ImageEditor, request: FillRequest) -> Filled:
    (answer,) = editor.fill([request])
    assert isinstance(answer, Filled), answer
    return answer


@pytest.mark.parametrize("fill", list(Fill))
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_only_the_region_changes_and_it_does(editor: ImageEditor, fill: Fill, height: int, width: int) -> None:
    request = asked(fill, height, width)
    before = request.image.copy()
    answer = filled(editor, request)
    assert answer.image.shape == (height, width, 3)
    assert answer.image.dtype == np.uint8
    assert np.array_equal(answer.image[~request.region], before[~request.region])
    assert np.array_equal(request.image, before)
    assert (answer.image != before).any(axis=2)[request.region].mean() > 0.8


@pytest.mark.parametrize("fill", list(Fill))
def test_the_seed_and_nothing_else_decides(editor: ImageEditor, fill: Fill) -> None:
    first, again, other = (filled(editor, asked(fill, seed=seed)).image for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    if not isinstance(editor, DonorEditor):  # which has one donor here, and so one way
        assert not np.array_equal(first, other)


def test_a_batch_is_its_requests_one_by_one(editor: ImageEditor) -> None:
    sizes = [(97, 61), (97, 61), (160, 239)]
    requests = [asked(fill, *size, seed=n) for n, (fill, size) in enumerate(zip(Fill, sizes, strict=True))]
    together = editor.fill(requests)
    assert len(together) == len(requests)
    for answer, request in zip(together, requests, strict=True):
        assert isinstance(answer, Filled), answer
        alone = filled(editor, request)
        assert np.array_equal(answer.image, alone.image)
        assert answer.origin == alone.origin


def test_an_empty_batch_gives_nothing(editor: ImageEditor) -> None:
    assert editor.fill([]) == []


@pytest.mark.parametrize("rung", [0, 1, 2, 7])
def test_every_rung_is_answered(editor: ImageEditor, rung: int) -> None:
    for fill in Fill:
        request = asked(fill, 97, 61, rung=min(rung, 2) if isinstance(editor, DonorEditor) else rung)
        assert np.array_equal(filled(editor, request).image[~request.region], request.image[~request.region])


def test_what_cannot_be_met_is_said_and_the_rest_is_answered(editor: ImageEditor) -> None:
    nothing, everything = (np.full((160, 239), value) for value in (False, True))
    requests = [
        replace(asked(Fill.OUTPAINT), region=nothing),
        replace(asked(Fill.REMOVE), region=nothing),
        replace(asked(Fill.REMOVE), region=everything),
        replace(asked(Fill.REPLACE), category="subject"),
        asked(Fill.REMOVE),
    ]
    *refused, answered = editor.fill(requests)
    assert all(isinstance(answer, BadInput) for answer in refused)
    reasons = [answer.reason for answer in refused if isinstance(answer, BadInput)]
    assert reasons == [Reason.NO_ROOM, Reason.NO_ROOM, Reason.NO_ROOM, Reason.NO_DONOR]
    assert isinstance(answered, Filled)


def test_a_replacement_is_named_and_stands_in_the_region(editor: ImageEditor) -> None:
    request = asked(Fill.REPLACE)
    answer = filled(editor, request)
    assert answer.replacement == "person"
    assert answer.replacement_mask is not None
    assert answer.replacement_mask.any()
    assert answer.replacement_mask.dtype == np.bool_
    assert not (answer.replacement_mask & ~request.region).any()
    removed = filled(editor, asked(Fill.REMOVE))
    assert (removed.replacement, removed.replacement_mask) == ("", None)


@pytest.mark.parametrize(("height", "width"), [(33, 47), (40, 300), (300, 40), (450, 750)])
def test_a_model_fills_any_size(real: ImageEditor, height: int, width: int) -> None:
    for fill in Fill:
        request = asked(fill, height, width)
        answer = filled(real, request)
        assert np.array_equal(answer.image[~request.region], request.image[~request.region])
        assert answer.origin.count("/") == 1  # its hub id


@pytest.mark.parametrize("fill", list(Fill))
def test_a_model_does_not_see_what_it_is_to_replace(real: ImageEditor, fill: Fill) -> None:
    request = asked(fill)
    other = np.where(request.region[..., None], picture(160, 239, seed=1), request.image)
    covered = replace(request, avoid=request.region)  # else the edge of the region fades into what was there
    again = filled(real, replace(covered, image=other))
    assert np.array_equal(filled(real, covered).image, again.image)


def test_a_model_sees_what_stays(real: ImageEditor) -> None:
    request = replace(asked(Fill.REMOVE), avoid=asked(Fill.REMOVE).region)
    other = np.where(request.region[..., None], request.image, picture(160, 239, seed=1))
    first, second = (filled(real, replace(request, image=image)).image for image in (request.image, other))
    assert not np.array_equal(first[request.region], second[request.region])


def test_what_is_known_to_stand_behind_the_subject_is_not_invented(real: ImageEditor) -> None:
    request = asked(Fill.REMOVE)
    plate = Plate(np.full_like(request.image, 200), np.arange(239)[None] < np.full((160, 1), 110))
    answer = filled(real, replace(request, plate=plate, image=np.full_like(request.image, 200)))
    off = np.abs(answer.image.astype(int) - 200).max(axis=2)
    assert off[request.region & plate.known].max() <= compositing.MAX_SEAM_STEP  # the seam's correction, no more
    assert off[request.region & ~plate.known].max() > compositing.MAX_SEAM_STEP


def test_a_region_of_another_size_is_a_bug(real: ImageEditor) -> None:
    with pytest.raises(ValueError, match="region"):
        real.fill([replace(asked(Fill.REMOVE), region=np.ones((3, 3), np.bool_))])
