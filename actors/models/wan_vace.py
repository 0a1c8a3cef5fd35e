"""Wan VACE: regenerates the masked part of a video, guided by words, references and controls.

`Wan-AI/Wan2.1-VACE-1.3B-diffusers` and `-14B-diffusers` (Apache-2.0), and `linoyts/Wan2.2-VACE-Fun-14B-diffusers`,
which has an expert for the noisy steps and one for the others. What must be right (VACE, arXiv 2503.07598, and its
pipeline): exact sizes and 4n + 1 frames, since the pipeline floors and drops without an error; grey or a control under
the mask, since what lies there steers what is drawn; the autoencoder in float32; and no FirstBlockCache or MagCache,
which add VACE's hints twice.
"""

from typing import Any, TypeVar

import numpy as np
import torch
from diffusers import UniPCMultistepScheduler, WanVACEPipeline

from actors.models import attention, latent_frames
from actors.models.diffusion import hole, load_pipeline, picture, seeded
from actors.models.guidance import KeptGuidance
from actors.models.loading import device
from schemas.errors import UserError
from schemas.fill import NEUTRAL, VideoFillRequest
from schemas.video import Image, Mask
from stages import regions

T = TypeVar("T")

MULTIPLE = 16
MAX_REFERENCES = 3  # as in training
GUIDANCE = 5.0
SMALL_SHIFT, LARGE_SHIFT = 3.0, 5.0  # of the noise schedule: for 480p, for 720p
LARGE_PIXELS = 600_000  # between 832 x 480 and 1280 x 720
NEGATIVE = (
    "overexposed, blurred details, subtitles, watermark, worst quality, low quality, JPEG compression residue, ugly, "
    "extra fingers, poorly drawn hands, poorly drawn faces, deformed, disfigured, misshapen limbs, fused fingers, "
    "three legs, flicker"
)


