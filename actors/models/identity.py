"""Embedders: DINOv2 or DINOv3, and SigLIP 2."""

from collections.abc import Sequence
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoImageProcessor, AutoModel, SiglipVisionModel

from actors.models.batching import all_batched
from actors.models.loading import device, dtype_of, load_model, load_processor
from actors.models.streams import beside_the_model
from schemas.subject import Embedding
from schemas.video import Image, Mask
from stages import masks

_MARGIN = 0.05  # of the longer side of the subject's box


class _CropEmbedder:
    """The pooled output of a vision transformer for the subject alone, scaled to length 1.

    The subject's box is padded to a square and everything beside the mask takes the mean colour of the model's
    normalisation, which is zero to it: as CNOS describes masks with DINOv2 (Nguyen et al. 2023). The subject is never
    cropped by the processor, nor stretched.
    """

    _architecture: ClassVar[Any]

    def __init__(self, model: str, revision: str, dtype: str, batch_size: int = 1) -> None:
        self._model = load_model(self._architecture, model, revision, dtype)
        self._processor = load_processor(AutoImageProcessor, model, revision)
        self._dtype, self._batch_size = dtype_of(dtype), batch_size
        sizes = getattr(self._processor, "crop_size", None) or self._processor.size
        self._side_px = int(sizes["height"])
        mean = np.array(self._processor.image_mean) * 255
        self._background = np.round(mean).astype(np.uint8)
        self.embed([(np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.bool_))])

    def embed(self, subjects: Sequence[tuple[Image, Mask]]) -> NDArray[np.float32]:
        """(N, D) float32, rows of length 1. Raises ValueError for an empty mask, BadInput when one subject does not fit
        into memory.
        """
        return self.compute(self.prepare(subjects))

    def prepare(self, subjects: Sequence[tuple[Image, Mask]]) -> list[Tensor]:
        """(3, side, side) per subject, on the model's device. Raises what `embed` does."""
        return all_batched(self._pixels, subjects, self._batch_size)

    def compute(self, pixels: Sequence[Tensor]) -> NDArray[np.float32]:
        vectors = all_batched(self._describe, pixels, self._batch_size)
        return np.stack(vectors) if vectors else np.zeros((0, self._model.config.hidden_size), np.float32)

    @torch.inference_mode()
    def _pixels(self, subjects: list[tuple[Image, Mask]]) -> list[Tensor]:
        crops = [alone(image, mask, self._side_px, self._background) for image, mask in subjects]
        with beside_the_model():
            given = self._processor(crops, return_tensors="pt", device=device(), do_resize=False, do_center_crop=False)
            return list(given["pixel_values"].to(device(), self._dtype))

    @torch.inference_mode()
    def _describe(self, pixels: list[Tensor]) -> list[Embedding]:
        pooled = self._model(pixel_values=torch.stack(pixels)).pooler_output
        return list(torch.nn.functional.normalize(pooled.float(), dim=-1).cpu().numpy())


class DinoEmbedder(_CropEmbedder):
    """The class token of DINOv2 (Oquab et al. 2023) or DINOv3 (Siméoni et al. 2025): alike are pictures of one thing,
    whatever it is called.
    """

    _architecture = AutoModel


class SiglipEmbedder(_CropEmbedder):
    """The image embedding of SigLIP 2 (Tschannen et al. 2025), of fixed resolution: alike is what a caption would call
    the same, so it tells individuals apart less well than DINO.
    """

    _architecture = SiglipVisionModel  # the checkpoint's text tower, three quarters of it, is not loaded


def alone(image: Image, mask: Mask, side_px: int, background: NDArray[np.uint8]) -> Image:
    """(side_px, side_px, 3): the subject under the mask in the middle, as large as fits, on one colour.

    Raises ValueError for an empty mask.
    """
    box = masks.box_of(mask)
    if box is None:
        raise ValueError("an empty mask has no appearance")
    x0, y0, x1, y1 = (int(side) for side in box)
    height, width = y1 - y0, x1 - x0
    side = round(max(height, width) * (1 + 2 * _MARGIN))
    top, left = (side - height) // 2, (side - width) // 2
    square = np.empty((side, side, 3), np.uint8)
    square[:] = background
    inner = square[top : top + height, left : left + width]
    cv2.copyTo(image[y0:y1, x0:x1], mask[y0:y1, x0:x1].view(np.uint8), inner)
    method = cv2.INTER_AREA if side > side_px else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(square, (side_px, side_px), interpolation=method), np.uint8)
