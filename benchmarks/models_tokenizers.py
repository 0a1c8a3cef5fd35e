"""A tokenizer of Qwen's size that says about as many tokens as Qwen's: learnt from this repository's own text."""

import itertools
import json
from functools import cache
from pathlib import Path
from typing import Any

from tests.models.tokenizers import QWEN_SPECIALS, QWEN_TEMPLATE

REPOSITORY = Path(__file__).resolve().parents[1]
NUM_WORDS = 151_643  # of Qwen's vocabulary; its special tokens come after them
NUM_LEARNT = 16_000


@cache
def qwen_tokenizer() -> Any:
    """Byte pairs learnt from the documentation and code here; the rest of the vocabulary is filled with made-up words,
    since what a grammar allows is looked up in all of it.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer

    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    learner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    texts = [path.read_text("utf-8") for folder in ("actors", "docs", "stages") for path in _texts(folder)]
    trainer = trainers.BpeTrainer(vocab_size=NUM_LEARNT, initial_alphabet=alphabet, show_progress=False)
    learner.train_from_iterator(texts, trainer)
    model = json.loads(learner.to_str())["model"]
    vocabulary = dict(model["vocab"])
    made_up = (
        "".join(letters) for size in (4, 5, 6) for letters in itertools.product("aeioubdfgklmnprstvz", repeat=size)
    )
    for word in itertools.islice((word for word in made_up if word not in vocabulary), NUM_WORDS - len(vocabulary)):
        vocabulary[word] = len(vocabulary)
    for special in QWEN_SPECIALS:
        vocabulary[special] = len(vocabulary)
    merges = [tuple(pair) for pair in model["merges"]]
    ends = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    tokenizer = Qwen2Tokenizer(vocab=vocabulary, merges=merges, model_max_length=262_144, **ends)
    tokenizer.add_special_tokens({"additional_special_tokens": QWEN_SPECIALS})
    tokenizer.chat_template = QWEN_TEMPLATE
    return tokenizer


def _texts(folder: str) -> list[Path]:
    return sorted(path for path in (REPOSITORY / folder).rglob("*") if path.suffix in {".py", ".md"})
