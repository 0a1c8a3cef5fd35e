"""Planted faults of what is said and stored of a sample: words, box, order of the references, bytes."""

import re
from copy import copy
from dataclasses import replace

import cv2
import numpy as np
from planted import MEDIUM, MILD, Planted

from stages import verification


def wrong_words(sample: Planted, severity: int) -> Planted | None:
    """The instruction names the opposite place (severe), the neighbouring one (medium), or wrong numbers (mild)."""
    text = sample.words["en"]
    if severity == MILD:
        numbers = {"image 1": "image 2", "image 2": "image 1" if "image 1" in text else "image 3"}
        swapped = _swapped(text, numbers)
    elif severity == MEDIUM:
        swapped = _swapped(text, {"left": "centre", "right": "centre", "in the centre": "at the left"})
    else:
        swapped = _swapped(text, {"left": "right", "right": "left", "in the centre": "at the right"})
    return None if swapped == text else replace(sample, words={**sample.words, "en": swapped})


def wrong_box(sample: Planted, severity: int) -> Planted | None:
    """The box that is said to be edited lies 8, 25 or 60 % of its width beside what was."""
    base = sample.draft.base
    if base is None:
        return None
    x0, y0, x1, y1 = base.box
    shift = (0.08, 0.25, 0.6)[severity] * (x1 - x0) * (1 if x0 < sample.draft.output.shape[1] - x1 else -1)
    made = copy(sample.draft)
    made.base = replace(base, box=(x0 + round(shift), y0, x1 + round(shift), y1))
    return replace(sample, draft=made)


def swapped_references(sample: Planted, severity: int) -> Planted | None:
    """References 1 and 2 changed places: the same at every severity."""
    del severity
    made = copy(sample.draft)
    if len(made.references) < 2:
        return None
    made.references = [made.references[1], made.references[0], *made.references[2:]]
    return replace(sample, draft=made)


def lossy(sample: Planted, severity: int) -> Planted:
    """The stored pictures went through JPEG of quality 40 (severe) or 95 (medium), or one value differs by one."""
    stored = {name: image.copy() for name, image in verification.members_of(sample.draft).items()}
    if severity == MILD:
        stored["output"][0, 0, 0] ^= 1
        return replace(sample, stored=stored)
    for name, image in stored.items():
        quality = [cv2.IMWRITE_JPEG_QUALITY, (0, 95, 40)[severity]]
        stored[name] = np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR), np.uint8)
    return replace(sample, stored=stored)


def _swapped(text: str, words: dict[str, str]) -> str:
    """Every word of `words` replaced at once, longest first."""
    pattern = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    return re.sub(pattern, lambda match: words[match.group()], text)
