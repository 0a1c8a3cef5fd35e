"""What an edit did to a video, measured: outside the region nothing, inside it what was asked, steadily and sharply.

Scores are measured once and stored; `judge` compares them with thresholds, so a changed threshold measures nothing
again. Two ways to look good without being good are closed: a frozen region has no flicker and little warping error, so
its motion is compared with the source's; a blurred one hides both, so its sharpness is.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from schemas.config import EditThresholds
from schemas.reasons import Reason
from schemas.sample import Verdict
from schemas.tracks import MaskVideo
from schemas.video import Image, Mask
from stages import masks
from stages.edit_motion import MotionScores, Part
from stages.traps import Embed
from stages.verification import Limit, compare

Count = Callable[[Sequence[Image]], Sequence[int] | None]
"""How many subjects each picture shows, found without the edit's own tracks; None when that cannot be told."""

LIMITS: dict[str, Limit] = {
    "frames_lost": Limit(0.0, False, Reason.FRAMES_LOST),
    "background_psnr": Limit("min_background_psnr", True, Reason.BACKGROUND_CHANGED),
    "background_ssim": Limit("min_background_ssim", True, Reason.BACKGROUND_CHANGED),
    "background_blocks": Limit("max_background_blocks", False, Reason.BACKGROUND_CHANGED),
    "seam": Limit("max_seam", False, Reason.SEAM),
    "untouched": Limit("max_untouched", False, Reason.UNEDITED),
    "flicker": Limit("max_flicker", False, Reason.FLICKER),
    "warping_ratio": Limit("max_warping_ratio", False, Reason.UNSTEADY),
    "motion": Limit("min_motion", True, Reason.FROZEN),
    "sharpness": Limit("min_sharpness", True, Reason.UNSHARP),
    "count_share": Limit("min_count_share", True, Reason.WRONG_COUNT),
    "target_identity": Limit("min_target_identity", True, Reason.TARGET_MISSED),
    "vlm_score": Limit("min_vlm_score", True, Reason.VLM_REJECTED),
}
"""Which score guards against which fault, in the order they are reported."""

MAX_PSNR = 99.0  # of pictures that are the same; stored scores are finite
_BLOCK_PX = 16
_CHANGED_LEVELS = 12.0  # root mean square in a block that a person sees; H.264 at 42 dB stays below
_UNTOUCHED_LEVELS = 6.0  # a pixel this close to the source's, in every channel, was not edited
_SEAM_PX = 2
_EVERY = 5  # frames between those that SSIM is taken of


def judge(scores: Mapping[str, float | None], thresholds: EditThresholds) -> Verdict:
    """Scores against thresholds. What could not be measured (None or absent) does not fail."""
    known = {name: score for name, score in scores.items() if score is not None}
    return compare(known, thresholds, LIMITS)


def measure(
    source: Iterable[Image],
    edited: Iterable[Image],
    region: MaskVideo,
    feather_px: float,
    core: MaskVideo | None = None,
    emptied: MaskVideo | None = None,
    scene: MaskVideo | None = None,
) -> dict[str, float | None]:
    """All scores that need no model, from one pass over both videos.

    source, edited: full-size frames in step. region: (T, h, w), at any size, what was to be edited. feather_px: how far
    beyond it, at full size, paste-back may have reached. The others are parts of it, (T, h, w) each. emptied: where
    subjects are to be gone: it must move and look as its surroundings do. scene: where the place is another: it must
    move as the camera does; edges and detail of its own are no fault. core: where a subject has to have changed, such
    as the subject itself inside a region that leaves it room to grow; None = all of the region but emptied and scene.
    Raises ValueError when there is no frame, or fewer masks than source frames.
    """
    pictures, lost, number = PictureScores(), 0, 0
    motions = {part: MotionScores(part) for part in Part}
    ours, theirs = iter(source), iter(edited)
    for number, before in enumerate(ours, 1):
        after = next(theirs, None)
        if after is None or after.shape != before.shape:
            lost += 1
            continue
        if number > len(region):
            raise ValueError(f"frame {number} has no mask")
        size = before.shape[:2]
        inside = masks.resize(region[number - 1], *size)
        empty, place = (_part(part, number - 1, size) for part in (emptied, scene))
        changed = inside & ~empty & ~place if core is None else masks.resize(core[number - 1], *size)
        pictures.add(before, after, inside, feather_px, changed | empty | place, place)
        for part, where in ((Part.CHANGED, changed), (Part.EMPTIED, empty), (Part.SCENE, place)):
            motions[part].add(before, after, where)
    if number == 0:
        raise ValueError("no frames to measure")
    lost += sum(1 for _ in theirs)
    return {"frames_lost": float(lost), **pictures.scores(), **_worst([each.scores() for each in motions.values()])}


def _part(part: MaskVideo | None, frame: int, size: tuple[int, int]) -> Mask:
    return np.zeros(size, np.bool_) if part is None else masks.resize(part[frame], *size)


