"""What would make a manipulation base harmful to train on, measured: is the subject, or a trace of it, still there?"""

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.sample import Base, Draft
from schemas.video import Image, Mask
from stages import masks, search
from stages.traps import Embed, different_share

CANDIDATES = 2  # places of the base, per view of the removed subject, that the embedder judges
NUM_EMPTY = 4  # places of the empty background it is shown for comparison
STRETCH, MIN_STRETCH_PX = 0.04, 8  # of the box's border
MIN_LIFT = 0.5  # of the way from the background's similarity to identity, before a place counts


def removed(draft: Draft, base: Base) -> list[int]:
    """Numbers of the references whose subject stood in the box; at least the one with most of itself in it."""
    inside = masks.mask_of(base.box, base.image.shape[0], base.image.shape[1])
    shares = [np.count_nonzero(mask & inside) / max(masks.area_px(mask), 1) for mask in draft.output_masks]
    return [number for number, share in enumerate(shares) if share > 0.5] or [int(np.argmax(shares))]


def copies_and_identity(draft: Draft, base: Base, embed: Embed) -> tuple[float, float]:
    """(best correlation, best similarity) of anything in the whole base with a removed subject.

    The subject is looked for as it stands in the output and as it stands in frame A. The places that correlate best,
    and its own place, are shown to the embedder. Other subjects known to stand elsewhere in the scene are no trace of
    this one and are not looked at. A place that is hardly more similar than the empty background of the output (a white
    dog on white sand) counts as 0.
    """
    numbers = removed(draft, base)
    bystanders = _bystanders(draft, numbers)
    correlation, similarity = -1.0, -1.0
    for number in numbers:
        subject = draft.output_masks[number]
        reference = draft.references[number]
        shapes = [subject]
        for image, mask in ((draft.output, subject), (reference.source, reference.source_mask)):
            places = search.sightings(image, mask, base.image, bystanders)[:CANDIDATES]
            correlation = max(correlation, search.likeness(image, mask, base.image, places))
            shapes += [place.mask for place in places if place.mask.any()]
        empty = _empty_places(draft, subject)
        pictures = [*((base.image, shape) for shape in shapes), *((draft.output, shape) for shape in empty)]
        vectors = embed([(draft.output, subject), *pictures])
        values = vectors[1:] @ vectors[0]
        clutter = float(values[len(shapes) :].max()) if empty else 0.0
        needed = clutter + MIN_LIFT * (1 - clutter)
        similarity = max([similarity, *(float(value) if value >= needed else 0.0 for value in values[: len(shapes)])])
    return correlation, similarity


