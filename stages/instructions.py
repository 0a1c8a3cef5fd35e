"""Instructions: worded from measured facts, and parsed back to see what they select.

An instruction may only leave this house if parsing it back binds it: every input named by its number, and the edited
box, or each subject's place in the output, selected by the words alone. The parser reads free text by its key words, so
that it also judges what a vision-language model wrote.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from schemas.errors import BadInput
from schemas.reasons import Reason
from schemas.subject import Box
from stages import facts as measuring
from stages import words

IMAGE = {
    "en": re.compile(r"\b(?:image|picture|input)\s*#?(\d+)", re.I),
    "zh": re.compile(r"(?:图|图像|图片|输入)\s*(\d+)"),
}
TIED = 0.02  # of the width: subjects closer than this have no order
OPERATIONS = {
    "en": {"replace": r"\b(replace|swap|exchange|substitute|turn)", "add": r"\b(add|insert|place|put)\b"},
    "zh": {"replace": r"换成|替换|换为|改成", "add": r"加到|添加|放到|放在|加入|加上"},
}
_ORDINAL_EN = re.compile(rf"\b({'|'.join(words.ORDINALS_EN)})\b[\w\s]*?\bfrom the (left|right)\b", re.I)
_ORDINAL_ZH = re.compile(r"从([左右])(?:边|侧)?数?第([一二三四五六七八九十])")
_MARKERS = {
    "en": {
        "replace": re.compile(r"\b(?:with|by|for|into)\b", re.I),
        "add": re.compile(r"\b(?:add|insert|place|put)\b", re.I),
    },
    "zh": {"replace": re.compile(r"换成|替换为|换为|改成"), "add": re.compile(r"把")},
}
_PLACES = {
    "en": {
        "left": r"\bleft", "right": r"\bright", "centre": r"\b(?:centre|center|middle)\b",
        "top": r"\b(?:top|upper)\b", "bottom": r"\b(?:bottom|lower)\b",
    },
    "zh": {
        "left": "左", "right": "右", "centre": "中间|中央|中心|正中",
        "top": "上方|上部|顶部|上角", "bottom": "下方|下部|底部|下角",
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where some words say a thing is. across, down: as position_of names them, "" = not said; rank: (number, side)."""

    across: str = ""
    down: str = ""
    rank: tuple[int, str] | None = None

    def select(self, boxes: list[Box], width_px: int, height_px: int) -> list[int]:
        """Positions in `boxes` of those the words are true of."""
        chosen = list(range(len(boxes)))
        if self.rank is not None:
            number, side = self.rank
            middles = [(box[0] + box[2]) / 2 for box in boxes]
            ordered = sorted(middles, reverse=side == "right")[number - 1 : number]
            # Nobody counts between subjects that stand one behind the other: both are meant.
            chosen = [n for n in chosen if any(abs(middles[n] - middle) < TIED * width_px for middle in ordered)]
        return [n for n in chosen if self._true_of(measuring.position_of(boxes[n], width_px, height_px))]

    def _true_of(self, position: tuple[str, str]) -> bool:
        return self.across in ("", position[0]) and self.down in ("", position[1])

    @property
    def is_said(self) -> bool:
        return bool(self.across or self.down or self.rank)


@dataclass(frozen=True, slots=True)
class Parsed:
    """operation: "replace", "add" or "". images: numbers in the order first named; before, after: the words around."""

    operation: str
    images: list[int]
    before: dict[int, str] = field(default_factory=dict)
    after: dict[int, str] = field(default_factory=dict)


def parse(text: str, language: str) -> Parsed:
    """Key words of an instruction; nothing is raised, what is not understood stays empty."""
    mentions = list(IMAGE[language].finditer(text))
    before: dict[int, str] = {}
    after: dict[int, str] = {}
    for position, mention in enumerate(mentions):
        number = int(mention.group(1))
        start = mentions[position - 1].end() if position else 0
        end = mentions[position + 1].start() if position + 1 < len(mentions) else len(text)
        before.setdefault(number, text[start : mention.start()])
        after.setdefault(number, text[mention.end() : end])
    found = {name: re.search(pattern, text, re.I) for name, pattern in OPERATIONS[language].items()}
    first = min((match.start(), name) for name, match in found.items() if match) if any(found.values()) else (0, "")
    return Parsed(first[1], list(before), before, after)


