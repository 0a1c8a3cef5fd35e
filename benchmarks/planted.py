"""Faults planted into clean samples: every trap of the design, at three severities, in physical terms.

A fault takes a sample and its severity (0 mild, 1 medium, 2 severe) and gives the faulty sample, or None where it
cannot be planted (no second subject, no base). Even the mild ones would harm a model that trains on them. Pixels under
the reference's mask are changed together with what the reference is said to be made of wherever that is how the fault
would really come about, so that comparing bytes does not give it away.
"""

import re
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from schemas.config import SynthesisConfig
from schemas.errors import BadInput
from schemas.sample import Draft, Neighbours, Reference
from schemas.video import Image, Mask
from stages import augmentation, masks, plates, verification

MILD, MEDIUM, SEVERE = 0, 1, 2


@dataclass(slots=True)
class Planted:
    """A drafted sample as verification sees it. adjacent: the frame next to B and the subject's mask in it."""

    draft: Draft
    words: dict[str, str]
    seed: int
    adjacent: Sequence[tuple[Image, Mask]] = ()
    near: Neighbours = field(default_factory=Neighbours)  # the frames around A
    strangers: Sequence[tuple[Image, Mask]] = ()  # subjects of other clips, known to nobody
    stored: dict[str, Image] | None = field(default=None)

    def with_reference(self, **changes: object) -> "Planted":
        made = copy(self.draft)
        made.references = [replace(made.references[0], **changes), *made.references[1:]]  # type: ignore[arg-type]
        return replace(self, draft=made)

    def with_base(self, image: Image) -> "Planted":
        made = copy(self.draft)
        assert made.base is not None
        inside = masks.mask_of(made.base.box, *image.shape[:2])
        made.base = replace(made.base, image=np.where(inside[..., None], image, made.output))
        return replace(self, draft=made)


Fault = Callable[[Planted, int], Planted | None]


# -- the reference's background ------------------------------------------------------------------------------------


def leak_around(sample: Planted, severity: int) -> Planted:
    """A sector of the surroundings, 15, 35 or 100 % of the turn around the subject, shows frame A's own place."""
    first = sample.draft.references[0]
    height, width = first.mask.shape
    warped = cv2.warpPerspective(first.source, np.asarray(first.warp), (width, height))
    inside = cv2.warpPerspective(np.ones(first.source.shape[:2], np.uint8), np.asarray(first.warp), (width, height)) > 0
    x0, y0, x1, y1 = masks.box_of(first.mask) or (0, 0, 1, 1)
    rows, columns = np.mgrid[:height, :width]
    turn = (np.arctan2(rows - (y0 + y1) / 2, columns - (x0 + x1) / 2) / (2 * np.pi) + _luck(sample)) % 1
    reach = masks.dilate(first.mask, 0.25 * float(np.sqrt(masks.area_px(first.mask))) if severity < SEVERE else 1e4)
    where = (turn < (0.15, 0.35, 1.0)[severity]) & reach & inside & ~first.mask
    return sample.with_reference(image=np.where(where[..., None], warped, first.image)) if where.any() else None


def leak_elsewhere(sample: Planted, severity: int) -> Planted:
    """15, 35 or 100 % of the reference's width shows the output's place, in its own scale, subjects cut away."""
    first, draft = sample.draft.references[0], sample.draft
    height, width = first.mask.shape
    place = _covering(_emptied(draft), width, height)
    share = (0.15, 0.35, 1.0)[severity]
    start = int(_luck(sample) * (1 - share) * width)
    where = np.zeros_like(first.mask)
    where[:, start : start + int(share * width)] = True
    where &= ~first.mask
    return sample.with_reference(image=np.where(where[..., None], place, first.image))


