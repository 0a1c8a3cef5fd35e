"""Stage i, video curation: one decode pass turns a source into scored shots. Decisions come later (reconcile.py)."""

from typing import Any

from actors.profiles import Roles
from cluster.storage import category_of, content_hash, stamp_of, video_at
from schemas.config import Config
from schemas.errors import BadInput
from schemas.keys import clip_key
from schemas.reasons import Reason
from schemas.work import Outcome, Phase, Result, Unit
from stages import curation
from stages.curation import Measured


class CurateSource:
    """A source in, its `sources` row and one `clips` row per shot out.

    Payload: uri, path, stamp (None: not asked for yet), wave; seen_hash and seen_generation of an earlier look;
    known_hash and known_row when that content was curated under this fingerprint (then nothing is decoded). Raises
    BadInput(MISSING | UNREADABLE) for a source that was seen before and cannot be read now.
    """

    def __init__(self, roles: Roles, config: Config) -> None:
        self._roles = roles
        self._config = config.curation

    def __call__(self, unit: Unit) -> Result:
        payload = unit.payload
        stamp = stamp_of(payload["path"]) if payload["stamp"] is None else payload["stamp"]
        source = {"key": unit.key, "uri": payload["uri"], "stamp": stamp, "wave": payload["wave"]}
        try:
            if payload["stamp"] is None:  # listed without
                source["stamp"] = stamp_of(payload["path"])
            source["content_hash"] = content_hash(payload["path"])
        except BadInput as bad:
            if payload["seen_hash"] is not None:
                raise  # out of reach, not gone: what is known of it stays
            return _rejected(unit, {**source, "stamp": ""}, bad)  # so that it is looked at again once it can be read
        try:
            seen = source["content_hash"] == payload["seen_hash"]
            source["generation"] = payload["seen_generation"] if seen else payload["wave"]
            if source["content_hash"] == payload.get("known_hash"):
                row = _named({**payload["known_row"], **source}, payload["path"])
                return Result(Phase.CURATE, unit.key, rows={"sources": [row]})
            measured = curation.measure(video_at(payload["path"]), self._config, self._roles.quality.score)
        except BadInput as bad:
            return _rejected(unit, source, bad)
        clips = [self._clip(source, measured, number) for number in range(len(measured.shots))]
        row = _named(_probed(source, measured), payload["path"])
        return Result(Phase.CURATE, unit.key, rows={"sources": [row], "clips": clips})

    def _clip(self, source: dict[str, Any], measured: Measured, number: int) -> dict[str, Any]:
        content = source["content_hash"]
        found = measured.shots[number]
        shot = found.shot
        return {
            "key": clip_key(content, shot.start_frame, shot.end_frame),
            "parent_key": content,
            "content_hash": content,
            "source_uri": source["uri"],
            "generation": source["generation"],
            "start_frame": shot.start_frame,
            "end_frame": shot.end_frame,
            "start_seconds": shot.start_seconds,
            "end_seconds": shot.end_seconds,
            "width": measured.probe.width,
            "height": measured.probe.height,
            "scores": found.scores,
            "hashes": found.hashes,
            "content_box": list(found.content_box),
            "status": "rejected",  # until reconcile decides; nothing is mined before
            "decision": None,
        }


def _named(row: dict[str, Any], path: str) -> dict[str, Any]:
    """With what the sidecar says. One that cannot be read costs its name only, and the row says so, unless it has worse
    to tell of the video itself."""
    complaint = str(Reason.BAD_SIDECAR)
    if row["reason"] == complaint:  # an earlier look
        row = {**row, "reason": None, "message": None}
    try:
        return {**row, "category": category_of(path)}
    except BadInput as bad:
        told = {"reason": complaint, "message": bad.message} if row["reason"] is None else {}
        return {**row, "category": "", **told}


def _probed(source: dict[str, Any], measured: Measured) -> dict[str, Any]:
    probe = measured.probe
    damage = measured.damage
    return {
        **source,
        "status": "ok",
        "reason": str(damage.reason) if damage else None,
        "message": str(damage.message) if damage else None,
        "width": probe.width,
        "height": probe.height,
        "fps": probe.fps,
        "duration_seconds": probe.duration_seconds,
        "codec": probe.codec,
        "num_frames": measured.num_frames,
    }


def _rejected(unit: Unit, source: dict[str, Any], bad: BadInput) -> Result:
    row = {**source, "status": "rejected", "reason": str(bad.reason), "message": bad.message}
    return Result(
        Phase.CURATE,
        unit.key,
        outcome=Outcome.REJECTED,
        reason=bad.reason,
        message=bad.message,
        rows={"sources": [row]},
    )