def place_in(clause: str, language: str) -> Place:
    """The place a few words name, if any."""
    rank: tuple[int, str] | None = None
    if language == "en" and (match := _ORDINAL_EN.search(clause)):
        rank = (words.ORDINALS_EN.index(match.group(1).lower()) + 1, match.group(2).lower())
    if language == "zh" and (match := _ORDINAL_ZH.search(clause)):
        rank = (words.NUMBERS_ZH.index(match.group(2)), "left" if match.group(1) == "左" else "right")
    if rank is not None:
        return Place(rank=rank)
    said = [name for name, pattern in _PLACES[language].items() if re.search(pattern, clause, re.I)]
    across = next((name for name in ("left", "right", "centre") if name in said), "")
    down = next((name for name in ("top", "bottom") if name in said), "")
    return Place("" if across == "centre" and down else across, down)


def binds(text: str, language: str, facts: dict[str, Any]) -> bool:
    """Does the text, parsed back, name every input and select exactly the edited box (or each subject's own place)?"""
    parsed = parse(text, language)
    references = facts["references"]
    numbers = {reference["image"] for reference in references} | ({1} if facts["edit"] else set())
    if set(parsed.images) != numbers or _crossed(parsed, language, references):
        return False
    if facts["edit"]:
        is_meant = parsed.operation == facts["operation"] and _base_is_edited(text, language, parsed.operation)
        return is_meant and _selects_edit(parsed, language, facts)
    width, height = facts["size_px"]
    boxes: list[Box] = [tuple(facts["subjects"][reference["subject"]]["box"]) for reference in references]
    places = [place_in(parsed.after[reference["image"]], language) for reference in references]
    if len(references) > 1 and not all(place.is_said for place in places):
        return False
    return all(number in place.select(boxes, width, height) for number, place in enumerate(places))


def _base_is_edited(text: str, language: str, operation: str) -> bool:
    """Is image 1 what is changed, not what is put in? Told by the words between: replace 1 *with* 2, *add* 2 to 1."""
    marker = _MARKERS[language][operation].search(text)
    if marker is None:
        return True
    after = [int(mention.group(1)) for mention in IMAGE[language].finditer(text, marker.end())]
    if operation == "replace":
        return 1 not in after
    return not after or after[0] != 1


def _selects_edit(parsed: Parsed, language: str, facts: dict[str, Any]) -> bool:
    width, height = facts["size_px"]
    clauses = [parsed.before[1], parsed.after[1]] if language == "en" else [parsed.after[1], parsed.before[1]]
    places = [place_in(clause, language) for clause in clauses]
    place = next((place for place in places if place.is_said), Place())
    if facts["operation"] == "add":  # an empty place cannot be ranked, only described
        return (
            place.is_said and place.rank is None and place.select([tuple(facts["edit"]["box"])], width, height) == [0]
        )
    return place.select(candidates(facts), width, height) == [0]


def candidates(facts: dict[str, Any]) -> list[Box]:
    """What words about image 1 may select: the edited box first, then every subject that no reference replaces."""
    edited: Box = tuple(facts["edit"]["box"])
    return [edited, *(tuple(subject["box"]) for subject in facts["subjects"] if not subject["image"])]


def _crossed(parsed: Parsed, language: str, references: list[dict[str, Any]]) -> bool:
    """Is an input called by what only another input shows? Numbers swapped in the text give themselves away here."""
    for own in references:
        clause = (parsed.before if language == "en" else parsed.after)[own["image"]].lower()
        for other in references:
            if other is own:
                continue
            mine, theirs = _names(own, language), _names(other, language)
            if any(word in clause for word in theirs - mine) and not any(word in clause for word in mine):
                return True
    return False


