"""What an edit asks for: the targets of one prompt, which instances each is about, one job per source."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from schemas.subject import Box


class Action(StrEnum):
    REPLACE = "replace"  # [bear -> gorilla]
    REMOVE = "remove"  # [glasses -> ]
    ADD = "add"  # add glasses: nothing in the source says where
    BACKGROUND = "background"  # [background -> snowy forest]


class Side(StrEnum):
    """Where an instance stands among those of its kind: in the picture, or by depth."""

    LEFT = "left"
    CENTER = "center"
    RIGHT = "right"
    FRONT = "front"
    BACK = "back"
    TOP = "top"
    BOTTOM = "bottom"


@dataclass(frozen=True, slots=True)
class Selector:
    """Which instances an edit is about: all that answer `phrase`, unless something below narrows it.

    span: first and last + 1 character of the prompt it was read from.
    """

    phrase: str = ""  # the noun phrase as said, without what is below: "bear"; "" = any subject
    side: Side | None = None
    nth: int | None = None  # from left to right: 1 is the first, -1 the last
    count: int | None = None  # how many there must be
    attributes: tuple[str, ...] = ()  # colours and other adjectives, in lower case
    part: str = ""  # of each instance, when not the whole of it: "shirt", "face"
    above: bool = False  # what the turn before was about
    others: bool = False  # only those that no other edit of the turn is about
    span: tuple[int, int] = field(default=(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class Edit:
    """One target. `target` is what to draw, as said; empty where something is removed.

    prompt: a full description that replaces the enriched one; reference: path of a picture of the target, "" to have
    one made; negative: what must not be drawn.
    """

    action: Action
    selector: Selector
    target: str = ""
    prompt: str = ""
    reference: str = ""
    negative: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """What changes at once. scene: the words around the targets, "[]" where each target stood, in the order of `edits`:
    "Three [] in the back seat"; "" where nothing was said."""

    edits: tuple[Edit, ...]
    scene: str = ""


@dataclass(frozen=True, slots=True)
class EditJob:
    """One source and everything that is to change in it: turns one after the other, each on the result of the one
    before. options: settings of this job alone, by their dotted names."""

    source: str
    turns: tuple[Turn, ...]
    seed: int = 0
    name: str = ""  # of its output, unique in a run
    options: Mapping[str, bool | int | float | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bound:
    """An edit and the instances it is about, as positions in the list of tracks; none for a background.

    place: where something is added, in shares of each instance's box (0, 0 its top left, 1, 1 its bottom right; it may
    reach outside); None while nothing has said where, and for every other action.
    """

    edit: Edit
    instances: tuple[int, ...]
    place: Box | None = None