def loose_mask(sample: Planted, severity: int) -> Planted | None:
    """The mask took a blob of frame A's place beside the subject along, as large as 15, 35 or 80 % of the subject."""
    first = sample.draft.references[0]
    if not (sample.near.before or sample.near.after):
        return None
    wanted = (1.15, 1.35, 1.8)[severity] * masks.area_px(first.source_mask)
    rows, columns = np.nonzero(first.source_mask & ~masks.erode(first.source_mask, 1.5))
    place = int(_luck(sample) * len(rows)) % max(len(rows), 1)
    down, right = np.mgrid[: first.source_mask.shape[0], : first.source_mask.shape[1]]
    distance = np.hypot(down - rows[place], right - columns[place])
    outside = np.sort(distance[~first.source_mask])
    extra = int(min(wanted - masks.area_px(first.source_mask), len(outside) - 1))
    loose = first.source_mask | (distance <= outside[extra])
    everyone = np.logical_or.reduce([loose, *(one.source_mask for one in sample.draft.references[1:])])
    made = _made_again(sample, first.source, loose)
    return made and made.with_reference(plate=plates.clean_plate(first.source, everyone, sample.near))


# -- the reference's subject ---------------------------------------------------------------------------------------


def copy_of_output(sample: Planted, severity: int) -> Planted | None:
    """The reference is made from the output itself (severe), from it after blur, gain and noise (medium), or from the
    frame next to it (mild)."""
    draft = sample.draft
    if severity == MILD:
        return _made_again(sample, *sample.adjacent[0]) if sample.adjacent else None
    image = draft.output
    if severity == MEDIUM:
        noise = np.random.default_rng(sample.seed).normal(0, 6, image.shape)
        soft = cv2.GaussianBlur(image, (0, 0), 1.2).astype(np.float64)
        image = np.clip(soft * np.array([1.1, 0.95, 0.85]) + 8 + noise, 0, 255).astype(np.uint8)
    return _made_again(sample, image, draft.output_masks[0])


def mirrored(sample: Planted, severity: int) -> Planted:
    """The reference's subject is flipped under a warp that does not say so; blurred (medium), recoloured (mild) too."""
    first = sample.draft.references[0]
    image, mask = first.image[:, ::-1].copy(), first.mask[:, ::-1].copy()
    if severity <= MEDIUM:
        image = np.where(mask[..., None], cv2.GaussianBlur(image, (0, 0), 2.0), image)
    if severity == MILD:
        image = _recoloured(image, mask, 12.0, sample)
    return sample.with_reference(image=image, mask=mask)


def drift(sample: Planted, severity: int) -> Planted:
    """The subject was redrawn: its colours moved by 8, 16 or 32 (CIE Lab) and its shape bent by 2, 4 or 8 % of its
    size."""
    first = sample.draft.references[0]
    bent = _bent(first, (0.02, 0.04, 0.08)[severity], sample)
    image = _recoloured(bent, first.mask, (8.0, 16.0, 32.0)[severity], sample)
    return sample.with_reference(image=np.where(first.mask[..., None], image, first.image))


def another_individual(sample: Planted, severity: int) -> Planted | None:
    """Frame A shows somebody else: a subject of another clip (severe), that subject in the true one's colours (medium),
    or the true one recoloured by 25 (mild), with masks and warp that are all consistent."""
    first = sample.draft.references[0]
    if severity == MILD:
        return _made_again(sample, _recoloured(first.source, first.source_mask, 25.0, sample), first.source_mask)
    if not sample.strangers:
        return None
    lender, mask = sample.strangers[0]
    if severity == MEDIUM:
        own = first.source[first.source_mask].astype(np.float64)
        theirs = lender[mask].astype(np.float64)
        scaled = (lender - theirs.mean(axis=0)) / (theirs.std(axis=0) + 1) * own.std(axis=0) + own.mean(axis=0)
        lender = np.clip(scaled, 0, 255).astype(np.uint8)
    return _made_again(sample, lender, mask)


def expanded(sample: Planted, severity: int) -> Planted:
    """The editor went on painting the subject beyond its mask: its area grew by 40, 70 or 120 %."""
    first = sample.draft.references[0]
    grow = float(np.sqrt(1 + (0.4, 0.7, 1.2)[severity]))
    x0, y0, x1, y1 = masks.box_of(first.mask) or (0, 0, 1, 1)
    move = cv2.getRotationMatrix2D(((x0 + x1) / 2, (y0 + y1) / 2), 0, grow)
    size = first.mask.shape[::-1]
    larger = cv2.warpAffine(first.image, move, size)
    where = (cv2.warpAffine(first.mask.astype(np.uint8), move, size) > 0) & ~first.mask
    return sample.with_reference(image=np.where(where[..., None], larger, first.image))


