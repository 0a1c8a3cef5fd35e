"""Modules B and C of IMAGEdit, then verification: an aligned job in, its edited and measured video out.

tracks -> retargeted masks -> passes, back to front -> windows, paste-back -> encoded -> measured on the stored video
"""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import numpy as np

from actors.profiles import Roles
from pipeline import edited_files, sheets, tracks_file
from pipeline.edit_rows import JOB, TURNS, options_of
from pipeline.engine import OUT_OF_REACH
from schemas.config import Config, EditConfig
from schemas.edit import Action, Bound
from schemas.errors import BadInput
from schemas.keys import seed_of
from schemas.passes import EditPass
from schemas.reasons import Reason
from schemas.sample import Verdict
from schemas.tracks import InstanceTrack, MaskVideo
from schemas.video import Footage, Image, Mask, OutputFormat
from schemas.work import Outcome, Phase, Result, Unit
from stages import camera, contact_sheet, edit_checks, edit_clip, encoding, masks, passes, paste_back, retargeting
from stages.camera import Survey
from stages.edit_clip import Generation
from stages.edit_motion import Part
from stages.encoding import Encoded
from stages.leakage import Leakage
from stages.tubes import Sizing

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


class EditVideo:
    """An aligned job in; an attempt out, and when it passed, a video file and its `edits` row.

    Payload: the job's row, its source's path, the output's folder, and the fingerprint of the thresholds. Raises what
    reading the source raises.
    """

    def __init__(self, roles: Roles, config: Config) -> None:
        self._roles, self._config = roles, config

    def __call__(self, unit: Unit) -> Result:
        began = perf_counter()
        payload = unit.payload
        how = options_of(JOB.validate_json(payload["request"]), self._config.editing)
        tracks = tracks_file.read(Path(payload["out"]) / payload["tracks"])
        part = edited_files.part(Path(payload["out"]), unit.key, unit.attempt)
        try:
            turns = [_passes(turn, tracks, how.joint) for turn in TURNS.validate_json(payload["bound"])]
            leakages = [Leakage(tracks, turn) for turn in turns]
            frames = self._edited(unit, tracks, turns, leakages, how)
            encoded = encoding.encode(payload["path"], frames, part, OutputFormat(how.format))
        except BadInput as bad:
            if bad.reason in OUT_OF_REACH:
                raise
            return _given_up(unit, bad)
        drawn = perf_counter()
        verdict, sheet = self._verify(payload["path"], tracks, turns, encoded)
        shares = [share for each in leakages for row in each.shares() for share in row if share is not None]
        verdict.scores["leakage"] = max(shares, default=0.0)  # reported, not judged: passes do not leak by design
        seconds = {"edit": drawn - began, "verify": perf_counter() - drawn}
        attempt = _attempt(unit, verdict, turns, seconds)
        out, name = Path(payload["out"]), payload["name"]
        if not verdict.passed:
            edited_files.remove(encoded.path)
            sheets.write(out, sheets.FAILED, name, unit.key, sheet)
            return _sent_back(unit, verdict, attempt)
        sheets.remove(out, sheets.FAILED, name, unit.key)
        sheets.write(out, sheets.EDITED, name, unit.key, sheet)
        video, sha256 = edited_files.accept(out, encoded.path, name, unit.key)
        row = {
            "key": unit.key,
            "content_hash": payload["content_hash"],
            "source_uri": payload["uri"],
            "name": name,
            "attempt": unit.attempt,
            "seed": attempt["seed"],
            "video": video,
            "video_sha256": sha256,
            "num_frames": encoded.num_frames,
            "left_out": list(encoded.left_out),
            "verdict": verdict.scores,
            "profile": self._config.profile,
        }
        rows = {"edits": [row], "attempts": [attempt]}
        return Result(Phase.EDIT, unit.key, unit.task, unit.attempt, rows=rows, seconds=seconds)

    def _edited(
        self,
        unit: Unit,
        tracks: Sequence[InstanceTrack],
        turns: Sequence[list[EditPass]],
        leakages: Sequence[Leakage],
        how: EditConfig,
    ) -> Iterator[Image]:
        """Every turn works on what the one before gives out, frame by frame."""
        generator = self._roles.video_generator
        path = unit.payload["path"]
        survey: Survey | None = None
        if generator.uses_surroundings:
            survey = camera.survey(_pictures(path), [track.masks for track in tracks])
        frames = _pictures(path)
        for number, (turn, leakage) in enumerate(zip(turns, leakages, strict=True)):
            generation = Generation(
                key=f"{unit.key}-{number}",
                attempt=unit.attempt,
                max_frames=generator.max_frames,
                overlap=how.overlap_frames,
                sizing=Sizing(how.sizing),
                native_pixels=how.native_pixels,
            )
            frames = edit_clip.edit_clip(frames, tracks, turn, generator.generate, generation, survey, leakage)
        return frames

    def _verify(
        self, path: str, tracks: Sequence[InstanceTrack], turns: Sequence[list[EditPass]], encoded: Encoded
    ) -> tuple[Verdict, Image]:
        """What the stored video shows, against the source's; never what was in memory. And some of it to look at."""
        every = [each for turn in turns for each in turn]
        region: MaskVideo = np.logical_or.reduce([each.masks for each in every])
        looked_at = {round(at) for at in np.linspace(0, len(region) - 1, NUM_LOOKED_AT)}
        seen, before = dict[int, Image](), dict[int, Image]()
        source = _noted(_pictures(path), looked_at, before)
        edited = _noted(edited_files.frames(encoded.path), looked_at, seen)
        first = next(_pictures(path))
        feather = paste_back.feather_px(*first.shape[:2])
        parts = {part: _shown(every, part, tracks) for part in Part}
        core = parts[Part.CHANGED] & ~parts[Part.EMPTIED] & ~parts[Part.SCENE]
        scores = edit_checks.measure(source, edited, region, feather, core, parts[Part.EMPTIED], parts[Part.SCENE])
        scores["count_share"] = self._count_share(every, tracks, seen)
        scores["target_identity"] = self._identity(every, tracks, seen)
        return edit_checks.judge(scores, self._config.edit_thresholds), _beside(before, seen)

    def _count_share(
        self, every: Sequence[EditPass], tracks: Sequence[InstanceTrack], seen: dict[int, Image]
    ) -> float | None:
        """Whether as many targets are found in the edit as the source's tracks have there; None when the detector
        cannot be asked for them by name."""
        replaced = [each for each in every if each.action is Action.REPLACE and each.target]
        if not replaced or not self._roles.detector.reads_phrases:
            return None
        shares = []
        for each in replaced:
            chosen = [tracks[at].masks for at in each.instances]
            shown = [number for number in sorted(seen) if any(masks[number].any() for masks in chosen)]
            expected = [sum(bool(masks[number].any()) for masks in chosen) for number in shown]
            count = partial(self._count, each.target)
            shares.append(edit_checks.count_share([seen[number] for number in shown], expected, count))
        return min((share for share in shares if share is not None), default=None)

    def _count(self, target: str, images: Sequence[Image]) -> list[int]:
        numbers = list(range(len(images)))
        footage = Footage(list(images), numbers, [float(number) for number in numbers], numbers, images[0].shape[:2])
        return [len(found) for found in self._roles.detector.detect(footage, [target])]

    def _identity(
        self, every: Sequence[EditPass], tracks: Sequence[InstanceTrack], seen: dict[int, Image]
    ) -> float | None:
        """How like its reference each target became; None without references."""
        likeness = []
        for each in every:
            if each.action is Action.REPLACE and each.references:
                views = [(image, masks.resize(each.masks[number], *image.shape[:2])) for number, image in seen.items()]
                shown = [(image, mask) for image, mask in views if mask.any()]
                wanted = [(picture, _on_white(picture)) for picture in each.references]
                likeness.append(edit_checks.target_identity(shown, wanted, self._roles.embedder.embed))
        return min((each for each in likeness if each is not None), default=None)


