"""A pair with known geometry and donors of other sources, drawn from shapes and noise."""

import cv2
import numpy as np

from schemas.fill import Donor
from schemas.sample import Scene
from schemas.video import Image, Mask

HEIGHT, WIDTH = 240, 360


def background(seed: int, top: tuple[int, int, int], ground: tuple[int, int, int]) -> Image:
    noise = np.random.default_rng(seed).integers(-10, 11, (HEIGHT, WIDTH, 3))
    image = np.zeros((HEIGHT, WIDTH, 3), int)
    image[:100], image[100:] = top, ground
    return (image + noise).clip(0, 255).astype(np.uint8)


def figure(x: int, feet: int, tall: int) -> Mask:
    """A head on a body on two legs."""
    canvas = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(canvas, (x, feet - tall + tall // 6), tall // 6, 1, -1)
    cv2.rectangle(canvas, (x - tall // 5, feet - tall + tall // 4), (x + tall // 6, feet - tall // 3), 1, -1)
    cv2.rectangle(canvas, (x - tall // 6, feet - tall // 2), (x - tall // 20, feet - 1), 1, -1)
    cv2.rectangle(canvas, (x + tall // 30, feet - tall // 2), (x + tall // 7, feet - 1), 1, -1)
    return canvas.astype(bool)


def painted(image: Image, mask: Mask, colour: tuple[int, int, int], seed: int = 3) -> Image:
    noise = np.random.default_rng(seed).integers(-15, 16, image.shape)
    image = image.copy()
    image[mask] = (np.array(colour) + noise).clip(0, 255)[mask].astype(np.uint8)
    return image


def scene(num_subjects: int = 1) -> Scene:
    """Up to two figures that change place and size between A and B; the background is the same."""
    places = [((110, 220, 120), (100, 210, 100)), ((260, 200, 100), (270, 215, 120))][:num_subjects]
    colours = [(200, 60, 50), (60, 70, 190)]
    image_a = image_b = background(1, (120, 160, 210), (150, 130, 90))
    masks_a, masks_b = [], []
    for (place_a, place_b), colour in zip(places, colours, strict=False):
        masks_a.append(figure(*place_a))
        masks_b.append(figure(*place_b))
        image_a, image_b = painted(image_a, masks_a[-1], colour), painted(image_b, masks_b[-1], colour)
    names = [f"subject-{number}" for number in range(num_subjects)]
    return Scene(image_a, image_b, masks_a, masks_b, names, ["person"] * num_subjects, "own-source")


def donor(origin: str = "other-source", category: str = "person", seed: int = 9) -> Donor:
    """A green place, a yellow figure at its left."""
    mask = figure(70, 215, 130)
    image = painted(background(seed, (90, 120, 90), (60, 110, 50)), mask, (220, 200, 40))
    return Donor(image, mask, category, origin)
