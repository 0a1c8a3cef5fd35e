"""The words that say which instances an edit is about, read into a Selector and printed back.

Reads: a count ("three", "both", "a pair of"), an ordinal ("second from the left", "last"), a side of the picture or a
depth ("on the left", "middle", "in front", "farthest"), colours and sizes, a part ("face of the man", "the man's
face", "plaid shirt"), what the turn before was about ("the two above"); what is left is the noun phrase.
"""

import re
from dataclasses import dataclass, replace
from typing import TypeVar

from schemas.edit import Selector, Side
from schemas.errors import UserError
from stages import facts, nouns, words

_T = TypeVar("_T")

_NUMBERS = {word: number for number, word in enumerate(words.NUMBERS_EN) if number} | {
    word: number
    for number, word in enumerate(
        "eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty".split(), 11
    )
}
_ARTICLES = frozenset("the this that these those my his her their our its of all each every".split())
_OTHERS = frozenset("other others remaining rest".split())
_ORDINALS = {word: number for number, word in enumerate(words.ORDINALS_EN, 1)} | {"last": -1}
_SIDES = {
    Side.LEFT: "left leftmost left-most left-hand", Side.RIGHT: "right rightmost right-most right-hand",
    Side.CENTER: "middle centre center central", Side.FRONT: "front foreground nearest closest foremost frontmost",
    Side.BACK: "back background rear farthest furthest rearmost backmost hindmost", Side.TOP: "top upper topmost",
    Side.BOTTOM: "bottom lower bottommost",
}  # fmt: skip
_SIDE_OF = {word: side for side, listed in _SIDES.items() for word in listed.split()}
_COLORS = {color: color for color in facts.COLORS} | {"gray": "grey"}
_SIZES = dict.fromkeys("big large huge bigger larger biggest largest".split(), "large") | dict.fromkeys(
    "small little tiny smaller smallest".split(), "small"
)
SIZES = ("large", "small")
_SHADES = frozenset("dark light bright pale deep".split())

_PICTURE = r"(?:\s+of\s+(?:the\s+)?(?:picture|frame|image|video|screen|shot|scene|clip|photo))"
_AT_SIDE = re.compile(
    r"(?:^|(?<=\s))(?:(?:on|at|to|in|from)\s+)(?:the\s+)?(?:(?:far|very|extreme)\s+)?"
    r"(left|right|top|bottom|middle|centre|center|front|back|rear|foreground|background)"
    rf"(?:[\s-]+hand)?(?:\s+(?:side|half|part|edge|end))?{_PICTURE}?"
    r"(?=\s*$|\s*,|\s+(?:who|that|with|wearing|holding|in|above)\s)",
    re.I,
)
_TO_CAMERA = re.compile(
    r"(?:^|(?<=\s))(?:(closest|nearest|closer|nearer)(?:\s+to)?|(farthest|furthest)(?:\s+away)?\s+from)"
    r"\s+(?:the\s+)?(?:camera|viewer|lens|us)\b",
    re.I,
)
_RELATION = re.compile(r"\b(?:left|right|front|back|top|side|middle|behind|beside|next\s+to|near)\s+(?:of|the)\b", re.I)
_DRESSED = re.compile(rf"\s(?:in|wearing)\s+({'|'.join(_COLORS)})\s*$", re.I)
_COLLECTIVE = re.compile(
    r"^\s*(?:(?:a|an|the)\s+)?(pair|couple|trio|group|team|bunch|crowd|herd|flock|pack|row)\s+of\b", re.I
)
_COLLECTIVE_COUNTS = {"pair": 2, "couple": 2, "trio": 3}
_OF_OWNER = re.compile(
    r"^(.+?)\s+(?:of|on|from|worn\s+by)\s+((?:the|each|every|all|both|a|an|his|her|two|three)\s.*|everyone|everybody)$",
    re.I | re.S,
)
_POSSESSIVE = re.compile(r"^(.+?)(?:'s|’s|s'|s’)\s+(.+)$", re.I | re.S)
_FORBIDDEN = re.compile(r"[\[\](){};:\"“”→]|->|=>|[^\w\s'’,.&/+-]")
_WORD = re.compile(r"\S+")


def refuse(why: str, piece: str, at: int) -> UserError:
    """The error that shows a place in what was written: `at` counts characters from 0, people from 1."""
    shown = piece.strip()
    return UserError(f"character {at + 1}, {shown[:40] + '…' if len(shown) > 40 else shown!r}: {why}")


@dataclass(slots=True)
class _Read:
    """What has been understood so far."""

    side: Side | None = None
    nth: int | None = None
    count: int | None = None
    attributes: tuple[str, ...] = ()
    above: bool = False
    others: bool = False


