"""Which passes an edit of a clip takes, and in which order."""

from collections.abc import Sequence

import numpy as np

from schemas.edit import Action
from schemas.passes import EditPass


def plan_passes(wanted: Sequence[EditPass], joint: bool = False) -> list[EditPass]:
    """The passes in the order they are run: the background first, then from back to front.

    What asks for the same thing is one pass. joint: all that replace or add are one pass, with all their words and
    references; generators bind neither to a place, so targets may be drawn on each other's instances.
    """
    alike: dict[tuple[object, ...], list[EditPass]] = {}
    for one in wanted:
        drawn = one.action in (Action.REPLACE, Action.ADD)
        same_references = tuple(id(picture) for picture in one.references)
        kind = (drawn,) if joint and drawn else (one.action, one.target, one.prompt, one.negative, same_references)
        alike.setdefault(kind, []).append(one)
    merged = [_merged(group) for group in alike.values()]
    return sorted(merged, key=lambda one: (one.action is not Action.BACKGROUND, one.nearness))


def _merged(group: Sequence[EditPass]) -> EditPass:
    if len(group) == 1:
        return group[0]
    is_one_target = len({(one.target, *map(id, one.references)) for one in group}) == 1
    instances = tuple(instance for one in group for instance in one.instances)
    references = {id(picture): picture for one in group for picture in one.references}
    return EditPass(
        action=group[0].action,
        masks=np.logical_or.reduce([one.masks for one in group]),
        targets=(instances,) if is_one_target else tuple(target for one in group for target in one.targets),
        target="; ".join(dict.fromkeys(one.target for one in group)),
        prompt=". ".join(dict.fromkeys(one.prompt for one in group if one.prompt)),
        negative=", ".join(dict.fromkeys(one.negative for one in group if one.negative)),
        references=tuple(references.values()),
        nearness=float(np.mean([one.nearness for one in group])),
    )
