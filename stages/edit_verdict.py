"""A vision-language model's verdict on an edit, asked for when nothing that was measured speaks against it."""

from collections.abc import Sequence

from schemas.edit import Edit
from schemas.questions import Answer, Question, Unusable, VerdictAnswer
from schemas.reasons import Reason
from schemas.sample import Check
from schemas.video import Image
from stages.edit_grammar import print_edit

PROMPT = """A video was edited: {edits}. Before shows frames of the source, After the same frames of the result, in \
the same order. Judge the result with scores from 0 (no) over 0.5 (cannot tell) to 1 (surely).
identity: every subject that was to change has become what was asked for, as many as before, and none else has.
quality: what was changed looks real: whole, sharp, lit as its place is, without an edge or remains of what stood there.
consistency: it moves as before from frame to frame, and everything that was not to change is the same.
why: one sentence on the worst of it.
Measured: {scores}."""
MAX_PICTURES = 4  # before, and as many after: what models are given at once


def verdict_question(
    edits: Sequence[Edit], before: Sequence[Image], after: Sequence[Image], checks: Sequence[Check], seed: int
) -> Question:
    """before, after: the same frames, in time order; at most MAX_PICTURES of each are shown, spread evenly."""
    every = max(-(-len(before) // MAX_PICTURES), 1)
    pairs = list(zip(before, after, strict=True))[::every]
    numbers = range(1, len(pairs) + 1)
    measured = [
        {"name": check.name, "score": check.score, "passed": check.passed, "reason": str(check.reason)}
        for check in checks
    ]
    return Question(
        VerdictAnswer,
        PROMPT.format(
            edits="; ".join(print_edit(edit) for edit in edits),
            scores={check.name: round(check.score, 3) for check in checks},
        ),
        [*(one for one, _ in pairs), *(other for _, other in pairs)],
        {"checks": measured},
        seed,
        names=[*(f"Before {number}" for number in numbers), *(f"After {number}" for number in numbers)],
    )


def vlm_check(answer: Answer | Unusable, least: float) -> Check:
    """The lowest of the three scores against `least`; an unusable answer fails with its own reason."""
    if not isinstance(answer, VerdictAnswer):
        return Check("vlm_score", 0.0, least, False, Reason.VLM_UNUSABLE)
    score = min(answer.identity, answer.quality, answer.consistency)
    return Check("vlm_score", score, least, score >= least, Reason.VLM_REJECTED)
