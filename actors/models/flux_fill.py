"""FLUX.1 Fill [dev]: `black-forest-labs/FLUX.1-Fill-dev`, gated, FLUX.1 [dev] Non-Commercial License.

12 B parameters and a T5-XXL text encoder, 34 GB in bfloat16.
"""

from collections.abc import Sequence

from diffusers import FluxFillPipeline

from actors.models.diffusion import hole, load_pipeline, picture, pixels, seeded
from actors.models.fill_words import description
from actors.models.filling import Canvas, Working, fill_each, num_steps, warm_up
from schemas.errors import BadInput
from schemas.fill import Filled, FillRequest
from schemas.video import Image

GUIDANCE = 30.0  # distilled into the model; what its makers sample with


class FluxFillEditor:
    """Role image_editor.

    num_steps: of the first rung. working_pixels: area of what is painted at once. Raises UserError for a model that is
    not there.
    """

    draws = False

    def __init__(
        self, model: str, revision: str, dtype: str, num_steps: int = 50, working_pixels: int = 1024 * 1024
    ) -> None:
        self._model = model
        self._pipeline = load_pipeline(FluxFillPipeline, model, revision, dtype)
        # The mask reaches the model pixel by pixel, so it needs no reach: more would hide the rim of what stays.
        self._working = Working(working_pixels)
        self._num_steps = 1
        warm_up(self.fill)
        self._num_steps = num_steps

    def fill(self, requests: Sequence[FillRequest]) -> list[Filled | BadInput]:
        return fill_each(requests, self._working, self._model, self._paint)

    def _paint(self, request: FillRequest, canvas: Canvas) -> Image:
        height, width = canvas.mask.shape
        painted = self._pipeline(
            prompt=request.prompt,  # CLIP reads 77 tokens
            prompt_2=description(request),
            image=picture(canvas.image),
            mask_image=hole(canvas.mask),
            height=height,
            width=width,
            num_inference_steps=num_steps(request, self._num_steps),
            guidance_scale=GUIDANCE,
            generator=seeded(request.seed),
        )
        return pixels(painted.images[0])
