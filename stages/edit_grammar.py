"""The language of edits: a prompt read into turns of edits with the words of their scene, and printed back.

    prompt    one or more turns: `Turn 1: ... Turn 2: ...`
    turn      text with brackets: `Three [People -> Super Mario] sitting in the back seat`, or edits divided by ";"
    bracket   `[edit; edit]`, or round with an arrow in it: `the two above (Gokus -> Iron-Men)`
    edit      `which -> what` (replace; a background where `which` is one), `which ->` (remove), `-> what` (add),
              `remove which`, `add what [to which]`, `change | turn | replace ... to | into | with what`
    which     stages/edit_selectors.py; `what` may be quoted

The forms are those of IMAGEdit's examples (arXiv 2510.01186). Text with neither arrow nor bracket nor one of the verbs
is free text: for a vision-language model to put into this language.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from schemas.edit import Action, Edit, Selector, Turn
from schemas.errors import UserError
from stages import nouns, words
from stages.edit_selectors import merge, parse_qualifiers, parse_selector, print_selector, refuse

MARKER = "[]"
MAX_CHARACTERS = 4000

_ARROW = re.compile(r"-{1,3}>|=>|→")
_SIGNS = re.compile(r"[\[\]\"“”;]|-{1,3}>|=>|→")
_TURN = re.compile(r"(?:^|(?<=[\s;.]))turn\s*([0-9]+)\s*:", re.I)
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”")
_ROUND = re.compile(r"\([^()\[\]]*(?:->|=>|→)[^()\[\]]*\)")
_SQUARE = re.compile(r"\[[^\[\]]*\]")
_PLEASE = r"^\s*(?:please\s+)?"
_REMOVE = re.compile(rf"{_PLEASE}(?:remove|delete|erase|get\s+rid\s+of)\s+(.+)$", re.I | re.S)
_ADD = re.compile(
    rf"{_PLEASE}(?:add|put|insert|place)\s+(.+?)"
    r"(?:\s+(?:to|on|onto)\s+((?:the|each|every|all|both|a|an|two|three|subject)\b.*|everyone|everybody))?\s*$",
    re.I | re.S,
)
_CHANGE = re.compile(
    rf"{_PLEASE}(?:(?:change|turn|transform|convert|make)\s+(?P<a>.+?)\s+(?:into|to)\s+(?P<b>.+)"
    r"|(?:replace|swap)\s+(?P<c>.+?)\s+(?:with|by|for)\s+(?P<d>.+))$",
    re.I | re.S,
)
_LINKS = re.compile(r"\s(?:into|to|with|by|for)\s", re.I)
_AND_THEN = re.compile(
    r"(?:,|\band\b|\bthen\b)\s+(?:then\s+)?"
    r"(?:change|turn|transform|convert|make|replace|swap|remove|delete|erase|get|add|put|insert|place)\b",
    re.I,
)
_SIDE_AFTER = re.compile(
    r"^\s+((?:on|at|to|in)\s+(?:the\s+)?(?:far\s+)?(?:left|right|middle|centre|center|front|back|foreground|background))"
    r"(?=\s*(?:$|[,;.]|(?:and\s+(?:\w+\s+){0,4})?\x01))",
    re.I,
)


@dataclass(frozen=True, slots=True)
class FreeText:
    """A turn that is in no form of the language."""

    text: str


def parse_prompts(prompts: Sequence[str]) -> list[Turn | FreeText]:
    """The turns of one or more prompts, in order. Raises UserError, one line, that shows the place in the prompt."""
    turns: list[Turn | FreeText] = []
    for number, prompt in enumerate(prompts, 1):
        try:
            turns += _parse_prompt(prompt, is_first=not turns)
        except UserError as error:
            raise UserError(f"prompt{f' {number}' if len(prompts) > 1 else ''}, {error}") from None
    return turns


def parse_edit(select: str, target: str) -> Edit:
    """An edit given as two texts: what stands to the left of an arrow, and to its right, where any sign may stand.

    Raises UserError, one line, that shows the place in `select`.
    """
    target = " ".join(target.split())
    if not select.strip():
        if not target:
            raise UserError("neither what to change nor what to draw")
        return Edit(Action.ADD, Selector(), target)
    return _replacement(select, target, select, 0)


def print_turn(turn: Turn) -> str:
    """A prompt that `parse_prompts` reads as an equal turn."""
    items = [print_edit(edit) for edit in turn.edits]
    if not turn.scene:
        return "; ".join(items)
    pieces = turn.scene.split(MARKER)
    return "".join(f"{before}[{item}]" for before, item in zip(pieces, items, strict=False)) + pieces[-1]


def print_edit(edit: Edit) -> str:
    which = print_selector(edit.selector)
    what = edit.target if _SIGNS.sub("", edit.target).rstrip(" .!") == edit.target else f'"{edit.target}"'
    if edit.action is Action.REMOVE:
        return f"{which} ->"
    if edit.action is Action.ADD:
        return f"-> {what}" if edit.selector == Selector() else f"add {what} to the {which}"
    return f"{which} -> {what}"


def _parse_prompt(prompt: str, is_first: bool) -> list[Turn | FreeText]:
    if not prompt.strip():
        raise UserError("which is empty: say what changes, such as '[bear -> gorilla]'")
    if len(prompt) > MAX_CHARACTERS:
        raise UserError(f"which has {len(prompt)} characters: at most {MAX_CHARACTERS} are read")
    if odd := re.search(r"[\x00-\x08\x0b-\x1f\x7f]", prompt.replace("\r", " ")):
        raise refuse("a control character", odd[0], odd.start())
    hidden = _hidden(prompt)
    starts = list(_TURN.finditer(hidden))
    if not starts or hidden[: starts[0].start()].strip():
        return [_turn(prompt, hidden, 0, is_first)]
    turns: list[Turn | FreeText] = []
    for position, start in enumerate(starts):
        if int(start[1][:9]) != position + 1:
            raise refuse(f"turns are counted from 1: expected turn {position + 1}", start[0], start.start())
        end = starts[position + 1].start() if position + 1 < len(starts) else len(prompt)
        text, shown = prompt[start.end() : end], hidden[start.end() : end]
        if not text.strip(" \n\t;."):
            raise refuse("a turn without an edit", start[0], start.start())
        cut = len(shown.rstrip(" \n\t;"))
        turns.append(_turn(text[:cut], shown[:cut], start.end(), is_first and not turns))
    return turns


def _turn(text: str, hidden: str, at: int, is_first: bool) -> Turn | FreeText:
    groups = list(_SQUARE.finditer(hidden))
    if not groups and "[" not in hidden and "]" not in hidden:
        rounds = list(_ROUND.finditer(hidden))
        outside = _ROUND.sub("", hidden)
        groups = [] if _ARROW.search(outside) else rounds
    turn = _bracketed(text, hidden, at, groups) if groups or re.search(r"[\[\]]", hidden) else _bare(text, hidden, at)
    if is_first and isinstance(turn, Turn):
        for edit in turn.edits:
            if edit.selector.above:
                start, end = edit.selector.span
                raise refuse("no turn came before this one", text[start - at : end - at], start)
    return turn


def _bare(text: str, hidden: str, at: int) -> Turn | FreeText:
    """Edits divided by ";", without brackets."""
    edits: list[Edit] = []
    odd: tuple[str, int] | None = None
    for start, end in _split(hidden):
        piece = text[start:end]
        if not piece.strip(" \n\t."):
            continue
        edit = _edit(piece, hidden[start:end], at + start)
        if edit is None:
            odd = odd or (piece, at + start)
        else:
            edits.append(edit)
    if odd is None and edits:
        return Turn(tuple(edits))
    if odd is None:
        raise refuse("no edit in it", text, at)
    if edits or _ARROW.search(hidden):
        raise refuse("no edit in it: 'which -> what', 'remove which' or 'add what'", *odd)
    return FreeText(" ".join(text.split()))


def _bracketed(text: str, hidden: str, at: int, groups: list[re.Match[str]]) -> Turn:
    """Words of a scene around brackets."""
    shown = list(hidden)
    for group in groups:
        shown[group.start() : group.end()] = "\x01" * (group.end() - group.start())
    around = "".join(shown)
    if stray := re.search(r"[\[\]]", around):
        raise refuse("a bracket without its other half", stray[0], at + stray.start())
    if arrow := _ARROW.search(around):
        raise refuse("an arrow outside the brackets", arrow[0], at + arrow.start())
    edits: list[Edit] = []
    scene, done = "", 0
    for position, group in enumerate(groups):
        until = groups[position + 1].start() if position + 1 < len(groups) else len(text)
        outer, begins = parse_qualifiers(text[done : group.start()], at + done)
        before = text[done : group.start()]
        if outer.above or outer.side or outer.nth:  # they say which; what remains is how many
            before = before[:begins] + (f"{words.number_en(outer.count)} " if outer.count else "")
        if side := _SIDE_AFTER.match(around[group.end() : until + 1]):
            outer = merge(outer, parse_selector(side[1], at + group.end() + side.start(1)), at + group.start())
        inside = _bracket(text, hidden, at, group)
        scene += before + "; ".join([MARKER] * len(inside))
        edits += [_narrowed(edit, outer, at + group.start()) for edit in inside]
        done = group.end()
    scene = " ".join((scene + text[done:]).split())
    return Turn(tuple(edits), scene if re.search(r"\w", re.sub(r"\[\]|\band\b", "", scene)) else "")


def _bracket(text: str, hidden: str, at: int, group: re.Match[str]) -> list[Edit]:
    first, edits = group.start() + 1, []
    for start, end in _split(hidden[first : group.end() - 1]):
        piece = text[first + start : first + end]
        edit = _edit(piece, hidden[first + start : first + end], at + first + start)
        if edit is None:
            raise refuse("no '->' in this bracket: '[which -> what]'", f"[{piece}]", at + first + start)
        edits.append(edit)
    return edits


def _narrowed(edit: Edit, outer: Selector, at: int) -> Edit:
    return edit if outer == Selector() else _sure(replace(edit, selector=merge(edit.selector, outer, at)), "", at)


def _edit(text: str, hidden: str, at: int) -> Edit | None:
    edit = _read(text, hidden, at)
    return edit and _sure(edit, text, at)


def _read(text: str, hidden: str, at: int) -> Edit | None:
    """One edit; None where the text has no arrow and no known verb, or says more than the verb's form."""
    arrows = list(_ARROW.finditer(hidden))
    if not arrows:
        return _spoken(text, hidden, at)
    if len(arrows) > 1:
        raise refuse("a second arrow in one edit: separate edits by ';'", arrows[1][0], at + arrows[1].start())
    which, what = text[: arrows[0].start()], text[arrows[0].end() :]
    target = _target(what, at + arrows[0].end())
    if not which.strip():
        if not target:
            raise refuse("an arrow with nothing on either side", text, at)
        return Edit(Action.ADD, Selector(span=(at, at)), target)
    return _replacement(which, target, text, at)


