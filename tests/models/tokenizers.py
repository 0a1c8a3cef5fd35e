"""Tokenizers made from nothing, as small as the architectures allow."""

from typing import Any

QWEN_SPECIALS = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
QWEN_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def qwen_tokenizer() -> Any:
    """The 256 bytes and Qwen's special tokens, no merges: lossless."""
    from transformers import Qwen2Tokenizer

    vocabulary = {symbol: number for number, symbol in enumerate(_byte_symbols())}
    for special in QWEN_SPECIALS:
        vocabulary[special] = len(vocabulary)
    ends = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    tokenizer = Qwen2Tokenizer(vocab=vocabulary, merges=[], model_max_length=4096, **ends)
    tokenizer.add_special_tokens({"additional_special_tokens": QWEN_SPECIALS})
    tokenizer.chat_template = QWEN_TEMPLATE
    return tokenizer


def bert_tokenizer(words: tuple[str, ...] = ()) -> Any:
    """WordPiece of single letters and `words`. Grounding DINO's code has four ids written in: 101, 102, 1012, 1029."""
    from transformers import BertTokenizer

    vocabulary = {"[PAD]": 0} | {f"[unused{number - 1}]": number for number in range(1, 100)}
    vocabulary |= {"[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper() and chr(code) not in ".?"]
    for piece in [*letters, *(f"##{letter}" for letter in letters), *words]:
        vocabulary.setdefault(piece, len(vocabulary))
    while (number := len(vocabulary)) < 1030:
        vocabulary[{1012: ".", 1029: "?"}.get(number, f"[unused{number}]")] = number
    return BertTokenizer(vocab=vocabulary, model_max_length=512)


def clip_tokenizer(max_length: int = 77) -> Any:
    """The 256 bytes, inside and at the end of a word."""
    from transformers import CLIPTokenizer

    symbols = _byte_symbols()
    pieces = [*symbols, *(f"{symbol}</w>" for symbol in symbols), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=max_length)


def t5_tokenizer(max_length: int = 512) -> Any:
    """Unigrams of single ASCII characters."""
    from transformers import T5Tokenizer

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(chr(code), -3.0) for code in range(33, 127)]
    return T5Tokenizer(vocab=pieces, extra_ids=0, additional_special_tokens=[], model_max_length=max_length)


def _byte_symbols() -> list[str]:
    """The printable stand-ins that byte-level pre-tokenizers give the 256 bytes, in byte order."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]
