"""A tiny random Qwen2.5-VL."""

from pathlib import Path

from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from tests.models.checkpoints.qwen3_vl import rope, save, text_config, token_ids, vision_config
from tests.models.tokenizers import qwen_tokenizer


def build(folder: Path) -> None:
    tokenizer = qwen_tokenizer()
    ends = {
        name: tokenizer.convert_tokens_to_ids("<|endoftext|>")
        for name in ("bos_token_id", "eos_token_id", "pad_token_id")
    }
    windows = {"patch_size": 14, "window_size": 56, "fullatt_block_indexes": [1]}
    config = Qwen2_5_VLConfig(
        text_config={**text_config(tokenizer), **ends, "num_hidden_layers": 2, "rope_parameters": rope(1e6)},
        vision_config={**vision_config(), **windows},
        **token_ids(tokenizer),
        tie_word_embeddings=False,
    )
    save(folder, Qwen2_5_VLForConditionalGeneration, config, tokenizer)
    area = {"shortest_edge": 28 * 28 * 4, "longest_edge": 28 * 28 * 64}
    Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=area),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(size=area),
        chat_template=tokenizer.chat_template,
    ).save_pretrained(folder)
