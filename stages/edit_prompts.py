"""What a vision-language model is asked about an edit, and the words that are made without one.

Words made by rules say only what the user wrote and what was measured: how many, what, where. They are also what stands
where a model's own words lose a target or a count.
"""

import re
from collections.abc import Sequence

import numpy as np

from schemas.edit import Action, Bound, Edit, Turn
from schemas.errors import BadInput, UserError
from schemas.questions import Answer, ClipAnswer, DescriptionAnswer, EditsAnswer, PlaceAnswer, Question, Unusable
from schemas.reasons import Reason
from schemas.subject import Box
from schemas.video import Image
from stages import nouns, words
from stages.binding import NAMING_PROFILES, UNNAMED
from stages.edit_grammar import MARKER, FreeText, parse_prompts, print_edit
from stages.instance_facts import InstanceFacts

CLIP = """These are frames of one video, in order. It will be edited: {request}. Name the kinds of subjects in it \
that this could be about, at most 8, the most important first. nouns: one singular noun per kind, as common as \
possible. counts: how many of that kind are seen at once at most, 0 when you cannot tell. places: where they are in \
the picture, in a few words.{said}"""
_SAID = """
The owner of the video says that its subject is: {category}. Use that name for what it fits, only where you see it."""

FREE_TEXT = """Put a request to edit a video into this language, adding nothing and leaving nothing out.
prompt: one or more edits divided by "; ". An edit is one of
which -> what      replace: bear on the left -> gorilla
which ->           remove: glasses of the man ->
add what to which  add something: add a red hat to the second dancer from the left
background -> what replace everything but the subjects
"which" is a noun with, if the request says so: a count (three dogs), a colour (red car), one place (on the left, on \
the right, in the middle, in front, in the back), an ordinal (second car from the right, last car), or a part (face \
of the man). "what" describes what is to be drawn. When the request names no subject, "which" is: subject.
The request: {text}"""

TARGET = """These are frames of a video. In it {which} will become: {target}. Describe {target} so that somebody who \
has not seen the frames could paint it there. text: two or three sentences, at most 500 characters, that begin with \
its name: its shape, colours, materials and clothing, doing what {which} does in the frames, in the light of the \
scene. Do not describe the surroundings, and do not mention that anything was changed.{keep}"""
SCENE = """These are frames of a video. It will be changed: {edits}. Describe the video as it will be after that. \
text: at most 500 characters: first exactly how many of what are where, as in "{words}", then the surroundings and \
the light, which stay as they are{background}. Do not mention what is no longer there, nor that anything was changed."""
PLACE = """This picture shows {which}. Where in the picture does {target} have to be drawn to be added to it, as it \
would be worn, held or placed? Answer with a box just large enough for {target}: centre_x and centre_y from the left \
and the top, width and height, all in shares of the picture from 0 to 1."""

_VIEW_MARGIN = 0.5  # of the instance's box on every side: room for what is added beside it
_MIN_SHARE = 0.05  # of the view: a place has a size


def clip_question(images: list[Image], turn: Turn, category: str = "", seed: int = 0) -> Question:
    """Which subjects the clip shows. category: what its owner calls them, "" when unsaid."""
    request = "; ".join(print_edit(edit) for edit in turn.edits)
    said = _SAID.format(category=category) if category else ""
    return Question(ClipAnswer, CLIP.format(request=request, said=said), images, {"category": category}, seed)


def phrases_for(edits: Sequence[Edit], seen: Answer | Unusable) -> list[str]:
    """What a detector is asked for: the nouns and parts that the edits name, and where one names none, all that was
    seen. Lower case, singular, each once, in the order of the edits."""
    phrases: list[str] = []
    for edit in edits:
        selector = edit.selector
        if edit.action is Action.BACKGROUND:
            phrases += _seen(seen)  # they are what stays
            continue
        if selector.phrase and not re.fullmatch(r".*\s[0-9]+", selector.phrase):  # "bear 2" is a name, no noun
            phrases.append(nouns.one(selector.phrase.lower()))
        elif not (selector.part and not selector.phrase and selector.side is None and selector.nth is None):
            phrases += _seen(seen)
        if selector.part:
            phrases.append(selector.part.lower())
    return list(dict.fromkeys(phrases)) or _seen(seen)