def painted_over(sample: Planted, severity: int) -> Planted:
    """A side of the subject, 25, 40 or 60 % of its area, was lost to background, and the mask does not say so."""
    first = sample.draft.references[0]
    lost = _side(first.mask, (0.25, 0.4, 0.6)[severity], sample)
    filled = cv2.resize(_far_background(first), first.mask.shape[::-1])
    return sample.with_reference(image=np.where(lost[..., None], filled, first.image))


def second_copy(sample: Planted, severity: int) -> Planted | None:
    """The subject appears again in the reference's background, at 50, 75 or 100 % of its height."""
    first = sample.draft.references[0]
    return _beside(sample, first.image, first.mask, (0.5, 0.75, 1.0)[severity])


def another_known(sample: Planted, severity: int) -> Planted | None:
    """The other subject of the scene is seen in the reference's background, at 50, 75 or 100 % of the height."""
    draft = sample.draft
    if len(draft.references) < 2:
        return None
    other = draft.references[1]
    return _beside(sample, other.source, other.source_mask, (0.5, 0.75, 1.0)[severity])


def subject_of_donor(sample: Planted, severity: int) -> Planted | None:
    """The subject of a borrowed background is seen in it, at 50, 75 or 100 % of the subject's height."""
    if not sample.strangers:
        return None
    return _beside(sample, *sample.strangers[0], (0.5, 0.75, 1.0)[severity])


def unknown_stranger(sample: Planted, severity: int) -> Planted | None:
    """As above, but nobody knows that subject: the donor's frame was mined without finding it."""
    made = subject_of_donor(sample, severity)
    if made is None:
        return None
    draft = copy(made.draft)
    draft.strangers = [known for known in draft.strangers if known[1] is not sample.strangers[0][1]]
    return replace(made, draft=draft)


def joined_mask(sample: Planted, severity: int) -> Planted | None:
    """The mask in frame A takes in 30, 60 or 100 % of another subject of the scene."""
    draft = sample.draft
    if len(draft.references) < 2:
        return None
    first, other = draft.references[0], draft.references[1].source_mask
    share = (0.3, 0.6, 1.0)[severity]
    part = _side(other, share, sample) if share < 1 else other
    made = _made_again(sample, first.source, first.source_mask | part)
    return made


# -- the base ------------------------------------------------------------------------------------------------------


def left_in_base(sample: Planted, severity: int) -> Planted | None:
    """20, 45 or 100 % of the subject still stands in the base."""
    if sample.draft.base is None:
        return None
    subject = sample.draft.output_masks[0]
    part = _side(subject, (0.2, 0.45)[severity], sample) if severity < SEVERE else masks.dilate(subject, 2)
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
    ends = (across, min(y1 - 4, height - 6.0)), (across + side * (0.5 * (x1 - x0) + reach), min(y1 - 2, height - 6.0))
    cv2.line(shade, *(tuple(int(v) for v in end) for end in ends), 1.0, max(int(0.14 * (y1 - y0)), 5), cv2.LINE_AA)
    shade = cv2.GaussianBlur(shade, (0, 0), 1.5) * ~draft.output_masks[0]
    darker = draft.output * (1 - (0.2, 0.35, 0.55)[severity] * shade[..., None])
    made = copy(draft)
    made.output = np.rint(darker).astype(np.uint8)
    return replace(sample, draft=made).with_base(draft.base.image)


# -- words, order, bytes -------------------------------------------------------------------------------------------


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
    """References 1 and 2 changed places; graded by how alike they are (see `measure`)."""
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


