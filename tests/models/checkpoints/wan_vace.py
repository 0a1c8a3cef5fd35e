"""A tiny Wan VACE with random weights: with one expert as Wan 2.1 has it, with two as Wan 2.2."""

from pathlib import Path
from typing import Any

from tests.models.tokenizers import t5_tokenizer

CHANNELS = 16  # of the latents: the autoencoder's normalisation has that many entries
WIDTH = 32


def build(folder: Path) -> None:
    _build(folder, {"transformer": _transformer(1), "transformer_2": None})


def build_two_experts(folder: Path) -> None:
    _build(folder, {"transformer": _transformer(1), "transformer_2": _transformer(2), "boundary_ratio": 0.875})


def _build(folder: Path, experts: dict[str, Any]) -> None:
    import torch
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanVACEPipeline
    from transformers import UMT5Config, UMT5EncoderModel

    torch.manual_seed(0)
    tokenizer = t5_tokenizer()
    text = UMT5Config(vocab_size=len(tokenizer), d_model=WIDTH, d_kv=8, d_ff=WIDTH, num_layers=1, num_heads=4)
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=3.0
    )
    WanVACEPipeline(
        tokenizer=tokenizer,
        text_encoder=UMT5EncoderModel(text),
        vae=AutoencoderKLWan(base_dim=4, z_dim=CHANNELS, dim_mult=[1, 1, 1, 1], num_res_blocks=1),
        scheduler=scheduler,
        **experts,
    ).save_pretrained(folder)


def _transformer(seed: int) -> Any:
    import torch
    from diffusers import WanVACETransformer3DModel

    torch.manual_seed(seed)
    return WanVACETransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        text_dim=WIDTH,
        freq_dim=WIDTH,
        ffn_dim=WIDTH,
        num_layers=3,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=64,
        vace_layers=[0, 2],
        vace_in_channels=2 * CHANNELS + 8 * 8,  # what is kept, what is under the mask, and the mask unshuffled
    )
