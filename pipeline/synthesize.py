"""Stages iii and iv: draft a sample from a pair, caption it, verify its stored bytes, accept it or ask for a retry."""

import json
from functools import lru_cache
from time import perf_counter
from typing import Any

import numpy as np

from actors.profiles import Roles
from cluster.storage import video_at
from pipeline.engine import OUT_OF_REACH
from schemas.config import Config
from schemas.errors import BadInput
from schemas.fill import Donor
from schemas.keys import sample_key, seed_of
from schemas.questions import Unusable
from schemas.reasons import Reason
from schemas.sample import Captions, Draft, Mode, Scene, Task, Verdict
from schemas.video import Image
from schemas.work import Outcome, Phase, Result, Unit
from stages import captions as wording
from stages import facts as measuring
from stages import generation, manipulation, masks, media, neighbours, plates, samples, verification

DONORS_PER_ATTEMPT = 3
NUM_DONORS_KEPT = 16  # pictures: 20 MB at 480p, 100 MB at 1080p
DRAFT = {Mode.GENERATION: generation.draft_generation, Mode.MANIPULATION: manipulation.draft_manipulation}


class SynthesizeSample:
    """A pair and a task in; an attempt, and a sample with its encoded members when it is fit to train on, out.

    Payload: the pair's row with the source's path and content boxes, and donors (path, frame, seconds, category, masks,
    content_hash). Raises what reading the pair's frames raised.
    """

    def __init__(self, roles: Roles, config: Config) -> None:
        self._roles = roles
        self._config = config
        self._scene: tuple[str, Scene] | None = None

    def __call__(self, unit: Unit) -> Result:
        clock = _Clock()
        scene, donors = self._read(unit), read_donors(unit)
        clock.lap("read")
        try:
            draft = self._draft(unit, scene, donors)
            clock.lap("draft")
            facts = measuring.measure_facts(draft, unit.payload)
            words = self._word(draft, facts)
            clock.lap("caption")
            members = samples.encode_members(draft, words, {**facts, "provenance": provenance(unit)})
            stored = samples.decode_members(members)
            clock.lap("encode")
            verdict = self._verify(draft, stored, words)
            clock.lap("verify")
        except BadInput as bad:
            return _failed(unit, bad, clock.laps)
        return self._result(unit, draft, words, facts, members, verdict, clock.laps)

    def _read(self, unit: Unit) -> Scene:
        """The pair's scene. Its tasks come one after the other: the second one finds it read."""
        if self._scene is None or self._scene[0] != unit.key:
            self._scene = unit.key, read_scene(unit.payload, self._config.synthesis.max_side_px)
        return self._scene[1]

    def _draft(self, unit: Unit, scene: Scene, donors: list[Donor]) -> Draft:
        draft = DRAFT[Task(unit.task).mode]
        key = sample_key(unit.key, unit.task)
        return draft(scene, key, unit.attempt, donors, self._config.synthesis, self._roles.image_editor.fill)

    def _word(self, draft: Draft, facts: dict[str, Any]) -> Captions:
        questions = wording.caption_questions(facts, self._config.captions, [*draft.inputs, draft.output])
        words = wording.captions_from(self._roles.vlm.ask(questions), self._config.captions)
        if isinstance(words, Unusable):
            raise BadInput(words.reason, words.message)
        return words

    def _verify(self, draft: Draft, stored: dict[str, Image], words: Captions) -> Verdict:
        thresholds = self._config.verification
        verdict = verification.verify(draft, self._roles.embedder.embed, stored, thresholds, words.instruction)
        if verdict.passed:  # a model is asked only about what nothing measured speaks against
            question = verification.verdict_question(draft, verdict.checks)
            verdict.checks.append(verification.vlm_check(self._roles.vlm.ask([question])[0], thresholds))
        return verdict

    def _result(
        self,
        unit: Unit,
        draft: Draft,
        words: Captions,
        facts: dict[str, Any],
        members: dict[str, bytes],
        verdict: Verdict,
        seconds: dict[str, float],
    ) -> Result:
        attempt = _attempt(unit, draft.seed, draft.rung, draft.parameters, verdict, seconds)
        if not verdict.passed:
            message = f"attempt {unit.attempt + 1} failed verification: {', '.join(verdict.reasons)}"
            return _sent_back(unit, "verify", verdict.reasons, message, attempt)
        row = self._sample(unit, draft, words, facts, members, verdict)
        rows = {"samples": [row], "attempts": [attempt]}
        return Result(Phase.SYNTHESIZE, unit.key, unit.task, unit.attempt, rows=rows, members=members, seconds=seconds)

    def _sample(
        self,
        unit: Unit,
        draft: Draft,
        words: Captions,
        facts: dict[str, Any],
        members: dict[str, bytes],
        verdict: Verdict,
    ) -> dict[str, Any]:
        payload = unit.payload
        return {
            "key": draft.key,
            "pair_key": unit.key,
            "clip_key": payload["clip_key"],
            "content_hash": payload["content_hash"],
            "source_uri": payload["source_uri"],
            "task": unit.task,
            "num_references": len(draft.references),
            "num_scene_subjects": len(payload["subjects"]),
            "attempt": unit.attempt,
            "seed": draft.seed,
            "caption_short": words.short,
            "caption_long": words.long,
            "instruction": words.instruction,
            "facts": json.dumps({**facts, "provenance": provenance(unit)}, sort_keys=True, ensure_ascii=False),
            "verdict": verdict.scores,
            "caption_fingerprint": payload["caption_fingerprint"],
            "members": list(members),
            "member_sha256": [samples.sha256(data) for data in members.values()],
            "profile": self._config.profile,
        }


