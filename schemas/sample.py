"""A sample on its way to a shard: what synthesis drafts, verification judges and captioning words."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from schemas.reasons import Reason
from schemas.subject import Box
from schemas.video import Image, Mask


class Mode(StrEnum):
    """What is asked of the trained model: draw the output from references, or change a base image."""

    GENERATION = "generation"
    MANIPULATION = "manipulation"


class Task(StrEnum):
    SINGLE_GENERATION = "single_generation"
    MULTI_GENERATION = "multi_generation"
    SINGLE_MANIPULATION = "single_manipulation"
    MULTI_MANIPULATION = "multi_manipulation"

    @property
    def mode(self) -> Mode:
        return Mode(self.value.split("_", 1)[1])

    @classmethod
    def of(cls, mode: Mode, num_references: int, num_scene_subjects: int) -> "Task":
        """single: one reference in a one-subject scene; multi: anything more."""
        number = "single" if max(num_references, num_scene_subjects) <= 1 else "multi"
        return cls(f"{number}_{mode.value}")


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Frames around another one, nearest first: what they show behind a subject makes its clean plate."""

    before: list[Image] = field(default_factory=list)
    after: list[Image] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Plate:
    """A frame without its subject, where that is known (True): pixels of neighbouring frames laid over it."""

    image: Image
    known: Mask


@dataclass(slots=True)
class Scene:
    """A pair with its pixels: frames A and B, and per subject (same order everywhere) its masks and names."""

    image_a: Image
    image_b: Image
    masks_a: list[Mask]
    masks_b: list[Mask]
    identities: list[str]
    categories: list[str]
    content_hash: str  # of the source: donors must come from another one
    near_a: Neighbours = field(default_factory=Neighbours)
    near_b: Neighbours = field(default_factory=Neighbours)  # at the output's size
    still_a: Mask | None = None  # of frame A (stages/plates.py), once somebody asked for it


@dataclass(slots=True)
class Reference:
    """One synthesised reference image and the truth about how it was made."""

    image: Image
    mask: Mask  # the warped, eroded subject; bit-exact pixels of `source` lie under it
    source: Image  # frame A, upright, full size
    source_mask: Mask  # the subject in frame A
    warp: list[list[float]]  # 3x3 homography from source pixels to reference pixels
    identity: str
    category: str
    origin: str  # clip key or content hash of the background's donor
    still: Mask | None = None  # of frame A: background by the witness of the frames around it, whatever a mask says


@dataclass(slots=True)
class Base:
    """The manipulation base: the output with one box regenerated into something else."""

    image: Image
    box: Box  # the regenerated box; everything outside is bit-exact equal to the output
    operation: str  # "replace" (another subject stands there) or "add" (the box was emptied)
    replacement: str  # what stands there now: a category, or "" when emptied
    origin: str


@dataclass(slots=True)
class Draft:
    """A drafted sample. Image members: base (if any), then one image per reference; the output is frame B."""

    key: str
    task: Task
    attempt: int
    seed: int
    rung: int
    output: Image
    output_masks: list[Mask]  # one per reference, in the same order
    references: list[Reference]
    base: Base | None = None
    scene_masks: list[Mask] = field(default_factory=list)  # every known subject of the output
    strangers: list[tuple[Image, Mask]] = field(default_factory=list)  # known subjects of the sources borrowed from
    parameters: dict[str, Any] = field(default_factory=dict)  # JSON values: what the attempt did

    @property
    def inputs(self) -> list[Image]:
        images = [reference.image for reference in self.references]
        return [self.base.image, *images] if self.base is not None else images


@dataclass(frozen=True, slots=True)
class Check:
    """One named verification. passed iff the score is on the right side of the threshold."""

    name: str
    score: float
    threshold: float
    passed: bool
    reason: Reason


@dataclass(slots=True)
class Verdict:
    checks: list[Check] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def reasons(self) -> list[Reason]:
        """Each once: several checks guard against the same thing, and attempts are counted by their reasons."""
        return list(dict.fromkeys(check.reason for check in self.checks if not check.passed))

    @property
    def scores(self) -> dict[str, float]:
        return {check.name: check.score for check in self.checks}


@dataclass(frozen=True, slots=True)
class Captions:
    """Words per language code ("en", "zh")."""

    short: dict[str, str]
    long: dict[str, str]
    instruction: dict[str, str]
