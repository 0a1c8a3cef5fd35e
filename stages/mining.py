"""Which frames of a shot are looked at, and which categories its subjects have (OpenSubject, stage ii)."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from schemas.subject import Track
from schemas.video import Footage, Frame, Image, Mask, Passage

PASSAGE_SHORT_SIDE_PX = 240  # flow is as good there as at full size, at a fraction of the time
_MAX_FRAMES = 120  # of a passage: 37 MB at 16:9
_MAX_STEP_SECONDS = 0.2  # flow does not bridge more

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
    """Source frame numbers of the passage in time order, and the positions among them that are the anchors."""

    indices: list[int]
    anchors: list[int]


def plan_frames(start_frame: int, end_frame: int, fps: float, num_anchors: int) -> Plan:
    """Every frame of [start_frame, end_frame) if there are at most 120, else every second, third, ...

    Steps are at most 0.2 s: of a shot too long for that its middle is taken. Anchors are spread evenly; they keep off
    both ends, where flow has only one neighbour. Short shots get fewer, never the same one twice.
    """
    num_frames = end_frame - start_frame
    rate = fps if fps > 0 else 25.0
    step = min(math.ceil(num_frames / _MAX_FRAMES), max(1, round(_MAX_STEP_SECONDS * rate)))
    first = start_frame + max(0, (num_frames - step * _MAX_FRAMES) // 2)
    indices = list(range(first, end_frame, step))[:_MAX_FRAMES]
    margin = min(2, (len(indices) - 1) // 2)
    spread = np.linspace(margin, len(indices) - 1 - margin, num_anchors)
    return Plan(indices, sorted({round(position) for position in spread}))


def times(plan: Plan, start_frame: int, start_seconds: float, end_frame: int, end_seconds: float) -> list[float]:
    """When the planned frames are shown, if the shot's frames are evenly spaced: exact fractions, then rounded once."""
    start = Fraction(start_seconds).limit_denominator(_TICKS)
    span = Fraction(end_seconds).limit_denominator(_TICKS) - start
    return [float(start + span * (frame - start_frame) / (end_frame - start_frame)) for frame in plan.indices]


def footage_of(full: Sequence[Frame], reduced: Sequence[Frame], content_box: Sequence[int] | None) -> Footage:
    """The anchors (full size) and the passage (reduced), cropped to the picture inside letterbox bars.

    Frame numbers and seconds stay the source's. Raises ValueError when there is no anchor.
    """
    if not full:
        raise ValueError("footage needs an anchor")
    frame_px = full[0].image.shape[0], full[0].image.shape[1]
    known = {frame.index for frame in reduced}
    anchors = sorted((frame for frame in full if frame.index in known), key=lambda frame: frame.index)
    return Footage(
        images=[_inside(frame.image, content_box, frame_px) for frame in anchors],
        indices=[frame.index for frame in anchors],
        seconds=[frame.seconds for frame in anchors],
        anchors=list(range(len(anchors))),
        frame_px=frame_px,
        passage=Passage(
            [_inside(frame.image, content_box, frame_px) for frame in reduced],
            [frame.index for frame in reduced],
            [frame.seconds for frame in reduced],
        ),
    )


def _inside(image: Image, content_box: Sequence[int] | None, frame_px: tuple[int, int]) -> Image:
    """The part of a picture of any size that lies in a box of the full frame."""
    if content_box is None:
        return image
    down, across = image.shape[0] / frame_px[0], image.shape[1] / frame_px[1]
    x0, x1 = (round(side * across) for side in (content_box[0], content_box[2]))
    y0, y1 = (round(side * down) for side in (content_box[1], content_box[3]))
    return np.ascontiguousarray(image[y0:y1, x0:x1])


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
