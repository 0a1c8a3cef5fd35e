"""Depth: Depth Anything V2."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoImageProcessor, AutoModelForDepthEstimation

from actors.models.batching import all_batched
from actors.models.loading import device, dtype_of, load_model, load_processor
from actors.models.streams import beside_the_model
from schemas.errors import UserError
from schemas.video import Image, Mask

_FLAT = 1e-3  # of the nearest: less of a range than that is rounding, not depth
_Prepared = tuple[Tensor, tuple[int, int]]
"""A picture as the model reads it, on its device, and the picture's height and width."""

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
        self.nearness([np.zeros((64, 64, 3), np.uint8)], [[]])

    def nearness(self, images: Sequence[Image], masks: Sequence[Sequence[Mask]]) -> list[NDArray[np.float32]]:
        """(H, W) float32 in [0, 1] per picture, 1 = nearest; the pictures of one clip, of one size. `masks` are not
        needed.

        Raises BadInput when a picture does not fit into memory.
        """
        return self.compute(self.prepare(images, masks))

    def prepare(self, images: Sequence[Image], _masks: Sequence[Sequence[Mask]]) -> list[_Prepared]:
        """Per picture what the model reads, and what size its depth is to have."""
        pixels = all_batched(self._pixels, images, self._batch_size)
        return [(each, (image.shape[0], image.shape[1])) for each, image in zip(pixels, images, strict=True)]

    @torch.inference_mode()
    def compute(self, prepared: Sequence[_Prepared]) -> list[NDArray[np.float32]]:
        if not prepared:
            return []
        predicted = all_batched(self._predict, [pixels for pixels, _ in prepared], self._batch_size)
        far, near = _percentiles(torch.cat([each.flatten() for each in predicted]))
        scale = max(near - far, _FLAT * abs(near), 1e-6)
        return [
            ((_resized(each, size) - far) / scale).clamp(0, 1).cpu().numpy()
            for each, (_, size) in zip(predicted, prepared, strict=True)
        ]

    @torch.inference_mode()
    def _pixels(self, images: list[Image]) -> list[Tensor]:
        with beside_the_model():
            pixels = self._processor(images, return_tensors="pt", device=device())["pixel_values"]
            return list(pixels.to(device(), self._dtype))

    def _predict(self, pixels: list[Tensor]) -> list[Tensor]:
        """At the model's own size: what the processor makes of pictures is a multiple of the patch, 14."""
        return list(self._model(pixel_values=torch.stack(pixels)).predicted_depth.float())


def _percentiles(values: Tensor) -> tuple[float, float]:
    """Of all values (torch.quantile takes 16 million)."""
    ordered = values.sort().values
    ends = [round(share / 100 * (len(ordered) - 1)) for share in _RANGE]
    far, near = ordered[ends].tolist()
    return far, near


def _resized(depth: Tensor, size: tuple[int, int]) -> Tensor:
    stretched = torch.nn.functional.interpolate(depth[None, None], size=size, mode="bicubic", align_corners=False)
    return stretched[0, 0]
