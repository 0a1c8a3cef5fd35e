"""Facts of a draft, measured from its pixels and masks: what rule-written captions may say, and nothing else.

Facts are JSON values, kept with every sample, so that words can be renewed later without the masks:

mode, task, operation ("", "replace", "add"), replacement, size_px [w, h], count
references: one per reference: image (number among the inputs, from 1), subject (position in `subjects`), category,
            colors
subjects:   one per subject of the output: category, image (0: no reference shows it), box, colors, position [h, v],
            size, motion ("" or left, right, up, down: in the scene, camera motion taken out)
background: colors, light ("", "dark", "bright")
edit:       manipulation only: image (always 1), box, position, size
"""

import math
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.sample import Draft
from schemas.subject import Box
from schemas.video import Image, Mask
from stages import alignment, masks

LEFT_OF, RIGHT_OF = 0.40, 0.60  # of the width: centres between them are in the centre
TOP_OF, BOTTOM_OF = 0.33, 0.67
SMALL, LARGE = 0.04, 0.25  # shares of the picture
MAIN_SHARE, SECOND_SHARE = 0.40, 0.25  # of the pixels, before a colour may be named
DARK, BRIGHT = 0.28, 0.68  # mean luma
MAX_MOTION_SECONDS = 2.5  # over a longer time a subject may have turned round
MIN_MOTION = 0.04  # of the picture's width per second, to be called moving
DEEP = 52  # CIE lightness of the darkest pink
COLOR_SAMPLES = 4000

COLORS = (
    "black",
    "white",
    "grey",
    "brown",
    "beige",
    "red",
    "orange",
    "yellow",
    "green",
    "teal",
    "blue",
    "purple",
    "pink",
)
_HUES = ((20, "pink"), (45, "red"), (70, "orange"), (105, "yellow"), (170, "green"), (225, "teal"), (309, "blue"))
_HUES_REST = ((335, "purple"), (361, "pink"))


