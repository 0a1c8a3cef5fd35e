"""A tiny random Qwen3.5: a layer of linear and one of full attention (the real one: three to one), a template that thinks."""

from pathlib import Path

from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration

from tests.models.checkpoints.qwen3_vl import rope, save, save_processor, text_config, token_ids, vision_config
from tests.models.tokenizers import qwen_tokenizer

THINKING = (
    "{% if add_generation_prompt %}{% if enable_thinking is defined and enable_thinking is false %}"
    "<think>\n\n</think>\n\n{% else %}<think>\n{% endif %}{% endif %}"
)


def build(folder: Path) -> None:
    tokenizer = qwen_tokenizer()
    tokenizer.chat_template += THINKING
    linear = {"linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8}
    config = Qwen3_5Config(
        text_config={
            **text_config(tokenizer),
            **linear,
            "linear_value_head_dim": 8,
            "num_hidden_layers": 2,
            "layer_types": ["linear_attention", "full_attention"],
            "head_dim": 16,
            "rope_parameters": rope(1e6, mrope_interleaved=True, partial_rotary_factor=0.5),
        },
        vision_config={**vision_config(), "num_position_embeddings": 16},
        **token_ids(tokenizer),
        tie_word_embeddings=True,
    )
    save(folder, Qwen3_5ForConditionalGeneration, config, tokenizer)
    save_processor(folder, tokenizer)
