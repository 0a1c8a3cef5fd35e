"""Modules B and C of IMAGEdit, then verification: an aligned job in, its edited and measured video out.

tracks -> retargeted masks -> passes, back to front -> windows, paste-back -> encoded -> measured on the stored video
"""

import json
import os
from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from actors.profiles import Roles
from cluster.folder import Folder, output_folder
from cluster.s3 import is_s3
from cluster.storage import read_file, video_at
from pipeline import edit_verify, edited_files, sheets, tracks_file
from pipeline.edit_rows import JOB, TURNS, options_of
from pipeline.edit_verify import Asked
from pipeline.engine import OUT_OF_REACH
from schemas.config import Config, EditConfig
from schemas.edit import Action, Bound
from schemas.errors import BadInput
from schemas.keys import seed_of
from schemas.passes import EditPass
from schemas.reasons import Reason
from schemas.sample import Verdict
from schemas.tracks import InstanceTrack, MaskVideo
from schemas.video import Image, OutputFormat
from schemas.work import Outcome, Phase, Result, Unit
from stages import camera, edit_clip, encoding, media, passes, retargeting
from stages.camera import Survey
from stages.edit_clip import Generation
from stages.leakage import Leakage
from stages.pictures import decode_picture
from stages.tubes import Sizing


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
        out = output_folder(payload["out"])
        how = options_of(JOB.validate_json(payload["request"]), self._config.editing)
        tracks = tracks_file.read(out, payload["tracks"])
        part = edited_files.part(out, unit.key, unit.attempt)
        try:
            bound = TURNS.validate_json(payload["bound"])
            turns = [_passes(turn, tracks, out, how.joint) for turn in bound]
            leakages = [Leakage(tracks, turn) for turn in turns]
            frames = self._edited(unit, tracks, turns, leakages, how)
            encoded = encoding.encode(video_at(payload["path"]), frames, part, OutputFormat(how.format))
        except BadInput as bad:
            if bad.reason in OUT_OF_REACH:
                raise
            return _given_up(unit, bad)
        drawn = perf_counter()
        edits = [each.edit for turn in bound for each in turn]
        asked = Asked(
            edits, [each for turn in turns for each in turn], tracks, seed_of(unit.key, unit.attempt, "verdict")
        )
        thresholds = self._config.edit_thresholds
        verdict, sheet = edit_verify.verify(self._roles, video_at(payload["path"]), encoded.path, asked, thresholds)
        shares = [share for each in leakages for row in each.shares() for share in row if share is not None]
        scores = verdict.scores | {"leakage": max(shares, default=0.0)}  # reported, not judged
        seconds = {"edit": drawn - began, "verify": perf_counter() - drawn}
        attempt = _attempt(unit, verdict, scores, turns, seconds)
        name = payload["name"]
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
            "verdict": scores,
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
        path = video_at(unit.payload["path"])
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
            control = self._roles.depth.nearness if how.control == "depth" else None
            frames = edit_clip.edit_clip(frames, tracks, turn, generator.generate, generation, survey, leakage, control)
        return frames


def _passes(bound: Sequence[Bound], tracks: Sequence[InstanceTrack], out: Folder, joint: bool) -> list[EditPass]:
    """One per distinct target, in the order they are drawn."""
    regions = retargeting.retarget(tracks, bound)
    return passes.plan_passes([_wanted(each, tracks, regions, out) for each in bound], joint)


def _pictures(source: media.VideoSource) -> Iterator[Image]:
    return (frame.image for frame in encoding.read_clip(source))


def _wanted(bound: Bound, tracks: Sequence[InstanceTrack], regions: dict[int, MaskVideo], out: Folder) -> EditPass:
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
        references=(_read_picture(out, edit.reference),) if edit.reference else (),
        nearness=float(np.mean(nearness)) if nearness else 0.0,
    )


def _read_picture(out: Folder, reference: str) -> Image:
    """One that was given, or that was drawn and lies below the output. Raises BadInput: MISSING, UNREADABLE,
    TOO_LARGE."""
    is_given = is_s3(reference) or os.path.isabs(reference)
    try:
        content = read_file(reference) if is_given else out.read(reference)
    except (OSError, BadInput):
        raise BadInput(Reason.MISSING, f"the reference {reference} cannot be read") from None
    try:
        return decode_picture(content)
    except BadInput as bad:
        raise BadInput(bad.reason, f"the reference {reference}: {bad.message}") from None


def _attempt(
    unit: Unit,
    verdict: Verdict,
    scores: dict[str, float],
    turns: Sequence[list[EditPass]],
    seconds: dict[str, float],
) -> dict[str, Any]:
    drawn = [{"action": str(each.action), "target": each.target} for turn in turns for each in turn]
    return {
        "attempt": unit.attempt,
        "seed": seed_of(unit.key, unit.attempt),
        "rung": unit.attempt,
        "parameters": json.dumps({"passes": drawn}, sort_keys=True),
        "verdict": scores,
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
