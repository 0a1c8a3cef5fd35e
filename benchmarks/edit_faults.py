"""Do the checks of an edit catch what is wrong and pass what is right? Planted faults on clips with true masks.

    python benchmarks/edit_faults.py FOOTAGE

Clean edits recolour or retexture the annotated subject, with a feathered edge, as a good generator would; each fault is
planted in such an edit. Prints Markdown; exit 1 when a bar is missed.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import truth
from numpy.typing import NDArray
from sections import Section, table

from actors.embedder import DescriptorEmbedder
from schemas.config import EditThresholds
from stages import edit_checks, masks
from stages.encoding import read_clip

TUNING = ("davis_camel", "davis_drift-straight", "davis_libby")
REPORTING = ("davis_dog", "davis_dance-twirl", "davis_car-roundabout")
NUM_FRAMES = 10
FEATHER_PX = 6.0

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Video = list[Image]


def recoloured(image: Image, _: Mask) -> Image:
    """Other hue, same shading."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv[..., 0], hsv[..., 1] = 150, np.maximum(hsv[..., 1], 120)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def striped(image: Image, mask: Mask) -> Image:
    """A pattern that moves and grows with the subject."""
    x0, y0, x1, y1 = masks.box_of(mask) or (0.0, 0.0, 1.0, 1.0)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    phase = 12 * (columns - x0) / (x1 - x0) + 9 * (rows - y0) / (y1 - y0)
    return np.clip(image * (0.75 + 0.25 * np.sin(phase))[..., None] + [0, 40, 60], 0, 255).astype(np.uint8)


EDITS = (recoloured, striped)


def pasted(before: Image, drawn: Image, mask: Mask) -> Image:
    alpha = np.clip(1 - masks.distance_to(mask) / FEATHER_PX, 0, 1)[..., None]
    return np.round(before + alpha * (drawn.astype(np.float32) - before)).astype(np.uint8)


def frozen(clean: Video, source: Video, region: list[Mask]) -> Video:
    return [pasted(before, clean[0], mask) for before, mask in zip(source, region, strict=True)]


def blurred(clean: Video, source: Video, region: list[Mask]) -> Video:
    return [
        pasted(before, cv2.GaussianBlur(edited, (0, 0), 3.0), mask)
        for before, edited, mask in zip(source, clean, region, strict=True)
    ]


def flickering(clean: Video, source: Video, region: list[Mask]) -> Video:
    swings = np.random.default_rng(0).normal(0, 8, len(clean))
    return [
        pasted(before, np.clip(edited + swing, 0, 255).astype(np.uint8), mask)
        for before, edited, mask, swing in zip(source, clean, region, swings, strict=True)
    ]


def leaked(clean: Video, source: Video, region: list[Mask]) -> Video:
    """A place of 64 pixels beside the subject is redrawn in every frame."""
    spoilt = []
    for edited, mask in zip(clean, region, strict=True):
        spoilt.append(edited.copy())
        y, x = np.unravel_index(int(np.argmax(masks.distance_to(mask))), mask.shape)
        part = spoilt[-1][max(y - 32, 0) : y + 32, max(x - 32, 0) : x + 32]
        part[...] = np.clip(part * 0.8 + 40, 0, 255).astype(np.uint8)
    return spoilt


def drifted(clean: Video, source: Video, region: list[Mask]) -> Video:
    """The whole picture a little brighter, as a decoder that redraws everything leaves it."""
    return [np.clip(edited.astype(np.int16) + 4, 0, 255).astype(np.uint8) for edited in clean]


def late(clean: Video, source: Video, region: list[Mask]) -> Video:
    return [clean[0], *clean[:-1]]


def wrong_colours(clean: Video, source: Video, region: list[Mask]) -> Video:
    return [pasted(b, np.roll(e, 1, axis=2), m) for b, e, m in zip(source, clean, region, strict=True)]


def hard_edge(clean: Video, source: Video, region: list[Mask]) -> Video:
    """A rim of other colours, cut hard where paste-back ends."""
    spoilt = []
    for edited, mask in zip(clean, region, strict=True):
        reach = masks.dilate(mask, FEATHER_PX)
        spoilt.append(np.where((reach & ~mask)[..., None], np.uint8(255) - edited, edited))
    return spoilt


