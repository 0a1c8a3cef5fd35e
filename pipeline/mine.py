"""Stage ii, cross-frame subject mining and pairing: a clip in, its subjects and frame pairs out.

footage -> categories per anchor -> consensus -> boxes -> masks -> crops verified -> embedded -> identities -> pairs
"""

from dataclasses import asdict, replace
from math import ceil
from typing import Any, Protocol

import numpy as np

from actors.detector import Detector
from actors.embedder import Embedder
from actors.segmenter import Segmenter
from actors.vlm import UNNAMED, Vlm
from cluster.storage import video_at
from schemas.config import Config, MiningConfig
from schemas.errors import BadInput
from schemas.keys import digest, pair_key, seed_of
from schemas.questions import CategoriesAnswer, CropAnswer, Question, Unusable
from schemas.reasons import Reason
from schemas.subject import Embedding, Pair, Track
from schemas.video import Footage, Frame, Image, Mask
from schemas.work import Outcome, Phase, Result, Unit
from stages import linking, masks, media, mining, pairing, recurrence
from stages.linking import Identity

_CROP_MARGIN = 0.1
_MAX_VIEWS = 4  # of a subject, kept to recognise it in other shots
_CATEGORIES = """This is one frame of a video. Which kinds of subject does it show that somebody could cut out and \
place in another picture? A subject is a person, an animal, a vehicle or an object that stands out: in focus, whole or \
nearly whole, and more than a speck.
Name each kind once, most prominent first: the plain English noun, in the singular and in lower case, without \
adjectives, counts or names ("person" for any man, woman or child; "dog", not "two brown dogs" or "Rex"). Leave out \
ground, sky, walls, furniture in the background, text, logos, shadows, and parts of a subject such as hands or wheels.
Name only what you see and are sure of: a frame without a subject has an empty list.{said}"""
_SAID = """
The owner of the video says that its subject is: {category}. Use that name for what it fits, only where you see it."""
_CROP = """This is a part of a video frame, cut out around one thing that a detector took for {category}; a little of \
what is around it shows too. Look at the thing that fills most of the picture.
shows: true when that is {category}, exactly one, all or nearly all of it inside the picture and little of it hidden; \
false when it is something else, only a part such as a head or a wheel, several that overlap, only background, or too \
dark or blurred to tell.
score: how sure you are that shows should be true, from 0 (surely not) over 0.5 (cannot tell) to 1 (surely)."""


class Roles(Protocol):
    """What mining asks of a profile."""

    vlm: Vlm
    detector: Detector
    segmenter: Segmenter
    embedder: Embedder