LEAKS = frozenset({"background_inliers", "background_blocks", "rim_leak", "mask_leak"})
SIZES = frozenset({"area_ratio_min", "area_ratio_max"})
SECOND = frozenset({"second_subject", "split", "shared_mask"})
BASE = frozenset({"base_untouched", "base_copy", "base_identity", "base_silhouette", "base_seam", "base_step"})

FAULTS: dict[str, tuple[Fault, frozenset[str]]] = {
    "background leak: around the subject": (leak_around, LEAKS),
    "background leak: the output's place": (leak_elsewhere, LEAKS),
    "background leak: in the mask": (loose_mask, LEAKS),
    "copy-paste": (copy_of_output, frozenset({"copy_ncc"})),
    "mirrored": (mirrored, frozenset({"handedness"})),
    "identity drift: redrawn": (drift, frozenset({"inexact_share", "identity"})),
    "identity drift: another individual": (another_individual, frozenset({"target_identity", "binding_margin"})),
    "identity drift: object expansion": (expanded, SIZES | SECOND),
    "identity drift: object partly lost": (painted_over, SIZES | {"inexact_share", "identity"}),
    "two subjects: a second copy": (second_copy, SECOND),
    "two subjects: another of the scene": (another_known, SECOND),
    "two subjects: one of the donor": (subject_of_donor, SECOND),
    "two subjects: a stranger nobody knows": (unknown_stranger, SECOND),
    "two subjects: one mask": (joined_mask, SECOND),
    "base: part of the subject left": (left_in_base, BASE),
    "base: a ghost": (ghost_in_base, BASE),
    "base: the subject elsewhere in the box": (moved_in_base, BASE),
    "base: a cut-off shadow": (cut_shadow, BASE),
    "wrong box or words: words": (wrong_words, frozenset({"binding"})),
    "wrong box or words: box": (wrong_box, frozenset({"lossy_share", "binding"})),
    "swapped references": (swapped_references, frozenset({"binding_margin", "target_identity"})),
    "lossy bytes": (lossy, frozenset({"lossy_share"})),
}
"""Every trap: how it is planted, and the checks made for it; that another check fails too does not count."""


# -- how they are made ---------------------------------------------------------------------------------------------


def _luck(sample: Planted) -> float:
    return float(np.random.default_rng(sample.seed).random())


def _made_again(sample: Planted, source: Image, mask: Mask) -> Planted | None:
    """Reference 0 made from another picture or mask: same backdrop, consistent warp and bytes."""
    first = sample.draft.references[0]
    size = sample.draft.output.shape[1::-1]
    try:
        placement = augmentation.place(mask, size, SynthesisConfig(), sample.seed, 0)
    except BadInput:  # a fault that cannot be placed is not planted
        return None
    pixels, kept = augmentation.warp_subject(source, masks.erode(mask, 1), placement)
    if not kept.any():
        return None
    backdrop = cv2.resize(_far_background(first), kept.shape[::-1])
    if source is not first.source:  # another frame has another plate; none is the honest answer
        sample = sample.with_reference(plate=None)
    return sample.with_reference(
        image=np.where(kept[..., None], pixels, backdrop),
        mask=kept,
        source=source,
        source_mask=mask,
        warp=placement.warp.tolist(),
    )


