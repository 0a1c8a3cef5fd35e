"""Module A of IMAGEdit, prompt-guided multimodal alignment: what each change is about.

frames -> kinds of subjects -> boxes -> masks, followed, repaired, shared out by depth -> facts -> edits bound -> words
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from actors.profiles import Roles
from cluster.folder import output_folder
from cluster.storage import category_of, stamp_of, video_at
from pipeline import sheets, tracks_file
from pipeline.edit_rows import JOB, TURNS, inputs_hash, options_of
from pipeline.engine import OUT_OF_REACH
from schemas.config import Config, EditConfig
from schemas.edit import Action, Bound, EditJob, Turn
from schemas.errors import BadInput
from schemas.keys import seed_of
from schemas.reasons import Reason
from schemas.subject import Box
from schemas.tracks import InstanceTrack
from schemas.video import Frame, Image
from schemas.work import Outcome, Phase, Result, Unit
from stages import (
    binding,
    contact_sheet,
    edit_prompts,
    instance_facts,
    media,
    ownership,
    scraps,
    track_repair,
    tracking,
)
from stages.binding import UNNAMED
from stages.instance_facts import InstanceFacts
from stages.tracking import Tracker
from stages.transport import Transport

REFERENCE = "{target}: the whole of it, alone, seen from the front, on a plain white background"
REFERENCE_PX = 768, 768
"""Of a target nobody gave a picture of: the words, height and width it is drawn with."""

NUM_SHOWN = 6
"""Frames of a clip, at most, that a model is asked about and a preview shows."""


class AlignJob:
    """A job in, its `jobs` row and the file of its tracks out.

    Payload: uri, path, stamp, name, request, out; seen_hash of an earlier look. A job that cannot be aligned is
    rejected with the reason why. Raises BadInput(MISSING | UNREADABLE) for a source that was seen before and cannot be
    read now.
    """

    def __init__(self, roles: Roles, config: Config) -> None:
        self._roles, self._config = roles, config

    def __call__(self, unit: Unit) -> Result:
        payload = unit.payload
        row = {name: payload[name] for name in ("uri", "stamp", "name", "request")} | {"key": unit.key}
        try:
            if row["stamp"] is None:  # listed without
                row["stamp"] = stamp_of(payload["path"])
            row["content_hash"] = inputs_hash(JOB.validate_json(payload["request"]))
            self._align(payload, unit.key, row)
        except BadInput as bad:
            if bad.reason in OUT_OF_REACH and payload["seen_hash"] is not None:
                raise
            row |= {"status": "rejected", "reason": str(bad.reason), "message": bad.message}
            rows = {"jobs": [row]}
            return Result(Phase.ALIGN, unit.key, "", 0, Outcome.REJECTED, bad.reason, bad.message, rows=rows)
        return Result(Phase.ALIGN, unit.key, rows={"jobs": [row]})

    def _align(self, payload: dict[str, Any], key: str, row: dict[str, Any]) -> None:
        """Fills the row as far as it comes: what was found is shown even where nothing can be bound to it."""
        job: EditJob = JOB.validate_json(payload["request"])
        how = options_of(job, self._config.editing)
        video = video_at(payload["path"])
        probe = media.probe(video)
        shown, num_frames = _look(video, how)
        category = category_of(payload["path"]) or self._config.mining.category
        phrases = self._phrases(job.turns, shown, category, job.seed)
        tracks = self._track(video, phrases, how)
        if not tracks:
            raise _nothing_found(phrases)
        names = [track.name for track in tracks]
        row |= {"width": probe.width, "height": probe.height, "fps": probe.fps, "num_frames": num_frames}
        row |= {"instances": names, "preview": _preview(payload, key, shown, tracks, [])}
        facts = instance_facts.measure(tracks, {frame.index: frame.image for frame in shown})
        bound = self._bind(job, facts, shown)
        if how.draw_references and self._roles.image_editor.draws:
            bound = self._with_references(bound, payload, key)
        row["preview"] = _preview(payload, key, shown, tracks, bound)
        row["bound"] = TURNS.dump_json(bound).decode()
        row["tracks"] = f"{tracks_file.NAME}/{key}.npz"
        tracks_file.write(output_folder(payload["out"]), row["tracks"], tracks)

    def _with_references(
        self, turns: Sequence[Sequence[Bound]], payload: dict[str, Any], key: str
    ) -> list[list[Bound]]:
        """A picture of every target that is drawn and came without one."""
        drawn: dict[str, str] = {}

        def with_reference(each: Bound) -> Bound:
            edit = each.edit
            if edit.reference or edit.action not in (Action.REPLACE, Action.ADD):
                return each
            if edit.target not in drawn:
                seed = seed_of(key, len(drawn), "reference")
                picture = self._roles.image_editor.draw(REFERENCE.format(target=edit.target), [], *REFERENCE_PX, seed)
                name = f"{payload['name']}-{len(drawn) + 1}"
                drawn[edit.target] = sheets.write(output_folder(payload["out"]), sheets.REFERENCES, name, key, picture)
            return replace(each, edit=replace(edit, reference=drawn[edit.target]))

        return [[with_reference(each) for each in turn] for turn in turns]

    def _phrases(self, turns: Sequence[Turn], shown: Sequence[Frame], category: str, seed: int) -> list[str]:
        """What is looked for: what a detector that reads can tell of the edits' nouns, else what the clip shows."""
        question = edit_prompts.clip_question([frame.image for frame in shown], turns[0], category, seed)
        (seen,) = self._roles.vlm.ask([question])
        named = [edit for turn in turns for edit in turn.edits] if self._roles.detector.reads_phrases else []
        return edit_prompts.phrases_for(named, seen)

    def _track(self, path: media.VideoSource, phrases: Sequence[str], how: EditConfig) -> list[InstanceTrack]:
        roles = self._roles
        tracker = Tracker(
            roles.detector.detect,
            roles.segmenter.segment,
            roles.depth.nearness,
            roles.embedder.embed,
            how.anchor_every,
        )
        frames = media.decode(path, how.working_short_side_px)
        found, small = tracking.track(frames, phrases, tracker, self._config.linking)
        repaired, _ = track_repair.repair(found, Transport(small))
        shared = ownership.share_out(repaired, small)
        return shared if roles.detector.reads_phrases else scraps.without_scraps(shared)

    def _bind(self, job: EditJob, found: Sequence[InstanceFacts], shown: Sequence[Frame]) -> list[list[Bound]]:
        """Every turn on what those before it left, each target with the words that it is to be drawn by."""
        turns: list[list[Bound]] = []
        for number, turn in enumerate(job.turns):
            seed = seed_of(job.name, job.seed, "words", str(number))
            bound = [self._placed(each, found, shown, seed) for each in binding.bind(turn.edits, found, turns)]
            turns.append(self._worded(turn, bound, found, [frame.image for frame in shown], seed))
        return turns

    def _worded(
        self, turn: Turn, bound: Sequence[Bound], found: Sequence[InstanceFacts], shown: list[Image], seed: int
    ) -> list[Bound]:
        asked = [edit_prompts.target_question(each.edit, shown, seed) for each in bound]
        *targets, scene = self._roles.vlm.ask([*asked, edit_prompts.scene_question(turn, bound, found, shown, seed)])
        whole = edit_prompts.scene_from(scene, turn, bound, found)
        said = [edit_prompts.target_from(answer, each.edit) for answer, each in zip(targets, bound, strict=True)]
        prompts = [". ".join(dict.fromkeys(part for part in (words, whole) if part)) for words in said]
        return [
            replace(each, edit=replace(each.edit, prompt=prompt)) for each, prompt in zip(bound, prompts, strict=True)
        ]

    def _placed(self, bound: Bound, found: Sequence[InstanceFacts], shown: Sequence[Frame], seed: int) -> Bound:
        """Where something is added: nothing in the clip says it, so a model must."""
        if bound.edit.action is not Action.ADD:
            return bound
        frame, box = _best_view(bound, found, shown)
        view = edit_prompts.place_view(box)
        (answer,) = self._roles.vlm.ask([edit_prompts.place_question(bound.edit, _inside(frame.image, view), seed)])
        return replace(bound, place=edit_prompts.place_from(answer, bound.edit, view, box))


