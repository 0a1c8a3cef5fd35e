"""Tiny random image encoders: DINOv2, DINOv3, SigLIP 2 and CLIP."""

from pathlib import Path
from typing import Any

import numpy as np

from tests.models.tokenizers import clip_tokenizer

_SIZES: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
_TEXT: dict[str, Any] = {**_SIZES, "intermediate_size": 64}
HEAD_FILE = "sac+logos+ava1-l14-linearMSE.pth"


def build_dinov2(folder: Path) -> None:
    import torch
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    Dinov2Model(Dinov2Config(**_SIZES, image_size=70, patch_size=14)).save_pretrained(folder)
    BitImageProcessor(
        size={"shortest_edge": 64},
        crop_size={"height": 56, "width": 56},
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    ).save_pretrained(folder)


def build_dinov3(folder: Path) -> None:
    import torch
    from transformers import DINOv3ViTConfig, DINOv3ViTImageProcessor, DINOv3ViTModel

    config = DINOv3ViTConfig(**_SIZES, intermediate_size=64, image_size=64, patch_size=16)
    torch.manual_seed(0)
    DINOv3ViTModel(config).save_pretrained(folder)
    DINOv3ViTImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)


def build_siglip(folder: Path) -> None:
    """Both towers, as on the hub: siglip2-base-patch16-224 is of model type "siglip"."""
    import torch
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

    text = {**_TEXT, "vocab_size": 64, "max_position_embeddings": 16, "bos_token_id": 1, "eos_token_id": 2}
    vision = {**_TEXT, "image_size": 32, "patch_size": 16}
    torch.manual_seed(0)
    SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).save_pretrained(folder)
    SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)


def build_clip(folder: Path) -> None:
    """Both towers, as on the hub."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    tokenizer = clip_tokenizer()
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    text = {**_TEXT, "vocab_size": len(tokenizer), **ids}
    vision = {**_TEXT, "image_size": 28, "patch_size": 14, "projection_dim": 16}
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}).save_pretrained(folder)


def build_head(folder: Path, widths: tuple[int, ...] = (16, 32, 16, 8, 4, 1)) -> None:
    """The linear layers of an aesthetic head, all its ratings near 5 as those of most pictures are."""
    import torch

    rng = np.random.default_rng(3)
    weights = {}
    for number, inputs, outputs in zip((0, 2, 4, 6, 7), widths, widths[1:], strict=False):
        drawn = rng.normal(0, (2 / inputs) ** 0.5, (outputs, inputs)).astype(np.float32)
        weights[f"layers.{number}.weight"] = torch.from_numpy(drawn)
        weights[f"layers.{number}.bias"] = torch.full((outputs,), 5.0 if outputs == 1 else 0.0)
    torch.save(weights, folder / HEAD_FILE)