class MineClip:
    """A clip in, its `subjects` rows and one `pairs` row per chosen pair out. Payload: path, content_hash, source_uri,
    generation, start_frame, end_frame, start_seconds, end_seconds, fps, content_box (or None), category ("" when
    nothing names it).

    A clip whose subjects make no pair is rejected with NO_PAIR. Raises BadInput: NO_SUBJECT, VLM_UNUSABLE, or what
    reading the frames raised.
    """

    def __init__(self, roles: Roles, config: Config) -> None:
        self._roles = roles
        self._config, self._linking = config.mining, config.linking

    def __call__(self, unit: Unit) -> Result:
        footage, tracks = self.tracks(unit)
        tracks = linking.unbroken(tracks)
        embeddings = self._embed(footage, tracks)
        identities = linking.link(tracks, embeddings, self._linking.min_similarity, self._linking.margin)
        needed = max(2, ceil(self._config.min_anchor_share * len(footage.anchors)))
        lasting = [identity for identity in identities if len(identity.masks) >= needed]
        if not lasting:
            raise BadInput(Reason.NO_SUBJECT)
        pairs = pairing.choose(footage, pairing.candidates(footage, lasting, self._config), self._config)
        full = _uncropped(lasting, unit.payload["content_box"], footage.frame_px)
        chosen = [pairing.pair_of(_with(pair, full), footage) for pair in pairs]
        rows = {
            "pairs": [pair_row(unit, pair, unit.key, unit.key) for pair in chosen],
            "subjects": [
                row for each in lasting if (row := _subject(unit, each, full[each.name], footage, self._config))
            ],
        }
        result = Result(Phase.MINE, unit.key, unit.task, unit.attempt, rows=rows)
        if not chosen:  # its subjects may still be seen in another shot
            result.outcome, result.reason, result.stage = Outcome.REJECTED, Reason.NO_PAIR, "pair"
        return result

    def tracks(self, unit: Unit) -> tuple[Footage, list[Track]]:
        """What is found in a clip before anything is linked: masks inside the letterbox bars, with scores.

        Masks that the vlm does not accept (with RulesVlm: whose score is below `min_mask_score`) are left out.
        """
        footage = self._sample(unit.payload)
        categories = self._categories(unit, footage)
        detections = self._roles.detector.detect(footage, categories)
        tracks = self._roles.segmenter.segment(footage, detections)
        return footage, self._verify(unit, footage, tracks)

    def _sample(self, clip: dict[str, Any]) -> Footage:
        start, end = clip["start_frame"], clip["end_frame"]
        plan = mining.plan_frames(start, end, clip["fps"], self._config.anchors_per_clip)
        seconds = mining.times(plan, start, clip["start_seconds"], end, clip["end_seconds"])
        anchors = {plan.indices[position] for position in plan.anchors}

        def both(index: int, frame: media.Decoded) -> tuple[Frame, Frame | None]:
            reduced = Frame(index, frame.seconds, frame.rgb(mining.PASSAGE_SHORT_SIDE_PX))
            return reduced, Frame(index, frame.seconds, frame.rgb()) if index in anchors else None

        pictures = media.read_pictures(video_at(clip["path"]), plan.indices, seconds, both)
        full = [frame for _, frame in pictures if frame is not None]
        return mining.footage_of(full, [frame for frame, _ in pictures], clip["content_box"])

    def _categories(self, unit: Unit, footage: Footage) -> list[str]:
        """What is in at least `min_anchor_share` of the anchors."""
        facts = {"category": unit.payload["category"] or self._config.category}
        prompt = _CATEGORIES.format(said=_SAID.format(**facts) if facts["category"] else "")
        questions = [
            Question(CategoriesAnswer, prompt, [footage.images[anchor]], facts, seed_of(unit.key, anchor, "name"))
            for anchor in footage.anchors
        ]
        answers = self._roles.vlm.ask(questions)
        usable = [each for each in answers if isinstance(each, CategoriesAnswer)]
        if not usable:
            messages = [each.message for each in answers if isinstance(each, Unusable)]
            raise BadInput(Reason.VLM_UNUSABLE, messages[0] if messages else "")
        named = [[name for names in each.categories for name in names] for each in usable]
        categories = mining.consensus(named, self._config.min_anchor_share)
        if not categories:
            raise BadInput(Reason.NO_SUBJECT, "no category is named in enough frames")
        return categories

    def _verify(self, unit: Unit, footage: Footage, tracks: list[Track]) -> list[Track]:
        """The tracks without the masks whose crop does not show their category."""
        crops = [(number, position) for number, track in enumerate(tracks) for position in sorted(track.masks)]
        questions = [self._question(unit, footage, tracks[number], position) for number, position in crops]
        answers = self._roles.vlm.ask(questions) if questions else []
        wrong: dict[int, set[int]] = {number: set() for number in range(len(tracks))}
        for (number, position), answer in zip(crops, answers, strict=True):
            if not (isinstance(answer, CropAnswer) and answer.shows):
                wrong[number].add(position)
        checked = [mining.without(track, wrong[number]) for number, track in enumerate(tracks)]
        return [track for track in checked if track.masks]

    def _question(self, unit: Unit, footage: Footage, track: Track, position: int) -> Question:
        image, mask = footage.images[position], track.masks[position]
        facts = {
            "category": track.category,
            "score": track.scores[position],
            "min_score": self._config.min_mask_score,
            "area_share": masks.area_px(mask) / mask.size,
            "border_share": masks.border_share(mask),
        }
        seed = seed_of(unit.key, footage.indices[position], "crop")
        thing = f'"{track.category}"' if track.category != UNNAMED else "a person, an animal, a vehicle or an object"
        return Question(CropAnswer, _CROP.format(category=thing), [_crop(image, mask)], facts, seed)

    def _embed(self, footage: Footage, tracks: list[Track]) -> list[dict[int, Embedding]]:
        where = [(number, position) for number, track in enumerate(tracks) for position in sorted(track.masks)]
        vectors = self._roles.embedder.embed([(footage.images[at], tracks[number].masks[at]) for number, at in where])
        embeddings: list[dict[int, Embedding]] = [{} for _ in tracks]
        for (number, position), vector in zip(where, vectors, strict=True):
            embeddings[number][position] = vector
        return embeddings


