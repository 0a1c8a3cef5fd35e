"""Temporal priors of an edit's masks: dropouts filled, flicker and noise voted out.

IMAGEdit (arXiv 2510.01186) calls this prior-based mask retargeting; its priors are not published. Ours are the flow
between neighbouring frames, and that subjects neither appear nor vanish in the middle of a picture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.tracks import InstanceTrack, MaskVideo
from schemas.video import Image, Mask
from stages import masks, segmentation, standing
from stages.motion import Map
from stages.naming import Swap, unswap
from stages.transport import Transport, enlarged

MAX_GAP_FRAMES = 12  # half a second: who is away for longer has left
_MIN_LIFE_FRAMES = 3
_REACH_FRAMES = 3  # before and after, that tell whether a mask is strange
_VOTES = {step: 1.0 if abs(step) < 9 else 0.7 for step in (-12, -9, -6, -4, -2, -1, 1, 2, 4, 6, 9, 12)}
"""Of frames so far away, which outlast a shape that is claimed wrongly for a third of a second."""
_OWN_VOTE = 1.5
_COLOUR_VOTE = 0.5  # of all votes, where colours are sure
_AGREED_VOTES = 0.4  # of -1..1: what teaches colours
_MIN_AGREED_PX = 40
_ROUNDS = 2
_NOISY_SHARE = 0.0075  # exact masks have up to 0.0043 (0.012 behind poles), those of motion 0.0095 and more
_TRUSTED = 0.5
_LEAST_TRUST = 0.25  # of a mask that is carried into a gap: where neither can be trusted, the nearer counts
_MIN_SURVIVING = 0.3  # IoU of what both ends of a gap expect in its middle: less, and it was not there
_STRANGE = 0.5  # IoU with what both neighbours expect
_AGREED = 0.7  # of what they expect
_THREAD_SHARE = 0.035  # of the root of the mask's area: radius of a disc that fits into what may change
_SPECK_SHARE = 0.01  # of the mask
_SURE_PX = 4.0  # inside or outside of the outline: more says no more
_COLOUR_WEIGHT = 0.5
_COLOUR_LIMIT = 4.0
_RING_SHARE = 0.4  # of the root of the area: what counts as surroundings


def repair(tracks: Sequence[InstanceTrack], transport: Transport) -> tuple[list[InstanceTrack], list[Swap]]:
    """The tracks as they most likely were, and where names had changed places; see the single steps.

    Masks of different instances may overlap afterwards: `ownership.share_out` settles that. A track of which nothing
    is left is dropped.
    """
    named, swaps = unswap(tracks, transport)
    lasting = [without_flicker(each, transport) for each in named]
    calm = steady([fill(each, transport) for each in lasting if each.masks.any()], transport)
    return [standing.stay(_filled_anew(each, transport), transport) for each in calm], swaps


def without_flicker(track: InstanceTrack, transport: Transport) -> InstanceTrack:
    """The track without what shows up for less than three frames and is gone for long before and after, and without
    single masks that neither neighbour expects although they agree."""
    kept = track.masks.copy()
    for life in _lives(kept):
        if life[-1] - life[0] + 1 < _MIN_LIFE_FRAMES and len(kept) >= _MIN_LIFE_FRAMES:
            kept[life] = False
        for before, frame, after in zip(life, life[1:], life[2:], strict=False):
            if _is_strange(kept, before, frame, after, transport):
                kept[frame] = False
    return _with_masks(track, kept, track.seen)


def _lives(video: MaskVideo) -> list[list[int]]:
    """Frames that show the instance, apart wherever it is away for too long to be a dropout."""
    lives: list[list[int]] = []
    for frame in _present(video):
        if not lives or frame - lives[-1][-1] > MAX_GAP_FRAMES + 1:
            lives.append([])
        lives[-1].append(frame)
    return lives


def _is_strange(video: MaskVideo, before: int, frame: int, after: int, transport: Transport) -> bool:
    if after - before > 2 * _REACH_FRAMES or not video[before].any():
        return False
    if masks.iou(video[before], video[frame]) >= _STRANGE:
        return False  # cheap, and nearly always the answer
    own, one, other = (_carried(video, each, frame, transport) for each in (frame, before, after))
    return masks.iou(one, other) >= _AGREED and max(masks.iou(one, own), masks.iou(other, own)) < _STRANGE


def _carried(video: MaskVideo, start: int, end: int, transport: Transport) -> Mask:
    return np.asarray(transport.carry(transport.reduced(video[start]), start, end) > 0.5, dtype=np.bool_)


def fill(track: InstanceTrack, transport: Transport) -> InstanceTrack:
    """The track with its gaps of at most MAX_GAP_FRAMES filled in, which are then not `seen`.

    The masks on both sides are carried into the gap along the flow, and blended by their signed distances: the nearer
    in time counts more, and so does flow that can be trusted. Where they differ, colours count as well. If they have
    little in common in the middle, the instance was away, and stays so.
    """
    filled = track.masks.copy()
    for life in _lives(track.masks):
        for before, after in pairwise(life):
            if after - before > 1:
                filled[before + 1 : after] = _between(track.masks, before, after, transport)
    return _with_masks(track, filled, track.seen & track.masks.any(axis=(1, 2)))


def _filled_anew(track: InstanceTrack, transport: Transport) -> InstanceTrack:
    """What was filled in is made again, of the masks that were seen as they are now; where that fails, it stays."""
    seen = np.where(track.seen[:, None, None], track.masks, False)
    anew = fill(_with_masks(track, seen, track.seen), transport).masks
    return _with_masks(track, np.where(anew.any(axis=(1, 2), keepdims=True), anew, track.masks), track.seen)


def _between(video: MaskVideo, before: int, after: int, transport: Transport) -> MaskVideo:
    """(after - before - 1, H, W): the masks of the frames in between; empty ones where the two do not fit together."""
    span, middle = after - before, (before + after) // 2
    found: MaskVideo = np.zeros((span - 1, *video.shape[1:]), np.bool_)
    if masks.iou(*(_carried(video, each, middle, transport) for each in (before, after))) < _MIN_SURVIVING:
        return found
    for frame in range(before + 1, after):
        later = (frame - before) / span
        one, other = (_carried(video, each, frame, transport) for each in (before, after))
        if one.any() and other.any():
            trusts = [_LEAST_TRUST + transport.trust(each, frame) for each in (before, after)]
            weight, weight_other = (1 - later) * trusts[0], later * trusts[1]
            blended = (weight * _inside_px(one) + weight_other * _inside_px(other)) / (weight + weight_other)
            inside = np.tanh(blended / _SURE_PX)
            looks = _looks_like(video, before, frame, after, transport)
            inside = np.where(one ^ other, inside + _COLOUR_WEIGHT * looks, inside)
            found[frame - before - 1] = enlarged(inside.astype(np.float32), *video.shape[1:]) > 0
    return found


def _inside_px(mask: Mask) -> Map:
    """Signed distance that is finite for a mask that fills the frame."""
    return np.clip(masks.signed_distance(mask), -1e4, 1e4)


def _looks_like(video: MaskVideo, before: int, frame: int, after: int, transport: Transport) -> Map:
    """(h, w) how much more the colours of a frame are those of the instance than of its surroundings, as log likelihood
    ratio, learned from the frames on both sides of a gap."""
    ends = [transport.reduced(video[each]) > 0.5 for each in (before, after)]
    rings = [
        (away > 1) & (away < _RING_SHARE * np.sqrt(masks.area_px(end)))
        for end in ends
        for away in [masks.distance_to(end)]
    ]
    blank = np.zeros_like(ends[0])
    ratio = segmentation.colour_ratio(
        np.vstack([transport.images[each] for each in (before, frame, after)]),
        np.vstack([ends[0], blank, ends[1]]),
        np.vstack([rings[0], blank, rings[1]]),
    )
    own = np.clip(ratio[len(blank) : 2 * len(blank)], -_COLOUR_LIMIT, _COLOUR_LIMIT)
    return np.asarray(cv2.blur(own, (5, 5)), dtype=np.float32)


def steady(tracks: Sequence[InstanceTrack], transport: Transport) -> list[InstanceTrack]:
    """The tracks with every mask that was seen outvoted by its neighbours in time: what only a few say is noise.

    Frames up to half a second before and after vote with their masks, carried along the flow, as far as that can be
    trusted. Where they are divided, as when a shape was closed over its surroundings for a while, the colours of what
    they agree on decide. Only what is as thick as noise is changed: flow is not as exact as a good outline. Two rounds,
    so that votes and colours of the second come from masks with less noise. An instance that is not in the picture
    stays out of it, and a track whose masks hardly contradict each other stays as it is: flow would only blunt what
    moves fast.
    """
    noise = [_noise(track, transport) for track in tracks]
    steadied = list(tracks)
    for _ in range(_ROUNDS):
        voted = [track.masks.copy() for track in steadied]
        small = [
            {frame: transport.reduced(track.masks[frame]) for frame in _present(track.masks) if share >= _NOISY_SHARE}
            for track, share in zip(steadied, noise, strict=True)
        ]
        for frame in range(len(transport.images)):  # all tracks of a frame together: they share its flows
            for track, video, here in zip(tracks, voted, small, strict=True):
                if not (track.seen[frame] and frame in here):
                    continue
                outcome = _voted(video[frame], here, frame, transport)
                if outcome.any():
                    video[frame] = outcome
        steadied = [_with_masks(track, video, track.seen) for track, video in zip(steadied, voted, strict=True)]
    return steadied


def _noise(track: InstanceTrack, transport: Transport) -> float:
    """How much of the masks that were seen, as a share of their area, neither the last nor the next expects so."""
    seen = [int(frame) for frame in np.flatnonzero(track.seen & track.masks.any(axis=(1, 2)))]
    contradicted = []
    for before, frame, after in zip(seen, seen[1:], seen[2:], strict=False):
        if after - before <= 2 * _REACH_FRAMES:
            own, *expected = (_carried(track.masks, at, frame, transport) for at in (frame, before, after))
            odd = np.logical_and.reduce([own ^ _thickly(own, each) for each in expected])
            odd &= np.minimum(*(transport.trust(at, frame) for at in (before, after))) > _TRUSTED
            contradicted.append(masks.area_px(odd) / max(masks.area_px(own), 1))
    return float(np.mean(contradicted)) if contradicted else 0.0


def _voted(mask: Mask, small: Mapping[int, Map], frame: int, transport: Transport) -> Mask:
    """(H, W) what the masks near a frame say of it. small: every mask of the track, reduced, by frame."""
    weights = {frame + step: weight for step, weight in _VOTES.items() if frame + step in small}
    own, others = small[frame], np.zeros_like(small[frame])
    total = np.full_like(own, _OWN_VOTE)
    for at, weight in weights.items():
        believed = weight * transport.trust(at, frame)
        others += believed * (2 * transport.carry(small[at], at, frame) - 1)
        total += believed
    agreed = np.asarray((others + _OWN_VOTE * (2 * own - 1)) / total, dtype=np.float32)
    looks = _agreed_colours(transport.images[frame], own > 0.5, agreed)
    votes = enlarged(others + _COLOUR_VOTE * total * looks, *mask.shape)
    votes += _OWN_VOTE * (2.0 * mask - 1)  # at full size: the outline stays as sharp as it is
    return _without_specks(_thickly(mask, votes > 0))


def _agreed_colours(image: Image, own: Mask, votes: Map) -> Map:
    """(h, w) in [-1, 1]: by how much a pixel looks more like what the votes (-1..1) agree is the instance than like
    what they agree is around it; 0 without enough of both."""
    inside, outside = votes > _AGREED_VOTES, _near(own) & (votes < -_AGREED_VOTES)
    if min(masks.area_px(inside), masks.area_px(outside)) < _MIN_AGREED_PX:
        return np.zeros_like(votes)
    ratio = np.clip(segmentation.colour_ratio(image, inside, outside), -_COLOUR_LIMIT, _COLOUR_LIMIT)
    return np.asarray(cv2.blur(ratio, (5, 5)) / _COLOUR_LIMIT, dtype=np.float32)


def _near(mask: Mask) -> Mask:
    return np.asarray(masks.distance_to(mask) < _RING_SHARE * np.sqrt(masks.area_px(mask)), dtype=np.bool_)


def _thickly(mask: Mask, voted: Mask) -> Mask:
    """The mask, changed to what was voted where the difference is more than a thread along the outline."""
    differs = mask ^ voted
    radius_px = _THREAD_SHARE * float(np.sqrt(masks.area_px(mask)))
    return np.asarray(mask ^ (masks.dilate(masks.erode(differs, radius_px), 2 * radius_px) & differs), dtype=np.bool_)


def _without_specks(mask: Mask) -> Mask:
    """Without small parts, and without small holes; a hull would take everything up to a speck along."""
    limit_px = int(_SPECK_SHARE * masks.area_px(mask))
    kept: Mask = np.zeros_like(mask)
    for part in masks.components(mask, limit_px + 1):
        kept |= part
    return masks.fill_holes(kept, limit_px)


def _present(video: MaskVideo) -> list[int]:
    return [int(frame) for frame in np.flatnonzero(video.any(axis=(1, 2)))]


def _with_masks(track: InstanceTrack, video: MaskVideo, seen: NDArray[np.bool_]) -> InstanceTrack:
    found = seen & video.any(axis=(1, 2))
    return replace(track, masks=video, seen=found, scores=np.where(found, track.scores, 0).astype(np.float32))
