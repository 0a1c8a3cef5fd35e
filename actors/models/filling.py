"""Around every inpainting model: the region's crop goes in with the region hidden, and only the region comes out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from actors.image_editor import OLD_SUBJECT_MARGIN_PX, refuse_impossible
from actors.models.batching import batched
from actors.models.fill_words import rung
from schemas.errors import BadInput
from schemas.fill import Fill, Filled, FillRequest
from schemas.reasons import Reason
from schemas.video import Image, Mask
from stages import compositing, masks, regions

NEUTRAL = 127  # what a model sees of the region: what it does not see it cannot keep
MIN_CHANGE = 8  # levels; less may be the autoencoder
STEPS_PER_RUNG = (1.0, 1.5, 2.0)


@dataclass(frozen=True, slots=True)
class Canvas:
    """What a model is given: a crop at its working size, the region in it neutral, and where to paint (True)."""

    image: Image
    mask: Mask


@dataclass(frozen=True, slots=True)
class Working:
    """The sizes a model works at: sides multiples of `multiple`, at most `max_pixels`, and how far around the region it
    must be let paint (`stages.regions.cover`).
    """

    max_pixels: int = 1024 * 1024
    multiple: int = 16
    reach_px: int = 0
    max_enlargement: float = regions.MAX_ENLARGEMENT


Paint = Callable[[FillRequest, Canvas], Image]
"""The crop, painted; at any size."""


def fill_each(requests: Sequence[FillRequest], working: Working, origin: str, paint: Paint) -> list[Filled | BadInput]:
    """The requests filled by `paint`, every pixel outside a region bit-exact, or BadInput as a value, also for one that
    does not fit in memory.

    They go one by one: crops differ in size, so they cannot share a batch, and a megapixel fills an accelerator.
    Raises ValueError for a region of another size than its picture.
    """

    def alone(batch: list[FillRequest]) -> list[Filled | BadInput]:
        return [answer(request, working, origin, paint) for request in batch]

    return batched(alone, requests, batch_size=1)


def answer(request: FillRequest, working: Working, origin: str, paint: Paint) -> Filled | BadInput:
    """One request filled, or why it cannot be."""
    if request.region.shape != request.image.shape[:2]:
        raise ValueError(f"a region of {request.region.shape} for a picture of {request.image.shape[:2]}")
    try:
        refuse_impossible(request)
        return _finished(request, origin, _painted(_with_plate(request), working, paint))
    except BadInput as bad:
        return bad


def warm_up(fill: Callable[[Sequence[FillRequest]], object]) -> None:
    """One small request: kernels get loaded, and a checkpoint that cannot paint fails here, not later in a run."""
    image: Image = np.full((64, 64, 3), NEUTRAL, np.uint8)
    region: Mask = np.zeros((64, 64), np.bool_)
    region[16:48, 16:48] = True
    fill([FillRequest(image, region, Fill.REMOVE, "empty ground", seed=0)])


def num_steps(request: FillRequest, first: int) -> int:
    """More for higher rungs: what failed once is given more care."""
    return round(first * STEPS_PER_RUNG[rung(request)])


def _with_plate(request: FillRequest) -> FillRequest:
    """The request once what is known to stand behind the region is in place; only REMOVE leaves it at that."""
    if request.plate is None:
        return request
    known = request.region & request.plate.known
    image = np.where(known[..., None], request.plate.image, request.image)
    region = request.region & ~known if request.fill is Fill.REMOVE else request.region
    return replace(request, image=image, region=region)


def _painted(request: FillRequest, working: Working, paint: Paint) -> Image:
    """The whole picture with the region as the model painted it, without any blending."""
    if not request.region.any():
        return request.image
    crop = regions.context_crop(request.region)
    return regions.paste_back(request.image, request.region, crop, paint(request, canvas_of(request, crop, working)))


def canvas_of(request: FillRequest, crop: regions.Crop, working: Working) -> Canvas:
    x0, y0, x1, y1 = crop
    size = regions.working_size(y1 - y0, x1 - x0, working.max_pixels, working.multiple, working.max_enlargement)
    shown = request.image.copy()
    shown[_hidden(request)] = NEUTRAL
    image = regions.resize(np.ascontiguousarray(shown[y0:y1, x0:x1]), *size)
    return Canvas(image, regions.cover(request.region[y0:y1, x0:x1], *size, working.reach_px))


def _hidden(request: FillRequest) -> Mask:
    """What the model must not see: the region, but for what is known to stand there behind the subject."""
    if request.plate is None:
        return request.region
    return np.asarray(request.region & ~request.plate.known, dtype=np.bool_)


def _finished(request: FillRequest, origin: str, painted: Image) -> Filled:
    """Edges and colours fitted to what stays. Raises BadInput(SUBJECT_IN_BASE) for a replacement that is none."""
    if request.fill is Fill.OUTPAINT:
        return Filled(compositing.soften_edge(painted, request.image, ~request.region), origin)
    box = masks.box_of(request.region)
    assert box is not None, "an empty region was refused"
    old = masks.dilate(request.avoid, OLD_SUBJECT_MARGIN_PX) if request.avoid is not None else request.region
    closed = compositing.close_seam(request.image, painted, box)
    image = compositing.fade_in(request.image, closed, request.region, old)
    if request.fill is Fill.REMOVE:
        return Filled(image, origin)
    difference = np.abs(image.astype(np.int16) - request.image).max(axis=2)
    changed = np.asarray((difference >= MIN_CHANGE) & request.region, dtype=np.bool_)
    if not changed.any():
        raise BadInput(Reason.SUBJECT_IN_BASE, "the model gave the region back as it was")
    return Filled(image, origin, replacement=request.category, replacement_mask=changed)