def _seen(answer: Answer | Unusable) -> list[str]:
    found = [noun.lower() for noun in answer.nouns] if isinstance(answer, ClipAnswer) else []
    return found or [UNNAMED]


def free_text_question(text: str, seed: int = 0) -> Question:
    """Asked once for a prompt, without pictures: what it binds to is decided for each clip."""
    return Question(EditsAnswer, FREE_TEXT.format(text=text), seed=seed)


def turns_from(text: str, answer: Answer | Unusable) -> list[Turn]:
    """What the free text asks for. Raises UserError, one line, when no model could say so in the language of edits."""
    why = answer.message if isinstance(answer, Unusable) else f"got {type(answer).__name__}"
    if isinstance(answer, EditsAnswer):
        try:
            turns = parse_prompts([answer.prompt])
        except UserError as error:
            why = f"the model wrote {answer.prompt!r}: {error}"
        else:
            understood = [turn for turn in turns if not isinstance(turn, FreeText)]
            if len(understood) == len(turns):
                return understood
            why = f"the model wrote {answer.prompt!r}"
    raise _not_understood(text, why)


def refuse_free_text(text: str) -> list[Turn]:
    """Where no model is at hand. Raises UserError, one line, that says which profiles have one."""
    raise _not_understood(text, "none was asked")


def _not_understood(text: str, why: str) -> UserError:
    shown = text if len(text) <= 80 else f"{text[:80]}…"
    return UserError(
        f"{shown!r} is not in the language of edits ('[bear -> gorilla]', 'remove the hat', 'add glasses'), and no "
        f"model put it into that ({why}); profiles that can: {NAMING_PROFILES}"
    )


def word_scene(turn: Turn, bounds: Sequence[Bound], found: Sequence[InstanceFacts]) -> str:
    """The clip after the turn, in one sentence: how many of what are where. "" when nothing is left to say."""
    if turn.scene:
        text = turn.scene
        for edit in turn.edits:
            text = text.replace(MARKER, edit.target, 1)
        return " ".join(text.split())
    parts = [_word_bound(bound, found) for bound in bounds if bound.edit.action in (Action.REPLACE, Action.ADD)]
    changed = {at for bound in bounds for at in bound.instances}
    others = [one for at, one in enumerate(found) if at not in changed and one.category != UNNAMED]
    rest = [f"{words.with_article(nouns.one(one.category))} {_place(one)}" for one in others]
    backgrounds = [f"background: {bound.edit.target}" for bound in bounds if bound.edit.action is Action.BACKGROUND]
    return ", ".join([*parts, *rest, *backgrounds])


def _word_bound(bound: Bound, found: Sequence[InstanceFacts]) -> str:
    edit, some = bound.edit, [found[at] for at in bound.instances]
    if edit.action is Action.ADD:
        return f"{edit.target} on {_names(some)}" if some else edit.target
    if len(some) == 1:
        return f"{edit.target} {_place(some[0])}"
    return f"{words.number_en(len(some))} {edit.target}" if some else edit.target


def _names(some: Sequence[InstanceFacts]) -> str:
    return " and ".join(f"the {nouns.one(one.category)} {_place(one)}" for one in some)


def _place(one: InstanceFacts) -> str:
    return words.place_en([one.place, "middle"])


def scene_question(
    turn: Turn, bounds: Sequence[Bound], found: Sequence[InstanceFacts], images: list[Image], seed: int = 0
) -> Question:
    """The overall prompt of a turn. Answered by rules with `word_scene`."""
    said = word_scene(turn, bounds, found)
    has_background = any(edit.action is Action.BACKGROUND for edit in turn.edits)
    prompt = SCENE.format(
        edits="; ".join(print_edit(edit) for edit in turn.edits),
        words=said,
        background=", except for what was just said of the background" if has_background else "",
    )
    return Question(DescriptionAnswer, prompt, images, {"words": said[:500] or "the same scene"}, seed)


