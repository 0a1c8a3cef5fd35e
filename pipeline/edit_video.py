"""Modules B and C of IMAGEdit, then verification: an aligned job in, its edited and measured video out.

tracks -> retargeted masks -> passes, back to front -> windows, paste-back -> encoded -> measured on the stored video
"""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from actors.profiles import Roles
from pipeline import edited_files, tracks_file
from pipeline.edit_rows import TURNS
from pipeline.engine import OUT_OF_REACH
from schemas.config import Config
from schemas.edit import Action, Bound
from schemas.errors import BadInput
from schemas.keys import seed_of
from schemas.passes import EditPass
from schemas.reasons import Reason
from schemas.sample import Verdict
from schemas.tracks import InstanceTrack, MaskVideo
from schemas.video import Image, OutputFormat
from schemas.work import Outcome, Phase, Result, Unit
from stages import camera, edit_checks, edit_clip, encoding, media, passes, paste_back, retargeting
from stages.camera import Survey
from stages.edit_clip import Generation
from stages.encoding import Encoded
from stages.leakage import Leakage
from stages.tubes import Sizing

NUM_LOOKED_AT = 8
"""Frames of an edit that detectors and embedders are asked about."""


class EditVideo:
    """An aligned job in; an attempt out, and when it passed, a video file and its `edits` row.

    Payload: the job's row, its source's path, the output's folder, and the fingerprint of the thresholds. Raises what
    reading the source raises.
    """

    def __init__(self, roles: Roles, config: Config) -> None:
        self._roles, self._config, self._how = roles, config, config.editing

    def __call__(self, unit: Unit) -> Result:
        began = perf_counter()
        payload = unit.payload
        tracks = tracks_file.read(Path(payload["out"]) / payload["tracks"])
        part = edited_files.part(Path(payload["out"]), unit.key, unit.attempt)
        try:
            turns = [self._passes(turn, tracks) for turn in TURNS.validate_json(payload["bound"])]
            leakages = [Leakage(tracks, turn) for turn in turns]
            frames = self._edited(unit, tracks, turns, leakages)
            encoded = encoding.encode(payload["path"], frames, part, OutputFormat(self._how.format))
        except BadInput as bad:
            if bad.reason in OUT_OF_REACH:
                raise
            return _given_up(unit, bad)
        drawn = perf_counter()
        verdict = self._verify(payload["path"], tracks, turns, encoded)
        verdict.scores["leakage"] = max((share or 0.0 for each in leakages for row in each.shares() for share in row), default=0.0)
        seconds = {"edit": drawn - began, "verify": perf_counter() - drawn}
        attempt = _attempt(unit, verdict, turns, seconds)
        if not verdict.passed:
            edited_files.remove(encoded.path)
            return _sent_back(unit, verdict, attempt)
        video, sha256 = edited_files.accept(Path(payload["out"]), encoded.path, payload["name"], unit.key)
        row = {
            "key": unit.key,
            "content_hash": payload["content_hash"],
            "source_uri": payload["uri"],
            "name": payload["name"],
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
        return Result(Phase.EDIT, unit.key, attempt=unit.attempt, rows=rows, seconds=seconds)

    def _passes(self, bound: Sequence[Bound], tracks: Sequence[InstanceTrack]) -> list[EditPass]:
        """One per distinct target, in the order they are drawn."""
        regions = retargeting.retarget(tracks, bound)
        wanted = [_wanted(each, tracks, regions) for each in bound]
        return passes.plan_passes(wanted, self._how.joint)

    def _edited(
        self, unit: Unit, tracks: Sequence[InstanceTrack], turns: Sequence[list[EditPass]], leakages: Sequence[Leakage]
    ) -> Iterator[Image]:
        """Every turn works on what the one before gives out, frame by frame."""
        generator = self._roles.video_generator
        path = unit.payload["path"]
        survey: Survey | None = None
        if generator.uses_surroundings:
            survey = camera.survey(_pictures(path), [track.masks for track in tracks])
        frames = _pictures(path)
        for number, (turn, leakage) in enumerate(zip(turns, leakages, strict=True)):
            how = Generation(
                key=f"{unit.key}-{number}",
                attempt=unit.attempt,
                max_frames=generator.max_frames,
                overlap=self._how.overlap_frames,
                sizing=Sizing(self._how.sizing),
                native_pixels=self._how.native_pixels,
            )
            frames = edit_clip.edit_clip(frames, tracks, turn, generator.generate, how, survey, leakage)
        return frames

    def _verify(
        self, path: str, tracks: Sequence[InstanceTrack], turns: Sequence[list[EditPass]], encoded: Encoded
    ) -> Verdict:
        """What the stored video shows, against the source's; never what was in memory."""
        every = [each for turn in turns for each in turn]
        region: MaskVideo = np.logical_or.reduce([each.masks for each in every])
        looked_at = {round(at) for at in np.linspace(0, len(region) - 1, NUM_LOOKED_AT)}
        seen: dict[int, Image] = {}
        edited = _noted(edited_files.frames(encoded.path), looked_at, seen)
        first = next(_pictures(path))
        feather = paste_back.feather_px(*first.shape[:2])
        removes = all(each.action is Action.REMOVE for each in every)
        scores = edit_checks.measure(_pictures(path), edited, region, feather, removes)
        scores["count_share"] = self._count_share(every, tracks, seen)
        scores["target_identity"] = self._identity(every, tracks, seen)
        return edit_checks.judge(scores, self._config.edit_thresholds)