def _empty_places(draft: Draft, subject: Mask) -> list[Mask]:
    """The subject's shape, moved to places of the output where no known subject is."""
    x0, y0, x1, y1 = (int(side) for side in masks.box_of(subject) or (0, 0, 0, 0))
    shape = subject[y0:y1, x0:x1]
    taken = np.any([*draft.output_masks, *draft.scene_masks], axis=0)
    found: list[Mask] = []
    for top in np.linspace(0, subject.shape[0] - shape.shape[0], 3).astype(int):
        for left in np.linspace(0, subject.shape[1] - shape.shape[1], 5).astype(int):
            window = slice(top, top + shape.shape[0]), slice(left, left + shape.shape[1])
            if np.count_nonzero(taken[window] & shape) < 0.05 * np.count_nonzero(shape):
                moved: Mask = np.zeros_like(subject)
                moved[window] = shape
                found.append(moved)
    return found[:: max(len(found) // NUM_EMPTY, 1)][:NUM_EMPTY]


def _bystanders(draft: Draft, numbers: list[int]) -> Mask | None:
    """Where other subjects of the scene stand; None when there are none."""
    own = [draft.output_masks[number] for number in numbers]
    everyone = [*draft.output_masks, *draft.scene_masks]
    others = [mask for mask in everyone if all(masks.iou(mask, subject) < 0.5 for subject in own)]
    if not others:
        return None
    union = np.any(others, axis=0)
    return np.asarray(union & ~np.any(own, axis=0), np.bool_)


def silhouette(draft: Draft, base: Base) -> float:
    """Correlation, along the outline of the removed subject, of the brightness steps across it in base and output.

    Near 0 when the box was really regenerated; near 1 when a rim or a ghost of the subject still draws its outline.
    """
    scores = [0.0]
    for number in removed(draft, base):
        before, after = (_steps(image, draft.output_masks[number]) for image in (draft.output, base.image))
        scale = float(np.sqrt(np.square(before).sum() * np.square(after).sum()))
        # The quieter the base is along the outline, the less its agreement means.
        strength = min(float(np.abs(after).mean()) / max(float(np.abs(before).mean()), 1e-6), 1.0)
        if scale > 1e-6:
            scores.append(float((before * after).sum() / scale) * strength)
    return max(scores)


def _steps(image: Image, mask: Mask) -> NDArray[np.float64]:
    """Signed derivative of the three channels across the mask's outline, at outline pixels away from the frame."""
    signed = masks.signed_distance(mask)
    band = (np.abs(signed) <= 2.0) & _inner(mask.shape)
    normal_x, normal_y = (cv2.Sobel(signed, cv2.CV_32F, dx, dy) for dx, dy in ((1, 0), (0, 1)))
    smooth = cv2.GaussianBlur(image, (5, 5), 0).astype(np.float32)
    along_x, along_y = (cv2.Sobel(smooth, cv2.CV_32F, dx, dy) for dx, dy in ((1, 0), (0, 1)))
    across = along_x * normal_x[..., None] + along_y * normal_y[..., None]
    return np.asarray(across[band], np.float64)


def _inner(shape: tuple[int, ...]) -> Mask:
    inner: Mask = np.zeros(shape[:2], np.bool_)
    inner[4:-4, 4:-4] = True
    return inner


def untouched_share(draft: Draft, base: Base) -> float:
    """Share of the removed subjects' pixels that the base still has exactly as the output; 0 when all are new."""
    return max(different_complement(base.image, draft.output, draft.output_masks[n]) for n in removed(draft, base))


def different_complement(first: Image, second: Image, where: Mask) -> float:
    return 1.0 - different_share(first, second, where) if first.shape == second.shape else 0.0


def seam(draft: Draft, base: Base) -> float:
    """Share of the box's border where the base has a step that the output has not, in [0, 1].

    A shadow or reflection that leaves the box is cut there, and a badly blended filling ends there. Sides on the frame
    border are not looked at.
    """
    x0, y0, x1, y1 = (round(side) for side in base.box)
    height, width = base.image.shape[:2]
    before, after = (cv2.GaussianBlur(image, (3, 3), 0).astype(np.float32) for image in (draft.output, base.image))
    steps = []
    for position, at_border in ((x0, x0 <= 1), (x1, x1 >= width - 1)):
        if not at_border:
            steps.append(_extra_step(before[y0:y1], after[y0:y1], position, 1))
    for position, at_border in ((y0, y0 <= 1), (y1, y1 >= height - 1)):
        if not at_border:
            steps.append(_extra_step(before[:, x0:x1], after[:, x0:x1], position, 0))
    joined = np.concatenate(steps) if steps else np.zeros(1)
    return float((joined > 24.0).mean())


def step(draft: Draft, base: Base) -> float:
    """The largest mean step across the box's border that the base has and the output has not, in grey levels, over any
    stretch of STRETCH of the border: where a shadow that leaves the box is cut off, or a filling does not fit."""
    x0, y0, x1, y1 = (round(side) for side in base.box)
    height, width = base.image.shape[:2]
    x0, x1 = (min(max(x, 0), width) for x in (x0, x1))  # a box that is wrong may lie beyond the picture
    y0, y1 = (min(max(y, 0), height) for y in (y0, y1))
    length = max(round(STRETCH * 2 * (x1 - x0 + y1 - y0)), MIN_STRETCH_PX)
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) for image in (draft.output, base.image)]
    smooth = [cv2.GaussianBlur(picture, (3, 3), 0) for picture in grey]
    rows, columns = slice(y0, y1), slice(x0, x1)
    sides = [(1, x0 + 1, x0 - 2, rows, x0 > 1), (1, x1 - 2, x1 + 1, rows, x1 < width - 1)]
    sides += [(0, y0 + 1, y0 - 2, columns, y0 > 1), (0, y1 - 2, y1 + 1, columns, y1 < height - 1)]
    largest = 0.0
    for axis, inside, outside, along, is_inner in sides:
        if not is_inner or along.stop - along.start < length:
            continue
        before, after = (picture[along] if axis == 1 else picture[:, along] for picture in smooth)
        means = [
            np.abs(
                np.convolve(picture.take(inside, axis) - picture.take(outside, axis), np.ones(length) / length, "valid")
            )
            for picture in (before, after)
        ]
        largest = max(largest, float((means[1] - means[0]).max()))
    return largest


def _extra_step(
    before: NDArray[np.float32], after: NDArray[np.float32], position: int, axis: int
) -> NDArray[np.float32]:
    """How much larger the step over the border is than it was, per border pixel; worst channel."""
    near, far = position - 2, position + 1
    step_before = np.abs(np.take(before, near, axis) - np.take(before, far, axis)).max(axis=-1)
    step_after = np.abs(np.take(after, near, axis) - np.take(after, far, axis)).max(axis=-1)
    return np.asarray(step_after - step_before, np.float32)