def _passes(bound: Sequence[Bound], tracks: Sequence[InstanceTrack], joint: bool) -> list[EditPass]:
    """One per distinct target, in the order they are drawn."""
    regions = retargeting.retarget(tracks, bound)
    return passes.plan_passes([_wanted(each, tracks, regions) for each in bound], joint)


def _pictures(path: str) -> Iterator[Image]:
    return (frame.image for frame in encoding.read_clip(path))


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


def _wanted(bound: Bound, tracks: Sequence[InstanceTrack], regions: dict[int, MaskVideo]) -> EditPass:
    """What one edit asks to be drawn."""
    edit, chosen = bound.edit, [tracks[at] for at in bound.instances]
    if edit.action is Action.BACKGROUND:
        region = retargeting.backdrop(tracks)
    elif edit.action is Action.ADD:
        region = retargeting.placed(bound, tracks)
    else:
        region = np.logical_or.reduce([regions[at] for at in bound.instances])
    nearness = [float(track.nearness[track.seen].mean()) for track in chosen if track.seen.any()]
    return EditPass(
        action=edit.action,
        masks=region,
        targets=(bound.instances,),
        target=edit.target,
        prompt=edit.prompt,
        negative=edit.negative,
        references=(_read_picture(edit.reference),) if edit.reference else (),
        nearness=float(np.mean(nearness)) if nearness else 0.0,
    )