class _Clock:
    """Wall seconds per step of one attempt."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = perf_counter()

    def lap(self, name: str) -> None:
        now = perf_counter()
        self.laps[name], self._last = now - self._last, now


def read_scene(payload: dict[str, Any], max_side_px: int) -> Scene:
    """Frames A and B at full size, cropped to the picture inside letterbox bars, with the subjects' masks, and the
    frames around them. Those of another shot cannot be laid over A or B: a plate stops there by itself.

    max_side_px: of the output, and so of the frames around B.
    """
    path, seconds_a, seconds_b = video_at(payload["path"]), payload["seconds_a"], payload["seconds_b"]
    frame_a, frame_b = _read(path, [payload["frame_a"], payload["frame_b"]], [seconds_a, seconds_b])
    subjects = payload["subjects"]
    inside_a, inside_b = _picture(payload.get("content_box")), _picture(payload.get("content_box_b"))
    return Scene(
        image_a=_cropped(frame_a, inside_a),
        image_b=_cropped(frame_b, inside_b),
        masks_a=[masks.decode(subject["mask_a"])[inside_a] for subject in subjects],
        masks_b=[masks.decode(subject["mask_b"])[inside_b] for subject in subjects],
        identities=[subject["identity"] for subject in subjects],
        categories=[subject["category"] for subject in subjects],
        content_hash=payload["content_hash"],
        near_a=neighbours.read_neighbours(
            path, seconds_a, plates.FEW_OFFSETS_SECONDS, lambda picture: _cropped(picture, inside_a)
        ),
        near_b=neighbours.read_neighbours(
            path,
            seconds_b,
            plates.OFFSETS_SECONDS,
            lambda picture: generation.within(_cropped(picture, inside_b), max_side_px),
        ),
    )


def _cropped(picture: Image, inside: tuple[slice, slice]) -> Image:
    return np.ascontiguousarray(picture[inside])


def _picture(content_box: list[int] | None) -> tuple[slice, slice]:
    """Rows and columns inside letterbox bars; everything where there are none."""
    x0, y0, x1, y1 = content_box or (0, 0, None, None)
    return slice(y0, y1), slice(x0, x1)


def read_donors(unit: Unit) -> list[Donor]:
    """The donors of this attempt: the next few of the list, so that a retry sees others. Unreadable ones lapse."""
    listed = unit.payload["donors"]
    start = unit.attempt * DONORS_PER_ATTEMPT
    turned = [listed[(start + offset) % len(listed)] for offset in range(min(DONORS_PER_ATTEMPT, len(listed)))]
    donors, unreachable = [], []
    for donor in turned:
        try:
            image = _donor_picture(donor["path"], donor["content_hash"], donor["frame"], donor["seconds"])
        except BadInput as bad:
            unreachable += [bad] if bad.reason in OUT_OF_REACH else []
            continue
        x0, y0, x1, y1 = donor["content_box"] or (0, 0, image.shape[1], image.shape[0])
        known = [masks.decode(mask)[y0:y1, x0:x1] for mask in donor["masks"]]
        donors.append(
            Donor(
                np.ascontiguousarray(image[y0:y1, x0:x1]),
                known[0] if known else None,
                donor["category"],
                donor["content_hash"],
                np.logical_or.reduce(known[1:]) if known[1:] else None,
            )
        )
    if unreachable and not donors:  # a mount that is gone must not use up the attempts
        raise unreachable[0]
    return donors


@lru_cache(maxsize=NUM_DONORS_KEPT)
def _donor_picture(path: str, _content_hash: str, frame: int, seconds: float) -> Image:
    """A donor's frame. Many pairs borrow from it, and finding it means decoding from the key frame before it."""
    (image,) = _read(video_at(path), [frame], [seconds])
    image.flags.writeable = False
    return image


