"""Role `image_editor`: fill this region."""

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from schemas.errors import BadInput
from schemas.fill import Donor, Fill, Filled, FillRequest
from schemas.reasons import Reason
from schemas.subject import Box
from schemas.video import Image, Mask
from stages import compositing, inpainting, masks

GENERIC_CATEGORY = "subject"
"""What the embedded profile calls everything: it fits any category."""

MAX_ENLARGEMENT = (2.5, 2.5, 6.0)  # of a donor's background, per rung; the last is out of focus anyway
DEFOCUS = (0.0015, 0.004, 0.012)  # sigma of the background's blur per rung, of the canvas' long side
COLOUR_STRENGTH = 0.3  # of the change in brightness
TINT_STRENGTH = 0.1  # of the change in hue: a sea does not dye a dog
SHADOW_STRENGTH = 0.45
UNKNOWN_SUBJECT_MALUS = 1.0
"""A donor nobody segmented may show a subject anywhere: taken only when no other fits."""

DONOR_MARGIN = 0.03  # around a donor's subject, of the donor's long side: its shadow and soft edge
MAX_SUBJECT_ENLARGEMENT = 2.0
MIN_REPLACEMENT_HEIGHT = 0.45  # of the old subject's height
MIN_DONOR_SUBJECT_PX = 48
MAX_DONOR_BORDER_SHARE = 0.03
MIN_VISIBLE_SHARE = 0.9  # of the replacement, where other subjects stand in the box
OLD_SUBJECT_MARGIN_PX = 4.0  # around what stood there: its soft edge must not shine through either
SHAPE_WEIGHT = 0.3
ROOM = 0.96  # of the box, that the replacement may take up


class ImageEditor(Protocol):
    """One answer per request, in order: Filled, or BadInput as a value for a request that cannot be met.

    draws: whether it is a ReferencePainter as well.
    """

    draws: bool

    def fill(self, requests: Sequence[FillRequest]) -> list[Filled | BadInput]: ...


class ReferencePainter(Protocol):
    """Draws a picture from words and pictures of what it should show."""

    def draw(self, prompt: str, references: Sequence[Image], height_px: int, width_px: int, seed: int) -> Image: ...


def refuse_impossible(request: FillRequest) -> None:
    """What no editor can meet: raises BadInput NO_ROOM where nothing is to be filled, or nothing is left to fill it
    from, and NO_DONOR for another of what has no name.
    """
    if not request.region.any():
        raise BadInput(Reason.NO_ROOM, "the region to fill is empty")
    if request.fill is not Fill.OUTPAINT and request.region.all():
        raise BadInput(Reason.NO_ROOM, "the region is the whole picture; nothing says what place it is")
    if request.fill is Fill.REPLACE and request.category == GENERIC_CATEGORY:
        raise BadInput(Reason.NO_DONOR, "nobody named the subject, so there is no other of its category")


class DonorEditor:
    """Fills with pixels of other sources, without a model: the embedded profile's editor.

    OUTPAINT: the largest subject-free window of a donor, matched to the subject in brightness. REPLACE: the hole filled
    from around it, a donor's subject standing in it. REMOVE: the hole filled from around it. Pixels outside the region
    are bit-exact. Answers BadInput NO_DONOR when no donor fits, NO_ROOM when nothing is left to fill a hole from.
    """

    draws = False

    def fill(self, requests: Sequence[FillRequest]) -> list[Filled | BadInput]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: FillRequest) -> Filled | BadInput:
        try:
            refuse_impossible(request)
            if request.fill is Fill.OUTPAINT:
                return _outpaint(request)
            return _replace(request) if request.fill is Fill.REPLACE else _remove(request)
        except BadInput as error:
            return error