class WanVaceGenerator:
    """Role video_generator.

    max_frames: of one request. num_steps: of denoising. working_pixels: frames are shrunk to this area at most, each
    side rounded to a multiple of 16. guidance_every: 1 is exact; n asks what the negative prompt changes at every n-th
    step only, an approximation (docs/performance.md). Raises UserError for a model that is not there.
    """

    uses_surroundings = False

    def __init__(
        self,
        model: str,
        revision: str,
        dtype: str,
        max_frames: int = 81,
        num_steps: int = 50,
        working_pixels: int = 832 * 480,
        guidance_every: int = 1,
    ) -> None:
        if guidance_every < 1:
            raise UserError(f"guidance_every is {guidance_every}; 1 asks at every step")
        self.max_frames = max_frames
        self._working_pixels = working_pixels
        self._pipeline = load_pipeline(WanVACEPipeline, model, revision, dtype, full_precision=("vae",))
        if device().type == "cuda":
            accelerate(self._pipeline)
        self._guidance = keep_guidance(self._pipeline, guidance_every) if guidance_every > 1 else []
        self._num_steps = 2  # one for each expert
        self._warm_up()
        self._num_steps = num_steps

    def generate(self, request: VideoFillRequest) -> list[Image]:
        """As many frames as asked, regenerated under their masks. See the protocol for what it raises."""
        self._check(request)
        if not any(mask.any() for mask in request.masks):
            return list(request.frames)
        generated = self._generated(request)
        return [
            np.where(mask[..., None], regions.resize(new, *mask.shape), frame)
            for frame, mask, new in zip(request.frames, request.masks, generated, strict=True)
        ]

    def _warm_up(self) -> None:
        """One small picture: kernels get loaded, and a checkpoint that cannot generate fails here."""
        frame: Image = np.full((64, 64, 3), NEUTRAL, np.uint8)
        self._generated(VideoFillRequest([frame], [np.ones((64, 64), np.bool_)], "nothing", seed=0))

    def _check(self, request: VideoFillRequest) -> None:
        count = len(request.frames)
        if not 1 <= count <= self.max_frames:
            raise ValueError(f"{count} frames: this generator takes 1 to {self.max_frames} at a time")
        if len(request.references) > MAX_REFERENCES:
            raise ValueError(f"{len(request.references)} references: VACE takes at most {MAX_REFERENCES}")
        controls = request.frames if request.controls is None else request.controls
        if len(request.masks) != count or len(controls) != count:
            raise ValueError(f"{count} frames, {len(request.masks)} masks and {len(controls)} controls")
        if len({array.shape[:2] for array in (*request.frames, *request.masks, *controls)}) > 1:
            raise ValueError("frames, masks and controls must be of one size")

    def _generated(self, request: VideoFillRequest) -> list[Image]:
        """Whole frames at the working size, one per frame of the request."""
        count = _num_frames(request)
        height, width = self._size(request.frames[0].shape)
        masks = latent_frames.latent_masks(
            [regions.cover(mask, height, width) for mask in _padded(request.masks, count)]
        )
        frames = [regions.resize(frame, height, width) for frame in _padded(request.frames, count)]
        under = [regions.resize(control, height, width) for control in _padded(request.controls or [], count)]
        shown = [_hidden(frame, masks[n], under[n] if under else None) for n, frame in enumerate(frames)]
        references = [picture(regions.on_white(reference, height, width)) for reference in request.references]
        self._schedule(height * width)
        for kept in self._guidance:
            kept.begin()
        made = self._pipeline(
            prompt=request.prompt,
            negative_prompt=", ".join(filter(None, (request.negative, NEGATIVE))),
            video=[picture(frame) for frame in shown],
            mask=[hole(mask) for mask in masks],
            reference_images=references or None,
            height=height,
            width=width,
            num_frames=count,
            num_inference_steps=self._num_steps,
            guidance_scale=GUIDANCE,
            generator=seeded(request.seed),
            output_type="np",
        ).frames[0]
        return [np.rint(frame * 255).astype(np.uint8) for frame in made[: len(request.frames)]]

    def _size(self, shape: tuple[int, ...]) -> tuple[int, int]:
        return regions.working_size(shape[0], shape[1], self._working_pixels, MULTIPLE, max_enlargement=1.0)

    def _schedule(self, num_pixels: int) -> None:
        shift = LARGE_SHIFT if num_pixels > LARGE_PIXELS else SMALL_SHIFT
        self._pipeline.scheduler = UniPCMultistepScheduler.from_config(
            self._pipeline.scheduler.config, flow_shift=shift
        )


def accelerate(pipeline: Any) -> None:
    """The same operations in fewer and faster kernels, no approximation: each kind of block is compiled once for all
    its repetitions, at the first call of a size. Results differ by rounding (docs/performance.md)."""
    for transformer in _experts(pipeline):
        if attention.available() and transformer.dtype in (torch.bfloat16, torch.float16):
            attention.use_flash_attention(transformer)
        transformer.compile_repeated_blocks(fullgraph=True)


def keep_guidance(pipeline: Any, every: int) -> list[KeptGuidance]:
    """To be told when a generation begins."""
    return [KeptGuidance(transformer, every) for transformer in _experts(pipeline)]


def _experts(pipeline: Any) -> list[Any]:
    return [expert for expert in (pipeline.transformer, pipeline.transformer_2) if expert is not None]


def _num_frames(request: VideoFillRequest) -> int:
    """4n + 1, and no fewer latent frames than references: with fewer the pipeline's masks come out too short."""
    enough_for_references = latent_frames.STRIDE * (len(request.references) - 1) + 1
    return latent_frames.padded_count(max(len(request.frames), enough_for_references))


def _padded(frames: list[T], count: int) -> list[T]:
    """The last one repeated up to `count`; nothing stays nothing."""
    return [*frames, *frames[-1:] * (count - len(frames))]


def _hidden(frame: Image, mask: Mask, under: Image | None) -> Image:
    return np.where(mask[..., None], NEUTRAL if under is None else under, frame).astype(np.uint8)