def _crop(image: Image, mask: Mask) -> Image:
    box = masks.box_of(mask)
    if box is None:
        return image
    x0, y0, x1, y1 = (round(side) for side in masks.grow_box(box, _CROP_MARGIN, *mask.shape))
    return np.ascontiguousarray(image[y0:y1, x0:x1])


def _uncropped(identities: list[Identity], content_box: list[int] | None, size: tuple[int, int]) -> dict[str, Identity]:
    """The identities by name, their masks in the full frame."""
    return {
        each.name: Identity(
            each.name,
            each.category,
            {position: mining.place(mask, content_box, *size) for position, mask in each.masks.items()},
            each.scores,
            each.embeddings,
        )
        for each in identities
    }


def _with(candidate: pairing.Candidate, identities: dict[str, Identity]) -> pairing.Candidate:
    return replace(candidate, identities=tuple(identities[each.name] for each in candidate.identities))


def _subject(
    unit: Unit, identity: Identity, full: Identity, footage: Footage, config: MiningConfig
) -> dict[str, Any] | None:
    """A row of `subjects` with its surest usable views, less what the ledger fills in; None when no view is usable.

    full: the same with masks in the full frame, which are stored. Whether a view can be used is seen in the picture
    inside the bars: what they cut off is no whole subject.
    """
    usable = [at for at, mask in identity.masks.items() if pairing.is_usable(mask, identity.scores[at], config)]
    surest = sorted(usable, key=lambda at: (-identity.scores[at], at))[:_MAX_VIEWS]
    views = [
        {
            "frame": footage.indices[at],
            "seconds": footage.seconds[at],
            "score": identity.scores[at],
            "mask": dict(masks.encode(full.masks[at])),
            "embedding": recurrence.packed(identity.embeddings[at]),
        }
        for at in sorted(surest)
    ]
    row = {"key": digest("subject", unit.key, identity.name), "clip_key": unit.key, "identity": identity.name}
    row |= {"content_hash": unit.payload["content_hash"], "category": identity.category}
    return row | {"views": views} if views else None


def pair_row(unit: Unit, pair: Pair, clip_a: str, clip_b: str) -> dict[str, Any]:
    """A row of `pairs`, less what the ledger fills in."""
    boxes = [list(box) for subject in pair.subjects for box in (subject.box_a, subject.box_b)]
    return {
        "key": pair_key(clip_a, clip_b, pair.frame_a, pair.frame_b, boxes),
        "clip_key": clip_a,
        "clip_key_b": clip_b,
        "content_hash": unit.payload["content_hash"],
        "source_uri": unit.payload["source_uri"],
        "generation": unit.payload["generation"],
        "frame_a": pair.frame_a,
        "frame_b": pair.frame_b,
        "seconds_a": pair.seconds_a,
        "seconds_b": pair.seconds_b,
        "subjects": [_listed(asdict(subject)) for subject in pair.subjects],
        "diversity": pair.diversity,
    }


def _listed(subject: dict[str, Any]) -> dict[str, Any]:
    return {**subject, "box_a": list(subject["box_a"]), "box_b": list(subject["box_b"])}