def parse_selector(text: str, at: int) -> Selector:
    """`text` stands at character `at` of the prompt. Raises UserError that shows the place."""
    span = (at, at + len(text))
    if owned := _owned(text):
        part, owner, owner_at = owned
        return replace(parse_selector(owner, at + owner_at), part=_bare(part), span=span)
    read = _Read()
    rest = _take_places(text, at, read)
    if nouns.is_part(rest):
        part = _bare(rest)
        return _checked(Selector(side=read.side, part=part, span=span), text, at)
    if dressed := _DRESSED.search(rest):
        read.attributes += (_COLORS[dressed[1].lower()],)
        rest = rest[: dressed.start()]
    if collective := _COLLECTIVE.match(rest):
        read.count = _COLLECTIVE_COUNTS.get(collective[1].lower())
        rest = _blank(rest, collective.start(), collective.end())
    phrase = _take_qualifiers(rest, at, read)
    if phrase.lower() in nouns.ANYTHING:
        phrase = ""
    if phrase.lower() in ("everyone", "everybody"):
        phrase = "people"
    if read.nth is not None and read.side not in (None, Side.LEFT, Side.RIGHT):
        raise refuse("an ordinal counts from the left or from the right only", text, at)
    if read.nth is not None and (read.count or 1) > 1:  # the first two, the last three from the right
        is_left = (read.nth > 0) == (read.side is not Side.RIGHT)
        if abs(read.nth) != 1:
            raise refuse("say either an ordinal or a count", text, at)
        read.nth, read.side = None, Side.LEFT if is_left else Side.RIGHT
    if read.nth is not None:
        read.nth, read.side = (-read.nth if read.side is Side.RIGHT else read.nth), None
        read.count = None
    attributes = tuple(dict.fromkeys(read.attributes))
    selector = Selector(phrase, read.side, read.nth, read.count, attributes, "", read.above, read.others, span)
    return _checked(selector, text, at)


def parse_qualifiers(text: str, at: int) -> tuple[Selector, int]:
    """The words directly before a bracket that say which are meant, and where in `text` they begin.

    "Then the two above" -> (count 2, above), 5; words that describe the scene are left alone.
    """
    start = len(text)
    for word in reversed(list(_WORD.finditer(text))):
        lower = word[0].lower()
        known = lower in _ARTICLES | _OTHERS or lower in ("a", "an", "both", "above", "previous") or _number(lower)
        if not (known or _ordinal(lower) or (lower in _SIDE_OF and text[: word.start()].strip().lower() != "in")):
            break
        start = word.start()
    if not text[start:].strip() or text[start:].split(maxsplit=1)[0].lower() == "of":
        return Selector(), len(text)
    return parse_selector(f"{text[start:].rstrip()} subject", at + start), start


def merge(inner: Selector, outer: Selector, at: int) -> Selector:
    """What a bracket says and what the words before it say, together. Raises UserError when they contradict."""
    said = {name: getattr(inner, name) for name in ("side", "nth", "count")}
    for name, value in said.items():
        other = getattr(outer, name)
        if None not in (value, other) and value != other:
            raise refuse(f"the words outside the bracket say another {name}", str(value), at)
        said[name] = other if value is None else value
    if said["nth"] is not None and (said["side"] is not None or said["count"] is not None):
        raise refuse("say either an ordinal or a side and a count", str(said["nth"]), at)
    return replace(inner, **said, above=inner.above or outer.above, others=inner.others or outer.others)


def print_selector(selector: Selector) -> str:
    """Words that `parse_selector` reads back as an equal Selector."""
    owner = replace(selector, part="")
    if selector.part:
        return selector.part if owner == Selector() else f"{selector.part} of the {print_selector(owner)}"
    nth, count = selector.nth, selector.count
    said = [] if nth is None else ["last" if nth == -1 else _ordinal_word(abs(nth))]
    said += [] if count is None else [words.number_en(count)]
    said += ["other"] if selector.others else []
    said += selector.attributes
    said.append(selector.phrase or "subject")
    if nth is not None and nth < -1:
        said.append("from the right")
    if selector.side is not None:
        said.append(_PLACE_WORDS[selector.side])
    return " ".join([*said, *(["above"] if selector.above else [])])


_PLACE_WORDS = {
    Side.LEFT: "on the left", Side.RIGHT: "on the right", Side.CENTER: "in the middle", Side.FRONT: "in front",
    Side.BACK: "in the back", Side.TOP: "at the top", Side.BOTTOM: "at the bottom",
}  # fmt: skip


def _owned(text: str) -> tuple[str, str, int] | None:
    """Part, owner, and where the owner begins: "face of the man", "the man's face"."""
    if (found := _OF_OWNER.match(text.rstrip())) and nouns.is_part(found[1]):
        return found[1], found[2], found.start(2)
    if (found := _POSSESSIVE.match(text.rstrip())) and nouns.is_part(found[2]):
        return found[2], found[1], found.start(1)
    return None


