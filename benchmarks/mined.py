"""Stage ii of the `embedded` profile on one file, without an output folder: what the parts of the benchmark look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from actors.profiles import Roles, load_profile
from actors.vlm import RulesVlm
from pipeline.mine import MineClip, _uncropped, _with, pair_row
from schemas.config import Config
from schemas.errors import BadInput
from schemas.questions import Answer, CropAnswer, Question, Unusable
from schemas.subject import Track
from schemas.video import Footage, Mask
from schemas.work import Phase, Unit
from stages import curation, linking, mining, pairing
from stages.linking import Identity
from stages.pairing import Candidate


@dataclass(frozen=True, slots=True)
class Found:
    """One mask in the full frame of the source, with its confidence; `track` numbers what was followed."""

    frame: int
    track: int
    mask: Mask
    score: float


@cache
def units(path: Path) -> list[Unit]:
    """The shots of a file as mining gets them, whatever curation would decide about them. Measured once per file."""
    measured = curation.measure(path, Config().curation, lambda images: [{}] * len(images))
    return [_unit(path, measured.probe.fps, each) for each in measured.shots]


def _unit(path: Path, fps: float, measured: curation.MeasuredShot) -> Unit:
    shot = measured.shot
    payload: dict[str, Any] = {
        "path": str(path),
        "content_hash": path.stem,
        "source_uri": str(path),
        "generation": 0,
        "start_frame": shot.start_frame,
        "end_frame": shot.end_frame,
        "start_seconds": shot.start_seconds,
        "end_seconds": shot.end_seconds,
        "fps": fps,
        "content_box": list(measured.content_box),
        "category": "",
    }
    return Unit(Phase.MINE, f"{path.stem}-{shot.start_frame}", payload=payload)


class _Everything(RulesVlm):
    """Lets every crop pass: the confidence of masks is what is measured."""

    def ask(self, questions: Sequence[Question]) -> list[Answer | Unusable]:
        yes = CropAnswer(shows=True, score=1.0)
        return [yes if each.answer is CropAnswer else super(_Everything, self)._answer(each) for each in questions]


def all_masks(path: Path) -> tuple[Footage, list[Found]]:
    """Every mask the segmenter gives for a single-shot file, the unsure ones included."""
    (unit,) = units(path)
    roles = Roles(load_profile("embedded"))
    roles.vlm = _Everything()
    try:
        footage, tracks = MineClip(roles, Config()).tracks(unit)
    except BadInput:
        return Footage([], [], []), []
    return footage, list(placed(footage, tracks, unit.payload["content_box"]))


def placed(footage: Footage, tracks: list[Track], content_box: list[int]) -> list[Found]:
    return [
        Found(
            footage.indices[position],
            number,
            np.asarray(mining.place(mask, content_box, *footage.frame_px)),
            track.scores[position],
        )
        for number, track in enumerate(tracks)
        for position, mask in track.masks.items()
    ]


@dataclass(frozen=True, slots=True)
class Shot:
    """What mining made of one shot, up to the chosen pairs."""

    footage: Footage
    identities: list[Identity]
    num_joined: int  # tracks that appearance joined to another one
    chosen: list[Candidate]
    rows: list[dict[str, Any]]  # of the table `pairs`


def shots(path: Path) -> list[Shot]:
    """Mines every shot of a file; one that is rejected for lack of subjects is left out."""
    found = []
    mine = MineClip(Roles(load_profile("embedded")), Config())
    for unit in units(path):
        try:
            found.append(_shot(mine, unit))
        except BadInput:
            continue
    return found


def _shot(mine: MineClip, unit: Unit) -> Shot:
    """The steps of MineClip, with everything in between kept; the rows are its own."""
    config = Config()
    footage, tracks = mine.tracks(unit)
    tracks = linking.unbroken(tracks)
    embeddings = mine._embed(footage, tracks)
    identities = linking.link(tracks, embeddings, config.linking.min_similarity, config.linking.margin)
    needed = max(2, ceil(config.mining.min_anchor_share * len(footage.anchors)))
    lasting = [each for each in identities if len(each.masks) >= needed]
    chosen = pairing.choose(footage, pairing.candidates(footage, lasting, config.mining), config.mining)
    full = _uncropped(lasting, unit.payload["content_box"], footage.frame_px)
    rows = [pair_row(unit, pairing.pair_of(_with(each, full), footage), unit.key, unit.key) for each in chosen]
    joined = len(tracks) - len(identities)
    return Shot(footage, lasting, joined, chosen, rows)
