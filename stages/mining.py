"""Which frames of a shot are looked at, and which categories its subjects have (OpenSubject, stage ii)."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from schemas.subject import Track
from schemas.video import Footage, Frame, Mask

_NEAR_SECONDS = 0.12  # to the nearest frame of temporal context: enough for a walking subject to move a few pixels
_FAR_SECONDS = 0.35

_TICKS = 100_000  # finer than the time base of any common container at common rates

_SYNONYMS = {
    "man": "person",
    "woman": "person",
    "boy": "person",
    "girl": "person",
    "child": "person",
    "kid": "person",
    "people": "person",
    "men": "person",
    "women": "person",
    "children": "person",
    "human": "person",
    "puppy": "dog",
    "kitten": "cat",
    "automobile": "car",
    "bike": "bicycle",
    "motorbike": "motorcycle",
    "aeroplane": "airplane",
    "plane": "airplane",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """Source frame numbers in time order, and the positions among them at which masks are wanted."""

    indices: list[int]
    anchors: list[int]


def plan_frames(start_frame: int, end_frame: int, fps: float, num_anchors: int) -> Plan:
    """Anchors spread evenly over [start_frame, end_frame), each with two frames of context before and after.

    At most five frames per anchor, however long the shot. Short shots get fewer, never the same one twice.
    """
    num_frames = end_frame - start_frame
    rate = fps if fps > 0 else 25.0
    near = max(1, round(_NEAR_SECONDS * rate))
    far = max(near + 1, round(_FAR_SECONDS * rate))
    margin = min(far, max(num_frames // 8, 1)) if num_frames > 2 else 0
    first, last = start_frame + margin, end_frame - 1 - margin
    chosen = sorted({round(frame) for frame in np.linspace(first, max(last, first), num_anchors)})
    wanted = {frame + step for frame in chosen for step in (-far, -near, 0, near, far)}
    indices = sorted(frame for frame in wanted if start_frame <= frame < end_frame)
    return Plan(indices, [indices.index(frame) for frame in chosen])


def times(plan: Plan, start_frame: int, start_seconds: float, end_frame: int, end_seconds: float) -> list[float]:
    """When the planned frames are shown, if the shot's frames are evenly spaced: exact fractions, then rounded once."""
    start = Fraction(start_seconds).limit_denominator(_TICKS)
    span = Fraction(end_seconds).limit_denominator(_TICKS) - start
    return [float(start + span * (frame - start_frame) / (end_frame - start_frame)) for frame in plan.indices]


def context(footage: Footage, position: int) -> list[list[int]]:
    """Positions of frames near an anchor, in groups of one before and one after at about the same distance (or one).

    At most two groups, near and far; frames more than twice the planned distance away are no context.
    """
    here = footage.seconds[position]
    reach = 2 * _FAR_SECONDS
    before = [each for each in range(position - 1, -1, -1) if here - footage.seconds[each] <= reach][:2]
    after = [each for each in range(position + 1, len(footage.images)) if footage.seconds[each] - here <= reach][:2]
    groups = [[*before[rank : rank + 1], *after[rank : rank + 1]] for rank in range(2)]
    return [group for group in groups if group]


def footage_of(frames: Sequence[Frame], plan: Plan, content_box: Sequence[int] | None) -> Footage:
    """The frames that were read, cropped to the picture inside letterbox bars.

    Anchors that could not be read are left out. Frame numbers and seconds stay the source's.
    """
    kept = sorted({frame.index: frame for frame in frames}.values(), key=lambda frame: frame.index)
    x0, y0, x1, y1 = content_box if content_box is not None else (0, 0, None, None)
    wanted = {plan.indices[anchor] for anchor in plan.anchors}
    return Footage(
        images=[np.ascontiguousarray(frame.image[y0:y1, x0:x1]) for frame in kept],
        indices=[frame.index for frame in kept],
        seconds=[frame.seconds for frame in kept],
        anchors=[position for position, frame in enumerate(kept) if frame.index in wanted],
        frame_px=(kept[0].image.shape[0], kept[0].image.shape[1]),
    )


def place(mask: Mask, content_box: Sequence[int] | None, height_px: int, width_px: int) -> Mask:
    """A mask of the cropped picture, back in the full frame."""
    if content_box is None:
        return mask
    x0, y0, x1, y1 = content_box
    full: Mask = np.zeros((height_px, width_px), np.bool_)
    full[y0:y1, x0:x1] = mask
    return full


def fold(category: str) -> str:
    """The word categories are compared by: lower case, singular, common synonyms as one."""
    word = " ".join(category.lower().split())
    if word in _SYNONYMS:
        return _SYNONYMS[word]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    return _SYNONYMS.get(word, word)


def consensus(answers: Sequence[Sequence[str]], min_share: float) -> list[str]:
    """The categories named in at least `min_share` of the frames, most frequent first, synonyms folded to one name."""
    counts = Counter(name for names in answers for name in sorted({fold(name) for name in names}))
    needed = max(math.ceil(min_share * len(answers)), 1)
    return [name for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count >= needed]


def without(track: Track, dropped: set[int]) -> Track:
    """The track without its masks at some positions."""
    kept = [position for position in track.masks if position not in dropped]
    return Track(
        track.category,
        {position: track.masks[position] for position in kept},
        {position: track.scores[position] for position in kept},
    )
