"""Role `detector`: boxes for these phrases."""

from collections.abc import Sequence
from typing import Protocol

from schemas.subject import Detection
from schemas.video import Footage


class Detector(Protocol):
    """Answers, for every anchor of the footage, which boxes show one of `phrases` (best first, overlaps suppressed)."""

    def detect(self, footage: Footage, phrases: Sequence[str]) -> list[list[Detection]]: ...