def _take_places(text: str, at: int, read: _Read) -> str:
    """The text with its "on the left", "from the right" and the like blanked out."""
    rest = text
    if found := _TO_CAMERA.search(rest):
        read.side, rest = Side.FRONT if found[1] else Side.BACK, _blank(rest, found.start(), found.end())
    while found := _AT_SIDE.search(rest):
        side = _SIDE_OF[found[1].lower()]
        read.side = _only(read.side, side, "say one place", found[0], at + found.start())
        rest = _blank(rest, found.start(), found.end())
    return rest


def _take_qualifiers(text: str, at: int, read: _Read) -> str:
    """Reads articles, counts, ordinals, sides, colours and sizes off the front; gives back the noun phrase."""
    found = list(_WORD.finditer(text))
    if found and found[-1][0].lower() == "above":
        read.above = True
        found.pop()
    if len(found) > 1 and ((last := found[-1][0].lower()) in ("left", "right") or _ordinal(last)):
        found = [found[-1], *found[:-1]]  # the dancer second from the left, bear left
    while found and _take_word(found, text, at, read):
        pass
    phrase = " ".join(word[0] for word in found)
    return "" if phrase in ("one", "ones") else phrase


def _take_word(found: list[re.Match[str]], text: str, at: int, read: _Read) -> bool:
    """Takes a word or two off the front of `found`, if they only narrow the noun that follows."""
    word, is_last, place = found[0][0].lower(), len(found) == 1, at + found[0].start()
    if word in ("above", "previous"):
        read.above = True
    elif word in _OTHERS:
        read.others = True
    elif word in _SIDE_OF and not (is_last and word == "background"):
        read.side = _only(read.side, _SIDE_OF[word], "say one place", word, place)
    elif (ordinal := _ordinal(word)) is not None:
        read.nth = _only(read.nth, ordinal, "say one ordinal", word, place)
    elif not (_take_number(word, is_last, place, read) or (not is_last and _take_attribute(found, word, read))):
        return False
    found.pop(0)
    return True


def _take_number(word: str, is_last: bool, place: int, read: _Read) -> bool:
    """An article or a count; "one" and "a" count only before a noun."""
    if word in ("a", "an", "one") and is_last:
        return word == "one"
    number = {"a": 1, "an": 1, "both": 2}.get(word) or _number(word)
    if number is not None:
        read.count = _only(read.count, number, "one count, at least 1", word, place)
        if number < 1:
            raise refuse("one count, at least 1", word, place)
    return number is not None or word in _ARTICLES


def _take_attribute(found: list[re.Match[str]], word: str, read: _Read) -> bool:
    """A colour or a size; "black and white" as two, "dark blue" as blue."""
    following = [each[0].lower() for each in found[1:3]]
    if word in _COLORS or word in _SIZES:
        read.attributes += (_COLORS.get(word) or _SIZES[word],)
        if len(found) > 3 and following[0] == "and" and following[1] in _COLORS:
            found.pop(0)
        return True
    return word in _SHADES and len(found) > 2 and following[0] in _COLORS


def _only(known: _T | None, said: _T, why: str, word: str, place: int) -> _T:
    """What is said, unless something else was said before."""
    if known not in (None, said):
        raise refuse(why, word, place)
    return said


def _checked(selector: Selector, text: str, at: int) -> Selector:
    """The selector, if its words can be one noun phrase and printing it keeps its meaning."""
    said = selector.part or selector.phrase
    if odd := _FORBIDDEN.search(said):
        raise refuse("this sign has no meaning in a target", odd[0], at + max(text.find(odd[0]), 0))
    if both := re.search(r"\s(?:and|or)\s|,", f" {said} ", re.I):
        raise refuse("one target per edit: separate edits by ';'", text, at + max(text.find(both[0].strip()), 0))
    if _RELATION.search(text) and not _AT_SIDE.search(text):
        raise refuse("a place beside another subject is not understood: say left, right, first, in front", text, at)
    return selector


def _bare(part: str) -> str:
    """The part without its article."""
    return " ".join(re.sub(r"^\s*(?:(?:the|a|an|his|her|their|my|its)\s+)+", "", part, flags=re.I).split())


def _blank(text: str, start: int, end: int) -> str:
    return text[:start] + " " * (end - start) + text[end:]


def _number(word: str) -> int | None:
    return int(word) if re.fullmatch(r"[0-9]{1,3}", word) else _NUMBERS.get(word)


def _ordinal(word: str) -> int | None:
    found = re.fullmatch(r"([1-9][0-9]{0,2})(?:st|nd|rd|th)", word)
    return int(found[1]) if found else _ORDINALS.get(word)


def _ordinal_word(number: int) -> str:
    return words.ORDINALS_EN[number - 1] if number <= 10 else f"{number}th"