def _far_background(reference: Reference) -> Image:
    """The reference without its subject: Telea's inpainting, at a quarter of the size where it is fast."""
    hole = masks.dilate(reference.mask, 4)
    size = (max(hole.shape[1] // 4, 1), max(hole.shape[0] // 4, 1))
    small = cv2.resize(reference.image, size, interpolation=cv2.INTER_AREA)
    filled = cv2.inpaint(small, masks.resize(hole, size[1], size[0]).astype(np.uint8), 3, cv2.INPAINT_TELEA)
    large = cv2.resize(filled, hole.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.where(hole[..., None], large, reference.image), np.uint8)


def _emptied(draft: Draft) -> Image:
    hole = masks.dilate(np.logical_or.reduce([*draft.output_masks, *draft.scene_masks]), 6)
    return np.asarray(cv2.inpaint(draft.output, hole.astype(np.uint8), 3, cv2.INPAINT_TELEA), np.uint8)


def _covering(image: Image, width: int, height: int) -> Image:
    """The middle of a picture, as large as fits, at another size: its aspect stays."""
    scale = max(width / image.shape[1], height / image.shape[0])
    size = max(round(image.shape[1] * scale), width), max(round(image.shape[0] * scale), height)
    large = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return np.asarray(large[top : top + height, left : left + width], np.uint8)


def _recoloured(image: Image, mask: Mask, distance: float, sample: Planted) -> Image:
    """The pixels under the mask moved by `distance` in CIE Lab: mostly in a and b, as a wrong tint, a little in L."""
    angle = 2 * np.pi * _luck(sample)
    shift = distance * np.array([0.3, np.cos(angle) * 0.95, np.sin(angle) * 0.95], np.float32)
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) + shift
    moved = np.clip(cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB) * 255, 0, 255).astype(np.uint8)
    return np.asarray(np.where(mask[..., None], moved, image), np.uint8)


def _bent(reference: Reference, share: float, sample: Planted) -> Image:
    """The reference bent smoothly by up to `share` of the subject's size."""
    height, width = reference.mask.shape
    rng = np.random.default_rng(sample.seed)
    reach = share * float(np.sqrt(masks.area_px(reference.mask)))
    field_y, field_x = (
        cv2.resize(
            rng.uniform(-reach, reach, (6, 6)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
        )
        for _ in range(2)
    )
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return np.asarray(cv2.remap(reference.image, columns + field_x, rows + field_y, cv2.INTER_LINEAR), np.uint8)


def _side(mask: Mask, share: float, sample: Planted) -> Mask:
    """The part of a mask on one side of a straight line, `share` of its area."""
    angle = 2 * np.pi * _luck(sample)
    rows, columns = np.nonzero(mask)
    along = columns * np.cos(angle) + rows * np.sin(angle)
    chosen = along <= np.quantile(along, share)
    part = np.zeros_like(mask)
    part[rows[chosen], columns[chosen]] = True
    return part


def _beside(sample: Planted, image: Image, mask: Mask, height_share: float) -> Planted | None:
    """A subject put beside the one of reference 0, the canvas widened where there is no room."""
    first = sample.draft.references[0]
    own, theirs = masks.box_of(first.mask), masks.box_of(mask)
    if own is None or theirs is None:
        return None
    scale = height_share * (own[3] - own[1]) / (theirs[3] - theirs[1])
    x0, y0, x1, y1 = (int(side) for side in theirs)
    size = (max(int((x1 - x0) * scale), 2), max(int((y1 - y0) * scale), 2))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    pixels = cv2.resize(image[y0:y1, x0:x1], size, interpolation=method)
    shape = masks.resize(mask[y0:y1, x0:x1], size[1], size[0])
    height, width = first.mask.shape
    extra = size[0] + 8
    canvas = cv2.copyMakeBorder(first.image, 0, 0, 0, extra, cv2.BORDER_REFLECT_101) if extra < width else None
    if canvas is None:
        return None
    wide = np.zeros((height, width + extra), np.bool_)
    wide[:, :width] = first.mask
    reflected = np.zeros_like(wide)
    reflected[:, width:] = first.mask[:, width - 1 - extra : width - 1][:, ::-1]
    if reflected.any():  # the border repeats the subject itself: paint it over with the backdrop
        backdrop = cv2.resize(_far_background(first), (width + extra, height))
        canvas = np.where(masks.dilate(reflected, 4)[..., None] & ~wide[..., None], backdrop, canvas)
    top = int(min(max(own[3] - size[1], 0), height - size[1]))
    if top < 0 or size[1] > height:
        return None
    spot = canvas[top : top + size[1], width + 4 : width + 4 + size[0]]
    spot[shape] = pixels[shape]
    return sample.with_reference(image=np.ascontiguousarray(canvas), mask=wide)


def _swapped(text: str, words: dict[str, str]) -> str:
    """Every word of `words` replaced at once, longest first."""
    pattern = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    return re.sub(pattern, lambda match: words[match.group()], text)
