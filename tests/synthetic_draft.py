"""Textured drafts with known truth, and a small stand-in for the embedder."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.config import SynthesisConfig
from schemas.sample import Base, Draft, Reference, Task
from schemas.video import Image, Mask
from stages import augmentation, masks

HEIGHT, WIDTH = 300, 400
SKINS = [(200, 60, 50), (60, 70, 200), (230, 200, 60)]


def texture(
    seed: int, colour: tuple[int, int, int] = (128, 128, 128), size: tuple[int, int] = (HEIGHT, WIDTH)
) -> Image:
    """Smooth blotches of three sizes around a colour: features to match, nothing periodic."""
    rng = np.random.default_rng(seed)
    total = np.zeros((*size, 3))
    for cells, strength in ((6, 30), (20, 30), (60, 25)):
        knots = rng.normal(0, strength, (cells, cells, 3)).astype(np.float32)
        total += cv2.resize(knots, size[::-1], interpolation=cv2.INTER_CUBIC)
    return (total + colour).clip(0, 255).astype(np.uint8)


def shape(x: int, y: int, tall: int, lean: float = 0.0, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Mask:
    """A body with a head and one arm: no symmetry."""
    points = np.array(
        [(-20, 50), (-24, -10), (-8, -22), (-12, -50), (12, -50), (10, -22), (45, -30), (46, -18), (22, 0), (24, 50)]
    )
    scaled = points * tall / 100.0
    scaled[:, 0] += lean * scaled[:, 1]
    canvas = np.zeros(size, np.uint8)
    cv2.fillPoly(canvas, [np.round(scaled + np.array([x, y])).astype(np.int32)], 1)
    return canvas > 0


def paint(image: Image, mask: Mask, skin: Image) -> Image:
    """The skin's middle lies on the mask's middle."""
    x0, y0, x1, y1 = masks.box_of(mask)
    shift = np.float32([[1, 0, (x0 + x1) / 2 - WIDTH / 2], [0, 1, (y0 + y1) / 2 - HEIGHT / 2]])
    moved = cv2.warpAffine(skin, shift, image.shape[1::-1], borderMode=cv2.BORDER_REFLECT)
    return np.where(mask[..., None], moved, image)


def reference(source: Image, mask: Mask, seed: int, category: str = "subject") -> Reference:
    placed = augmentation.place(mask, (WIDTH, HEIGHT), SynthesisConfig(), seed, 0)
    pixels, kept = augmentation.warp_subject(source, mask, placed)
    backdrop = texture(900 + seed, (90, 130, 90), kept.shape)
    return Reference(
        np.where(kept[..., None], pixels, backdrop),
        kept,
        source,
        mask,
        placed.warp.tolist(),
        f"i{seed}",
        category,
        "other",
    )


def draft(num_subjects: int = 1, base: str = "", categories: Sequence[str] = ("subject",) * 3) -> Draft:
    """Subjects change pose and half of their texture from A to B; the place is the same. base: "", replace or add."""
    places = [((100, 160, 170), (90, 170, 150)), ((290, 150, 160), (300, 160, 180))][:num_subjects]
    image_a = image_b = texture(1, (130, 150, 170))
    image_b = np.roll(image_b, 15, axis=1)
    masks_a, masks_b = [], []
    for number, (place_a, place_b) in enumerate(places):
        skin, other = texture(10 + number, SKINS[number]), texture(20 + number, SKINS[number])
        masks_a.append(shape(*place_a))
        masks_b.append(shape(*place_b, lean=0.3))
        image_a = paint(image_a, masks_a[-1], skin)
        image_b = paint(image_b, masks_b[-1], cv2.addWeighted(skin, 0.5, other, 0.5, 0))
    shown = 1 if base else num_subjects
    references = [reference(image_a, masks_a[n], n, categories[n]) for n in range(shown)]
    task = f"{'single' if num_subjects == 1 else 'multi'}_{'manipulation' if base else 'generation'}"
    made = Draft("key", Task(task), 0, 7, 0, image_b, masks_b[:shown], references, scene_masks=masks_b)
    if base:
        made.base = make_base(image_b, masks_b[0], base)
    return made


def make_base(output: Image, subject: Mask, operation: str) -> Base:
    """The dilated box gets its own texture back from the other side, and a yellow newcomer for "replace"."""
    x0, y0, x1, y1 = masks.grow_box(masks.box_of(subject), 0.15, HEIGHT, WIDTH)
    box = tuple(float(round(side)) for side in (x0, y0, x1, y1))
    region = masks.mask_of(box, HEIGHT, WIDTH)
    place = np.roll(texture(1, (130, 150, 170)), 15, axis=1)  # what is really behind the subject
    if operation == "replace":
        newcomer = shape(int((x0 + x1) / 2), int((y0 + y1) / 2), int(0.5 * (y1 - y0)), lean=-0.2)
        place = paint(place, newcomer, texture(33, SKINS[2]))
    return Base(
        np.where(region[..., None], place, output), box, operation, "subject" if operation == "replace" else "", "x"
    )


def embed(subjects: Sequence[tuple[Image, Mask]]) -> NDArray[np.float32]:
    """Centred colour histograms of length 1."""
    rows = []
    for image, mask in subjects:
        counts, _ = np.histogramdd(image[mask], bins=(6, 6, 6), range=[(0, 256)] * 3)
        roots = np.sqrt(counts.ravel() / max(counts.sum(), 1))
        rows.append(roots / max(float(np.linalg.norm(roots)), 1e-9))
    return np.array(rows, np.float32)