def _replacement(which: str, target: str, text: str, at: int) -> Edit:
    lead = len(which) - len(which.lstrip())
    selector = parse_selector(which.strip(), at + lead)
    plain = replace(selector, phrase="", attributes=(), span=(0, 0)) == Selector()
    if plain and nouns.is_background(selector.phrase):
        if not target:
            raise refuse("a background can be replaced, not removed: '[background -> snowy forest]'", text, at)
        return Edit(Action.BACKGROUND, selector, target)
    return Edit(Action.REPLACE if target else Action.REMOVE, selector, target)


def _spoken(text: str, hidden: str, at: int) -> Edit | None:
    """remove X; add X [to Y]; change X to Y. None for what goes beyond these."""
    if _AND_THEN.search(hidden):
        return None
    try:
        if found := _REMOVE.match(hidden):
            which, what = found.span(1), None
        elif found := _ADD.match(hidden):
            which, what = found.span(2), found.span(1)
        elif (found := _CHANGE.match(hidden)) and len(_LINKS.findall(hidden)) == 1:
            which, what = (found.span("a"), found.span("b")) if found["a"] else (found.span("c"), found.span("d"))
        else:
            return None
        target = "" if what is None else _target(text[slice(*what)], at + what[0])
        if what is not None and not target:
            return None
        if _ADD.match(hidden):
            chosen = parse_selector(text[slice(*which)], at + which[0]) if which[0] >= 0 else Selector(span=(at, at))
            return Edit(Action.ADD, chosen, target)
        return _replacement(text[slice(*which)].rstrip(" .!\n\t"), target, text, at + which[0])
    except UserError:
        return None  # more than a simple sentence: others may understand it


