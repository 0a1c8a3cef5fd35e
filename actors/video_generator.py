"""Role `video_generator`: regenerate the masked part of a video."""

from typing import Protocol

from schemas.fill import VideoFillRequest
from schemas.video import Image


class VideoGenerator(Protocol):
    """One video per call: as many frames as asked, of the same size, every pixel outside its frame's mask bit-exact.

    A mask is the last word on what changes; feathering is up to the caller, who has the original. Raises ValueError for
    more than `max_frames` frames (longer videos come in windows) and for frames, masks and controls that do not fit.
    """

    max_frames: int

    def generate(self, request: VideoFillRequest) -> list[Image]: ...
