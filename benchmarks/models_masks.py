"""How long the mask of a vocabulary takes, as llguidance slices it and as we do (actors/models/grammar.py).

`python benchmarks/models_masks.py` on any machine: random answers under our schemas, with the vocabulary of
benchmarks/models_tokenizers.py, which is as large as Qwen's.
"""

import sys
import time
from pathlib import Path
from typing import Any

import llguidance
import llguidance.hf
import llguidance.torch
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from actors.models.answers import json_schema
from actors.models.grammar import COMPACT, grammar_tokens
from benchmarks.models_tokenizers import qwen_tokenizer
from benchmarks.sections import table
from schemas.questions import CaptionAnswer, CategoriesAnswer, ClipAnswer, Question, VerdictAnswer

NUM_TOKENS = 151_936
ROWS, STEPS = 4, 60


def measure(tokens: Any, schema: dict[str, Any]) -> tuple[float, int]:
    """Milliseconds per mask (the median), and tokens allowed in all: any slices should write the same answers."""
    grammar = llguidance.LLMatcher.grammar_from_json_schema(schema, defaults=COMPACT)
    matchers = [llguidance.LLMatcher(tokens, grammar) for _ in range(ROWS)]
    masks = llguidance.torch.allocate_token_bitmask(ROWS, NUM_TOKENS)
    rng = np.random.default_rng(0)
    seconds: list[float] = []
    allowed = 0
    for _ in range(STEPS):
        for row, matcher in enumerate(matchers):
            if matcher.is_stopped():
                continue
            began = time.perf_counter()
            llguidance.torch.fill_next_token_bitmask(matcher, masks, row)
            seconds.append(time.perf_counter() - began)
            fitting = np.flatnonzero(np.unpackbits(masks[row].numpy().view(np.uint8), bitorder="little"))
            allowed += len(fitting)
            matcher.consume_token(int(rng.choice(fitting)))
    return 1000 * float(np.median(seconds)), allowed


def main() -> None:
    tokenizer = qwen_tokenizer()
    end = tokenizer.eos_token_id
    plain = llguidance.hf.from_tokenizer(tokenizer, n_vocab=NUM_TOKENS, eos_token=end)
    ours = grammar_tokens(tokenizer, NUM_TOKENS, end)
    picture = np.zeros((8, 8, 3), np.uint8)
    rows = []
    for kind in (VerdictAnswer, CaptionAnswer, ClipAnswer, CategoriesAnswer):
        schema = json_schema(Question(kind, "?", [picture] * 2))
        (before, expected), (after, allowed) = measure(plain, schema), measure(ours, schema)
        assert allowed == expected, f"{kind.__name__}: the masks differ"
        rows.append([kind.__name__, before, after])
    print(table(("schema", "llguidance's slices, ms", "ours, ms"), rows))


if __name__ == "__main__":
    main()
