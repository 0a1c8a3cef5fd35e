"""A tiny FLUX.1 Fill with random weights."""

from pathlib import Path
from typing import Any

from tests.models.tokenizers import clip_tokenizer, t5_tokenizer

CHANNELS = 4  # of the latents
WIDTH = 32


def build(folder: Path) -> None:
    import torch
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxFillPipeline, FluxTransformer2DModel

    torch.manual_seed(0)
    clip, t5 = clip_tokenizer(), t5_tokenizer()
    blocks = 4  # three halvings, as in the real one
    vae = AutoencoderKL(
        block_out_channels=(8,) * blocks,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        layers_per_block=1,
        norm_num_groups=2,
        latent_channels=CHANNELS,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.1159,
        scaling_factor=0.3611,
    )
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=2 * 4 * CHANNELS + 4 * 8 * 8,  # latents, those of the masked picture, and the mask unshuffled
        out_channels=4 * CHANNELS,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        guidance_embeds=True,
        axes_dims_rope=(4, 4, 8),
    )
    scheduler = FlowMatchEulerDiscreteScheduler(
        shift=3.0, use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15, base_image_seq_len=256
    )
    FluxFillPipeline(
        scheduler=scheduler,
        vae=vae,
        text_encoder=_clip_encoder(clip),
        tokenizer=clip,
        text_encoder_2=_t5_encoder(t5),
        tokenizer_2=t5,
        transformer=transformer,
    ).save_pretrained(folder)


def _clip_encoder(tokenizer: Any) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def _t5_encoder(tokenizer: Any) -> Any:
    from transformers import T5Config, T5EncoderModel

    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=WIDTH,
        d_kv=8,
        d_ff=WIDTH,
        num_layers=1,
        num_heads=2,
        feed_forward_proj="gated-gelu",
    )
    return T5EncoderModel(config)
