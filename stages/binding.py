"""Edits bound to the instances of a clip: what each edit is about, or in plain words why that cannot be said.

Nothing is guessed. A noun is checked against what the instances are called; where nothing could name them (category
"subject"), places, counts, colours and the names of the preview ("subject 2") still bind, nouns do not.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from schemas.edit import Action, Bound, Edit, Selector, Side
from schemas.errors import BadInput
from schemas.reasons import Reason
from stages import nouns, selection
from stages.edit_selectors import SIZES, print_selector
from stages.instance_facts import InstanceFacts, list_found

UNNAMED = "subject"
NAMING_PROFILES = "cpu-small, gpu-24gb, h100 or cluster"
"""Shipped profiles that look for nouns in pictures."""
_NEAR_OWNER = 0.15  # of the owner's box on every side: a hat stands out of it
_MIN_OWNED = 0.5  # of the frames that show both


def bind(edits: Sequence[Edit], found: Sequence[InstanceFacts], before: Sequence[Sequence[Bound]] = ()) -> list[Bound]:
    """One Bound per edit, in order. before: what the turns before this one were bound to, the latest last.

    Raises BadInput: TARGET_ABSENT, TARGET_COUNT, TARGET_AMBIGUOUS, TARGET_UNNAMED, with a message that names what was
    found. What an earlier turn replaced answers to its new name; what one removed is gone.
    """
    present = _after(found, before)
    latest = {at for bound in (before[-1] if before else ()) for at in bound.instances}
    bounds: dict[int, Bound] = {}
    for number in sorted(range(len(edits)), key=lambda number: edits[number].selector.others):
        edit = edits[number]
        claimed = {at for bound in bounds.values() for at in bound.instances} if edit.selector.others else set()
        left = [None if at in claimed else one for at, one in enumerate(present)]
        try:
            bounds[number] = Bound(edit, tuple(sorted(_about(edit, left, latest))))
        except BadInput as bad:
            listed = list_found([one for one in present if one is not None])
            said = print_selector(edit.selector)
            raise BadInput(bad.reason, f"{said!r}: {bad.message}; found {listed}") from None
    in_order = [bounds[number] for number in range(len(edits))]
    _claim_once(in_order, found)
    return in_order


def _after(found: Sequence[InstanceFacts], before: Sequence[Sequence[Bound]]) -> list[InstanceFacts | None]:
    """What the clip shows after those turns, by position in `found`; None for what was removed or is never seen."""
    present: list[InstanceFacts | None] = [None if np.isnan(one.boxes).all() else one for one in found]
    for bound in (bound for turn in before for bound in turn):
        for at in bound.instances:
            one = present[at]
            if bound.edit.action is Action.REMOVE:
                present[at] = None
            elif bound.edit.action is Action.REPLACE and one is not None:
                present[at] = replace(one, category=bound.edit.target, colors=())
    return present


def _about(edit: Edit, present: Sequence[InstanceFacts | None], latest: set[int]) -> set[int]:
    selector = edit.selector
    if edit.action is Action.BACKGROUND:
        return set()
    if edit.action is Action.ADD and selector == Selector():
        return _subjects(present) if nouns.is_part(edit.target) else set()
    if selector.part:
        return _parts(selector, present, latest)
    return _select(selector, present, latest)


def _subjects(present: Sequence[InstanceFacts | None]) -> set[int]:
    """All that are not parts of others. Raises BadInput(TARGET_ABSENT) where there are none."""
    subjects = {at for at, one in enumerate(present) if one is not None and not nouns.is_part(one.category)}
    if not subjects:
        raise BadInput(Reason.TARGET_ABSENT, "no subject was found in the clip")
    return subjects


def _select(selector: Selector, present: Sequence[InstanceFacts | None], latest: set[int]) -> set[int]:
    """The whole instances that answer a selector without a part."""
    chosen = _named(selector.phrase, present)
    if selector.above:
        chosen &= latest
    colors = [one for one in selector.attributes if one not in SIZES]
    chosen = {at for at in chosen if set(colors) <= set(_at(present, at).colors)}
    if not chosen:
        what = "of what the turn before changed" if selector.above else "in the clip"
        raise BadInput(Reason.TARGET_ABSENT, f"nothing {what} answers to it")
    order = sorted(chosen)
    for attribute in selector.attributes:
        if attribute in SIZES and len(order) > 1:
            wanted = selector.count or (1 if not nouns.is_plural(selector.phrase) else None)
            if wanted is None:
                raise BadInput(Reason.TARGET_AMBIGUOUS, f"say how many are {attribute}")
            order = [
                order[at] for at in sorted(selection.by_size(_those(present, order), attribute == "large", wanted))
            ]
    placed = {order[at] for at in _placed(selector, _those(present, order))}
    is_one = selector.count is None and not nouns.is_plural(selector.phrase)
    if (
        is_one
        and len(placed) > 1
        and not all(nouns.says_all(_at(present, at).category, selector.phrase) for at in placed)
    ):
        raise BadInput(Reason.TARGET_AMBIGUOUS, f"which of {len(placed)} that is cannot be told: say where it is")
    return placed


def _placed(selector: Selector, found: Sequence[InstanceFacts]) -> set[int]:
    """Positions in `found` of those at the place, and as many, as the selector says."""
    if selector.nth is not None:
        return {selection.nth(found, selector.nth)}
    if selector.side is not None:
        if selector.count is None and nouns.is_plural(selector.phrase):
            if not (chosen := selection.on_half(found, selector.side)):
                raise BadInput(Reason.TARGET_ABSENT, "none of them is there")
            return chosen
        return selection.at_side(found, selector.side, selector.count or 1)
    if selector.above and selector.count is not None and selector.count < len(found):
        return selection.at_side(found, Side.TOP, selector.count)  # "the two above" of more: those higher up
    if selector.count is not None and selector.count != len(found):
        raise BadInput(Reason.TARGET_COUNT, f"{selector.count} are asked for, {len(found)} answer to it")
    return set(range(len(found)))


def _named(phrase: str, present: Sequence[InstanceFacts | None]) -> set[int]:
    """Whole instances that the noun phrase is true of; all of them for ""."""
    if exact := {at for at, one in enumerate(present) if one is not None and one.name.lower() == phrase.lower()}:
        return exact
    if not phrase:
        return _subjects(present)
    matching = {at for at, one in enumerate(present) if one is not None and nouns.same_kind(phrase, one.category)}
    if not matching and any(one is not None and one.category == UNNAMED for one in present):
        name = next(one.name for one in present if one is not None)
        raise BadInput(
            Reason.TARGET_UNNAMED,
            f"whether a subject is {phrase!r} cannot be told here: say where it is ('Left -> ...') or its name "
            f"({name!r}), say what the clip shows by --category or a file beside the video, or take a profile that can "
            f"tell: {NAMING_PROFILES}",
        )
    return matching


def _parts(selector: Selector, present: Sequence[InstanceFacts | None], latest: set[int]) -> set[int]:
    """Instances that are the part asked for, on the owners that the rest of the selector says."""
    parts = {at for at, one in enumerate(present) if one is not None and nouns.same_kind(selector.part, one.category)}
    if not parts and all(one is None or one.category == UNNAMED for one in present):
        raise BadInput(
            Reason.TARGET_UNNAMED,
            f"{selector.part!r} cannot be looked for here: take a profile that can: {NAMING_PROFILES}",
        )
    if not parts:
        raise BadInput(Reason.TARGET_ABSENT, f"no {selector.part!r} was found")
    owner = replace(selector, part="")
    if owner == Selector():
        return parts
    owners = _select(owner, present, latest)
    subjects = _subjects(present)
    owned = {part: _owner(_at(present, part), present, subjects) for part in parts}
    chosen = {part for part, whose in owned.items() if whose in owners}
    missing = owners - set(owned.values())
    if not chosen or (missing and selector.count is not None):
        names = ", ".join(_at(present, at).name for at in sorted(missing))
        raise BadInput(Reason.TARGET_ABSENT, f"no {selector.part!r} was found on {names}")
    return chosen


def _owner(part: InstanceFacts, present: Sequence[InstanceFacts | None], subjects: set[int]) -> int | None:
    """Which subject the part is on in most frames; None when on none."""
    shares = {at: _share_on(part, _at(present, at)) for at in sorted(subjects)}
    best = max(shares, key=lambda at: shares[at])
    return best if shares[best] >= _MIN_OWNED else None


def _share_on(part: InstanceFacts, owner: InstanceFacts) -> float:
    """Of the frames that show the part, in how many its centre is on the owner's box."""
    shown = ~np.isnan(part.boxes[:, 0])
    boxes, centres = owner.boxes[shown], part.centres[shown]
    margin = _NEAR_OWNER * (boxes[:, 2:] - boxes[:, :2])
    inside = (centres >= boxes[:, :2] - margin) & (centres <= boxes[:, 2:] + margin)  # NaN is never inside
    return float(inside.all(axis=1).mean()) if len(inside) else 0.0


def _claim_once(bounds: Sequence[Bound], found: Sequence[InstanceFacts]) -> None:
    """Raises BadInput(TARGET_AMBIGUOUS) when two edits want one instance, or two want the background."""
    owner: dict[int, Edit] = {}
    for bound in bounds:
        places = (-1,) if bound.edit.action is Action.BACKGROUND else bound.instances
        for at in places if bound.edit.action is not Action.ADD else ():
            if at in owner:
                said, also = (print_selector(edit.selector) for edit in (owner[at], bound.edit))
                what = "the background" if at < 0 else found[at].name
                raise BadInput(
                    Reason.TARGET_AMBIGUOUS, f"{said!r} and {also!r} both mean {what}; found {list_found(found)}"
                )
            owner[at] = bound.edit


def _at(present: Sequence[InstanceFacts | None], at: int) -> InstanceFacts:
    one = present[at]
    assert one is not None
    return one


def _those(present: Sequence[InstanceFacts | None], positions: Sequence[int]) -> list[InstanceFacts]:
    return [_at(present, at) for at in positions]