def _outpaint(request: FillRequest) -> Filled:
    rng = np.random.default_rng(request.seed)
    subject = ~request.region
    height, width = subject.shape
    donor, window = _background(request, rng)
    background = compositing.crop_to(donor.image, window, width, height)
    sigma = DEFOCUS[request.rung] * max(height, width)
    background = np.asarray(cv2.GaussianBlur(background, (0, 0), sigma), dtype=np.uint8)
    # Brightness only: a red subject does not stand in red light.
    own, wanted = background.mean(), compositing.mean_colour(request.image, subject).mean()
    background = compositing.match_colour(background, np.full(3, own), np.full(3, wanted), COLOUR_STRENGTH)
    background = compositing.contact_shadow(background, subject, SHADOW_STRENGTH)
    return Filled(compositing.soften_edge(background, request.image, subject), donor.origin)


def _background(request: FillRequest, rng: np.random.Generator) -> tuple[Donor, Box]:
    """A donor and its free window: drawn at random; sharp ones, and those the subject stands out from, preferred."""
    height, width = request.region.shape
    best: tuple[float, Donor, Box] | None = None
    for donor in request.donors:
        taken = donor.mask if donor.others is None else donor.others | donor.mask
        if taken is not None:
            taken = masks.dilate(taken, DONOR_MARGIN * max(taken.shape))
        window = compositing.free_window(taken, *donor.image.shape[:2], width / height)
        luck = float(rng.random())
        if window is None:
            continue
        enlargement = height / (window[3] - window[1])
        if enlargement > MAX_ENLARGEMENT[request.rung]:
            continue
        alike = _window_overlap(request, donor, window)
        score = luck - alike - max(enlargement - 1, 0) * 0.5 - (UNKNOWN_SUBJECT_MALUS if donor.mask is None else 0.0)
        if best is None or score > best[0]:
            best = (score, donor, window)
    if best is None:
        raise BadInput(Reason.NO_DONOR, "no other source has a large enough window without a subject")
    return best[1], best[2]


def _window_overlap(request: FillRequest, donor: Donor, window: Box) -> float:
    """How alike the colours of the window and of the kept subject are: it should stand out from its background."""
    inside = masks.mask_of(window, *donor.image.shape[:2])
    return compositing.colour_overlap(request.image, ~request.region, donor.image, inside)


def _remove(request: FillRequest) -> Filled:
    return Filled(_emptied(request), origin="")


def _emptied(request: FillRequest) -> Image:
    """The picture with the region filled from what surrounds it."""
    avoid = request.avoid if request.avoid is not None else np.zeros_like(request.region)
    box = masks.box_of(request.region)
    assert box is not None, "an empty region was refused"
    hole = masks.mask_of(box, *request.region.shape)
    image, unknown = request.image, hole
    if request.plate is not None:
        known = hole & request.plate.known
        image = np.where(known[..., None], request.plate.image, image)
        unknown = hole & ~known
    filled = inpainting.fill_hole(image, unknown, avoid & ~(hole & ~unknown), request.seed)
    closed = compositing.close_seam(request.image, filled, box)
    return compositing.fade_in(request.image, closed, request.region, masks.dilate(avoid, OLD_SUBJECT_MARGIN_PX))


def _replace(request: FillRequest) -> Filled:
    rng = np.random.default_rng(request.seed)
    box = masks.box_of(request.region)
    assert box is not None, "an empty region was refused"
    fitting = [donor for donor in request.donors if _can_replace(donor, request.category)]
    placed = [(donor, *_placed(donor, box, request)) for donor in fitting]
    scores = [
        share + 0.3 * float(rng.random()) - _likeness(request, donor) - _misshapen(request, box, mask)
        for donor, _, mask, share in placed
    ]
    order = sorted(range(len(placed)), key=lambda position: -scores[position])
    for position in order:
        donor, pixels, mask, height_share = placed[position]
        visible = np.count_nonzero(mask & request.region) / max(np.count_nonzero(mask), 1)
        if height_share < MIN_REPLACEMENT_HEIGHT or visible < MIN_VISIBLE_SHARE:
            continue
        return _pasted(request, donor, pixels, mask)
    raise BadInput(Reason.NO_DONOR, "no other source lends a subject of this category that fits the box")


