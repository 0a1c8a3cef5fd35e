"""What an edit asks for: the targets of one prompt, which instances each is about, one job per source."""

from dataclasses import dataclass
from enum import StrEnum


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
    span: tuple[int, int] = (0, 0)


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
class EditJob:
    """One source and everything that is to change in it. scene: the words around the targets; turns come one after the
    other, each on the result of the one before."""

    source: str
    turns: tuple[tuple[Edit, ...], ...]
    scene: str = ""
    seed: int = 0
    name: str = ""  # of its output, unique in a run; "" = after the source


@dataclass(frozen=True, slots=True)
class Bound:
    """An edit and the instances it is about, as positions in the list of tracks; none for a background."""

    edit: Edit
    instances: tuple[int, ...]
