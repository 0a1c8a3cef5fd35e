"""Planted faults of the base: what is still seen of the subject that should be gone from its box, or around it."""

from copy import copy
from dataclasses import replace

import cv2
import numpy as np
from planted import MEDIUM, MILD, SEVERE, Planted, side_of

from stages import masks


def left_in_base(sample: Planted, severity: int) -> Planted | None:
    """20, 45 or 100 % of the subject still stands in the base."""
    if sample.draft.base is None:
        return None
    subject = sample.draft.output_masks[0]
    part = side_of(subject, (0.2, 0.45)[severity], sample) if severity < SEVERE else masks.dilate(subject, 2)
    return sample.with_base(np.where(part[..., None], sample.draft.output, sample.draft.base.image))


def ghost_in_base(sample: Planted, severity: int) -> Planted | None:
    """The subject shines through the base with 30, 50 or 80 % of its strength."""
    base, output = sample.draft.base, sample.draft.output
    if base is None:
        return None
    alpha = (0.3, 0.5, 0.8)[severity] * sample.draft.output_masks[0][..., None]
    return sample.with_base(np.rint(alpha * output + (1 - alpha) * base.image).astype(np.uint8))


def moved_in_base(sample: Planted, severity: int) -> Planted | None:
    """The subject as frame A shows it (mild), or as the output does, shrunk to 70 % (medium) or whole (severe), stands
    in the box of the base."""
    draft = sample.draft
    if draft.base is None:
        return None
    first = draft.references[0]
    shown = (first.source, first.source_mask) if severity == MILD else (draft.output, draft.output_masks[0])
    x0, y0, x1, y1 = draft.base.box
    own = masks.box_of(shown[1]) or (0, 0, 1, 1)
    scale = min(0.9 * (x1 - x0) / (own[2] - own[0]), 0.9 * (y1 - y0) / (own[3] - own[1]))
    scale *= 0.7 if severity == MEDIUM else 1.0
    move = np.array([[scale, 0, x0 + 2 - scale * own[0]], [0, scale, y1 - 2 - scale * own[3]]])
    size = draft.output.shape[1::-1]
    pixels = cv2.warpAffine(shown[0], move, size)
    where = cv2.warpAffine(shown[1].astype(np.uint8) * 255, move, size) > 127
    return sample.with_base(np.where(where[..., None], pixels, draft.base.image))


def cut_shadow(sample: Planted, severity: int) -> Planted | None:
    """The subject's shadow, 20, 35 or 55 % darker than the ground, leaves the box and is cut off at its border."""
    draft = sample.draft
    if draft.base is None:
        return None
    x0, y0, x1, y1 = draft.base.box
    height, width = draft.output.shape[:2]
    across, reach = (x0 + x1) / 2, 0.45 * (x1 - x0)
    side = 1 if width - x1 > x0 else -1
    shade = np.zeros((height, width), np.float32)
    start = int(across), int(min(y1 - 4, height - 6.0))
    end = int(across + side * (0.5 * (x1 - x0) + reach)), int(min(y1 - 2, height - 6.0))
    cv2.line(shade, start, end, 1.0, max(int(0.14 * (y1 - y0)), 5), cv2.LINE_AA)
    shade = cv2.GaussianBlur(shade, (0, 0), 1.5) * ~draft.output_masks[0]
    darker = draft.output * (1 - (0.2, 0.35, 0.55)[severity] * shade[..., None])
    made = copy(draft)
    made.output = np.rint(darker).astype(np.uint8)
    return replace(sample, draft=made).with_base(draft.base.image)
