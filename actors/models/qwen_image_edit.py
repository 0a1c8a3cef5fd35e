"""Qwen-Image-Edit: `Qwen/Qwen-Image-Edit-2509` (Apache-2.0; 20 B parameters and Qwen2.5-VL-7B, 58 GB in bfloat16).

The checkpoint names QwenImageEditPlusPipeline, which redraws the whole picture and may shift it. The inpainting
pipeline of the first Qwen-Image-Edit takes the same components and holds what stays in place; the prompt's form and the
size at which the text encoder sees the picture are set here to what the later checkpoints were trained with.
"""

from collections.abc import Sequence

from diffusers import QwenImageEditInpaintPipeline

from actors.models.diffusion import hole, load_pipeline, picture, pixels, seeded
from actors.models.fill_words import instruction, negative
from actors.models.filling import Canvas, Working, fill_each, num_steps, warm_up
from schemas.errors import BadInput
from schemas.fill import Filled, FillRequest
from schemas.video import Image

PICTURE = "<|vision_start|>"
NUMBERED_PICTURE = "Picture 1: <|vision_start|>"
SEEN_PIXELS = 384 * 384  # by the text encoder
GUIDANCE = 4.0
MAX_PIXELS, MULTIPLE, TOKEN_PX = 1024 * 1024, 32, 16


class QwenImageEditor:
    """Role image_editor. The pipeline brings every crop to about a megapixel.

    num_steps: of the first rung. Raises UserError for a model that is not there.
    """

    draws = False

    def __init__(self, model: str, revision: str, dtype: str, num_steps: int = 40) -> None:
        self._model = model
        self._pipeline = load_pipeline(QwenImageEditInpaintPipeline, model, revision, dtype)
        template = self._pipeline.prompt_template_encode
        self._pipeline.prompt_template_encode = template.replace(PICTURE, NUMBERED_PICTURE)
        eye = self._pipeline.processor.image_processor
        smallest = eye.size["shortest_edge"]  # both "edges" are areas
        eye.size = {"shortest_edge": smallest, "longest_edge": SEEN_PIXELS}
        self._working = Working(MAX_PIXELS, MULTIPLE, reach_px=TOKEN_PX, max_enlargement=float("inf"))
        self._num_steps = 1
        warm_up(self.fill)
        self._num_steps = num_steps

    def fill(self, requests: Sequence[FillRequest]) -> list[Filled | BadInput]:
        return fill_each(requests, self._working, self._model, self._paint)

    def _paint(self, request: FillRequest, canvas: Canvas) -> Image:
        painted = self._pipeline(
            prompt=instruction(request),
            negative_prompt=negative(request),
            true_cfg_scale=GUIDANCE,
            image=picture(canvas.image),
            mask_image=hole(canvas.mask),
            strength=1.0,  # less starts from the neutral region
            num_inference_steps=num_steps(request, self._num_steps),
            generator=seeded(request.seed),
        )
        return pixels(painted.images[0])
