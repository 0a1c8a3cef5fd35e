"""Stage ii, across shots: the subjects of a source's clips in, pairs whose two frames lie in different shots out."""

import base64
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from actors.profiles import Roles
from cluster.storage import video_at
from pipeline.mine import pair_row
from schemas.config import Config
from schemas.errors import BadInput
from schemas.reasons import Reason
from schemas.video import Footage
from schemas.work import Phase, Result, Unit
from stages import masks, media, pairing, recurrence
from stages.linking import Identity
from stages.recurrence import Recurring

MAX_RECURRING = 32
"""Subjects of one source whose frames are read, the surest: a bound on what decoding a unit may cost."""


class LinkSource:
    """Payload: path, content_hash, source_uri, generation, and `subjects`, the rows of that table for the source's
    accepted clips (embeddings in base64), ordered by clip. Asks no model: descriptors were stored when the clips
    were mined.

    A subject whose frames cannot be read again makes no pair. Raises what reading the frames raised otherwise, and
    BadInput(DECODE_ERROR) when that is so of every subject.
    """

    def __init__(self, roles: Roles, config: Config) -> None:
        self._config = config

    def __call__(self, unit: Unit) -> Result:
        rows = unit.payload["subjects"]
        clips = [list(group) for _, group in groupby(rows, key=lambda row: row["clip_key"])]
        shots = [[_identity(row) for row in group] for group in clips]
        clip_of = [group[0]["clip_key"] for group in clips]
        linking = self._config.linking
        found = recurrence.recurring(shots, linking.min_similarity, linking.margin)[:MAX_RECURRING]
        views = {(row["clip_key"], row["identity"], view["frame"]): view for row in rows for view in row["views"]}
        pairs: dict[str, dict[str, Any]] = {}
        unreadable: list[BadInput] = []
        for each in found:
            try:
                pairs |= {row["key"]: row for row in self._pairs(unit, each, clip_of, views)}
            except BadInput as bad:
                if bad.reason is not Reason.DECODE_ERROR:
                    raise
                unreadable.append(bad)
        if unreadable and len(unreadable) == len(found):
            raise unreadable[0]
        return Result(Phase.LINK, unit.key, unit.task, unit.attempt, rows={"pairs": list(pairs.values())})

    def _pairs(
        self, unit: Unit, subject: Recurring, clip_of: Sequence[str], views: dict[tuple[str, str, int], dict[str, Any]]
    ) -> list[dict[str, Any]]:
        shot_of = subject.frames
        wanted = {
            frame: views[clip_of[shot], subject.seen[shot].name, frame] for frame, shot in sorted(shot_of.items())
        }
        seconds = [view["seconds"] for view in wanted.values()]
        frames = media.read_frames(video_at(unit.payload["path"]), list(wanted), seconds)
        footage = Footage(
            images=[frame.image for frame in frames],
            indices=[frame.index for frame in frames],
            seconds=[frame.seconds for frame in frames],
        )
        shown = {frame: masks.decode(view["mask"]) for frame, view in wanted.items()}
        rows = []
        for chosen in recurrence.pairs_of(subject, shown, footage, self._config.mining):
            pair = pairing.pair_of(chosen, footage)
            rows.append(pair_row(unit, pair, clip_of[shot_of[pair.frame_a]], clip_of[shot_of[pair.frame_b]]))
        return rows


def _identity(row: dict[str, Any]) -> Identity:
    """What it is recognised by, keyed by source frame. Without its masks: a source has too many to hold them all."""
    views = row["views"]
    return Identity(
        row["identity"],
        row["category"],
        scores={view["frame"]: view["score"] for view in views},
        embeddings={view["frame"]: recurrence.unpacked(base64.b64decode(view["embedding"])) for view in views},
    )
