"""What every video generator promises, by Wan VACE in its three sizes on tiny checkpoints."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from actors.models import latent_frames
from actors.models import wan_vace as wan_vace_module
from actors.models.wan_vace import LARGE_SHIFT, SMALL_SHIFT, WanVaceGenerator, keep_guidance
from actors.profiles import build_role
from schemas.config import RoleConfig
from schemas.errors import UserError
from schemas.fill import VideoFillRequest
from schemas.video import Image, Mask
from tests.models.checkpoints import wan_vace
from tests.models.hub import UNPINNED, publish

SMALL, LARGE = "Wan-AI/Wan2.1-VACE-1.3B-diffusers", "Wan-AI/Wan2.1-VACE-14B-diffusers"
TWO_EXPERTS = "linoyts/Wan2.2-VACE-Fun-14B-diffusers"
BUILDS = {SMALL: wan_vace.build, LARGE: wan_vace.build, TWO_EXPERTS: wan_vace.build_two_experts}


@pytest.fixture(scope="module", params=list(BUILDS))
def generator(request: pytest.FixtureRequest) -> WanVaceGenerator:
    role = RoleConfig(
        implementation="models.wan_vace:WanVaceGenerator",
        model=publish(request.param, BUILDS[request.param]),
        revision=UNPINNED,
        dtype="float32",
        options={"num_steps": 2, "max_frames": 17},
    )
    built: WanVaceGenerator = build_role("video_generator", role)
    return built


@pytest.fixture(scope="module")
def small() -> WanVaceGenerator:
    return WanVaceGenerator(publish(SMALL, wan_vace.build), UNPINNED, "float32", num_steps=2)


def noise(height: int, width: int, seed: int) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def asked(num_frames: int = 5, height: int = 64, width: int = 96, num_references: int = 0) -> VideoFillRequest:
    """A box that moves to the right over noise."""
    masks: list[Mask] = []
    for number in range(num_frames):
        mask: Mask = np.zeros((height, width), np.bool_)
        mask[height // 4 : 3 * height // 4, width // 8 + number : width // 2 + number] = True
        masks.append(mask)
    frames = [noise(height, width, number) for number in range(num_frames)]
    references = [noise(40 + number, 70, 90 + number) for number in range(num_references)]
    return VideoFillRequest(frames, masks, "a red robot walks", seed=4, references=references)


def same(first: list[Image], second: list[Image]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@contextmanager
def watched(generator: WanVaceGenerator) -> Iterator[list[dict[str, Any]]]:
    """The arguments of each call of the pipeline, which goes on as it is."""
    pipeline, calls = generator._pipeline, []

    class Watched:
        scheduler = pipeline.scheduler

        def __call__(self, **arguments: Any) -> Any:
            pipeline.scheduler = self.scheduler
            calls.append(arguments)
            return pipeline(**arguments)

    generator._pipeline = Watched()
    yield calls
    generator._pipeline = pipeline


@pytest.mark.parametrize("num_references", [0, 1, 2])
@pytest.mark.parametrize(("num_frames", "height", "width"), [(5, 64, 96), (9, 97, 61), (10, 75, 99), (1, 33, 47)])
def test_frames_come_back_changed_under_their_masks_only(
    generator: WanVaceGenerator, num_frames: int, height: int, width: int, num_references: int
) -> None:
    request = asked(num_frames, height, width, num_references)
    made = generator.generate(request)
    assert len(made) == num_frames
    for frame, mask, new in zip(request.frames, request.masks, made, strict=True):
        assert new.shape == frame.shape
        assert new.dtype == np.uint8
        assert np.array_equal(new[~mask], frame[~mask])
        assert (new != frame).any(axis=2)[mask].mean() > 0.9


def test_more_references_than_latent_frames(generator: WanVaceGenerator) -> None:
    request = asked(5, num_references=3)
    made = generator.generate(request)
    assert len(made) == 5
    assert not same(made, generator.generate(replace(request, references=request.references[:2])))


def test_nothing_masked_is_nothing_changed(generator: WanVaceGenerator) -> None:
    request = asked()
    empty = [np.zeros_like(mask) for mask in request.masks]
    with watched(generator) as calls:
        made = generator.generate(replace(request, masks=empty))
    assert same(made, request.frames)
    assert calls == []
    some = [*empty[:-1], request.masks[-1]]  # a subject that enters late
    made = generator.generate(replace(request, masks=some))
    assert same(made[:-1], request.frames[:-1])
    assert not np.array_equal(made[-1], request.frames[-1])


def test_the_same_request_gives_the_same_frames(generator: WanVaceGenerator) -> None:
    request = asked(num_references=1)
    first = generator.generate(request)
    assert same(first, generator.generate(request))
    assert not same(first, generator.generate(replace(request, seed=5)))
    assert not same(first, generator.generate(replace(request, prompt="a blue whale")))
    assert not same(first, generator.generate(replace(request, references=[])))
    assert not same(first, generator.generate(replace(request, references=[noise(40, 70, 1)])))


def test_what_is_under_the_mask_is_not_seen_unless_it_is_a_control(generator: WanVaceGenerator) -> None:
    request = asked()
    others = [
        np.where(mask[..., None], noise(64, 96, 50 + number), frame)
        for number, (frame, mask) in enumerate(zip(request.frames, request.masks, strict=True))
    ]
    free = generator.generate(request)
    assert same(free, generator.generate(replace(request, frames=others)))
    assert not same(free, generator.generate(replace(request, controls=others)))


def test_controls_count_under_the_masks_only(generator: WanVaceGenerator) -> None:
    # Boxes that stand still: what the model gets is then exactly what was asked, without unions over latent frames.
    request = replace(asked(), masks=asked().masks[:1] * 5)
    controls = [noise(64, 96, 70 + number) for number in range(5)]
    others = [np.where(mask[..., None], c, np.uint8(0)) for c, mask in zip(controls, request.masks, strict=True)]
    steered = generator.generate(replace(request, controls=controls))
    assert same(steered, generator.generate(replace(request, controls=others)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"frames": [], "masks": []},
        {"masks": asked(4).masks},
        {"masks": asked(5, 64, 80).masks},
        {"controls": asked(4).frames},
        {"controls": asked(5, 64, 80).frames},
        {"references": [noise(40, 40, 0)] * 4},
        {"frames": asked(18).frames, "masks": asked(18).masks},
    ],
    ids=["no frames", "few masks", "small masks", "few controls", "small controls", "many references", "many frames"],
)
def test_what_does_not_fit_is_refused(generator: WanVaceGenerator, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"frames|references"):
        generator.generate(replace(asked(), **wrong))


def test_the_refusal_says_how_many_frames_it_takes(generator: WanVaceGenerator) -> None:
    assert generator.max_frames == 17
    assert len(generator.generate(asked(17))) == 17
    with pytest.raises(ValueError, match="18 frames: this generator takes 1 to 17"):
        generator.generate(asked(18))


@pytest.mark.parametrize("num_frames", [1, 5, 8, 10])
def test_the_pipeline_gets_exactly_what_it_does_not_check(small: WanVaceGenerator, num_frames: int) -> None:
    with watched(small) as calls:
        small.generate(asked(num_frames, 75, 99, num_references=1))
    (call,) = calls
    size = call["width"], call["height"]
    assert size == (96, 80)
    assert call["num_frames"] % 4 == 1
    assert len(call["video"]) == len(call["mask"]) == call["num_frames"] >= num_frames
    assert {image.size for image in (*call["video"], *call["mask"], *call["reference_images"])} == {size}


def test_the_pipeline_gets_unions_over_latent_frames_and_grey_under_them(small: WanVaceGenerator) -> None:
    request = asked(10)
    with watched(small) as calls:
        small.generate(request)
    (call,) = calls
    told = [np.asarray(mask) > 0 for mask in call["mask"]]
    wanted = latent_frames.latent_masks([*request.masks, *request.masks[-1:] * 3])
    assert all(np.array_equal(mask, union) for mask, union in zip(told, wanted, strict=True))
    assert all((np.asarray(frame)[mask] == 127).all() for frame, mask in zip(call["video"], told, strict=True))
    kept = [np.asarray(frame)[~mask] for frame, mask in zip(call["video"][:10], told[:10], strict=True)]
    assert all((new == old[~mask]).all() for new, old, mask in zip(kept, request.frames, told[:10], strict=True))


def test_every_size_of_frame_stays_within_the_budget(small: WanVaceGenerator) -> None:
    for height, width in ((720, 1280), (1280, 720), (480, 832), (1080, 1920)):
        tall, wide = small._size((height, width, 3))
        assert tall % 16 == wide % 16 == 0
        assert tall * wide <= 832 * 480
    assert small._size((480, 832, 3)) == (480, 832)


def test_large_pictures_have_a_later_schedule(small: WanVaceGenerator) -> None:
    for pixels, shift in ((832 * 480, SMALL_SHIFT), (1280 * 720, LARGE_SHIFT)):
        small._schedule(pixels)
        assert small._pipeline.scheduler.config.flow_shift == shift


def test_the_autoencoder_stays_in_full_precision() -> None:
    generator = WanVaceGenerator(publish(SMALL, wan_vace.build), UNPINNED, "bfloat16", num_steps=1)
    assert generator._pipeline.vae.dtype == torch.float32
    assert generator._pipeline.transformer.dtype == generator._pipeline.text_encoder.dtype == torch.bfloat16
    assert len(generator.generate(asked(num_references=1))) == 5


def test_both_experts_paint() -> None:
    generator = WanVaceGenerator(publish(TWO_EXPERTS, wan_vace.build_two_experts), UNPINNED, "float32", num_steps=4)
    called: list[str] = []
    for name in ("transformer", "transformer_2"):
        expert = getattr(generator._pipeline, name)
        expert.register_forward_hook(lambda *_, name=name: called.append(name))
    generator.generate(asked())
    assert set(called) == {"transformer", "transformer_2"}
    assert called == sorted(called)  # the first for the noisy steps


def passes(generator: WanVaceGenerator, run: Any) -> int:
    """How often the transformers computed while it ran."""
    counts = []
    experts = [generator._pipeline.transformer, generator._pipeline.transformer_2]
    hooks = [each.blocks[0].register_forward_hook(lambda *_: counts.append(1)) for each in experts if each is not None]
    run()
    for hook in hooks:
        hook.remove()
    return len(counts)


@pytest.mark.parametrize("model", [SMALL, TWO_EXPERTS])
def test_guidance_may_be_asked_at_every_second_step(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each expert asks at its first step, third step, ...; a generation does not depend on the one before."""
    path = publish(model, BUILDS[model])
    exact = WanVaceGenerator(path, UNPINNED, "float32", num_steps=6)
    approximate = WanVaceGenerator(path, UNPINNED, "float32", num_steps=6, guidance_every=2)
    request = asked()
    wanted = exact.generate(request)
    assert passes(exact, lambda: exact.generate(request)) == 12
    made = approximate.generate(request)
    assert passes(approximate, lambda: approximate.generate(request)) == 9
    assert same(made, approximate.generate(request))
    monkeypatch.setattr(wan_vace_module, "GUIDANCE", 1.0)
    without = exact.generate(request)
    assert 0 < difference(made, wanted) < 0.5 * difference(without, wanted)