def measure_facts(draft: Draft, times: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The facts of a draft (see above). times: with "seconds_a" and "seconds_b" of frames A and B, or None: no motion.

    Only what is beyond doubt is named: a colour that covers most of the mask, a motion the camera does not explain.
    """
    height, width = draft.output.shape[:2]
    offset = 1 if draft.base is None else 2
    subjects = [
        _subject(draft, mask, draft.references[number].category, number + offset)
        for number, mask in enumerate(draft.output_masks)
    ]
    others = [m for m in draft.scene_masks if m.any() and all(masks.iou(m, own) < 0.5 for own in draft.output_masks)]
    subjects += [_subject(draft, mask, "subject", 0) for mask in others]
    if times is not None:
        for number, subject in enumerate(subjects[: len(draft.references)]):
            subject["motion"] = _motion(draft, number, times["seconds_b"] - times["seconds_a"])
    everyone = np.any([*draft.output_masks, *others], axis=0)
    return {
        "mode": str(draft.task.mode),
        "task": str(draft.task),
        "operation": draft.base.operation if draft.base else "",
        "replacement": draft.base.replacement if draft.base else "",
        "size_px": [width, height],
        "count": len(subjects),
        "references": [
            {
                "image": number + offset,
                "subject": number,
                "category": reference.category,
                "colors": name_colors(reference.image, reference.mask),
            }
            for number, reference in enumerate(draft.references)
        ],
        "subjects": subjects,
        "background": {"colors": name_colors(draft.output, ~everyone), "light": _light(draft.output)},
        "edit": _edit(draft.base.box, width, height) if draft.base else None,
    }


def _subject(draft: Draft, mask: Mask, category: str, image_number: int) -> dict[str, Any]:
    height, width = mask.shape
    box = masks.box_of(mask) or (0.0, 0.0, 0.0, 0.0)
    return {
        "category": category or "subject",
        "image": image_number,
        "box": list(box),
        "colors": name_colors(draft.output, mask),
        "position": list(position_of(box, width, height)),
        "size": size_of(masks.area_px(mask) / mask.size),
        "motion": "",
    }


def _edit(box: Box, width_px: int, height_px: int) -> dict[str, Any]:
    share = (box[2] - box[0]) * (box[3] - box[1]) / (width_px * height_px)
    return {
        "image": 1,
        "box": [float(side) for side in box],
        "position": list(position_of(box, width_px, height_px)),
        "size": size_of(share),
    }


def position_of(box: Box | list[float], width_px: int, height_px: int) -> tuple[str, str]:
    """(left | centre | right, top | middle | bottom) of the box's centre."""
    x, y = (box[0] + box[2]) / 2 / width_px, (box[1] + box[3]) / 2 / height_px
    across = "left" if x < LEFT_OF else "right" if x > RIGHT_OF else "centre"
    down = "top" if y < TOP_OF else "bottom" if y > BOTTOM_OF else "middle"
    return across, down


def size_of(share: float) -> str:
    """small, large, or "" in between; share of the picture's area in [0, 1]."""
    return "small" if share < SMALL else "large" if share > LARGE else ""


def name_colors(image: Image, mask: Mask) -> list[str]:
    """The one or two colour names that cover most of the mask, largest first; [] when it is too mixed to say."""
    pixels = image[mask]
    if not len(pixels):
        return []
    pixels = pixels[:: max(len(pixels) // COLOR_SAMPLES, 1)]
    counts = np.bincount(_color_numbers(pixels), minlength=len(COLORS)) / len(pixels)
    order = sorted(range(len(COLORS)), key=lambda number: (-counts[number], number))
    main, second = order[0], order[1]
    if counts[main] < MAIN_SHARE and counts[main] + counts[second] < 0.65:
        return []
    return [COLORS[main], COLORS[second]] if counts[second] >= SECOND_SHARE else [COLORS[main]]


def _color_numbers(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Index into COLORS per RGB pixel, by lightness, chroma and hue in CIE Lab."""
    lab = cv2.cvtColor((pixels[None].astype(np.float32) / 255), cv2.COLOR_RGB2LAB)[0].astype(np.float64)
    lightness, chroma = lab[:, 0], np.hypot(lab[:, 1], lab[:, 2])
    hue = np.degrees(np.arctan2(lab[:, 2], lab[:, 1])) % 360
    names = np.full(len(pixels), COLORS.index("pink"))
    lower = 0.0
    for upper, name in (*_HUES, *_HUES_REST):
        names[(hue >= lower) & (hue < upper)] = COLORS.index(name)
        lower = upper
    warm = (hue > 25) & (hue < 95)
    names[warm & (lightness < 62) & (chroma < 50)] = COLORS.index("brown")
    names[warm & (lightness >= 62) & (chroma < 32)] = COLORS.index("beige")
    # A dark pink is a red in the shade; what is only bluish is grey in the light of the sky.
    names[((hue < 20) | (hue >= 335)) & (lightness < DEEP)] = COLORS.index("red")
    # Light fur and cloth with a warm tinge is no grey.
    bluish, warm_light = (hue >= 200) & (hue < 309), warm & (lightness > 60)
    pale = chroma < 9 + 3 * (lightness > 75) + 5 * bluish - 4 * warm_light
    names[pale] = COLORS.index("grey")
    names[(lightness < 20) | ((lightness < 28) & (chroma < 14))] = COLORS.index("black")
    names[(lightness > 82) & (chroma < 12)] = COLORS.index("white")
    return names


def _light(image: Image) -> str:
    luma = float(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).mean()) / 255
    return "dark" if luma < DARK else "bright" if luma > BRIGHT else ""


def _motion(draft: Draft, number: int, seconds: float) -> str:
    """Where the subject goes in the scene between frames A and B; "" when that cannot be measured or is too little."""
    reference, target = draft.references[number], draft.output_masks[number]
    before, after = masks.box_of(reference.source_mask), masks.box_of(target)
    if not 0 < abs(seconds) <= MAX_MOTION_SECONDS or before is None or after is None:
        return ""
    around = (~masks.dilate(mask, 4.0) for mask in (reference.source_mask, target))
    pictures = (reference.source, draft.output)
    found = alignment.agreement(
        *(alignment.features(image, mask) for image, mask in zip(pictures, around, strict=True))
    )
    if found.matrix is None or found.share < 0.1:
        return ""
    x0, y0, x1, y1 = before
    corners = np.array([[x0, y0, 1.0], [x1, y0, 1.0], [x1, y1, 1.0], [x0, y1, 1.0]]) @ found.matrix.T
    moved_px = np.array(after) - [*corners.min(axis=0), *corners.max(axis=0)]
    left, top, right, bottom = moved_px / draft.output.shape[1] / seconds
    dx, dy = _common(left, right), _common(top, bottom)
    if math.hypot(dx, dy) < MIN_MOTION:
        return ""
    if abs(dx) >= abs(dy):
        return "right" if dx > 0 else "left"
    return "down" if dy > 0 else "up"


def _common(first: float, second: float) -> float:
    """What two edges move together: an arm that is raised moves only one."""
    return math.copysign(min(abs(first), abs(second)), first) if first * second > 0 else 0.0