def unedited(clean: Video, source: Video, region: list[Mask]) -> Video:
    return source


def missing(clean: Video, source: Video, region: list[Mask]) -> Video:
    """Nothing stands there any more: a smooth fill."""
    spoilt = []
    for before, mask in zip(source, region, strict=True):
        grown = masks.dilate(mask, 4)
        weight = cv2.GaussianBlur((~grown).astype(np.float32), (0, 0), 25)[..., None]
        around = cv2.GaussianBlur(np.where(grown[..., None], 0, before).astype(np.float32), (0, 0), 25)
        spoilt.append(pasted(before, (around / np.maximum(weight, 1e-3)).clip(0, 255).astype(np.uint8), mask))
    return spoilt


def short(clean: Video, source: Video, region: list[Mask]) -> Video:
    return clean[:-1]


FAULTS: tuple[Callable[[Video, Video, list[Mask]], Video], ...] = (
    *(frozen, blurred, flickering, leaked, drifted, late, wrong_colours, hard_edge, unedited, missing, short),
)


def scores_of(source: Video, edited: Video, region: list[Mask], reference: tuple[Image, Mask]) -> dict[str, float]:
    found = edit_checks.measure(source, edited, np.stack(region), FEATHER_PX)
    views = [(image, mask) for image, mask in list(zip(edited, region, strict=False))[::3] if mask.any()]
    identity = edit_checks.target_identity(views, [reference], DescriptorEmbedder().embed)
    return {**found, "target_identity": identity}


def measure(videos: Path, work: Path) -> Section:
    """Needs no folder to work in; every other part takes one."""
    rows, caught, passed = [], {fault.__name__: [] for fault in FAULTS}, []
    for clip in (*TUNING, *REPORTING):
        source = [frame.image for frame in islice(read_clip(videos / "clips" / f"{clip}.mp4"), NUM_FRAMES)]
        region = [_subject(videos, clip, number, source[0].shape[:2]) for number in range(NUM_FRAMES)]
        for edit in EDITS:
            clean = [pasted(b, edit(b, m), m) for b, m in zip(source, region, strict=True)]
            reference = (clean[NUM_FRAMES // 2], region[NUM_FRAMES // 2])
            for made in (None, *FAULTS):
                edited = clean if made is None else made(clean, source, region)
                scores = scores_of(source, edited, region, reference)
                verdict = edit_checks.judge(scores, EditThresholds())
                rows.append(
                    {
                        "clip": clip,
                        "edit": edit.__name__,
                        "made": made and made.__name__,
                        "scores": scores,
                        "reasons": [str(reason) for reason in verdict.reasons],
                    }
                )
                said = {name: None if value is None else round(value, 3) for name, value in scores.items()}
                print(clip, edit.__name__, rows[-1]["made"], rows[-1]["reasons"], said, file=sys.stderr, flush=True)
                (passed if made is None else caught[made.__name__]).append(bool(verdict.passed) == (made is None))
    return _section(rows, caught, passed)


def _subject(videos: Path, clip: str, frame: int, shape: tuple[int, int]) -> Mask:
    found = truth.masks_at(videos, clip, frame)
    return np.any([np.zeros(shape, np.bool_), *found.values()], axis=0)


def _section(rows: list[dict], caught: dict[str, list[bool]], passed: list[bool]) -> Section:
    lines = [["(clean)", f"{sum(passed)} of {len(passed)} pass", ""]]
    for name, found in caught.items():
        reasons = sorted({reason for row in rows if row["made"] == name for reason in row["reasons"]})
        lines.append([name, f"{sum(found)} of {len(found)} caught", ", ".join(reasons)])
    total = [each for found in caught.values() for each in found]
    figures = {"rows": rows, "caught": float(np.mean(total)), "passed": float(np.mean(passed))}
    bars = {
        "planted faults caught >= 95 %": np.mean(total) >= 0.95,
        "clean edits passed >= 90 %": np.mean(passed) >= 0.9,
    }
    return Section("Edit: checks", table(["planted", "result", "reasons given"], lines), figures, bars)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", type=Path)
    with tempfile.TemporaryDirectory() as work:
        section = measure(parser.parse_args().videos, Path(work))
    print(section.markdown)
    return 0 if all(section.bars.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