def _sure(edit: Edit, text: str, at: int) -> Edit:
    """The edit, if its words, printed, mean the same again: else they were misread."""
    try:
        again = _read(print_edit(edit), _hidden(print_edit(edit)), 0)
    except UserError:
        again = None
    if again != edit:
        raise refuse("these words are not understood: say it more simply", text or print_selector(edit.selector), at)
    return edit


def _target(text: str, at: int) -> str:
    """What to draw, without the quotes around it. Raises UserError for signs that only quotes may hold."""
    trimmed = text.strip()
    if _QUOTED.fullmatch(trimmed.rstrip(" .!")):
        trimmed = trimmed.rstrip(" .!")
        return " ".join(trimmed[1:-1].split())
    if odd := _SIGNS.search(text):
        raise refuse("quote a target that holds this sign as a whole", odd[0], at + odd.start())
    return " ".join(trimmed.rstrip(" .!").split())


def _split(hidden: str) -> list[tuple[int, int]]:
    """Start and end of the pieces between semicolons outside quotes."""
    ends = [found.start() for found in re.finditer(";", hidden)] + [len(hidden)]
    return list(zip([0, *(end + 1 for end in ends[:-1])], ends, strict=True))


def _hidden(prompt: str) -> str:
    """The prompt with what stands in quotes made unreadable, character for character."""
    hidden = _QUOTED.sub(lambda found: "\x00" * len(found[0]), prompt)
    if odd := re.search(r"[\"“”]", hidden):
        raise refuse("a quote without its other half", odd[0], odd.start())
    return hidden
