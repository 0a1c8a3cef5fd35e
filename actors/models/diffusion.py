"""What all diffusers pipelines need: loading, seeds that no device and no batch changes, pictures as they take them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image as PillowImage

from actors.models.loading import device, dtype_of, named
from schemas.video import Image, Mask


def load_pipeline(cls: Any, model: str, revision: str, dtype: str, full_precision: Sequence[str] = ()) -> Any:
    """A pipeline on `device()`, its components in `dtype`, those named in `full_precision` in float32.

    Raises UserError when it is not there.
    """
    dtypes = {"default": dtype_of(dtype), **dict.fromkeys(full_precision, torch.float32)}
    load = named(model, cls.from_pretrained)
    pipeline = load(model, revision=revision or None, dtype=dtypes, use_safetensors=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device())


def seeded(seed: int) -> torch.Generator:
    """On the CPU: the same noise whatever the accelerator."""
    return torch.Generator("cpu").manual_seed(seed)


def picture(image: Image) -> PillowImage.Image:
    return PillowImage.fromarray(image)


def hole(mask: Mask) -> PillowImage.Image:
    """White is what to paint, as all pipelines have it."""
    return PillowImage.fromarray(mask.astype(np.uint8) * 255)


def pixels(painted: PillowImage.Image) -> Image:
    """(H, W, 3) uint8 of a pipeline's picture."""
    return np.asarray(painted.convert("RGB"), dtype=np.uint8)