def difference(first: list[Image], second: list[Image]) -> float:
    return float(np.mean([np.abs(a.astype(np.float64) - b).mean() for a, b in zip(first, second, strict=True)]))


def test_guidance_kept_for_one_step_is_exact(small: WanVaceGenerator) -> None:
    request = asked()
    wanted = small.generate(request)
    forward = small._pipeline.transformer.forward
    (kept,) = keep_guidance(small._pipeline, every=1)
    kept.begin()
    assert same(small.generate(request), wanted)
    small._pipeline.transformer.forward = forward


def test_guidance_at_no_step_is_a_mistake() -> None:
    with pytest.raises(UserError, match="guidance_every is 0"):
        WanVaceGenerator(SMALL, UNPINNED, "float32", guidance_every=0)


@pytest.mark.parametrize("num_frames", [1, 5, 9, 17, 33, 81, 121])
def test_the_masks_that_are_read_are_those_the_pipeline_reads(num_frames: int) -> None:
    number = torch.arange(num_frames, dtype=torch.float32)[None, None, :, None, None]
    size = ((num_frames + 3) // 4, 1, 1)
    read = torch.nn.functional.interpolate(number, size=size, mode="nearest-exact")  # as WanVACEPipeline.prepare_masks
    assert read.flatten().int().tolist() == latent_frames.read_frames(num_frames)


def test_a_model_that_is_not_there_is_one_line() -> None:
    with pytest.raises(UserError, match="nobody/nothing") as caught:
        WanVaceGenerator("nobody/nothing", "", "bfloat16")
    assert "\n" not in str(caught.value)
