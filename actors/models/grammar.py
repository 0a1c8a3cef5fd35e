"""Constrained decoding with llguidance: which tokens of the vocabulary fit the schema next, known when they are needed.

What may follow is a mask of the whole vocabulary, per answer and step. Two things keep that from taking longer than the
model: SLICES, and that masks are made in other threads while the model computes (Constrained).
"""

from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import llguidance
import llguidance.hf
import llguidance.torch
import torch
from transformers import LogitsProcessor

from schemas.questions import INVISIBLE, SEPARATORS

COMPACT: Any = {"whitespace_flexible": False}
_TEXT = rf'[^"\\{INVISIBLE}]'
SLICES = [
    rf'[^"\\{INVISIBLE}{SEPARATORS}]{{1,10}}',
    *(_TEXT + repeats for repeats in ("{1,10}", "{1,30}", "+")),
    *llguidance.LLTokenizer.json_slices(),
]
"""Kinds of tokens. Where a grammar allows a kind as a whole, none of its tokens is looked at; llguidance's own kinds
hold invisible characters, which our texts do not, so it would look at all. The masks are the same."""


def grammar_tokens(tokenizer: Any, num_tokens: int, end: int) -> Any:
    """The vocabulary as llguidance reads it: num_tokens, of the model; end: the token that ends an answer."""
    return llguidance.hf.from_tokenizer(tokenizer, n_vocab=num_tokens, eos_token=end, slices=SLICES)


def plug_into_vllm() -> None:
    """What vLLM calls in each of its processes (entry point `vllm.general_plugins`): its backend `guidance`, which has
    no option for it, slices the vocabulary as we do."""
    if not isinstance(llguidance.hf.from_tokenizer, partial):
        llguidance.hf.from_tokenizer = partial(llguidance.hf.from_tokenizer, slices=SLICES)


class Constrained(LogitsProcessor):
    """Lets row i of a batch write only what fits schema i, then its end. For one call of `generate`, without beams,
    which gets `read` as a stopping criterion: masks of a step are made during its forward pass."""

    def __init__(self, tokens: Any, schemas: list[dict[str, Any]]) -> None:
        grammars = [llguidance.LLMatcher.grammar_from_json_schema(each, defaults=COMPACT) for each in schemas]
        self._matchers = [llguidance.LLMatcher(tokens, grammar) for grammar in grammars]
        for matcher in self._matchers:
            if matcher.is_error():
                raise ValueError(f"the schema makes no grammar: {matcher.get_error()}")
        self._allowed = llguidance.torch.allocate_token_bitmask(len(schemas), tokens.vocab_size)
        self._cores = llguidance.LLExecutor()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="grammar")
        self._masks: Future[None] = self._thread.submit(self._fill)

    def read(self, input_ids: torch.Tensor, _scores: Any, **_: Any) -> torch.Tensor:
        """Takes the tokens just written, (rows, length), and stops no row. `generate` waits for them here anyway."""
        self._masks = self._thread.submit(self._advance, input_ids[:, -1].tolist())
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)

    def __call__(self, _input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """scores: (rows, tokens), which come back with -inf where a token may not follow."""
        self._masks.result()
        words = self._allowed.to(scores.device, non_blocking=True).unsqueeze(-1)
        bits = (words >> torch.arange(32, dtype=torch.int32, device=scores.device)) & 1
        return scores.masked_fill(bits.flatten(1)[:, : scores.shape[1]] == 0, float("-inf"))

    def _advance(self, written: list[int]) -> None:
        for matcher, token in zip(self._matchers, written, strict=True):
            if not matcher.is_stopped():
                matcher.consume_token(token)
        self._fill()

    def _fill(self) -> None:
        """Of a matcher that has stopped, only the end is allowed."""
        rows = [(matcher, row) for row, matcher in enumerate(self._matchers)]
        llguidance.torch.fill_next_token_bitmask_par(self._cores, rows, self._allowed)
