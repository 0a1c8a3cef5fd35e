"""Role `vlm`: look at these images, answer in this JSON schema."""

from collections.abc import Sequence
from typing import Protocol

from schemas.questions import Answer, Question, Unusable


class Vlm(Protocol):
    """One answer per question, in order; an answer is an instance of `question.answer` or Unusable."""

    def ask(self, questions: Sequence[Question]) -> list[Answer | Unusable]: ...
