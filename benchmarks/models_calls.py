"""What a build asks of each role in one call, in production size, of made-up pictures; and how many items that is."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from schemas.fill import Fill, FillRequest, VideoFillRequest
from schemas.questions import Question
from schemas.sample import Draft, Reference, Task
from schemas.subject import Detection
from schemas.video import Footage, Image, Mask, Passage
from stages import verification

ANCHORS = 10  # CurationConfig, MiningConfig: frames of a clip that are looked at
SUBJECTS = 3
SCORED = 6
PASSAGE = 120
PHRASES = ("dog", "red car", "person")
VIDEO_FRAMES = 81


class Sizes:
    """Height and width, in pixels: of frames, of what a passage or a score is measured at, of samples and videos."""

    def __init__(self, small: bool = False) -> None:
        scale = 8 if small else 1  # to try the benchmark out on a CPU
        self.frame, self.reduced = (720 // scale, 1280 // scale), (240 // scale, 424 // scale)
        self.sample, self.video = (576 // scale, 1024 // scale), (480 // scale, 832 // scale)
        self.shown = (480 // scale, 640 // scale)
        self.passage, self.video_frames = (4, 5) if small else (PASSAGE, VIDEO_FRAMES)


def picture(seed: int, size: tuple[int, int]) -> Image:
    """Coloured blotches with noise: no two alike, so no cache answers."""
    rng = np.random.default_rng(seed)
    blotches = cv2.resize(rng.integers(0, 200, (9, 16, 3), np.uint8), size[::-1], interpolation=cv2.INTER_CUBIC)
    return blotches + rng.integers(0, 40, (*size, 1), np.uint8)


def box(size: tuple[int, int], number: int = 0) -> Mask:
    mask: Mask = np.zeros(size, np.bool_)
    height, width = size
    left = width * (1 + 2 * (number % SUBJECTS)) // 8
    mask[height // 4 : height * 3 // 4, left : left + width // 4] = True
    return mask


def scored(seed: int, sizes: Sizes) -> tuple[tuple[Any, ...], int]:
    return ([picture(seed * 100 + number, sizes.reduced) for number in range(SCORED)],), SCORED


def _footage(seed: int, sizes: Sizes) -> Footage:
    images = [picture(seed * 100 + number, sizes.frame) for number in range(ANCHORS)]
    passage = [picture(seed * 100 + number, sizes.reduced) for number in range(max(sizes.passage, ANCHORS))]
    places = [number * len(passage) // ANCHORS for number in range(ANCHORS)]
    every = list(range(len(passage)))
    seconds = [number / 10 for number in every]
    return Footage(
        images,
        places,
        [seconds[at] for at in places],
        list(range(ANCHORS)),
        sizes.frame,
        Passage(passage, every, seconds),
    )


def detected(seed: int, sizes: Sizes) -> tuple[tuple[Any, ...], int]:
    return (_footage(seed, sizes), PHRASES), ANCHORS


def segmented(seed: int, sizes: Sizes) -> tuple[tuple[Any, ...], int]:
    height, width = sizes.frame
    boxes = [
        Detection((width * left / 8, height / 4, width * (left + 2) / 8, height * 3 / 4), "subject", 0.9)
        for left in (0, 3, 6)
    ]
    footage = _footage(seed, sizes)
    return (footage, [boxes, *[[] for _ in range(ANCHORS - 1)]]), 1


def measured_depth(seed: int, sizes: Sizes) -> tuple[tuple[Any, ...], int]:
    return (_footage(seed, sizes).images, [[] for _ in range(ANCHORS)]), ANCHORS


def embedded(seed: int, sizes: Sizes) -> tuple[tuple[Any, ...], int]:
    images = [picture(seed * 100 + number, sizes.frame) for number in range(ANCHORS)]
    subjects = [(image, box(sizes.frame, number)) for image in images for number in range(SUBJECTS)]
    return (subjects,), len(subjects)


def filled(seed: int, sizes: Sizes) -> tuple[tuple[Any, ...], int]:
    request = FillRequest(
        picture(seed, sizes.sample), ~box(sizes.sample, 1), Fill.OUTPAINT, "a dog", seed, category="dog"
    )
    return ([request],), 1


def generated(seed: int, sizes: Sizes) -> tuple[tuple[Any, ...], int]:
    frames = [picture(seed * 100 + number, sizes.video) for number in range(sizes.video_frames)]
    masks = [box(sizes.video, 1)] * sizes.video_frames
    return (VideoFillRequest(frames, masks, "a red dog runs", seed, [picture(seed, sizes.video)]),), 1


def verdict(seed: int, sizes: Sizes) -> Question:
    """The question of the verification step: one reference and the output."""
    reference, output = picture(2 * seed, sizes.shown), picture(2 * seed + 1, sizes.shown)
    shown = Reference(reference, box(sizes.shown), reference, box(sizes.shown), [], f"i{seed}", "dog", "")
    draft = Draft(f"s{seed}", Task("single_generation"), 0, seed, 0, output, [box(sizes.shown)], [shown])
    names = ("identity", "copy_ncc", "mask_leak", "rim_leak", "background_inliers", "area_ratio")
    checks = [verification.Check(name, 0.123, 0.5, True, verification.Reason.VLM_UNUSABLE) for name in names]
    return verification.verdict_question(draft, checks)


def asked(seed: int, sizes: Sizes) -> tuple[tuple[Any, ...], int]:
    return ([verdict(seed, sizes)],), 1


CALLS: dict[str, Callable[[int, Sizes], tuple[tuple[Any, ...], int]]] = {
    "quality": scored,
    "vlm": asked,
    "detector": detected,
    "segmenter": segmented,
    "depth": measured_depth,
    "embedder": embedded,
    "image_editor": filled,
    "video_generator": generated,
}
"""By role: the arguments of a call with that seed, and how many items it is."""

UNIT = {
    "quality": "pictures of 424x240",
    "vlm": "questions about two pictures of 640x480",
    "detector": "pictures of 1280x720",
    "segmenter": "clips (3 subjects, 120 frames of 424x240 and 10 of 1280x720)",
    "depth": "pictures of 1280x720",
    "embedder": "subjects in pictures of 1280x720",
    "image_editor": "pictures of 1024x576",
    "video_generator": "clips of 81 frames of 832x480",
}