def _can_replace(donor: Donor, category: str) -> bool:
    """A whole subject (not cut by its frame), large enough, of the same category. What nobody named has none: a flower
    is no other camel."""
    if donor.mask is None or donor.category != category:
        return False
    box = masks.box_of(donor.mask)
    if box is None or min(box[2] - box[0], box[3] - box[1]) < MIN_DONOR_SUBJECT_PX:
        return False
    return masks.border_share(donor.mask) <= MAX_DONOR_BORDER_SHARE


def _placed(donor: Donor, box: Box, request: FillRequest) -> tuple[Image, Mask, float]:
    """The donor's subject standing where the old one stood: picture and mask of the request's size, and how tall it is
    compared with the old subject."""
    assert donor.mask is not None
    old = _old_subject_box(request, box)
    own = masks.box_of(donor.mask)
    assert own is not None
    wide, tall = own[2] - own[0], own[3] - own[1]
    floor = min(old[3], box[1] + ROOM * (box[3] - box[1]))
    room = min(ROOM * (box[2] - box[0]) / wide, ROOM * (floor - box[1]) / tall)
    scale = min((old[3] - old[1]) / tall, room, MAX_SUBJECT_ENLARGEMENT)
    centre = min(max((old[0] + old[2]) / 2, box[0] + wide * scale / 2 + 1), box[2] - wide * scale / 2 - 1)
    move = np.array([[scale, 0, centre - scale * (own[0] + own[2]) / 2], [0, scale, floor - 1 - scale * own[3]]])
    size = (request.region.shape[1], request.region.shape[0])
    source = donor.image
    if scale < 0.8:
        source = cv2.GaussianBlur(source, (0, 0), (1 / scale - 1) / 2)
    method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_LINEAR
    pixels = np.asarray(cv2.warpAffine(source, move, size, flags=method), dtype=np.uint8)
    coverage = cv2.warpAffine(donor.mask.astype(np.uint8) * 255, move, size, flags=cv2.INTER_LINEAR)
    mask = np.asarray(coverage >= 128, dtype=np.bool_)
    return pixels, mask, scale * tall / max(old[3] - old[1], 1.0)


def _misshapen(request: FillRequest, box: Box, mask: Mask) -> float:
    """How differently shaped old and new subject are: SHAPE_WEIGHT where one is e times as wide for its height."""
    old, new = _old_subject_box(request, box), masks.box_of(mask)
    if new is None:
        return 1.0
    aspects = [(x1 - x0) / max(y1 - y0, 1.0) for x0, y0, x1, y1 in (old, new)]
    return SHAPE_WEIGHT * abs(float(np.log(max(aspects[0], 0.05) / max(aspects[1], 0.05))))


def _likeness(request: FillRequest, donor: Donor) -> float:
    """How alike old and new subject are in colour: the new one must be told apart from the old at a glance."""
    assert donor.mask is not None
    old = request.region & request.avoid if request.avoid is not None else request.region
    return compositing.colour_overlap(request.image, old, donor.image, donor.mask)


def _old_subject_box(request: FillRequest, box: Box) -> Box:
    """Where the old subject stood: what of `avoid` lies in the region; the region itself when that is not known."""
    if request.avoid is None:
        return box
    return masks.box_of(request.avoid & request.region) or box


def _pasted(request: FillRequest, donor: Donor, pixels: Image, mask: Mask) -> Filled:
    """The replacement in the emptied region, lit like the place it stands in now."""
    assert donor.mask is not None
    emptied = _emptied(request)
    own = compositing.mean_colour(donor.image, ~donor.mask)
    wanted = compositing.mean_colour(emptied, request.region)
    lit = compositing.match_colour(pixels, np.full(3, own.mean()), np.full(3, wanted.mean()), COLOUR_STRENGTH)
    lit = compositing.match_colour(
        lit, 127 * own / max(own.mean(), 1.0), 127 * wanted / max(wanted.mean(), 1.0), TINT_STRENGTH
    )
    shaded = compositing.contact_shadow(emptied, mask, SHADOW_STRENGTH)
    image, visible = compositing.paste(shaded, lit, mask, request.region)
    image = np.where(request.region[..., None], image, request.image)
    return Filled(image, donor.origin, replacement=donor.category, replacement_mask=visible)
