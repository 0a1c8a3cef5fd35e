"""What a model is told an answer must look like, and how its text becomes an answer: as asked for, or not at all."""

import json
import re
from typing import Any

from pydantic import ValidationError

from schemas import strict_json
from schemas.questions import Answer, CategoriesAnswer, Question, Unusable

MAX_CHARACTERS = 100_000  # of an answer; the longest valid one has fewer than 50,000
_REPEATS = re.compile(r"\{0,(\d+)\}\$$")


def json_schema(question: Question) -> dict[str, Any]:
    """The schema every answer to `question` has to fit: all fields required and bounded, one list per image shown."""
    schema = question.answer.model_json_schema()
    if question.answer is CategoriesAnswer:
        schema["properties"]["categories"] |= {"minItems": len(question.images), "maxItems": len(question.images)}
    bare: dict[str, Any] = _bare(schema)
    return bare


def max_bytes(schema: dict[str, Any]) -> int:
    """UTF-8 bytes of the longest compact JSON that fits: no byte-level tokenizer needs more tokens than that.

    Raises KeyError or TypeError for a schema with an unbounded field.
    """
    match schema["type"]:
        case "object":
            fields = schema["properties"].items()
            return 2 + sum(len(json.dumps(name)) + 1 + max_bytes(field) + 1 for name, field in fields)
        case "array":
            return 2 + int(schema["maxItems"]) * (max_bytes(schema["items"]) + 1)
        case "string":
            length = _REPEATS.search(schema["pattern"])
            return 2 + 4 * (1 + int(length[1]))  # type: ignore[index]  # None is the TypeError of the docstring
        case "boolean":
            return len("false")
        case _:
            return max(len(json.dumps(value)) for value in schema["enum"])


def read_answer(text: str, question: Question) -> Answer | Unusable:
    """The answer that `text` is, or Unusable; nothing is mended or guessed, and no text makes this raise.

    Besides what does not fit the schema: text around the JSON, NaN and infinities, keys given twice, numbers as text.
    """
    if len(text) > MAX_CHARACTERS:
        return _unusable(question, f"{len(text)} characters")
    try:
        found = strict_json.loads(text)
        answer = question.answer.model_validate(found, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return _unusable(question, f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}")
    except RecursionError:
        return _unusable(question, "nested too deeply")
    except ValueError as error:  # no JSON, or integers that Python refuses to read
        return _unusable(question, f"{type(error).__name__}: {error}")
    if isinstance(answer, CategoriesAnswer) and len(answer.categories) != len(question.images):
        return _unusable(question, f"{len(answer.categories)} lists for {len(question.images)} images")
    return answer


def _unusable(question: Question, why: str) -> Unusable:
    """A message that can be stored: what a model wrote may hold lone surrogates."""
    message = f"{question.answer.__name__}: {' '.join(why.split())}"[:200]
    return Unusable(message.encode("utf-8", "replace").decode("utf-8"))


def _bare(schema: Any) -> Any:
    """Without titles and descriptions, which are for people: models read the prompt."""
    if isinstance(schema, list):
        return [_bare(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    dropped = {"title", "description"} if "type" in schema else set()
    return {name: _bare(value) for name, value in schema.items() if name not in dropped}
