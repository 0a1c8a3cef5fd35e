"""Every instance through a whole clip (IMAGEdit, arXiv 2510.01186, mask retargeting): found and followed in overlapping
chunks, joined where chunks overlap, and by looks where somebody left and came back."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from schemas.config import LinkingConfig
from schemas.errors import BadInput
from schemas.reasons import Reason
from schemas.subject import Detection, Embedding, Track
from schemas.tracks import InstanceTrack, MaskVideo
from schemas.video import Footage, Frame, Image, Mask, Passage
from stages import linking, masks, mining, motion
from stages.motion import Map

CHUNK_FRAMES = 120  # what a segmenter gets at once, and what is held at working size
OVERLAP_FRAMES = 16
_SAME_IOU = 0.4  # over the frames of an overlap that show both
_NUM_VIEWS = 4  # of a track in a chunk, that it is recognised by
_MIN_LIFE_FRAMES = 3
_MIN_SCORE = 0.02  # on the mean of a track: what its own segmenter does not believe in

Detect = Callable[[Footage, Sequence[str]], list[list[Detection]]]
Segment = Callable[[Footage, Sequence[Sequence[Detection]]], list[Track]]
Nearness = Callable[[Sequence[Image], Sequence[Sequence[Mask]]], list[Map]]
Embed = Callable[[Sequence[tuple[Image, Mask]]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Tracker:
    """The methods of the roles detector, segmenter, depth and embedder.

    anchor_every: of so many frames one is detected and segmented; the others are filled in (`track_repair.fill`). The
    first and last frames of a chunk always are. A segmenter that follows every frame anyway is asked for all.
    """

    detect: Detect
    segment: Segment
    nearness: Nearness
    embed: Embed
    anchor_every: int = 1


@dataclass(slots=True)
class _Found:
    """A track of the clip so far, by number of the frame."""

    track: Track
    nearness: dict[int, float] = field(default_factory=dict)
    embeddings: dict[int, Embedding] = field(default_factory=dict)


def track(
    frames: Iterable[Frame], phrases: Sequence[str], tracker: Tracker, how: LinkingConfig
) -> tuple[list[InstanceTrack], list[Image]]:
    """The instances that answer `phrases` in a clip, and the clip at the reduced size that `Transport` works on.

    frames: all of one size, in time order, at the working size: masks have it too. Masks overlap nowhere within a
    frame; who enters late, leaves, or comes back keeps one name. No more than CHUNK_FRAMES frames are held. Raises
    ValueError for a clip without frames.
    """
    found: list[_Found] = []
    small: list[Image] = []
    for start, chunk in _chunks(frames):
        small += [motion.shrink(frame.image, mining.PASSAGE_SHORT_SIDE_PX) for frame in chunk[len(small) - start :]]
        _join(found, _follow(chunk, start, small[start:], phrases, tracker), start)
    if not small:
        raise ValueError("a clip without frames has no instances")
    return _named(_linked([each for each in found if _counts(each.track, len(small))], how), len(small)), small


def _counts(track: Track, num_frames: int) -> bool:
    """Does it last, and is it believed in?"""
    lasts = max(track.masks) - min(track.masks) + 1 >= min(_MIN_LIFE_FRAMES, num_frames)
    return lasts and float(np.mean(list(track.scores.values()))) >= _MIN_SCORE


def _chunks(frames: Iterable[Frame]) -> Iterator[tuple[int, list[Frame]]]:
    """Number of the first frame, and frames, of every chunk; each begins with OVERLAP_FRAMES of the one before."""
    start, chunk = 0, list[Frame]()
    fresh = 0
    for frame in frames:
        chunk.append(frame)
        fresh += 1
        if len(chunk) == CHUNK_FRAMES:
            yield start, chunk
            start, chunk, fresh = start + CHUNK_FRAMES - OVERLAP_FRAMES, chunk[-OVERLAP_FRAMES:], 0
    if fresh:
        yield start, chunk


def _follow(
    chunk: Sequence[Frame], start: int, small: list[Image], phrases: Sequence[str], tracker: Tracker
) -> list[_Found]:
    """What is tracked in one chunk, numbered by frames of the clip."""
    anchors = sorted({*range(0, len(chunk), tracker.anchor_every), len(chunk) - 1})
    numbers, seconds = [start + place for place in range(len(chunk))], [frame.seconds for frame in chunk]
    footage = Footage(
        images=[chunk[place].image for place in anchors],
        indices=[numbers[place] for place in anchors],
        seconds=[seconds[place] for place in anchors],
        anchors=list(range(len(anchors))),
        frame_px=(chunk[0].image.shape[0], chunk[0].image.shape[1]),
        passage=Passage(small, numbers, seconds),
    )
    tracks = tracker.segment(footage, tracker.detect(footage, phrases))
    masks.separate_tracks(tracks)
    numbered = [_renumbered(each, footage.indices) for each in tracks if each.masks]
    pictures = dict(zip(footage.indices, footage.images, strict=True))
    nearness = _depth_of(numbered, pictures, tracker.nearness)
    return [
        _Found(each, near, _embedded(each, pictures, tracker.embed))
        for each, near in zip(numbered, nearness, strict=True)
    ]


def _renumbered(track: Track, numbers: Sequence[int]) -> Track:
    return Track(
        track.category,
        {numbers[at]: mask for at, mask in sorted(track.masks.items())},
        {numbers[at]: score for at, score in track.scores.items()},
    )


def _depth_of(tracks: Sequence[Track], pictures: Mapping[int, Image], nearness: Nearness) -> list[dict[int, float]]:
    """Per track, the median nearness under its mask in every frame that has one."""
    told: list[dict[int, float]] = [{} for _ in tracks]
    asked = sorted({at for each in tracks for at in each.masks})
    here = {at: [number for number, each in enumerate(tracks) if at in each.masks] for at in asked}
    known = [[tracks[number].masks[at] for number in here[at]] for at in asked]
    for at, depth in zip(asked, nearness([pictures[at] for at in asked], known), strict=True):
        for number in here[at]:
            told[number][at] = float(np.median(depth[tracks[number].masks[at]]))
    return told


def _embedded(track: Track, pictures: Mapping[int, Image], embed: Embed) -> dict[int, Embedding]:
    seen = list(track.masks)
    views = [seen[place] for place in sorted({*np.linspace(0, len(seen) - 1, _NUM_VIEWS).astype(int).tolist()})]
    return dict(zip(views, embed([(pictures[at], track.masks[at]) for at in views]), strict=True))


def _join(found: list[_Found], fresh: Sequence[_Found], start: int) -> None:
    """Adds the tracks of the chunk that begins at `start` to those before: one that agrees with a known one in the
    frames both chunks hold goes on with it, each chunk giving the half of them that is farther from its end."""
    agreement = np.array([[_agreement(one.track, each.track) for each in fresh] for one in found])
    pairs = linear_sum_assignment(-agreement) if agreement.size else ((), ())
    same = {int(column): found[row] for row, column in zip(*pairs, strict=True) if agreement[row, column] >= _SAME_IOU}
    shifts = [
        known.nearness[at] - fresh[column].nearness[at]
        for column, known in same.items()
        for at in known.nearness.keys() & fresh[column].nearness.keys()
    ]
    shift = float(np.median(shifts)) if shifts else 0.0  # depth is comparable within a chunk only
    for column, each in enumerate(fresh):
        each.nearness = {at: near + shift for at, near in each.nearness.items()}
        if column not in same:
            found.append(each)
            continue
        known, late = same[column], start + OVERLAP_FRAMES // 2
        taken = {at for at in each.track.masks if at >= late or at not in known.track.masks}
        known.track.masks.update({at: each.track.masks[at] for at in taken})
        known.track.scores.update({at: each.track.scores[at] for at in taken})
        known.nearness.update({at: each.nearness[at] for at in taken})
        known.embeddings.update(each.embeddings)


def _agreement(one: Track, other: Track) -> float:
    shared = one.masks.keys() & other.masks.keys()
    if not shared or one.category != other.category:
        return 0.0
    return float(np.mean([masks.iou(one.masks[at], other.masks[at]) for at in shared]))


def _linked(found: list[_Found], how: LinkingConfig) -> list[_Found]:
    """Interrupted tracks as one: first those that go on where they stopped, then who comes back elsewhere, which only
    looks tell and which must be clearer."""
    for anywhere in (False, True):
        least = how.min_similarity + (how.margin if anywhere else 0.0)
        parts, found = found, []
        identities = linking.link(
            [each.track for each in parts], [each.embeddings for each in parts], least, how.margin, anywhere
        )
        for identity in identities:
            own = [
                each for each in parts if any(identity.masks.get(at) is mask for at, mask in each.track.masks.items())
            ]
            near = {at: value for each in own for at, value in each.nearness.items()}
            found.append(_Found(Track(identity.category, identity.masks, identity.scores), near, identity.embeddings))
    return found


def _named(found: Sequence[_Found], num_frames: int) -> list[InstanceTrack]:
    """Numbered per category, by the first frame that shows them and from left to right in it."""
    tracks = [each.track for each in found]
    masks.separate_tracks(tracks)
    kept = [each for each in found if each.track.masks]
    order = sorted(kept, key=lambda each: (min(each.track.masks), _centre_x(each.track)))
    count: dict[str, int] = {}
    named = []
    for each in order:
        category = each.track.category
        count[category] = count.get(category, 0) + 1
        named.append(_dense(f"{category} {count[category]}", each, num_frames))
    return named


def _centre_x(track: Track) -> float:
    return float(np.nonzero(track.masks[min(track.masks)])[1].mean())


def _dense(name: str, found: _Found, num_frames: int) -> InstanceTrack:
    shape = next(iter(found.track.masks.values())).shape
    dense = InstanceTrack(
        name,
        found.track.category,
        np.zeros((num_frames, *shape), np.bool_),
        np.zeros(num_frames, np.bool_),
        np.zeros(num_frames, np.float32),
        np.zeros(num_frames, np.float32),
    )
    for at, mask in found.track.masks.items():
        dense.masks[at], dense.seen[at] = mask, True
        dense.scores[at] = found.track.scores[at]
        dense.nearness[at] = np.clip(found.nearness[at], 0, 1)
    return dense


def from_labels(
    labels: NDArray[np.uint8], frames: Sequence[Image], nearness: Nearness, categories: Mapping[int, str]
) -> list[InstanceTrack]:
    """Tracks from masks somebody already has. labels: (T, H, W) uint8, 0 = background, n = instance n, as palette PNGs
    hold them. categories: of each number; `subject` where none is given.

    Raises BadInput (BAD_MASKS) when the masks are not as many, or not of the size, of the frames.
    """
    if labels.shape[:1] != (len(frames),) or any(image.shape[:2] != labels.shape[1:] for image in frames):
        size = "x".join(str(side) for side in frames[0].shape[1::-1]) if frames else "no"
        told = f"masks of shape {labels.shape} for {len(frames)} frames of {size} pixels"
        raise BadInput(Reason.BAD_MASKS, told)
    numbers = [int(number) for number in np.unique(labels) if number]
    tracks = []
    for number in numbers:
        video: MaskVideo = labels == number
        seen = {int(at): video[at] for at in np.flatnonzero(video.any(axis=(1, 2)))}
        tracks.append(Track(categories.get(number, "subject"), seen, dict.fromkeys(seen, 1.0)))
    depths = _depth_of(tracks, dict(enumerate(frames)), nearness)
    return _named([_Found(each, depth) for each, depth in zip(tracks, depths, strict=True)], len(frames))