def _read(path: media.VideoSource, indices: list[int], seconds: list[float]) -> list[Image]:
    return [frame.image for frame in media.read_frames(path, indices, seconds)]


def provenance(unit: Unit) -> dict[str, Any]:
    """Where the pixels come from, without paths: content hashes and frame numbers."""
    payload = unit.payload
    return {
        "content_hash": payload["content_hash"],
        "frame_a": payload["frame_a"],
        "frame_b": payload["frame_b"],
        "attempt": unit.attempt,
    }


def _attempt(
    unit: Unit, seed: int, rung: int, parameters: dict[str, Any], verdict: Verdict, seconds: dict[str, float]
) -> dict[str, Any]:
    return {
        "pair_key": unit.key,
        "task": unit.task,
        "attempt": unit.attempt,
        "seed": seed,
        "rung": rung,
        "parameters": json.dumps(parameters, sort_keys=True),
        "verdict": verdict.scores,
        "decision": unit.payload["verdict_fingerprint"],
        "reasons": [str(reason) for reason in verdict.reasons],
        "seconds": seconds,
        "status": "ok" if verdict.passed else "rejected",
        "reason": str(verdict.reasons[0]) if verdict.reasons else None,
    }


def _failed(unit: Unit, bad: BadInput, seconds: dict[str, float]) -> Result:
    """An attempt that could not be drafted: another seed or donor may do."""
    attempt = _attempt(
        unit, seed_of(sample_key(unit.key, unit.task), unit.attempt), unit.attempt, {}, Verdict(), seconds
    )
    attempt |= {"status": "rejected", "reason": str(bad.reason), "reasons": [str(bad.reason)]}
    return _sent_back(unit, "synthesize", [bad.reason], bad.message, attempt)


def _sent_back(unit: Unit, stage: str, reasons: list[Reason], message: str, attempt: dict[str, Any]) -> Result:
    """To the retry queue, or settled at once when what is wrong lies in the pair, not in the attempt."""
    final = [reason for reason in reasons if verification.lies_in_the_pair(reason, unit.task)]
    return Result(
        Phase.SYNTHESIZE,
        unit.key,
        unit.task,
        unit.attempt,
        Outcome.REJECTED if final else Outcome.RETRY,
        (final or reasons)[0],
        message,
        stage,
        {"attempts": [attempt]},
        seconds=attempt["seconds"],
    )
