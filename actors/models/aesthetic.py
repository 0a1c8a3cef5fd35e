"""Quality: LAION's aesthetic predictor on CLIP ViT-L/14."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import hf_hub_download
from torch import Tensor, nn
from transformers import AutoImageProcessor, CLIPVisionModelWithProjection

from actors.models.batching import all_batched
from actors.models.loading import device, dtype_of, load_model, load_processor, named
from actors.models.streams import beside_the_model
from actors.quality import MeasuredQuality
from schemas.errors import UserError
from schemas.video import Image

_WORST, _BEST = 1.0, 10.0  # of the ratings the head was fitted to (SAC, logos, AVA)


class ClipAesthetic:
    """`quality` is the aesthetic score of the LAION-Aesthetics V2 predictor (Schuhmann 2022), its 1..10 mapped to 0..1:
    LAION's subset "5 and up" is 0.44 and up here. Sharpness and the like are those of MeasuredQuality.

    The head is `head_file` of `head`, a local folder or a hub repository at `head_revision`; a pickle, so it is read
    with weights_only=True. Raises UserError when it is not there or does not fit the embedding of `model`.
    """

    def __init__(
        self,
        model: str,
        revision: str,
        dtype: str,
        batch_size: int = 1,
        head: str = "chaofengc/IQA-PyTorch-Weights",
        head_revision: str = "",
        head_file: str = "sac+logos+ava1-l14-linearMSE.pth",
    ) -> None:
        self._model = load_model(CLIPVisionModelWithProjection, model, revision, dtype)
        self._processor = load_processor(AutoImageProcessor, model, revision)
        self._dtype, self._batch_size = dtype_of(dtype), batch_size
        self._head = _head(_path(head, head_revision, head_file), self._model.config.projection_dim)
        self._measured = MeasuredQuality()
        self.score([np.zeros((8, 8, 3), np.uint8)])

    def score(self, images: Sequence[Image]) -> list[dict[str, float]]:
        """Scores in [0, 1] per picture. Raises BadInput when one does not fit into memory."""
        return self.compute(self.prepare(images))

    def prepare(self, images: Sequence[Image]) -> list[tuple[Tensor, dict[str, float]]]:
        """Per picture what the model reads, on its device, and what is measured."""
        pixels = all_batched(self._pixels, images, self._batch_size)
        return list(zip(pixels, self._measured.score(images), strict=True))

    def compute(self, prepared: Sequence[tuple[Tensor, dict[str, float]]]) -> list[dict[str, float]]:
        rated = all_batched(self._rate, [pixels for pixels, _ in prepared], self._batch_size)
        return [{**scores, "quality": rating} for (_, scores), rating in zip(prepared, rated, strict=True)]

    @torch.inference_mode()
    def _pixels(self, images: list[Image]) -> list[Tensor]:
        with beside_the_model():
            pixels = self._processor(images, return_tensors="pt", device=device())["pixel_values"]
            return list(pixels.to(device(), self._dtype))

    @torch.inference_mode()
    def _rate(self, pixels: list[Tensor]) -> list[float]:
        embedded = self._model(pixel_values=torch.stack(pixels)).image_embeds
        ratings = self._head(nn.functional.normalize(embedded.float(), dim=-1)).squeeze(-1)
        return [float(each) for each in ((ratings - _WORST) / (_BEST - _WORST)).clamp(0, 1).cpu()]


def _path(head: str, revision: str, file: str) -> Path:
    if Path(head).is_dir():
        return Path(head) / file
    return Path(named(head, hf_hub_download)(head, file, revision=revision or None))


def _head(path: Path, num_inputs: int) -> Any:
    """The five linear layers of the predictor, of the sizes in the file, in float32. Between them it has dropout only,
    which does nothing here, so they are numbered 0, 2, 4, 6, 7.
    """
    try:
        weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"the aesthetic head cannot be read: {error}") from error
    numbers = [0, 2, 4, 6, 7]
    if set(weights) != {f"layers.{number}.{part}" for number in numbers for part in ("weight", "bias")}:
        raise UserError(f"{path.name} is not a head of the LAION aesthetic predictor: it holds {', '.join(weights)}")
    layers = []
    for number in numbers:
        outputs, inputs = weights[f"layers.{number}.weight"].shape
        layer = nn.Linear(inputs, outputs)
        layer.load_state_dict({part: weights[f"layers.{number}.{part}"] for part in ("weight", "bias")})
        layers.append(layer)
    if layers[0].in_features != num_inputs:
        raise UserError(
            f"{path.name} takes embeddings of {layers[0].in_features}, not of {num_inputs} as the model's are"
        )
    return nn.Sequential(*layers).to(device()).eval()
