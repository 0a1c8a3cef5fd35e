"""Verification of an edit: what the stored video shows against its source, then what a model says of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from actors.detector import Detector
from actors.embedder import Embedder
from actors.vlm import Vlm
from pipeline import edited_files
from schemas.config import EditThresholds
from schemas.edit import Action, Edit
from schemas.passes import EditPass
from schemas.sample import Verdict
from schemas.tracks import InstanceTrack, MaskVideo
from schemas.video import Footage, Image, Mask
from stages import contact_sheet, edit_checks, edit_verdict, encoding, masks, paste_back
from stages.edit_motion import Part
from stages.media import VideoSource

NUM_LOOKED_AT = 8
"""Frames of an edit that detectors and embedders are asked about."""

NUM_SHOWN = 4
"""Of these, at most, on the sheet beside the video."""

WHITE = 250
"""Levels from which on a reference's background is taken for white."""


PARTS = {
    Action.REPLACE: Part.CHANGED,
    Action.ADD: Part.CHANGED,
    Action.REMOVE: Part.EMPTIED,
    Action.BACKGROUND: Part.SCENE,
}


class Roles(Protocol):
    """What verification asks of a profile."""

    detector: Detector
    embedder: Embedder
    vlm: Vlm


@dataclass(frozen=True)
class Asked:
    """What was to change: the edits of every turn, the passes they became, and everybody in the clip."""

    edits: Sequence[Edit]
    passes: Sequence[EditPass]
    tracks: Sequence[InstanceTrack]
    seed: int


def verify(
    roles: Roles, path: VideoSource, written: Path, asked: Asked, thresholds: EditThresholds
) -> tuple[Verdict, Image]:
    """The verdict on the stored video, never on what was in memory; and some of it above its source, to look at."""
    region: MaskVideo = np.logical_or.reduce([each.masks for each in asked.passes])
    looked_at = {round(at) for at in np.linspace(0, len(region) - 1, NUM_LOOKED_AT)}
    seen, before = dict[int, Image](), dict[int, Image]()
    source = _noted((frame.image for frame in encoding.read_clip(path)), looked_at, before)
    edited = _noted(edited_files.frames(written), looked_at, seen)
    parts = {part: _shown(asked, part) for part in Part}
    core = parts[Part.CHANGED] & ~parts[Part.EMPTIED] & ~parts[Part.SCENE]
    first = next(frame.image for frame in encoding.read_clip(path))
    feather = paste_back.feather_px(*first.shape[:2])
    scores = edit_checks.measure(source, edited, region, feather, core, parts[Part.EMPTIED], parts[Part.SCENE])
    scores["count_share"] = _count_share(roles.detector, asked, seen)
    scores["target_identity"] = _identity(roles.embedder, asked, seen)
    verdict = edit_checks.judge(scores, thresholds)
    if verdict.passed:  # a model is asked only about what nothing measured speaks against
        both = sorted(before.keys() & seen.keys())
        pictures = [before[number] for number in both], [seen[number] for number in both]
        question = edit_verdict.verdict_question(asked.edits, *pictures, verdict.checks, asked.seed)
        verdict.checks.append(edit_verdict.vlm_check(roles.vlm.ask([question])[0], thresholds.min_vlm_score))
    return verdict, _beside(before, seen)


def _count_share(detector: Detector, asked: Asked, seen: dict[int, Image]) -> float | None:
    """Whether as many targets are found in the edit as the source's tracks have there; None when the detector cannot be
    asked for them by name."""
    replaced = [each for each in asked.passes if each.action is Action.REPLACE and each.target]
    if not replaced or not detector.reads_phrases:
        return None
    shares = []
    for each in replaced:
        chosen = [asked.tracks[at].masks for at in each.instances]
        shown = [number for number in sorted(seen) if any(masks[number].any() for masks in chosen)]
        expected = [sum(bool(masks[number].any()) for masks in chosen) for number in shown]
        count = partial(_count, detector, each.target)
        shares.append(edit_checks.count_share([seen[number] for number in shown], expected, count))
    return min((share for share in shares if share is not None), default=None)


def _count(detector: Detector, target: str, images: Sequence[Image]) -> list[int]:
    numbers = list(range(len(images)))
    footage = Footage(list(images), numbers, [float(number) for number in numbers], numbers, images[0].shape[:2])
    return [len(found) for found in detector.detect(footage, [target])]


def _identity(embedder: Embedder, asked: Asked, seen: dict[int, Image]) -> float | None:
    """How like its reference each target became; None without references."""
    likeness = []
    for each in asked.passes:
        if each.action is Action.REPLACE and each.references:
            views = [(image, masks.resize(each.masks[number], *image.shape[:2])) for number, image in seen.items()]
            shown = [(image, mask) for image, mask in views if mask.any()]
            wanted = [(picture, _on_white(picture)) for picture in each.references]
            likeness.append(edit_checks.target_identity(shown, wanted, embedder.embed))
    return min((each for each in likeness if each is not None), default=None)


def _noted(frames: Iterator[Image], wanted: set[int], seen: dict[int, Image]) -> Iterator[Image]:
    for number, frame in enumerate(frames):
        if number in wanted:
            seen[number] = frame
        yield frame


def _beside(before: dict[int, Image], after: dict[int, Image]) -> Image:
    """Some frames above what became of them; black where the edit has none."""
    shown = sorted(before)[:: max(-(-len(before) // NUM_SHOWN), 1)]
    return contact_sheet.before_and_after(
        [before[number] for number in shown],
        [after.get(number, np.zeros_like(before[number])) for number in shown],
    )


def _shown(asked: Asked, part: Part) -> MaskVideo:
    """(T, h, w) where passes of one kind must show: their subjects, or all of the region where there were none."""
    shown: MaskVideo = np.zeros_like(asked.tracks[0].masks)
    for each in asked.passes:
        if PARTS[each.action] is part:
            whole = each.action in (Action.BACKGROUND, Action.ADD) or not each.instances
            shown |= each.masks if whole else np.logical_or.reduce([asked.tracks[at].masks for at in each.instances])
    return shown


def _on_white(picture: Image) -> Mask:
    """What is not the white that references stand on; all of it where there is none."""
    shown: Mask = (picture < WHITE).any(axis=2)
    return shown if shown.any() else ~shown