def scene_from(answer: Answer | Unusable, turn: Turn, bounds: Sequence[Bound], found: Sequence[InstanceFacts]) -> str:
    """The overall prompt: the model's, if it names every target and every count; else the words made by rules."""
    said = word_scene(turn, bounds, found)
    if not isinstance(answer, DescriptionAnswer):
        return said
    text = answer.text.strip()
    counts = [
        len(bound.instances) for bound in bounds if bound.edit.action is Action.REPLACE and not bound.edit.selector.part
    ]
    kept = all(_mentions(text, edit.target) for edit in turn.edits if edit.target)
    counted = all(_counts(text, count) for count in counts if count > 1 and not turn.scene)
    outer = [edit.selector.count for edit in turn.edits if turn.scene and (edit.selector.count or 1) > 1]
    return text if kept and counted and all(_counts(text, count or 1) for count in outer) else said


def target_question(edit: Edit, images: list[Image], seed: int = 0) -> Question:
    """The description of one target. images: what it replaces, or is added to. Answered by rules with its own name."""
    which = print_edit(Edit(Action.REMOVE, edit.selector)).removesuffix("->").strip()
    keep = f" It must not show: {edit.negative}." if edit.negative else ""
    prompt = TARGET.format(which=f"the {which}", target=edit.target, keep=keep)
    return Question(DescriptionAnswer, prompt, images, {"words": edit.target[:500]}, seed)


def target_from(answer: Answer | Unusable, edit: Edit) -> str:
    """The prompt of one target: the user's own if given, the model's if it names the target, else the name."""
    if edit.prompt:
        return edit.prompt
    if isinstance(answer, DescriptionAnswer) and _mentions(answer.text, edit.target):
        return answer.text.strip()
    return edit.target


def _mentions(text: str, target: str) -> bool:
    """Whether the text names it, in singular or plural."""
    said = {nouns.singular(word) for word in re.findall(r"[\w-]+", text.lower())}
    return (
        nouns.singular(re.findall(r"[\w-]+", target.lower() or "-")[-1]) in said if re.search(r"\w", target) else True
    )


def _counts(text: str, count: int) -> bool:
    return bool(
        re.search(rf"\b(?:{count}|{words.number_en(count)}{'|both|pair|couple' if count == 2 else ''})\b", text, re.I)
    )


def place_view(box: Box) -> Box:
    """What is shown to ask where something is added to what stands in `box` (shares of the picture, as the answer)."""
    dx, dy = _VIEW_MARGIN * (box[2] - box[0]), _VIEW_MARGIN * (box[3] - box[1])
    return max(box[0] - dx, 0.0), max(box[1] - dy, 0.0), min(box[2] + dx, 1.0), min(box[3] + dy, 1.0)


def place_question(edit: Edit, view: Image, seed: int = 0) -> Question:
    """view: the picture inside `place_view`."""
    which = print_edit(Edit(Action.REMOVE, edit.selector)).removesuffix("->").strip()
    return Question(PlaceAnswer, PLACE.format(which=f"the {which}", target=edit.target), [view], seed=seed)


def place_from(answer: Answer | Unusable, edit: Edit, view: Box, box: Box) -> Box:
    """The place in shares of `box`, as schemas.edit.Bound has it. view, box: shares of the picture.

    Raises BadInput(VLM_UNUSABLE) where no model answered.
    """
    if not isinstance(answer, PlaceAnswer):
        raise BadInput(
            Reason.VLM_UNUSABLE,
            f"where {edit.target!r} is to be added must be seen: take a profile that can ({NAMING_PROFILES}), or name "
            "what is there now ('[hat -> crown]')",
        )
    size = np.array([view[2] - view[0], view[3] - view[1]])
    centre = np.array(view[:2]) + size * (answer.centre_x, answer.centre_y)
    half = size * np.maximum((answer.width, answer.height), _MIN_SHARE) / 2
    origin, extent = np.array(box[:2]), np.maximum(np.array(box[2:]) - np.array(box[:2]), 1e-9)
    x0, y0 = (centre - half - origin) / extent
    x1, y1 = (centre + half - origin) / extent
    return float(x0), float(y0), float(x1), float(y1)
