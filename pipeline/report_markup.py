"""HTML that cannot be broken by what is put into it: every value is escaped unless it is Html already."""

import html
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from pipeline.visible import visible
from schemas.reasons import Reason


class Html(str):
    """Markup that is safe to put on the page as it is."""

    def fill(self, **values: Any) -> "Html":
        """The markup with its {names} replaced by escaped values."""
        return Html(self.format(**{name: text(value) for name, value in values.items()}))


NOTHING = Html('<p class="none">Nothing yet.</p>')


def text(value: Any) -> Html:
    """Any value as page text: Html as it is, None as nothing, numbers for people, everything else escaped.

    Control characters, lone surrogates and direction marks are spelled out, so that a hostile name is seen for what it
    is and the page is valid UTF-8.
    """
    if isinstance(value, Html):
        return value
    if value is None:
        return Html("")
    if isinstance(value, datetime):
        value = value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    elif isinstance(value, int) and not isinstance(value, bool):
        value = f"{value:,}"
    elif isinstance(value, float):
        value = number(value)
    return Html(html.escape(visible(str(value))))


def number(value: float) -> str:
    """Three significant digits or so, without exponents."""
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.3g}" if size >= 1e-3 else "0"


def share(part: int, whole: int) -> str:
    """A percentage that never breaks across lines; it says 0 % and 100 % only where that is exact."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "<\u00a00.1\u00a0%"
    if 99.9 < percent < 100:
        return ">\u00a099.9\u00a0%"
    return f"{percent:.1f}\u00a0%" if percent % 1 else f"{percent:.0f}\u00a0%"


def size(num_bytes: int) -> str:
    """Bytes for people, decimal units."""
    if num_bytes < 1000:
        return f"{num_bytes} B"
    value, units = num_bytes / 1000, ["kB", "MB", "GB", "TB", "PB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:,.1f} {units[0]}"


def meaning(code: str | None) -> Html:
    """A reason's sentence with its code; a code this version does not know stands for itself."""
    if not code:
        return Html("")
    sentence = {reason.value: reason.meaning for reason in Reason}.get(code, "")
    return Html("{sentence} <code>{code}</code>").fill(sentence=sentence, code=code)


def named(name: Any) -> Html:
    """A name that may be long and may come from anywhere: it wraps, and cannot turn the text around it."""
    return Html('<span class="name">{name}</span>').fill(name=name)


def part(name: str, content: Html) -> Html:
    return Html("<h3>{name}</h3>{content}").fill(name=name, content=content)


def joined(parts: Iterable[Any]) -> Html:
    return Html("".join(text(part) for part in parts))


def bar(part: float, whole: float, kind: str = "") -> Html:
    width = 100 * part / whole if whole else 0
    width = min(max(width, 0.5 if part else 0), 100)
    return Html('<div class="bar {kind}"><i style="width:{width}%"></i></div>').fill(kind=kind, width=f"{width:.2f}")


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]], kind: str = "") -> Html:
    """Numbers are set to the right. NOTHING when there are no rows."""
    rows = list(rows)
    if not rows:
        return NOTHING
    kinds = ["number" if any(_is_number(row[column]) for row in rows) else "" for column in range(len(headings))]
    head = joined(
        Html('<th scope="col" class="{kind}">{name}</th>').fill(kind=kind, name=name)
        for kind, name in zip(kinds, headings, strict=True)
    )
    body = joined(Html("<tr>{line}</tr>").fill(line=joined(map(_cell, row))) for row in rows)
    pattern = (
        '<div class="wide"><table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )
    return Html(pattern).fill(kind=kind, head=head, body=body)


def _cell(value: Any) -> Html:
    return Html('<td class="number">{value}</td>' if _is_number(value) else "<td>{value}</td>").fill(value=value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