def _shown(every: Sequence[EditPass], part: Part, tracks: Sequence[InstanceTrack]) -> MaskVideo:
    """(T, h, w) where passes of one kind must show: their subjects, or all of the region where there were none."""
    shown: MaskVideo = np.zeros_like(tracks[0].masks)
    for each in every:
        if PARTS[each.action] is part:
            whole = each.action in (Action.BACKGROUND, Action.ADD) or not each.instances
            shown |= each.masks if whole else np.logical_or.reduce([tracks[at].masks for at in each.instances])
    return shown


def _read_picture(path: str) -> Image:
    """Raises BadInput(MISSING) for one that cannot be read now."""
    content = Path(path).read_bytes() if Path(path).is_file() else b""
    found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    if found is None:
        raise BadInput(Reason.MISSING, f"the reference {path} cannot be read")
    return np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB), np.uint8)


def _on_white(picture: Image) -> Mask:
    """What is not the white that references stand on; all of it where there is none."""
    shown: Mask = (picture < WHITE).any(axis=2)
    return shown if shown.any() else ~shown


def _attempt(
    unit: Unit, verdict: Verdict, turns: Sequence[list[EditPass]], seconds: dict[str, float]
) -> dict[str, Any]:
    drawn = [{"action": str(each.action), "target": each.target} for turn in turns for each in turn]
    return {
        "attempt": unit.attempt,
        "seed": seed_of(unit.key, unit.attempt),
        "rung": unit.attempt,
        "parameters": json.dumps({"passes": drawn}, sort_keys=True),
        "verdict": verdict.scores,
        "decision": unit.payload["verdict_fingerprint"],
        "reasons": [str(reason) for reason in verdict.reasons],
        "seconds": seconds,
        "reason": str(verdict.reasons[0]) if verdict.reasons else None,
    }


def _sent_back(unit: Unit, verdict: Verdict, attempt: dict[str, Any]) -> Result:
    told = "; ".join(reason.meaning for reason in verdict.reasons)
    message = f"attempt {unit.attempt + 1} failed verification: {told}"
    rows = {"attempts": [attempt]}
    reason = verdict.reasons[0]
    return Result(Phase.EDIT, unit.key, unit.task, unit.attempt, Outcome.RETRY, reason, message, "verify", rows)


def _given_up(unit: Unit, bad: BadInput) -> Result:
    """What another seed cannot mend: a dead letter at once."""
    return Result(Phase.EDIT, unit.key, unit.task, unit.attempt, Outcome.EXHAUSTED, bad.reason, bad.message, "edit")
