"""Tiny random checkpoints of the Grounding DINO architecture."""

from pathlib import Path
from typing import Any

from tests.models.tokenizers import bert_tokenizer

WORDS = ("dog", "red", "car", "person", "subject")


def build(folder: Path) -> None:
    """Grounding DINO."""
    import torch
    from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection

    torch.manual_seed(0)
    _save(folder, GroundingDinoForObjectDetection(_config(GroundingDinoConfig)))


def build_mm(folder: Path) -> None:
    """MM Grounding DINO, which LLMDet is too."""
    import torch
    from transformers import MMGroundingDinoConfig, MMGroundingDinoForObjectDetection

    torch.manual_seed(0)
    model = MMGroundingDinoForObjectDetection(_config(MMGroundingDinoConfig))
    for embedding in (*model.model.decoder.class_embed, model.model.encoder_output_class_embed):
        torch.nn.init.zeros_(embedding.bias)  # it starts where nothing is ever found
    _save(folder, model)


def _config(cls: Any) -> Any:
    from transformers import BertConfig, SwinConfig

    backbone = SwinConfig(
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        image_size=64,
        out_indices=[2, 3, 4],
    )
    text = BertConfig(
        vocab_size=len(bert_tokenizer(WORDS)),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    layers = {"encoder_layers": 1, "decoder_layers": 2, "num_queries": 20}  # fewer than 2 decoder layers are not tied
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 4}
    widths = {"d_model": 32, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
    own = {"max_text_len": 32, "disable_custom_kernels": True}
    return cls(backbone_config=backbone, text_config=text, **layers, **heads, **widths, **own)


def _save(folder: Path, model: Any) -> None:
    from transformers import GroundingDinoImageProcessor, GroundingDinoProcessor

    images = GroundingDinoImageProcessor(size={"shortest_edge": 96, "longest_edge": 160})  # 64 leaves 1 pixel
    GroundingDinoProcessor(image_processor=images, tokenizer=bert_tokenizer(WORDS)).save_pretrained(folder)
    model.save_pretrained(folder)