def _worst(found: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Of several parts, score by score; of what was measured in none of them None."""
    worst: dict[str, float | None] = {}
    for name in found[0]:
        known = [score for each in found if (score := each[name]) is not None]
        pick = min if name in LIMITS and LIMITS[name].is_minimum else max
        worst[name] = pick(known, default=None)
    return worst


class PictureScores:
    """What single frames tell: background, seam, and whether anything was edited at all."""

    def __init__(self) -> None:
        self._psnr: list[float] = []
        self._ssim: list[float] = []
        self._blocks: list[float] = []
        self._seams: list[float] = []
        self._untouched: list[float] = []
        self._num_frames = 0

    def add(self, before: Image, after: Image, inside: Mask, feather_px: float, shown: Mask, scene: Mask) -> None:
        """inside: (H, W), what was to be edited in this frame; shown: where of it a change has to show; scene: where
        the place is another, whose outline is that of what stands before it."""
        reach = masks.dilate(inside, feather_px)
        outside = ~reach
        if outside.any():
            square = np.square(before.astype(np.float32) - after).mean(axis=2)
            self._psnr.append(_psnr(float(square[outside].mean())))
            self._blocks.append(_changed_blocks(square, outside))
            if self._num_frames % _EVERY == 0:
                self._ssim.append(background_ssim(before, after, outside))
        if inside.any() and not scene.any():
            self._seams.append(seam(before, after, reach))
        if shown.any():
            near = np.abs(before.astype(np.int16) - after).max(axis=2) <= _UNTOUCHED_LEVELS
            self._untouched.append(float(near[shown].mean()))
        self._num_frames += 1

    def scores(self) -> dict[str, float | None]:
        return {
            "background_psnr": min(self._psnr, default=None),
            "background_ssim": min(self._ssim, default=None),
            "background_blocks": max(self._blocks, default=None),
            "seam": float(np.mean(np.sort(self._seams)[-max(len(self._seams) // 10, 1) :])) if self._seams else None,
            "untouched": float(np.mean(self._untouched)) if self._untouched else None,
        }


def background_ssim(before: Image, after: Image, outside: Mask) -> float:
    """Mean structural similarity of brightness over `outside`, with the same pixels in both where it is not: a mask on
    the edited picture alone would count the edit as an error of the background."""
    merged = np.where(outside[..., None], after, before)
    grey = [np.asarray(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY)) for each in (before, merged)]
    if min(grey[0].shape) < 7:
        return float(np.array_equal(grey[0], grey[1]))
    _, similarity = structural_similarity(*grey, full=True, data_range=255)
    return float(similarity[outside].mean())


def seam(before: Image, after: Image, reach: Mask) -> float:
    """Grey levels by which the steps across the outline of `reach`, where paste-back ends, grew on average."""
    rim = masks.dilate(reach, _SEAM_PX) & ~masks.erode(reach, _SEAM_PX)
    rim[:_SEAM_PX], rim[-_SEAM_PX:], rim[:, :_SEAM_PX], rim[:, -_SEAM_PX:] = False, False, False, False
    if not rim.any():
        return 0.0
    steps = []
    for image in (before, after):
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        across = cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)) / 4
        steps.append(across[rim])
    return float(np.maximum(steps[1] - steps[0], 0).mean())


def count_share(edited: Sequence[Image], expected: Sequence[int], count: Count | None) -> float | None:
    """Share of frames, in [0, 1], in which `count` finds as many subjects as the source's tracks have there; None when
    nobody can be asked. It is never assumed."""
    found = count(edited) if count is not None and edited else None
    if found is None:
        return None
    return float(np.mean([seen == wanted for seen, wanted in zip(found, expected, strict=True)]))


def target_identity(
    edited: Sequence[tuple[Image, Mask]], references: Sequence[tuple[Image, Mask]], embed: Embed
) -> float | None:
    """Median cosine between edited views of one target and the nearest of its references; None without either."""
    if not edited or not references:
        return None
    vectors = embed([*edited, *references])
    return float(np.median((vectors[: len(edited)] @ vectors[len(edited) :].T).max(axis=1)))


def _psnr(square: float) -> float:
    return min(float(10 * np.log10(255**2 / max(square, 1e-9))), MAX_PSNR)


def _changed_blocks(square: NDArray[np.float32], outside: Mask) -> float:
    """Share of blocks, among those with anything outside, whose outside pixels changed visibly."""
    height, width = (side // _BLOCK_PX * _BLOCK_PX for side in square.shape)
    if not height or not width:
        return 0.0
    weight = outside[:height, :width].astype(np.float32)
    shape = (height // _BLOCK_PX, _BLOCK_PX, width // _BLOCK_PX, _BLOCK_PX)
    sums = (square[:height, :width] * weight).reshape(shape).sum(axis=(1, 3))
    counts = weight.reshape(shape).sum(axis=(1, 3))
    enough = counts >= _BLOCK_PX**2 / 4
    return float((sums[enough] / counts[enough] > _CHANGED_LEVELS**2).mean()) if enough.any() else 0.0
