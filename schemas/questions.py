"""What is asked of a vision-language model, and the only shapes an answer may have.

Every field is bounded, so that constrained decoding ends and random answers stay valid JSON.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from schemas.reasons import Reason
from schemas.video import Image

Unit01 = Annotated[float, Field(ge=0, le=1)]
Word = Annotated[str, Field(min_length=1, max_length=40)]


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CategoriesAnswer(Answer):
    """Salient subject categories, singular nouns, per image shown, in the order of the images."""

    categories: Annotated[list[Annotated[list[Word], Field(max_length=8)]], Field(max_length=32)]


class CropAnswer(Answer):
    """Does the crop show the category it was grounded for?"""

    shows: bool
    score: Unit01


class VerdictAnswer(Answer):
    """Verification criteria of OpenSubject's fourth stage, each 0..1, and one sentence why."""

    identity: Unit01
    quality: Unit01
    consistency: Unit01
    why: Annotated[str, Field(max_length=200)]


class CaptionAnswer(Answer):
    """Short and long caption of the output, and the instruction that makes it from the numbered inputs."""

    short: Annotated[str, Field(min_length=1, max_length=160)]
    long: Annotated[str, Field(min_length=1, max_length=800)]
    instruction: Annotated[str, Field(min_length=1, max_length=400)]


@dataclass(frozen=True, slots=True)
class Question:
    """Look at `images`, answer `prompt` in the shape of `answer`. `facts`: what was measured (JSON values)."""

    answer: type[Answer]
    prompt: str
    images: list[Image] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Unusable:
    """The model gave no answer of the asked shape: data, not a crash."""

    message: str
    reason: Reason = Reason.VLM_UNUSABLE
