"""What pydantic finds wrong with what a person wrote, as one line."""

import difflib
import reprlib
from collections.abc import Sequence

from pydantic import ValidationError


def one_line(error: ValidationError, kind: str, known: Sequence[str]) -> str:
    """The first thing that is wrong. kind: what a name stands for ("setting"); known: names there are."""
    first = error.errors(include_url=False, include_context=False)[0]
    parts = [str(part) for part in first["loc"] if not str(part).startswith(("list[", "function"))]
    what = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        close = [
            match for name in (".".join(parts), parts[-1]) for match in difflib.get_close_matches(name, known, 1, 0.5)
        ]
        what = f"no such {kind}" + (f"; did you mean {close[0]!r}?" if close else "")
    elif isinstance(first["input"], str | int | float):
        what += f", got {reprlib.repr(first['input'])}"
    return " ".join(f"{kind} {'.'.join(parts)}: {what}".split() if parts else what.split())
