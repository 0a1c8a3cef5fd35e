"""What one part of the quality benchmark gives back: words for people, figures for programs.

A part is a module with `measure(videos: Path, work: Path) -> Section`: `videos` is the annotated footage (index.json,
clips/, shots/, masks/), `work` a folder for whatever it makes on the way. Parts may be called alone, in any order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Section:
    """One part of docs/quality.md. markdown: without the title. figures: JSON values, the bars they must meet apart."""

    title: str
    markdown: str
    figures: dict[str, Any] = field(default_factory=dict)
    bars: dict[str, bool] = field(default_factory=dict)  # the sentence of each bar -> is it met?


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; floats with two decimals, None as a dash."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def between_markers(page: str, name: str, text: str) -> str:
    """The page with `text` between the comments that mark a chapter of that name; a new one is added at the end."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if begin not in page:
        page = f"{page.rstrip()}\n\n{begin}\n{end}\n"
    before, rest = page.split(begin, maxsplit=1)
    _, after = rest.split(end, maxsplit=1)
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"
