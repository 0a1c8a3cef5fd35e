"""Profile `oracle`, for tests and benchmarks only: roles that answer from ground-truth masks, with dialled noise.

`truth` is a folder with clips (in it or in its `clips`) and `masks/CLIP/NNNNN.png` (palette, 0 = background, n = object
n; a higher number is nearer) with `boxes.json`, as `pipeline.demo` writes. Roles are not told which frame they see:
they recognise it among the frames of `truth`, and answer for footage they do not know as if nothing were there.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from actors.profiles import load_profile
from schemas.config import Profile
from schemas.errors import UserError
from schemas.keys import digest, seed_of
from schemas.questions import (
    Answer,
    CaptionAnswer,
    CategoriesAnswer,
    ClipAnswer,
    CropAnswer,
    Question,
    Unusable,
    VerdictAnswer,
)
from schemas.subject import Detection, Track
from schemas.video import Footage, Image, Mask
from stages import masks as masking
from stages import media, mining

THUMBNAIL = (32, 18)
MAX_DIFFERENCE = 6.0  # mean levels between thumbnails of the same frame
MAX_HISTOGRAM_DISTANCE = 0.55  # Hellinger, 0..1: farther than this from every view of every identity is a stranger
NUM_VIEWS = 8  # per clip, for the gallery of identities
EMBEDDING_SIZE = 64
A_WRONG_WORD = "teapot"


def oracle_profile(truth: str | Path, **noise: float) -> Profile:
    """The shipped profile `oracle` for that folder; noise: leak, holes, dropout, swap, wrong, in [0, 1]."""
    profile = load_profile("oracle")
    known = {name for role in profile.roles.values() for name in role.options}
    if unknown := noise.keys() - known:
        raise UserError(f"the oracle has no noise named {sorted(unknown)}; it has {sorted(known - {'truth'})}")
    given = {"truth": str(truth), **noise}
    roles = {
        name: role.model_copy(
            update={"options": {option: given.get(option, value) for option, value in role.options.items()}}
        )
        for name, role in profile.roles.items()
    }
    return profile.model_copy(update={"roles": roles})


class Truth:
    """The clips of a folder: a thumbnail per frame, and masks, categories and identities of their objects."""

    def __init__(self, folder: Path) -> None:
        self._masks = folder / "masks"
        if not self._masks.is_dir():
            raise UserError(f"the oracle profile needs its option `truth`: a folder with masks/, not {str(folder)!r}")
        self.categories: dict[str, dict[int, str]] = {}
        self._identities: dict[tuple[str, int], str] = {}
        self._thumbnails: dict[str, NDArray[np.float32]] = {}
        self._gallery: list[tuple[str, NDArray[np.float32]]] = []
        named = json.loads((folder / "demo.json").read_text()) if (folder / "demo.json").is_file() else []
        for entry in named:
            for number, told in entry["objects"].items():
                self._identities[Path(entry["name"]).stem, int(number)] = told["identity"]
        for clip in sorted(path.name for path in self._masks.iterdir() if (path / "boxes.json").is_file()):
            found = [*folder.glob(f"{clip}.*"), *folder.glob(f"clips/{clip}.*")]
            if found:
                self._read(clip, found[0])

    def _read(self, clip: str, path: Path) -> None:
        objects = json.loads((self._masks / clip / "boxes.json").read_text())["objects"]
        self.categories[clip] = {int(number): _category_of(text) for number, text in objects.items()}
        count = len(list((self._masks / clip).glob("*.png")))
        views = set(np.linspace(0, count - 1, NUM_VIEWS).astype(int).tolist())
        thumbnails = []
        with path.open("rb") as file:
            for frame in media.decode(file):
                thumbnails.append(_thumbnail(frame.image))
                for number, mask in (self.masks(clip, frame.index) if frame.index in views else {}).items():
                    self._gallery.append((self.identity(clip, number), _histogram(frame.image, mask)))
        self._thumbnails[clip] = np.stack(thumbnails)

    def identity(self, clip: str, number: int) -> str:
        return self._identities.get((clip, number), f"{clip}/{number}")

    def find(self, image: Image, index: int | None = None) -> tuple[str, int] | None:
        """Clip and frame number of a whole frame; with `index` only the clip is looked for."""
        wanted, best = _thumbnail(image), (MAX_DIFFERENCE, "", -1)
        for clip, thumbnails in self._thumbnails.items():
            some = thumbnails if index is None else thumbnails[index : index + 1]
            if len(some):
                differences = np.abs(some - wanted).mean(axis=(1, 2, 3))
                place = int(differences.argmin())
                best = min(best, (float(differences[place]), clip, place if index is None else index))
        return (best[1], best[2]) if best[1] else None

    def masks(self, clip: str, index: int) -> dict[int, Mask]:
        """Object number -> its mask in that frame; objects that are not seen are left out."""
        path = self._masks / clip / f"{index:05d}.png"
        if not path.is_file():
            return {}
        with PillowImage.open(path) as picture:
            labels = np.array(picture)
        return {number: labels == number for number in self.categories[clip] if (labels == number).any()}

    def who(self, image: Image, mask: Mask) -> str | None:
        """The identity whose colours the masked pixels have, None for a stranger."""
        if not mask.any() or not self._gallery:
            return None
        wanted = _histogram(image, mask)
        distances = [float(np.sqrt(max(0.0, 1 - np.sqrt(wanted * other).sum()))) for _, other in self._gallery]
        nearest = int(np.argmin(distances))
        return self._gallery[nearest][0] if distances[nearest] < MAX_HISTOGRAM_DISTANCE else None


@cache
def truth_of(folder: str) -> Truth:
    return Truth(Path(folder))


class OracleDetector:
    """Boxes of the true masks whose category is asked for. dropout: the share of boxes not given."""

    reads_phrases = True

    def __init__(self, truth: str, dropout: float = 0.0) -> None:
        self._truth, self._dropout = truth_of(truth), dropout

    def detect(self, footage: Footage, phrases: Sequence[str]) -> list[list[Detection]]:
        asked = {mining.fold(phrase): phrase for phrase in reversed(phrases)}
        return [self._at(footage, anchor, asked) for anchor in footage.anchors]

    def _at(self, footage: Footage, anchor: int, asked: dict[str, str]) -> list[Detection]:
        found = self._truth.find(footage.images[anchor], footage.indices[anchor])
        if found is None:
            return []
        rng = np.random.default_rng(seed_of(digest(*found), 0, "detector"))
        detections = []
        for number, mask in self._truth.masks(*found).items():
            phrase = asked.get(mining.fold(self._truth.categories[found[0]][number]), asked.get("subject"))
            box = masking.box_of(mask)
            if rng.random() >= self._dropout and phrase is not None and box is not None:
                detections.append(Detection(box, phrase, 1.0))
        return detections


class OracleSegmenter:
    """The true masks of the objects that were detected anywhere.

    leak: radius of the background taken along, holes: of what is bitten out, both as shares of the subject's
    equivalent radius; dropout: share of masks missing; swap: share of frames in which two tracks are exchanged.
    """

    def __init__(
        self, truth: str, leak: float = 0.0, holes: float = 0.0, dropout: float = 0.0, swap: float = 0.0
    ) -> None:
        self._truth = truth_of(truth)
        self._noise = MaskNoise(leak, holes, dropout, swap)

    def segment(self, footage: Footage, detections: Sequence[Sequence[Detection]]) -> list[Track]:
        tracks: dict[int, Track] = {}
        seen: dict[int, dict[int, Mask]] = {}
        for anchor, boxes in zip(footage.anchors, detections, strict=True):
            found = self._truth.find(footage.images[anchor], footage.indices[anchor])
            if found is None:
                continue
            true_masks = self._truth.masks(*found)
            seen[anchor] = self._noise.add(true_masks, np.random.default_rng(seed_of(digest(*found), 0, "segmenter")))
            for number, mask in true_masks.items():
                box = masking.box_of(mask)
                hits = [each for each in boxes if box is not None and masking.box_iou(each.box, box) > 0.5]
                if hits:
                    tracks.setdefault(number, Track(hits[0].phrase))
        for number, track in tracks.items():
            track.masks = {anchor: found[number] for anchor, found in seen.items() if number in found}
            track.scores = dict.fromkeys(track.masks, 1.0)
        return [track for _, track in sorted(tracks.items()) if track.masks]


@dataclass(frozen=True, slots=True)
class MaskNoise:
    """What goes wrong with the masks of one frame; see OracleSegmenter."""

    leak: float = 0.0
    holes: float = 0.0
    dropout: float = 0.0
    swap: float = 0.0

    def add(self, true_masks: dict[int, Mask], rng: np.random.Generator) -> dict[int, Mask]:
        """The masks by object number, without those that dropped out. They overlap nowhere if the true ones do not."""
        numbers, taken = list(true_masks), np.zeros((1, 1), np.bool_)
        if len(numbers) > 1 and rng.random() < self.swap:
            numbers = [*numbers[1:], numbers[0]]
        given: dict[int, Mask] = {}
        for number, mask in zip(numbers, true_masks.values(), strict=True):
            others = np.any([m for m in true_masks.values() if m is not mask] or [np.zeros_like(mask)], axis=0)
            noisy = (mask | (blots(mask, self.leak, rng) & ~others)) & ~blots(mask, self.holes, rng) & ~taken
            if rng.random() >= self.dropout and noisy.any():
                given[number], taken = noisy, taken | noisy
        return given


class OracleDepth:
    """Objects with a higher number are nearer; what no mask covers is far away."""

    def __init__(self, truth: str) -> None:
        self._truth = truth_of(truth)

    def nearness(self, images: Sequence[Image], masks: Sequence[Sequence[Mask]]) -> list[NDArray[np.float32]]:
        return [self._one(image, known) for image, known in zip(images, masks, strict=True)]

    def _one(self, image: Image, known: Sequence[Mask]) -> NDArray[np.float32]:
        nearness = np.zeros(image.shape[:2], np.float32)
        found = self._truth.find(image)
        true_masks = self._truth.masks(*found) if found is not None else {}
        for number, mask in true_masks.items():
            near = number / len(self._truth.categories[found[0]]) if found is not None else 0.0
            nearness[mask] = near
            for each in known:
                if (each & mask).sum() * 2 > each.sum():
                    nearness[each] = np.maximum(nearness[each], near)
        return nearness


class OracleEmbedder:
    """One direction per identity, the same for all its views but for a little noise; strangers get their own.

    The identity is told by the colours under the mask, among those of `truth` only. swap: share of wrong answers.
    """

    def __init__(self, truth: str, swap: float = 0.0) -> None:
        self._truth, self._swap = truth_of(truth), swap

    def embed(self, subjects: Sequence[tuple[Image, Mask]]) -> NDArray[np.float32]:
        rows = [self._one(image, mask) for image, mask in subjects]
        return np.stack(rows) if rows else np.zeros((0, EMBEDDING_SIZE), np.float32)

    def _one(self, image: Image, mask: Mask) -> NDArray[np.float32]:
        view = digest(_thumbnail(image).round().tolist(), masking.encode(mask)["counts"])
        rng = np.random.default_rng(seed_of(view, 0, "embedder"))
        identity = None if rng.random() < self._swap else self._truth.who(image, mask)
        own = np.random.default_rng(seed_of(digest(identity or view), 0, "identity")).normal(size=EMBEDDING_SIZE)
        row = own / np.linalg.norm(own) + rng.normal(0, 0.02, EMBEDDING_SIZE)
        return (row / np.linalg.norm(row)).astype(np.float32)


class OracleVlm:
    """Names the true categories of a frame and approves of every crop and sample; words come from the measured facts.

    wrong: share of wrong answers (a teapot, a no, a verdict of 0).
    """

    def __init__(self, truth: str, wrong: float = 0.0) -> None:
        self._truth, self._wrong = truth_of(truth), wrong

    def ask(self, questions: Sequence[Question]) -> list[Answer | Unusable]:
        return [self._one(question) for question in questions]

    def _one(self, question: Question) -> Answer | Unusable:
        shown = [_thumbnail(image).round().tolist() for image in question.images]
        rng = np.random.default_rng(seed_of(digest(question.prompt, shown, question.seed), 0, "vlm"))
        wrong = bool(rng.random() < self._wrong)
        if question.answer is CategoriesAnswer:
            return CategoriesAnswer(categories=[[A_WRONG_WORD] if wrong else self._seen(i) for i in question.images])
        if question.answer is ClipAnswer:
            return self._clip(question, wrong)
        if question.answer is CropAnswer:
            return CropAnswer(shows=not wrong, score=0.0 if wrong else 1.0)
        if question.answer is VerdictAnswer:
            score = 0.0 if wrong else 1.0
            return VerdictAnswer(identity=score, quality=score, consistency=score, why="said by the oracle")
        return self._words(question, wrong)

    def _clip(self, question: Question, wrong: bool) -> ClipAnswer:
        frames = [[A_WRONG_WORD] if wrong else self._instances(image) for image in question.images]
        counts = {noun: max(frame.count(noun) for frame in frames) for noun in sorted({n for f in frames for n in f})}
        some = list(counts)[:8]
        return ClipAnswer(nouns=some, counts=[counts[noun] for noun in some], places=["in the picture"] * len(some))

    def _seen(self, image: Image) -> list[str]:
        return sorted(set(self._instances(image)))

    def _instances(self, image: Image) -> list[str]:
        """The category of every object in the frame."""
        found = self._truth.find(image)
        if found is None:
            return []
        return [self._truth.categories[found[0]][number] for number in self._truth.masks(*found)]

    def _words(self, question: Question, wrong: bool) -> Answer | Unusable:
        from actors.vlm import RulesVlm

        answer = RulesVlm().ask([question])[0]
        if not wrong or not isinstance(answer, CaptionAnswer):
            return answer
        return answer.model_copy(update={"instruction": f"Draw a {A_WRONG_WORD}."})


def _category_of(text: str) -> str:
    """The noun of an annotation such as "girl, blue top" or "dog (background clip)"."""
    noun = text.split("(", maxsplit=1)[0].split(",", maxsplit=1)[0].strip()
    return "subject" if not noun or noun.startswith("UNION") else noun[:40]


def _thumbnail(image: Image) -> NDArray[np.float32]:
    return cv2.resize(image, THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)


def _histogram(image: Image, mask: Mask) -> NDArray[np.float32]:
    """Joint Lab histogram under the mask, coarse in lightness, slightly blurred; sums to 1."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    counts = cv2.calcHist([lab], [0, 1, 2], mask.astype(np.uint8), [6, 24, 24], [0, 256, 64, 192, 64, 192])
    smooth = np.stack([cv2.GaussianBlur(layer, (0, 0), 0.7) for layer in counts])
    return (smooth / max(float(smooth.sum()), 1e-6)).ravel()


def blots(mask: Mask, share: float, rng: np.random.Generator) -> Mask:
    """Three discs centred on the mask's outline, each with `share` of the mask's equivalent radius."""
    canvas = np.zeros(mask.shape, np.uint8)
    if share <= 0 or not mask.any():
        return canvas.astype(np.bool_)
    outline = np.argwhere(mask & ~masking.erode(mask, 1.0))
    radius_px = max(1, round(share * float(np.sqrt(mask.sum() / np.pi))))
    for y, x in outline[rng.integers(0, len(outline), 3)]:
        cv2.circle(canvas, (int(x), int(y)), radius_px, 1, -1)
    return canvas.astype(np.bool_)
