"""Checkpoints of the profile h100's models in full size, with random weights, under their own ids in a hub cache.

Where the numbers come from, by model: Qwen3-VL-8B: transformers' defaults, and Qwen3-8B's text model; SAM 2.1 large and
LLMDet large: transformers' conversion scripts (convert_sam2_video_to_hf, convert_mm_grounding_dino_to_hf); DINOv2
large, CLIP ViT-L/14, Depth Anything V2 small (the defaults): the model cards; FLUX.2 klein 4B: its published
transformer, text encoder and autoencoder configurations; Wan 2.1 VACE 1.3B: diffusers' convert_wan_to_diffusers, and
UMT5-XXL's encoder. `NUM_PARAMETERS` is what they must add up to.
"""

import json
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.models_tokenizers import qwen_tokenizer
from tests.models.checkpoints import vision_transformers
from tests.models.tokenizers import bert_tokenizer, t5_tokenizer

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
CLIP_COLOURS = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
NUM_PARAMETERS = {  # millions
    "quality": 428,
    "vlm": 8767,
    "detector": 343,
    "segmenter": 224,
    "depth": 25,
    "embedder": 304,
    "image_editor": 3875 + 4022 + 84,
    "video_generator": 2157 + 5681 + 127,
}


@contextmanager
def drawn_in(dtype: str, device: str) -> Any:
    """Weights are made on the device in that dtype: seconds for billions of them. Not zeros, which run faster."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))
    torch.manual_seed(0)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def qwen3_vl(folder: Path | None, device: str) -> list[Any]:
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    text = {
        "vocab_size": 151936,
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 262144,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 5e6,
            "mrope_section": [24, 20, 20],
            "mrope_interleaved": True,
        },
    }
    tokenizer = qwen_tokenizer()
    tokens = {"image": "image_pad", "video": "video_pad", "vision_start": "vision_start", "vision_end": "vision_end"}
    ids = {f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>") for name, token in tokens.items()}
    config = Qwen3VLConfig(text_config=text, vision_config={"out_hidden_size": 4096}, **ids, tie_word_embeddings=False)
    config.architectures = ["Qwen3VLForConditionalGeneration"]
    config.dtype = "bfloat16"
    if folder is not None:
        half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
        patches = {"patch_size": 16, "merge_size": 2, "temporal_patch_size": 2}
        area = {"shortest_edge": 65536, "longest_edge": 16777216}
        Qwen3VLProcessor(
            image_processor=Qwen2VLImageProcessor(size=area, **patches, **half),
            tokenizer=tokenizer,
            video_processor=Qwen3VLVideoProcessor(size=area, **patches, **half),
            chat_template=tokenizer.chat_template,
        ).save_pretrained(folder)
        config.save_pretrained(folder)
        ends = [tokenizer.convert_tokens_to_ids(end) for end in ("<|im_end|>", "<|endoftext|>")]
        generation = {"eos_token_id": ends, "pad_token_id": ends[1]}
        (folder / "generation_config.json").write_text(json.dumps(generation), "utf-8")
        if device == "none":  # for vLLM's load_format "dummy"
            return []
    with drawn_in("bfloat16", device):
        model = Qwen3VLForConditionalGeneration(config)
    return _saved(folder, [model])


def llmdet(folder: Path | None, device: str) -> list[Any]:
    from transformers import (
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        MMGroundingDinoConfig,
        MMGroundingDinoForObjectDetection,
        SwinConfig,
    )

    backbone = SwinConfig(
        image_size=384,
        window_size=12,
        embed_dim=192,
        depths=(2, 2, 18, 2),
        num_heads=(6, 12, 24, 48),
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    with drawn_in("float32", device):
        model = MMGroundingDinoForObjectDetection(MMGroundingDinoConfig(backbone_config=backbone, num_feature_levels=5))
    if folder is not None:
        words = ("dog", "red", "car", "person", "subject", "bicycle")
        GroundingDinoProcessor(GroundingDinoImageProcessor(), bert_tokenizer(words)).save_pretrained(folder)
    return _saved(folder, [model])


def sam2(folder: Path | None, device: str) -> list[Any]:
    import torch
    from transformers import (
        Sam2ImageProcessor,
        Sam2VideoConfig,
        Sam2VideoModel,
        Sam2VideoProcessor,
        Sam2VideoVideoProcessor,
    )

    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 144,
        "num_attention_heads": 2,
        "embed_dim_per_stage": [144, 288, 576, 1152],
        "num_attention_heads_per_stage": [2, 4, 8, 16],
        "blocks_per_stage": [2, 6, 36, 4],
        "global_attention_blocks": [23, 33, 43],
        "window_positional_embedding_background_size": [7, 7],
        "window_size_per_stage": [8, 4, 16, 8],
    }
    vision = {
        "model_type": "sam2_vision_model",
        "backbone_config": backbone,
        "backbone_channel_list": [1152, 576, 288, 144],
    }
    with drawn_in("float32", device):
        model = Sam2VideoModel(Sam2VideoConfig(vision_config=vision))
        torch.nn.init.constant_(model.mask_decoder.pred_obj_score_head.proj_out.bias, 2.0)  # objects stay in sight
    if folder is not None:
        size = {"height": 1024, "width": 1024}
        Sam2VideoProcessor(
            image_processor=Sam2ImageProcessor(size=size), video_processor=Sam2VideoVideoProcessor(size=size)
        ).save_pretrained(folder)
    return _saved(folder, [model])


def depth_anything(folder: Path | None, device: str) -> list[Any]:
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, DPTImageProcessor

    with drawn_in("float32", device):
        model = DepthAnythingForDepthEstimation(DepthAnythingConfig())  # its defaults are V2 small
    if folder is not None:
        sizes = {"size": {"height": 518, "width": 518}, "keep_aspect_ratio": True, "ensure_multiple_of": 14}
        DPTImageProcessor(**sizes, **IMAGENET, resample=3).save_pretrained(folder)
    return _saved(folder, [model])


def dinov2(folder: Path | None, device: str) -> list[Any]:
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    large = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "image_size": 518}
    with drawn_in("float32", device):
        model = Dinov2Model(Dinov2Config(**large))
    if folder is not None:
        sizes = {"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}
        BitImageProcessor(**sizes, **IMAGENET, resample=3).save_pretrained(folder)
    return _saved(folder, [model])


def clip(folder: Path | None, device: str) -> list[Any]:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    text = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "projection_dim": 768}
    vision = {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "patch_size": 14,
        "projection_dim": 768,
    }
    with drawn_in("float32", device):
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=768))
    if folder is not None:
        CLIPImageProcessor(**CLIP_COLOURS).save_pretrained(folder)
    return _saved(folder, [model])


def aesthetic_head(folder: Path | None, device: str) -> list[Any]:
    if folder is not None:
        vision_transformers.build_head(folder, widths=(768, 1024, 128, 64, 16, 1))
    return []


def flux2_klein(folder: Path | None, device: str) -> list[Any]:
    from diffusers import (
        AutoencoderKLFlux2,
        FlowMatchEulerDiscreteScheduler,
        Flux2KleinPipeline,
        Flux2Transformer2DModel,
    )
    from transformers import Qwen3Config, Qwen3ForCausalLM

    text = Qwen3Config(
        vocab_size=151936,
        hidden_size=2560,
        intermediate_size=9728,
        num_hidden_layers=36,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
        max_position_embeddings=40960,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
    )
    own = {"num_layers": 5, "num_single_layers": 20, "num_attention_heads": 24, "joint_attention_dim": 7680}
    with drawn_in("bfloat16", device):
        transformer = Flux2Transformer2DModel(**own, guidance_embeds=False)
        encoder, vae = Qwen3ForCausalLM(text), AutoencoderKLFlux2()
    if folder is not None:
        scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
        parts = {"text_encoder": encoder, "transformer": transformer, "vae": vae}
        Flux2KleinPipeline(scheduler=scheduler, tokenizer=qwen_tokenizer(), is_distilled=True, **parts).save_pretrained(
            folder, max_shard_size="20GB"
        )
    return [transformer, encoder, vae]


def wan_vace(folder: Path | None, device: str) -> list[Any]:
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanVACEPipeline, WanVACETransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel

    text = UMT5Config(vocab_size=256384, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64)
    with drawn_in("bfloat16", device):
        transformer = WanVACETransformer3DModel(
            num_attention_heads=12, ffn_dim=8960, num_layers=30, vace_layers=list(range(0, 30, 2))
        )
        encoder = UMT5EncoderModel(text)
    with drawn_in("float32", device):
        vae = AutoencoderKLWan()
    if folder is not None:
        scheduler = UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=3.0
        )
        WanVACEPipeline(
            tokenizer=t5_tokenizer(),
            text_encoder=encoder,
            vae=vae,
            scheduler=scheduler,
            transformer=transformer,
            transformer_2=None,
        ).save_pretrained(folder, max_shard_size="20GB")
    return [transformer, encoder, vae]


def _saved(folder: Path | None, models: list[Any]) -> list[Any]:
    if folder is not None:
        for model in models:
            model.save_pretrained(folder, max_shard_size="20GB")
    return models


BUILDERS: dict[str, Callable[[Path | None, str], list[Any]]] = {
    "quality": clip,
    "vlm": qwen3_vl,
    "detector": llmdet,
    "segmenter": sam2,
    "depth": depth_anything,
    "embedder": dinov2,
    "image_editor": flux2_klein,
    "video_generator": wan_vace,
}
"""By role. Called with a folder to save to (None: only make the models) and a device ("none": no weights)."""
