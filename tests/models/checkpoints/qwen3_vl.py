"""A tiny random Qwen3-VL, and what the other Qwen families share with it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from tests.models.tokenizers import qwen_tokenizer

LEANINGS = {'"': 4.0, "]": 2.0, "t": 0.6, "1": 1.2, "s": 1.0}
"""What `build_terse` likes to write, in logits per unit of its constant feature: ends of texts and lists, "true", high
scores, letters."""


def build(folder: Path) -> None:
    tokenizer = qwen_tokenizer()
    save(folder, Qwen3VLForConditionalGeneration, _config(tokenizer), tokenizer)
    save_processor(folder, tokenizer)


def build_terse(folder: Path) -> None:
    """One that leans to short texts and to yes, so that a build gets somewhere and within seconds: of the random one
    every list is empty, and every caption as long as it may be."""

    def lean(model: Any) -> None:
        model.model.language_model.embed_tokens.weight[:, 0] = 1.0  # a feature that is on wherever text is
        for character, logits in LEANINGS.items():
            model.lm_head.weight[tokenizer.convert_tokens_to_ids(character), 0] = logits

    tokenizer = qwen_tokenizer()
    save(folder, Qwen3VLForConditionalGeneration, _config(tokenizer, tied=False), tokenizer, lean)
    save_processor(folder, tokenizer)


def _config(tokenizer: Any, tied: bool = True) -> Any:
    return Qwen3VLConfig(
        text_config={
            **text_config(tokenizer),
            "num_hidden_layers": 2,
            "head_dim": 8,
            "rope_parameters": rope(5e5, mrope_interleaved=True),  # the sections add up to head_dim / 2
        },
        vision_config={**vision_config(), "num_position_embeddings": 16, "deepstack_visual_indexes": [0, 1]},
        **token_ids(tokenizer),
        tie_word_embeddings=tied,
    )


def text_config(tokenizer: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 16384,
        "initializer_range": 0.2,  # enough for answers to depend on what is asked and shown
    }


def rope(theta: float, **more: Any) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": theta, "mrope_section": [2, 1, 1], **more}


def vision_config() -> dict[str, Any]:
    return {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 4,
        "patch_size": 16,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "out_hidden_size": 32,
    }


def token_ids(tokenizer: Any) -> dict[str, int]:
    tokens = {"image": "image_pad", "video": "video_pad", "vision_start": "vision_start", "vision_end": "vision_end"}
    return {f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>") for name, token in tokens.items()}


def save(
    folder: Path, cls: Any, config: Any, tokenizer: Any, change: Callable[[Any], None] = lambda model: None
) -> None:
    """Random weights, and generation settings as the real checkpoints ship them: sampling on, two ends."""
    torch.manual_seed(0)
    model = cls(config)
    with torch.no_grad():
        change(model)
    ends = [tokenizer.convert_tokens_to_ids(end) for end in ("<|im_end|>", "<|endoftext|>")]
    model.generation_config.update(eos_token_id=ends, pad_token_id=ends[1], do_sample=True, temperature=0.7, top_p=0.8)
    model.generation_config.update(top_k=20, repetition_penalty=1.05)
    model.save_pretrained(folder)


def save_processor(folder: Path, tokenizer: Any) -> None:
    """Sizes of pictures are areas in pixels."""
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    patches = {"patch_size": 16, "merge_size": 2, "temporal_patch_size": 2}
    area = {"shortest_edge": 32 * 32 * 4, "longest_edge": 32 * 32 * 64}
    Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=area, **patches, **half),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(size=area, **patches, **half),
        chat_template=tokenizer.chat_template,
    ).save_pretrained(folder)
