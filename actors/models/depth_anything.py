"""Depth: Depth Anything V2."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoImageProcessor, AutoModelForDepthEstimation

from actors.models.batching import all_batched
from actors.models.loading import device, dtype_of, load_model, load_processor
from schemas.errors import UserError
from schemas.video import Image, Mask

_FLAT = 1e-3  # of the nearest: less of a range than that is rounding, not depth
_RANGE = (2, 98)  # percentiles: a few pixels of glare or sky must not set the scale


class DepthAnything:
    """Nearness of every pixel from Depth Anything V2 (Yang et al. 2024), by transformers.

    The model says inverse depth up to scale and shift, for each picture by itself; the clip's 2nd and 98th percentile
    become 0 and 1 for all its pictures. Raises UserError for a checkpoint that says metres instead: farther would
    be nearer.
    """

    def __init__(self, model: str, revision: str, dtype: str, batch_size: int = 1) -> None:
        self._model = load_model(AutoModelForDepthEstimation, model, revision, dtype)
        if getattr(self._model.config, "depth_estimation_type", "") != "relative":
            raise UserError(f"model {model} does not predict relative depth; use depth-anything/Depth-Anything-V2-*-hf")
        self._processor = load_processor(AutoImageProcessor, model, revision)
        self._dtype, self._batch_size = dtype_of(dtype), batch_size
        self._predict([np.zeros((64, 64, 3), np.uint8)])

    def nearness(self, images: Sequence[Image], masks: Sequence[Sequence[Mask]]) -> list[NDArray[np.float32]]:
        """(H, W) float32 in [0, 1] per picture, 1 = nearest; the pictures of one clip, of one size. `masks` are not
        needed.

        Raises BadInput when a picture does not fit into memory.
        """
        if not images:
            return []
        predicted = all_batched(self._predict, images, self._batch_size)
        far, near = np.percentile(np.stack(predicted), _RANGE)
        scale = max(float(near - far), _FLAT * abs(float(near)), 1e-6)
        return [
            np.clip((_resized(each, image) - np.float32(far)) / np.float32(scale), 0, 1)
            for each, image in zip(predicted, images, strict=True)
        ]

    @torch.inference_mode()
    def _predict(self, images: list[Image]) -> list[NDArray[np.float32]]:
        """At the model's own size: what the processor makes of them is a multiple of the patch, 14."""
        pixels = self._processor(images, return_tensors="pt", device=device())["pixel_values"]
        depth = self._model(pixel_values=pixels.to(device(), self._dtype)).predicted_depth
        return list(depth.float().cpu().numpy())


def _resized(depth: NDArray[np.float32], image: Image) -> NDArray[np.float32]:
    stretched = torch.nn.functional.interpolate(
        torch.from_numpy(depth)[None, None], size=image.shape[:2], mode="bicubic", align_corners=False
    )
    return np.asarray(stretched[0, 0].numpy(), np.float32)
