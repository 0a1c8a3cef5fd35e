"""Role `vlm`: look at these images, answer in this JSON schema."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pydantic import ValidationError

from schemas.errors import BadInput
from schemas.questions import (
    Answer,
    CaptionAnswer,
    CategoriesAnswer,
    ClipAnswer,
    CropAnswer,
    DescriptionAnswer,
    Question,
    Unusable,
    VerdictAnswer,
)
from schemas.reasons import Reason
from stages import captions

UNNAMED = "subject"


class Vlm(Protocol):
    """One answer per question, in order; an answer is an instance of `question.answer` or Unusable."""

    def ask(self, questions: Sequence[Question]) -> list[Answer | Unusable]: ...


class RulesVlm:
    """Answers from `question.facts` alone, never from the pixels, and never guesses a noun.

    Facts per question: CategoriesAnswer {"category"}; CropAnswer {"score", "min_score"} in [0, 1]; CaptionAnswer the
    facts of stages/facts.py and {"language"}; VerdictAnswer {"checks": [{"name", "passed", "reason", "score"}]};
    ClipAnswer {"category"}; DescriptionAnswer {"words"}. What must be seen or understood (EditsAnswer, PlaceAnswer) is
    Unusable.
    """

    def ask(self, questions: Sequence[Question]) -> list[Answer | Unusable]:
        return [self._answer(question) for question in questions]

    def _answer(self, question: Question) -> Answer | Unusable:
        rule = _RULES.get(question.answer)
        if rule is None:
            return Unusable(f"no rule answers {question.answer.__name__}")
        try:
            return rule(question)
        except KeyError as missing:
            return Unusable(f"nothing was measured for {missing}")
        except BadInput as bad:
            return Unusable(bad.message, bad.reason)
        except ValidationError as error:
            return Unusable(f"{question.answer.__name__}: {error.errors()[0]['msg']}")


def _categories(question: Question) -> CategoriesAnswer:
    word = question.facts.get("category") or UNNAMED
    return CategoriesAnswer(categories=[[word] for _ in question.images])


def _clip(question: Question) -> ClipAnswer:
    return ClipAnswer(nouns=[question.facts.get("category") or UNNAMED], counts=[0], places=["in the picture"])


def _description(question: Question) -> DescriptionAnswer:
    return DescriptionAnswer(text=question.facts["words"])


def _crop(question: Question) -> CropAnswer:
    score = min(max(float(question.facts["score"]), 0.0), 1.0)
    return CropAnswer(shows=score >= float(question.facts.get("min_score", 0.5)), score=score)


def _caption(question: Question) -> CaptionAnswer:
    return captions.word_captions(question.facts, question.facts["language"])


_CRITERIA = {
    "identity": {Reason.IDENTITY_DRIFT, Reason.MIRRORED, Reason.SWAPPED_REFERENCES},
    "quality": {Reason.OBJECT_EXPANSION, Reason.TWO_SUBJECTS, Reason.LOSSY_BYTES, Reason.COPY_PASTE},
    "consistency": {Reason.BACKGROUND_LEAK, Reason.MASK_LEAK, Reason.SUBJECT_IN_BASE, Reason.WRONG_BINDING},
}


def _verdict(question: Question) -> VerdictAnswer:
    """1 where every check of a criterion passed, 0 where one failed; identity is the measured similarity."""
    checks: list[dict[str, Any]] = question.facts["checks"]
    failed = {check["reason"] for check in checks if not check["passed"]}
    scores = {name: 0.0 if failed & reasons else 1.0 for name, reasons in _CRITERIA.items()}
    measured = [check["score"] for check in checks if check["name"] == "identity"]
    if measured:
        scores["identity"] = min(scores["identity"], max(float(measured[0]), 0.0))
    why = f"failed: {', '.join(sorted(failed))}" if failed else "every measured check passed"
    return VerdictAnswer(**scores, why=why[:200])


_RULES: dict[type[Answer], Callable[[Question], Answer]] = {
    CategoriesAnswer: _categories,
    ClipAnswer: _clip,
    DescriptionAnswer: _description,
    CropAnswer: _crop,
    CaptionAnswer: _caption,
    VerdictAnswer: _verdict,
}
