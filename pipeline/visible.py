"""Text from outside, made safe to show: names of files, messages of endpoints, answers of models.

A control character can recolour, retitle or erase a terminal, and a direction mark can make a name read as another.
"""

import unicodedata
from typing import Any

from rich.console import Console
from rich.text import Text

_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def visible(text: str) -> str:
    """Control characters (but newlines and tabs), lone surrogates and direction marks spelled out."""
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    hidden = unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t"
    return f"\\u{ord(character):04x}" if hidden or character in _DIRECTION else character


class Terminal(Console):
    """rich's console for text nobody vouches for: rich lets escape sequences through. Styles are its own and stay."""

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, soft_wrap=True)

    def render_str(self, text: str, **how: Any) -> Text:
        """Every string that is printed, alone or in a table, comes by here."""
        return super().render_str(visible(text), **how)
