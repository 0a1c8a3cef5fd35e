"""What is asked of a vision-language model, and the only shapes an answer may have.

Every field is bounded, so that constrained decoding ends and random answers stay valid JSON. The JSON schema that a
model is offered is narrower than what is accepted: scores in steps of 0.05, since digits have no end, and the length
of a text within its pattern, which every grammar compiler and endpoint understands (minLength not all of them).
"""

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from schemas.reasons import Reason
from schemas.video import Image

# Control and zero-width characters, line breaks, and what turns the direction of writing.
INVISIBLE = r"\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
VISIBLE = rf"^[^{INVISIBLE}]*$"
SEPARATORS = ".,;:"  # detectors read several nouns in one text and split it where these stand
_SPACES = r" \u00a0\u3000"
_MAX_COUNT = 20
_SCORES = [step / 20 for step in range(21)]


def _offered(longest: int, without: str = "") -> WithJsonSchema:
    """1 to `longest` visible characters of any language, none of `without`, the first one no space."""
    first, others = rf"[^{_SPACES}{INVISIBLE}{without}]", rf"[^{INVISIBLE}{without}]"
    return WithJsonSchema({"type": "string", "pattern": rf"^{first}{others}{{0,{longest - 1}}}$"})


Unit01 = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), WithJsonSchema({"type": "number", "enum": _SCORES})]
Word = Annotated[str, Field(min_length=1, max_length=40, pattern=VISIBLE), _offered(40, SEPARATORS)]

Phrase = Annotated[str, Field(min_length=1, max_length=80, pattern=VISIBLE), _offered(80)]
Count = Annotated[
    int, Field(ge=0, le=_MAX_COUNT), WithJsonSchema({"type": "integer", "enum": list(range(_MAX_COUNT + 1))})
]


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
    why: Annotated[str, Field(max_length=200, pattern=VISIBLE), _offered(200)]


class CaptionAnswer(Answer):
    """Short and long caption of the output, and the instruction that makes it from the numbered inputs."""

    short: Annotated[str, Field(min_length=1, max_length=160, pattern=VISIBLE), _offered(160)]
    long: Annotated[str, Field(min_length=1, max_length=800, pattern=VISIBLE), _offered(800)]
    instruction: Annotated[str, Field(min_length=1, max_length=400, pattern=VISIBLE), _offered(400)]


class ClipAnswer(Answer):
    """Kinds of subjects in a clip: the noun of each, how many are seen at once (0: cannot tell), where they are."""

    nouns: Annotated[list[Word], Field(max_length=8)]
    counts: Annotated[list[Count], Field(max_length=8)]
    places: Annotated[list[Phrase], Field(max_length=8)]


class EditsAnswer(Answer):
    """A request in free text, put into the language of edits (stages/edit_grammar.py)."""

    prompt: Annotated[str, Field(min_length=1, max_length=400, pattern=VISIBLE), _offered(400)]


class DescriptionAnswer(Answer):
    """What a generator is told to draw."""

    text: Annotated[str, Field(min_length=1, max_length=500, pattern=VISIBLE), _offered(500)]


class PlaceAnswer(Answer):
    """A box in the picture shown: its centre and size in shares of the picture."""

    centre_x: Unit01
    centre_y: Unit01
    width: Unit01
    height: Unit01


@dataclass(frozen=True, slots=True)
class Question:
    """Look at `images`, answer `prompt` in the shape of `answer`. `facts`: what was measured (JSON values).

    names: what `prompt` calls each image, in order; "Image 1", "Image 2", ... when empty.
    """

    answer: type[Answer]
    prompt: str
    images: list[Image] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Unusable:
    """The model gave no answer of the asked shape: data, not a crash."""

    message: str
    reason: Reason = Reason.VLM_UNUSABLE
