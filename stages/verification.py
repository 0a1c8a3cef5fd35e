"""Stage iv, verification: every trap measured, every score kept (OpenSubject, arXiv 2512.08294, stage 4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from schemas.config import VerificationThresholds
from schemas.questions import Answer, Question, Unusable, VerdictAnswer
from schemas.reasons import Reason
from schemas.sample import Base, Check, Draft, Task, Verdict
from schemas.video import Image
from stages import base_traps, facts, instructions, leaks, masks, traps
from stages.traps import Embed

VLM_SCORE = "vlm_score"
VERDICT_PROMPT = """You judge a training sample for subject-driven image generation: a model will learn to make Output \
from the inputs. {inputs} Judge by what you see, and look for faults in every picture before you score. Each score is \
between 0 and 1: 1 is free of faults, 0.7 has a fault that is hard to see, 0.4 one that is easy to see, 0 is useless. \
The worst picture decides.
identity: is the subject of each reference the same individual in Output, by face or markings, shape, colours and \
clothes? Another pose, size, angle or light is welcome; another individual of the kind is 0.
quality: is every picture free of artefacts (smears, seams, halos around a subject, ghosts, doubled or missing limbs, \
a subject cut off, heavy blur or blocks)? Is each subject whole and recognisable?
consistency: can Output be made from the inputs alone? Each reference shows one subject, in surroundings that are not \
those of Output.{base}
why: one sentence of at most 200 characters that names the worst fault and the picture it is in, or "no fault".
What was measured, all of it within its limits: {scores}."""
_EDITED = """ Image 1 and Output differ in one place only, and nothing of the subject that Output has there (outline, \
limb, shadow, reflection) is left in image 1."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What a score must keep to. bound: the name of a threshold, or a number nobody may change."""

    bound: str | float
    is_minimum: bool
    reason: Reason


def _at_most(bound: str | float, reason: Reason) -> Limit:
    return Limit(bound, False, reason)


def _at_least(bound: str | float, reason: Reason) -> Limit:
    return Limit(bound, True, reason)


LIMITS: dict[str, Limit] = {
    "lossy_share": _at_most(0.0, Reason.LOSSY_BYTES),
    "binding": _at_least(1.0, Reason.WRONG_BINDING),
    "inexact_share": _at_most(0.0, Reason.IDENTITY_DRIFT),
    "area_ratio_min": _at_least("min_area_ratio", Reason.OBJECT_EXPANSION),
    "area_ratio_max": _at_most("max_area_ratio", Reason.OBJECT_EXPANSION),
    "handedness": _at_least("min_handedness", Reason.MIRRORED),
    "split": _at_most(0.0, Reason.TWO_SUBJECTS),
    "shared_mask": _at_most("max_shared_mask", Reason.TWO_SUBJECTS),
    "second_subject": _at_most("max_second_subject", Reason.TWO_SUBJECTS),
    "identity": _at_least("min_identity", Reason.IDENTITY_DRIFT),
    "target_identity": _at_least("min_target_identity", Reason.IDENTITY_DRIFT),
    "binding_margin": _at_least("min_binding_margin", Reason.SWAPPED_REFERENCES),
    "background_inliers": _at_most("max_background_inliers", Reason.BACKGROUND_LEAK),
    "background_blocks": _at_most("max_background_blocks", Reason.BACKGROUND_LEAK),
    "rim_leak": _at_most("max_rim_leak", Reason.BACKGROUND_LEAK),
    "mask_leak": _at_most("max_mask_leak", Reason.MASK_LEAK),
    "copy_ncc": _at_most("max_copy_ncc", Reason.COPY_PASTE),
    "base_untouched": _at_most("max_base_untouched", Reason.SUBJECT_IN_BASE),
    "base_copy": _at_most("max_base_copy", Reason.SUBJECT_IN_BASE),
    "base_identity": _at_most("max_base_identity", Reason.SUBJECT_IN_BASE),
    "base_silhouette": _at_most("max_base_silhouette", Reason.SUBJECT_IN_BASE),
    "base_seam": _at_most("max_base_seam", Reason.SUBJECT_IN_BASE),
    "base_step": _at_most("max_base_step", Reason.SUBJECT_IN_BASE),
    VLM_SCORE: _at_least("min_vlm_score", Reason.VLM_REJECTED),
}
"""The table of traps: which score guards against which, in the order the checks are run and reported."""


_OF_THE_PAIR = frozenset({Reason.MASK_LEAK, Reason.COPY_PASTE, Reason.NO_ROOM})


def lies_in_the_pair(reason: str, task: str) -> bool:
    """Whether no other seed, donor or rung can change this: frames A and B show the subject alike, its mask in A is
    wrong, or it leaves no room. A manipulation of one among several subjects may take another one the next time.
    """
    return reason in _OF_THE_PAIR and task != Task.MULTI_MANIPULATION


def verify(
    draft: Draft,
    embed: Embed,
    stored: dict[str, Image] | None,
    thresholds: VerificationThresholds,
    instruction: dict[str, str],
) -> Verdict:
    """`judge` on what `measure` finds."""
    return judge(measure(draft, embed, stored, instruction), thresholds)


def judge(scores: Mapping[str, float], thresholds: VerificationThresholds) -> Verdict:
    """Scores against thresholds, nothing else: a changed threshold judges stored scores again. Unknown names do not
    count; a score that was never measured does not fail."""
    return compare(scores, thresholds, LIMITS)


def compare(scores: Mapping[str, float], thresholds: object, limits: Mapping[str, Limit]) -> Verdict:
    """One check per limit whose score is known. thresholds: has every bound that the limits name."""
    checks = []
    for name, limit in limits.items():
        if name not in scores:
            continue
        bound = limit.bound if isinstance(limit.bound, float) else float(getattr(thresholds, limit.bound))
        score = float(scores[name])
        checks.append(Check(name, score, bound, score >= bound if limit.is_minimum else score <= bound, limit.reason))
    return Verdict(checks)