def _nothing_found(phrases: Sequence[str]) -> BadInput:
    if list(phrases) == [UNNAMED]:
        return BadInput(Reason.NO_SUBJECT, "no subject was found in the clip: nothing to edit, or to keep")
    return BadInput(Reason.TARGET_ABSENT, f"none of this was found in the clip: {', '.join(phrases)}")


def _look(path: media.VideoSource, how: EditConfig) -> tuple[list[Frame], int]:
    """Some frames spread over the clip, at working size, and how many it has. Raises BadInput(TOO_LONG)."""
    shown, every, count = list[Frame](), 1, 0
    for frame in media.decode(path, how.working_short_side_px):
        count += 1
        if frame.index % every == 0:
            shown.append(frame)
        if len(shown) > 2 * NUM_SHOWN:
            every *= 2
            shown = shown[::2]
    if count > how.max_frames:
        told = f"{count} frames; at most {how.max_frames} are edited at once (editing.max_frames)"
        raise BadInput(Reason.TOO_LONG, told)
    places = np.linspace(0, len(shown) - 1, min(NUM_SHOWN, len(shown)))
    return [shown[round(place)] for place in places], count


def _preview(
    payload: dict[str, Any],
    key: str,
    shown: Sequence[Frame],
    tracks: Sequence[InstanceTrack],
    turns: Sequence[Sequence[Bound]],
) -> str:
    pictures = {frame.index: frame.image for frame in shown}
    sheet = contact_sheet.contact_sheet(pictures, tracks, [each for turn in turns for each in turn])
    return sheets.write(output_folder(payload["out"]), sheets.PREVIEWS, payload["name"], key, sheet)


def _best_view(bound: Bound, found: Sequence[InstanceFacts], shown: Sequence[Frame]) -> tuple[Frame, Box]:
    """The frame that shows most of what is added to, and its box there in shares; the whole picture when it is
    nothing in particular, or nowhere to be seen."""
    views = [
        (frame, found[at].boxes[frame.index])
        for at in bound.instances[:1]
        for frame in shown
        if not np.isnan(found[at].boxes[frame.index]).any()
    ]
    if not views:
        return shown[0], (0.0, 0.0, 1.0, 1.0)
    frame, box = max(views, key=lambda view: (view[1][2] - view[1][0]) * (view[1][3] - view[1][1]))
    x0, y0, x1, y1 = box.tolist()
    return frame, (x0, y0, x1, y1)


def _inside(image: Image, view: Box) -> Image:
    height, width = image.shape[:2]
    x0, y0, x1, y1 = view
    rows = slice(int(y0 * height), max(int(np.ceil(y1 * height)), int(y0 * height) + 1))
    return np.ascontiguousarray(image[rows, int(x0 * width) : max(int(np.ceil(x1 * width)), int(x0 * width) + 1)])
