"""FLUX.2 [klein]: inpainting, and drawing after references, from one set of weights.

`black-forest-labs/FLUX.2-klein-4B` (Apache-2.0; 4 B parameters and a Qwen3-4B text encoder, 16 GB in bfloat16) is
distilled to four steps; `FLUX.2-klein-base-4B` is not.
"""

from collections.abc import Sequence

from diffusers import Flux2KleinInpaintPipeline, Flux2KleinPipeline

from actors.models.diffusion import hole, load_pipeline, picture, pixels, seeded
from actors.models.fill_words import instruction
from actors.models.filling import Canvas, Working, fill_each, num_steps, warm_up
from schemas.errors import BadInput
from schemas.fill import Filled, FillRequest
from schemas.video import Image
from stages import regions

TOKEN_PX = 16
MAX_PIXELS = 1024 * 1024  # the pipelines shrink what is larger
MAX_REFERENCE_ASPECT = 4  # the pipeline refuses more than 8
DISTILLED_STEPS, DISTILLED_GUIDANCE = 4, 1.0
BASE_STEPS, BASE_GUIDANCE = 50, 4.0


class Flux2KleinEditor:
    """Roles image_editor and reference painter.

    num_steps: of the first rung; 0 is what the checkpoint was made for. working_pixels: area of what is painted at
    once. Raises UserError for a model that is not there.
    """

    draws = True

    def __init__(
        self, model: str, revision: str, dtype: str, num_steps: int = 0, working_pixels: int = MAX_PIXELS
    ) -> None:
        self._model = model
        self._inpaint = load_pipeline(Flux2KleinInpaintPipeline, model, revision, dtype)
        distilled = self._inpaint.config.is_distilled
        # Not from_pipe: it casts the weights that both share, to float32 unless told otherwise.
        self._draw = Flux2KleinPipeline(**self._inpaint.components, is_distilled=distilled)
        self._draw.set_progress_bar_config(disable=True)
        self._guidance = DISTILLED_GUIDANCE if distilled else BASE_GUIDANCE
        self._working = Working(min(working_pixels, MAX_PIXELS), TOKEN_PX, reach_px=TOKEN_PX)
        self._num_steps = 1
        warm_up(self.fill)
        self._num_steps = num_steps or (DISTILLED_STEPS if distilled else BASE_STEPS)

    def fill(self, requests: Sequence[FillRequest]) -> list[Filled | BadInput]:
        return fill_each(requests, self._working, self._model, self._paint)

    def _paint(self, request: FillRequest, canvas: Canvas) -> Image:
        height, width = canvas.mask.shape
        painted = self._inpaint(
            prompt=instruction(request),
            image=picture(canvas.image),
            mask_image=hole(canvas.mask),
            height=height,
            width=width,
            strength=1.0,  # less starts from the neutral region
            num_inference_steps=num_steps(request, self._num_steps),
            guidance_scale=self._guidance,
            generator=seeded(request.seed),
        )
        return pixels(painted.images[0])

    def draw(self, prompt: str, references: Sequence[Image], height_px: int, width_px: int, seed: int) -> Image:
        """A picture of exactly that size. The words may call the references image 1, image 2 and so on."""
        height, width = regions.working_size(height_px, width_px, self._working.max_pixels, TOKEN_PX)
        drawn = self._draw(
            prompt=prompt,
            image=[picture(self._reference(image)) for image in references] or None,
            height=height,
            width=width,
            num_inference_steps=self._num_steps,
            guidance_scale=self._guidance,
            generator=seeded(seed),
        )
        return regions.resize(pixels(drawn.images[0]), height_px, width_px)

    def _reference(self, image: Image) -> Image:
        """Padded with white where it is too long, at a size the pipeline neither cuts nor refuses."""
        height, width = image.shape[:2]
        height, width = max(height, -(-width // MAX_REFERENCE_ASPECT)), max(width, -(-height // MAX_REFERENCE_ASPECT))
        return regions.on_white(image, *regions.working_size(height, width, self._working.max_pixels, TOKEN_PX))