def measure(
    draft: Draft, embed: Embed, stored: dict[str, Image] | None, instruction: dict[str, str]
) -> dict[str, float]:
    """Every score by name; none is skipped, so that all can be kept.

    embed: unit-length rows per (image, mask). stored: decoded members by short name ("input_0", "output"), or None to
    check the draft's own arrays. instruction: text per language. Raises ValueError for a draft without references.
    """
    if not draft.references:
        raise ValueError("a draft without references cannot be verified")
    inliers, blocks = leaks.background_leak(draft)
    scores = {
        "lossy_share": lossy_share(draft, members_of(draft) if stored is None else stored),
        "binding": binding(draft, instruction),
        **_reference_scores(draft, embed),
        "identity": traps.identity(draft, embed),
        "target_identity": traps.target_identity(draft, embed),
        "binding_margin": traps.binding_margin(draft, embed),
        "background_inliers": inliers,
        "background_blocks": blocks,
        "copy_ncc": traps.copy_paste(draft),
    }
    if draft.base is not None:
        scores |= _base_scores(draft, draft.base, embed)
    return {name: float(score) for name, score in scores.items()}


def _reference_scores(draft: Draft, embed: Embed) -> dict[str, float]:
    """The scores of one reference at a time; the worst reference counts."""
    references = draft.references
    ratios = [traps.measured_ratios(reference) for reference in references]
    return {
        "inexact_share": max(traps.inexact_share(reference) for reference in references),
        "area_ratio_min": min(kept for kept, _ in ratios),
        "area_ratio_max": max(grown for _, grown in ratios),
        "handedness": min(traps.handedness(reference) for reference in references),
        "split": max(traps.split(reference) for reference in references),
        "shared_mask": max(traps.shared_mask(draft, number) for number in range(len(references))),
        "second_subject": max(traps.second_subject(draft, number, embed) for number in range(len(references))),
        "rim_leak": max(leaks.rim_leak(reference) for reference in references),
        "mask_leak": max(leaks.mask_leak(draft, number) for number in range(len(references))),
    }


def _base_scores(draft: Draft, base: Base, embed: Embed) -> dict[str, float]:
    """The scores of a manipulation base: nothing of the removed subject may be left."""
    correlation, similarity = base_traps.copies_and_identity(draft, base, embed)
    return {
        "base_untouched": base_traps.untouched_share(draft, base),
        "base_copy": correlation,
        "base_identity": similarity,
        "base_silhouette": base_traps.silhouette(draft, base),
        "base_seam": base_traps.seam(draft, base),
        "base_step": base_traps.step(draft, base),
    }


def members_of(draft: Draft) -> dict[str, Image]:
    """The image members by short name, as a lossless store must give them back."""
    return {**{f"input_{number}": image for number, image in enumerate(draft.inputs)}, "output": draft.output}


def lossy_share(draft: Draft, stored: dict[str, Image]) -> float:
    """Share of must-be-exact pixels that differ in what was stored; 1 when a member is missing or of another size.

    Exact are the output, each reference's subject, and the base outside its box: against the draft, and the stored base
    against the stored output.
    """
    shares = [_member_share(expected, stored.get(name)) for name, expected in members_of(draft).items()]
    if draft.base is not None and "output" in stored and "input_0" in stored:
        outside = ~masks.mask_of(draft.base.box, draft.output.shape[0], draft.output.shape[1])
        if outside.any():
            shares.append(traps.different_share(stored["input_0"], stored["output"], outside))
    return max(shares)


def _member_share(expected: Image, found: Image | None) -> float:
    if found is None or found.shape != expected.shape:
        return 1.0
    return float((found != expected).any(axis=2).mean())


def binding(draft: Draft, instruction: dict[str, str]) -> float:
    """1 when the text of every language, parsed back, names every input once and selects exactly the edited box."""
    measured = facts.measure_facts(draft)
    binds = [instructions.binds(text, language, measured) for language, text in instruction.items()]
    return float(bool(binds) and all(binds))


def verdict_question(draft: Draft, checks: Sequence[Check]) -> Question:
    """Asks a vlm to judge the sample; the measured scores travel along."""
    scores = {check.name: round(check.score, 3) for check in checks}
    measured = {
        "checks": [
            {"name": check.name, "score": check.score, "passed": check.passed, "reason": str(check.reason)}
            for check in checks
        ]
    }
    prompt = VERDICT_PROMPT.format(inputs=_inputs(draft), base=_EDITED if draft.base else "", scores=scores)
    names = [f"Image {number}" for number in range(1, len(draft.inputs) + 1)]
    return Question(
        VerdictAnswer, prompt, [*draft.inputs, draft.output], measured, draft.seed, names=[*names, "Output"]
    )


def _inputs(draft: Draft) -> str:
    """What each numbered input is."""
    said = ["Image 1 is the picture to be edited."] if draft.base else []
    for number, reference in enumerate(draft.references, len(said) + 1):
        said.append(f"Image {number} is the reference of a {reference.category or 'subject'}.")
    return " ".join(said)


def vlm_check(answer: Answer | Unusable, thresholds: VerificationThresholds) -> Check:
    """The lowest of the vlm's three scores; an unusable answer fails with its own reason."""
    if not isinstance(answer, VerdictAnswer):
        return Check(VLM_SCORE, 0.0, thresholds.min_vlm_score, False, Reason.VLM_UNUSABLE)
    score = min(answer.identity, answer.quality, answer.consistency)
    return judge({VLM_SCORE: score}, thresholds).checks[0]
