"""Which of several instances stand on the left, in the middle, in front: decided over every frame that shows both.

Positions in one frame mislead: subjects cross, enter late and leave. Two instances are in order when they are so in
most of the frames that show both, and clearly; where they never meet, by where each of them mostly is.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.edit import Side
from schemas.errors import BadInput
from schemas.reasons import Reason
from stages.instance_facts import InstanceFacts
from stages.instructions import TIED

MIN_AGREEMENT = 0.6  # of the frames that show both
_ROUNDING = 1e-6  # of the picture: far below a pixel
_MIN_SIZE_RATIO = 1.15  # of areas, to call one the larger
_BACKWARDS = frozenset({Side.RIGHT, Side.FRONT, Side.BOTTOM})
"""Sides at the high end of their axis: x and y grow to the right and down, nearness to the front."""


def at_side(found: Sequence[InstanceFacts], side: Side, num_wanted: int) -> set[int]:
    """Positions in `found` of the `num_wanted` that stand farthest on that side of all of them.

    Raises BadInput: TARGET_COUNT where there are not that many, TARGET_AMBIGUOUS where they are in no clear order, or
    one alone is not on that side of the picture.
    """
    if num_wanted > len(found):
        raise BadInput(Reason.TARGET_COUNT, f"{num_wanted} are asked for, {len(found)} found")
    if len(found) == 1:
        if side not in (Side.FRONT, Side.BACK) and not _stands(found[0], side):
            raise BadInput(
                Reason.TARGET_AMBIGUOUS, f"{side} of nobody: it is alone, and not on that side of the picture"
            )
        return {0}
    if side is Side.CENTER:
        return _middle(found, num_wanted)
    return _first(found, side, num_wanted)


def nth(found: Sequence[InstanceFacts], number: int) -> int:
    """The number-th from left to right, from 1; negative numbers count from the right, from -1.

    Raises BadInput as `at_side` does; TARGET_ABSENT where there are fewer.
    """
    if abs(number) > len(found):
        raise BadInput(Reason.TARGET_ABSENT, f"there are only {len(found)}")
    side = Side.LEFT if number > 0 else Side.RIGHT
    (position,) = _first(found, side, abs(number)) - _first(found, side, abs(number) - 1)
    return position


def on_half(found: Sequence[InstanceFacts], side: Side) -> set[int]:
    """All on that half of the picture, none in the very middle: for "the people on the left" without a number.

    Raises BadInput(TARGET_AMBIGUOUS) for sides that have no halves.
    """
    if side not in (Side.LEFT, Side.RIGHT, Side.TOP, Side.BOTTOM):
        raise BadInput(Reason.TARGET_AMBIGUOUS, "say how many, such as 'the two people in front'")
    values = [float(np.nanmedian(_along(each, side))) for each in found]
    sign = 1 if side in _BACKWARDS else -1
    return {at for at, value in enumerate(values) if sign * (value - 0.5) > TIED}


def by_size(found: Sequence[InstanceFacts], is_large: bool, num_wanted: int) -> set[int]:
    """The largest or smallest `num_wanted`. Raises BadInput(TARGET_AMBIGUOUS) where they are of one size."""
    order = sorted(range(len(found)), key=lambda at: found[at].area, reverse=is_large)
    if 0 < num_wanted < len(found):
        pair = sorted(found[at].area for at in order[num_wanted - 1 : num_wanted + 1])
        if pair[1] < _MIN_SIZE_RATIO * pair[0]:
            names = " and ".join(found[at].name for at in order[num_wanted - 1 : num_wanted + 1])
            raise BadInput(Reason.TARGET_AMBIGUOUS, f"{names} are about the same size")
    return set(order[:num_wanted])


def _stands(one: InstanceFacts, side: Side) -> bool:
    """Whether it is mostly on that side of the picture."""
    if side in (Side.TOP, Side.BOTTOM):
        return on_half([one], side) == {0}
    return one.place == {Side.LEFT: "left", Side.RIGHT: "right"}.get(side, "centre")


def _first(found: Sequence[InstanceFacts], side: Side, number: int) -> set[int]:
    """The `number` of them that are before all others, seen from that side."""
    values = np.stack([_along(each, side) for each in found])
    if side in _BACKWARDS:
        values = -values
    before = np.array([[_is_before(one, other) for other in values] for one in values])
    order = sorted(range(len(found)), key=lambda at: -int(before[at].sum()))
    chosen, others = order[:number], order[number:]
    doubtful = [(a, b) for a in chosen for b in others if not before[a, b]]
    if doubtful:
        a, b = sorted(found[at].name for at in doubtful[0])
        raise BadInput(Reason.TARGET_AMBIGUOUS, f"{a} and {b} change sides, or neither is clearly at the {side}")
    return set(chosen)


def _middle(found: Sequence[InstanceFacts], number: int) -> set[int]:
    """As many left of them as right of them, or the only ones in the middle of the picture; both where both apply."""
    central = {at for at, each in enumerate(found) if each.place == "centre"}
    readings = [central] if len(central) == number else []
    if len(found) > number and (len(found) - number) % 2 == 0:
        outer = (len(found) - number) // 2
        readings.append(_first(found, Side.LEFT, outer + number) - _first(found, Side.LEFT, outer))
    if not readings or any(each != readings[0] for each in readings):
        raise BadInput(Reason.TARGET_AMBIGUOUS, f"of {len(found)}, none is clearly the one in the middle")
    return readings[0]


def _along(one: InstanceFacts, side: Side) -> NDArray[np.float64]:
    """(T,) its place along the axis of that side, NaN where it is not in the picture."""
    if side in (Side.FRONT, Side.BACK):
        return one.nearness
    return one.centres[:, 1 if side in (Side.TOP, Side.BOTTOM) else 0]


def _is_before(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    together = ~np.isnan(one) & ~np.isnan(other)
    if not together.any():
        if np.isnan(one).all() or np.isnan(other).all():
            return False
        return bool(np.nanmedian(other) - np.nanmedian(one) > TIED)
    ahead = other[together] - one[together]
    return bool(np.median(ahead) > TIED and np.mean(ahead > _ROUNDING) >= MIN_AGREEMENT)
