"""What is measured of instances through a clip, to bind edits by: where they are in each frame, how near, which colour.

The words that tell a person what was found are here too: `2 bears: bear 1 (left), bear 2 (right)`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.subject import Box
from schemas.tracks import InstanceTrack, MaskVideo
from schemas.video import Image
from stages import facts, masks, nouns, words


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """One instance. boxes: (T, 4) float64 xyxy in shares of the picture, NaN where it is not in the picture.

    nearness: (T,) in [0, 1], 1 = nearest, NaN where it is not in the picture. area: median share of the picture.
    colors: one or two names, largest first; () where it is too mixed to say.
    """

    name: str
    category: str
    boxes: NDArray[np.float64]
    nearness: NDArray[np.float64]
    area: float
    colors: tuple[str, ...] = ()

    @property
    def centres(self) -> NDArray[np.float64]:
        """(T, 2) x, y in shares of the picture."""
        return np.stack([self.boxes[:, ::2].mean(axis=1), self.boxes[:, 1::2].mean(axis=1)], axis=1)

    @property
    def place(self) -> str:
        """left, centre or right: where it mostly is."""
        if np.isnan(self.boxes).all():
            return "centre"
        box: Box = tuple(float(side) for side in np.nanmedian(self.boxes, axis=0))  # type: ignore[assignment]
        return facts.position_of(box, 1, 1)[0]


def measure(tracks: Sequence[InstanceTrack], pictures: Mapping[int, Image]) -> list[InstanceFacts]:
    """The facts of each track, in order. pictures: some frames of the clip by frame number, of any size, for colours.

    Raises ValueError for a picture beyond the last frame.
    """
    return [_measure(track, pictures) for track in tracks]


def _measure(track: InstanceTrack, pictures: Mapping[int, Image]) -> InstanceFacts:
    if any(at >= len(track.masks) for at in pictures):
        raise ValueError("a picture of a frame that the tracks do not have")
    boxes = _boxes(track.masks)
    present = ~np.isnan(boxes[:, 0])
    areas = [float(mask.mean()) for mask, is_there in zip(track.masks, present, strict=True) if is_there]
    return InstanceFacts(
        track.name,
        track.category,
        boxes,
        np.where(present, track.nearness, np.nan),
        float(np.median(areas)) if areas else 0.0,
        _colors(track.masks, pictures),
    )


def _boxes(video: MaskVideo) -> NDArray[np.float64]:
    height, width = video.shape[1:]
    boxes = np.full((len(video), 4), np.nan)
    for at, mask in enumerate(video):
        if (box := masks.box_of(mask)) is not None:
            boxes[at] = np.array(box) / (width, height, width, height)
    return boxes


def _colors(video: MaskVideo, pictures: Mapping[int, Image]) -> tuple[str, ...]:
    """The colours of its pixels in all pictures together: one blurred or shaded frame decides nothing."""
    pixels = [image[masks.resize(video[at], *image.shape[:2])] for at, image in sorted(pictures.items())]
    together = np.concatenate(pixels) if pixels else np.zeros((0, 3), np.uint8)
    if not len(together):
        return ()
    return tuple(facts.name_colors(together[None], np.ones((1, len(together)), np.bool_)))


def list_found(found: Sequence[InstanceFacts]) -> str:
    """2 bears: bear 1 (left), bear 2 (right). "nothing" when nothing was found."""
    if not found:
        return "nothing"
    kinds = [each.category for each in found]
    counted = [(kinds.count(kind), kind) for kind in dict.fromkeys(kinds)]
    heads = ", ".join(f"{count} {words.plural_en(nouns.one(kind)) if count > 1 else kind}" for count, kind in counted)
    each = ", ".join(f"{one.name} ({' '.join([*one.colors[:1], one.place])})" for one in found[:12])
    return f"{heads}: {each}{f' and {len(found) - 12} more' if len(found) > 12 else ''}"