def _names(reference: dict[str, Any], language: str) -> set[str]:
    colors, category = reference["colors"], reference["category"]
    if language == "zh":
        return {words.COLORS_ZH[color] for color in colors} | {words.noun_zh(category)}
    return {*colors, category.lower()}


def word_instruction(facts: dict[str, Any], language: str) -> str:
    """An instruction of at most 400 characters that binds.

    Raises BadInput(WRONG_BINDING) when no wording at hand singles the edited box out.
    """
    make = {"en": _english, "zh": _chinese}[language]
    for place in _ways_to_say_where(facts):
        text = make(facts, place)
        if len(text) <= 400 and binds(text, language, facts):
            return text
    raise BadInput(Reason.WRONG_BINDING, "no words at hand single the edited box out")


def _ways_to_say_where(facts: dict[str, Any]) -> list[Place]:
    """From the most natural to the most precise."""
    if not facts["edit"]:
        return [Place(), Place(down="exact")]
    across, down = facts["edit"]["position"]
    ways = [Place(across), Place("" if across == "centre" else across, "" if down == "middle" else down)]
    boxes = candidates(facts)
    for side in ("left", "right"):
        ordered = sorted(range(len(boxes)), key=lambda n: boxes[n][0] + boxes[n][2], reverse=side == "right")
        number = ordered.index(0) + 1
        if facts["operation"] == "replace" and number <= len(words.ORDINALS_EN) and len(boxes) > 1:
            ways.append(Place(rank=(number, side)))
    return ways


def _english(facts: dict[str, Any], place: Place) -> str:
    things = [f"the {words.thing_en(reference)} of image {reference['image']}" for reference in facts["references"]]
    if facts["edit"]:
        newcomers = " and ".join(things)
        if facts["operation"] == "add":
            return f"Add {newcomers} {_where_en(place)} of image 1."
        return f"Replace {_old_en(facts, place)} of image 1 with {newcomers}."
    spots = [facts["subjects"][reference["subject"]] for reference in facts["references"]]
    exact = place.down == "exact"
    parts = [f"{thing} {words.place_en(spot['position'], exact)}" for thing, spot in zip(things, spots, strict=True)]
    return f"Draw a new picture with {_listed(parts, ', ', ' and ')} of the scene."


def _old_en(facts: dict[str, Any], place: Place) -> str:
    noun = facts["replacement"] or "subject"
    if place.rank is not None:
        return f"the {words.ORDINALS_EN[place.rank[0] - 1]} {noun} from the {place.rank[1]}"
    return f"the {noun} {_where_en(place)}"


def _where_en(place: Place) -> str:
    return words.place_en([place.across or "centre", place.down or "middle"], exact=bool(place.down))


def _chinese(facts: dict[str, Any], place: Place) -> str:
    things = [f"图{reference['image']}中{words.thing_zh(reference)}" for reference in facts["references"]]
    if facts["edit"]:
        newcomers = "和".join(things)
        if facts["operation"] == "add":
            return f"把{newcomers}加到图1的{_where_zh(place)}。"
        noun = words.noun_zh(facts["replacement"] or "subject")
        if place.rank is not None:
            side = "左" if place.rank[1] == "left" else "右"
            measure = words.measure_zh(facts["replacement"] or "subject")
            return f"把图1中从{side}数第{words.NUMBERS_ZH[place.rank[0]]}{measure}{noun}换成{newcomers}。"
        return f"把图1{_where_zh(place)}的{noun}换成{newcomers}。"
    spots = [facts["subjects"][reference["subject"]] for reference in facts["references"]]
    exact = place.down == "exact"
    parts = [
        f"{thing}在画面{words.place_zh(spot['position'], exact)}" for thing, spot in zip(things, spots, strict=True)
    ]
    return f"画一张新图：{'，'.join(parts)}。"


def _where_zh(place: Place) -> str:
    return words.place_zh([place.across or "centre", place.down or "middle"], exact=bool(place.down))


def _listed(parts: list[str], comma: str, last: str) -> str:
    return parts[0] if len(parts) == 1 else comma.join(parts[:-1]) + last + parts[-1]
