"""Role `quality`: how good is this frame?"""

from collections.abc import Sequence
from typing import Protocol

from schemas.video import Image


class Quality(Protocol):
    """Scores frames; every score in [0, 1], higher is better. `quality` is the one thresholds read."""

    def score(self, images: Sequence[Image]) -> list[dict[str, float]]: ...
