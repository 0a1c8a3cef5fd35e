"""Role `video_generator`: regenerate these masked frames."""

from collections.abc import Sequence
from typing import Protocol

from schemas.video import Image, Mask


class VideoGenerator(Protocol):
    """Regenerates where `masks` are True; returns as many frames of the same size. References: one subject each."""

    def generate(
        self, frames: Sequence[Image], masks: Sequence[Mask], prompt: str, references: Sequence[Image], seed: int
    ) -> list[Image]: ...
