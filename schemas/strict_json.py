"""JSON of a single meaning."""

import json
from typing import Any


class NotStrict(ValueError):
    """Valid for Python's parser, but not JSON, or of more than one meaning."""


def loads(text: str) -> Any:
    """Raises ValueError for what is no JSON, NaN and infinities, and keys given twice; RecursionError for what is
    nested too deeply."""
    return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise NotStrict("a key is given twice")
    return found


def _no_constant(name: str) -> Any:
    raise NotStrict(f"{name} is no JSON")
