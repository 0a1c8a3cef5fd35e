"""Stage iv, verification: every trap measured, every score kept (OpenSubject, arXiv 2512.08294, stage 4)."""

from collections.abc import Iterator, Sequence

from schemas.config import VerificationThresholds
from schemas.questions import Answer, Question, Unusable, VerdictAnswer
from schemas.reasons import Reason
from schemas.sample import Base, Check, Draft, Verdict
from schemas.video import Image
from stages import base_traps, facts, instructions, masks, traps
from stages.traps import Embed

VERDICT_PROMPT = """You judge a training sample for subject-driven image generation. The last image is the output; \
the images before it are the inputs, numbered from 1. Score from 0 to 1:
identity: is the subject of each reference the same individual as in the output?
quality: are the references and the output free of artefacts, duplicates, cut-offs and blur?
consistency: can the output be made from the inputs alone, and does nothing of a reference's background reappear in it?
Measured scores: {scores}."""


def verify(
    draft: Draft,
    embed: Embed,
    stored: dict[str, Image] | None,
    thresholds: VerificationThresholds,
    instruction: dict[str, str],
) -> Verdict:
    """Runs every check, cheap ones first; none is skipped, so that all scores can be kept.

    embed: unit-length rows per (image, mask). stored: decoded members by short name ("input_0", "output"), or None to
    check the draft's own arrays. instruction: text per language. Raises ValueError for a draft without references.
    """
    if not draft.references:
        raise ValueError("a draft without references cannot be verified")
    members = members_of(draft) if stored is None else stored
    checks = [lossy_bytes(draft, members), wrong_binding(draft, instruction)]
    checks += _reference_checks(draft, thresholds)
    checks += [
        above("identity", traps.identity(draft, embed), thresholds.min_identity, Reason.IDENTITY_DRIFT),
        above(
            "binding_margin",
            traps.binding_margin(draft, embed),
            thresholds.min_binding_margin,
            Reason.SWAPPED_REFERENCES,
        ),
        *_leak_checks(draft, thresholds),
        below("copy_ncc", traps.copy_paste(draft), thresholds.max_copy_ncc, Reason.COPY_PASTE),
    ]
    if draft.base is not None:
        checks += base_checks(draft, draft.base, embed, thresholds)
    return Verdict(checks)


def below(name: str, score: float, limit: float, reason: Reason) -> Check:
    """Passes when score <= limit."""
    return Check(name, float(score), limit, bool(score <= limit), reason)


def above(name: str, score: float, limit: float, reason: Reason) -> Check:
    """Passes when score >= limit."""
    return Check(name, float(score), limit, bool(score >= limit), reason)


def _reference_checks(draft: Draft, thresholds: VerificationThresholds) -> Iterator[Check]:
    """The checks that look at one reference at a time; the worst reference counts."""
    references = draft.references
    inexact = max(traps.inexact_share(reference) for reference in references)
    yield below("inexact_share", inexact, 0.0, Reason.IDENTITY_DRIFT)
    ratios = [traps.measured_ratios(reference) for reference in references]
    kept, grown = min(kept for kept, _ in ratios), max(grown for _, grown in ratios)
    yield above("area_ratio_min", kept, thresholds.min_area_ratio, Reason.OBJECT_EXPANSION)
    yield below("area_ratio_max", grown, thresholds.max_area_ratio, Reason.OBJECT_EXPANSION)
    handedness = min(traps.handedness(reference) for reference in references)
    yield above("handedness", handedness, thresholds.min_handedness, Reason.MIRRORED)
    crowd = max(traps.two_subjects(draft, number) for number in range(len(references)))
    yield below("second_subject", crowd, thresholds.max_second_subject, Reason.TWO_SUBJECTS)


def _leak_checks(draft: Draft, thresholds: VerificationThresholds) -> Iterator[Check]:
    inliers, blocks = traps.background_leak(draft)
    yield below("background_inliers", inliers, thresholds.max_background_inliers, Reason.BACKGROUND_LEAK)
    yield below("background_blocks", blocks, thresholds.max_background_blocks, Reason.BACKGROUND_LEAK)


def base_checks(draft: Draft, base: Base, embed: Embed, thresholds: VerificationThresholds) -> Iterator[Check]:
    """The checks of a manipulation base: nothing of the removed subject may be left."""
    reason = Reason.SUBJECT_IN_BASE
    correlation, similarity = base_traps.copies_and_identity(draft, base, embed)
    yield below("base_untouched", base_traps.untouched_share(draft, base), thresholds.max_base_untouched, reason)
    yield below("base_copy", correlation, thresholds.max_copy_ncc, reason)
    yield below("base_identity", similarity, thresholds.max_base_identity, reason)
    yield below("base_silhouette", base_traps.silhouette(draft, base), thresholds.max_base_silhouette, reason)
    yield below("base_seam", base_traps.seam(draft, base), thresholds.max_base_seam, reason)


def members_of(draft: Draft) -> dict[str, Image]:
    """The image members by short name, as a lossless store must give them back."""
    return {**{f"input_{number}": image for number, image in enumerate(draft.inputs)}, "output": draft.output}


def lossy_bytes(draft: Draft, stored: dict[str, Image]) -> Check:
    """Share of must-be-exact pixels that differ in what was stored; 1 when a member is missing or of another size.

    Exact are the output, each reference's subject, and the base outside its box: against the draft, and the stored base
    against the stored output.
    """
    shares = [_member_share(expected, stored.get(name)) for name, expected in members_of(draft).items()]
    if draft.base is not None and "output" in stored and "input_0" in stored:
        outside = ~masks.mask_of(draft.base.box, draft.output.shape[0], draft.output.shape[1])
        if outside.any():
            shares.append(traps.different_share(stored["input_0"], stored["output"], outside))
    return below("lossy_share", max(shares), 0.0, Reason.LOSSY_BYTES)


def _member_share(expected: Image, found: Image | None) -> float:
    if found is None or found.shape != expected.shape:
        return 1.0
    return float((found != expected).any(axis=2).mean())


def wrong_binding(draft: Draft, instruction: dict[str, str]) -> Check:
    """1 when the text of every language, parsed back, names every input once and selects exactly the edited box."""
    measured = facts.measure_facts(draft)
    binds = [instructions.binds(text, language, measured) for language, text in instruction.items()]
    return above("binding", float(bool(binds) and all(binds)), 1.0, Reason.WRONG_BINDING)


def verdict_question(draft: Draft, checks: Sequence[Check]) -> Question:
    """Asks a vlm to judge the sample; the measured scores travel along."""
    scores = {check.name: round(check.score, 3) for check in checks}
    measured = {
        "checks": [
            {"name": check.name, "score": check.score, "passed": check.passed, "reason": str(check.reason)}
            for check in checks
        ]
    }
    prompt = VERDICT_PROMPT.format(scores=scores)
    return Question(VerdictAnswer, prompt, [*draft.inputs, draft.output], measured, draft.seed)


def vlm_check(answer: Answer | Unusable, thresholds: VerificationThresholds) -> Check:
    """The lowest of the vlm's three scores; an unusable answer fails with its own reason."""
    if not isinstance(answer, VerdictAnswer):
        return Check("vlm_score", 0.0, thresholds.min_vlm_score, False, Reason.VLM_UNUSABLE)
    score = min(answer.identity, answer.quality, answer.consistency)
    return above("vlm_score", score, thresholds.min_vlm_score, Reason.VLM_REJECTED)
