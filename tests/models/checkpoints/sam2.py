"""A tiny random SAM 2.1: image size 128, as small as its memory attention allows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

BRIGHT = 0.3  # in standard deviations above the mean of ImageNet
SIDE_PX = 128
_WIDTH = 128  # of features; the keys of its memory attention are 64 wide, and it splits features into such


def build(folder: Path) -> None:
    _build(folder, lambda model: None)


def build_bright(folder: Path) -> None:
    """One whose masks are what is brighter than a threshold, whatever the box: of the random one no mask is in one
    piece, and a build on it ends at mining."""
    _build(folder, _only_see_brightness)


def _only_see_brightness(model: Any) -> None:
    """The first feature of the finest level is the brightness; the mask is where it exceeds `BRIGHT`."""
    backbone, decoder = model.vision_encoder.backbone, model.mask_decoder
    backbone.patch_embed.projection.weight[0] = 1 / (3 * 7 * 7)
    for values in (backbone.patch_embed.projection.bias, backbone.pos_embed[0], backbone.pos_embed_window[0]):
        values[0] = 0
    finest = model.vision_encoder.neck.convs[-1]
    finest.weight[0], finest.bias[0] = 0, 0
    finest.weight[0, 0] = 1
    decoder.conv_s0.weight[:2], decoder.upscale_conv2.weight[:, :2], decoder.upscale_conv2.bias[:2] = 0, 0, 0
    decoder.conv_s0.weight[0, 0], decoder.conv_s0.bias[0] = 10, -10 * BRIGHT
    decoder.conv_s0.bias[1] = 1  # a constant to set against it
    for mlp in decoder.output_hypernetworks_mlps:
        mlp.proj_out.weight[:], mlp.proj_out.bias[:] = 0, 0
        mlp.proj_out.bias[0], mlp.proj_out.bias[1] = 5, -1


def _build(folder: Path, change: Callable[[Any], None]) -> None:
    import torch
    from transformers import (
        Sam2ImageProcessor,
        Sam2VideoConfig,
        Sam2VideoModel,
        Sam2VideoProcessor,
        Sam2VideoVideoProcessor,
    )

    patches = SIDE_PX // 4
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 8,
        "num_attention_heads": 1,
        "image_size": [SIDE_PX, SIDE_PX],
        "window_positional_embedding_background_size": [4, 4],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 1, 2, 2],
        "window_size_per_stage": [8, 4, 4, 2],
        "global_attention_blocks": [3],  # must not open a stage
    }
    vision = {
        "model_type": "sam2_vision_model",
        "backbone_config": backbone,
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[patches] * 2, [patches // 2] * 2, [patches // 4] * 2],
        "fpn_hidden_size": _WIDTH,
    }
    decoder = {"hidden_size": _WIDTH, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": _WIDTH}
    config = Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": _WIDTH, "image_size": SIDE_PX, "mask_input_channels": 16},
        mask_decoder_config=decoder,
        image_size=SIDE_PX,
        memory_attention_hidden_size=_WIDTH,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32,
        memory_attention_rope_feat_sizes=[SIDE_PX // 16] * 2,
        memory_encoder_hidden_size=_WIDTH,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=_WIDTH,
        memory_fuser_embed_dim=_WIDTH,
        memory_fuser_intermediate_dim=32,
    )
    torch.manual_seed(0)
    model = Sam2VideoModel(config)
    torch.nn.init.constant_(model.mask_decoder.pred_obj_score_head.proj_out.bias, 2.0)  # every object is always seen
    with torch.no_grad():
        change(model)
    model.save_pretrained(folder)
    Sam2VideoProcessor(
        image_processor=Sam2ImageProcessor(
            size={"height": SIDE_PX, "width": SIDE_PX}, mask_size={"height": patches, "width": patches}
        ),
        video_processor=Sam2VideoVideoProcessor(size={"height": SIDE_PX, "width": SIDE_PX}),
        target_size=SIDE_PX,
    ).save_pretrained(folder)
