"""Clips with exact truth in which two subjects of one category cross in front of each other, in both orders.

Real subjects, cut out by their true masks and moving as they did, are carried along crossing paths over a panned
picture. Some are strangers to each other, some the same animal in another colour, one pair are twins (one mirrored):
nothing but an unbroken track can tell those apart. Written below the benchmark's work folder in the layout of the
annotated footage.
"""

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import truth
from numpy.typing import NDArray

Image = NDArray[np.uint8]

NUM_FRAMES, WIDTH, HEIGHT, FPS = 48, 640, 360, 24
_PAN_PX = 60  # of the background, over the clip


@dataclass(frozen=True, slots=True)
class Actor:
    """A subject of an annotated clip. hue: turn of its colours in degrees / 2. start: first frame of its clip."""

    clip: str
    hue: int = 0
    mirrored: bool = False
    start: int = 0
    share: float = 0.42  # of the picture's height


@dataclass(frozen=True, slots=True)
class Play:
    name: str
    category: str
    actors: tuple[Actor, Actor]
    background: tuple[str, int]  # file below the footage, frame


_YARD, _MEADOW = ("clips/intel_cars_topdown.mp4", 0), ("shots/bbb_opening_30s.webm", 200)
_DOG, _LIBBY = Actor("davis_dog"), Actor("davis_libby")
_DANCER, _RUNNER = Actor("davis_dance-twirl", share=0.6), Actor("davis_parkour", start=40, share=0.55)
_CAR, _RACER = Actor("davis_car-roundabout", share=0.3), Actor("davis_drift-straight", share=0.3)
_CAMEL = Actor("davis_camel", share=0.5)

PLAYS = (
    Play("dogs_yard", "dog", (_DOG, _LIBBY), _YARD),
    Play("dogs_meadow", "dog", (Actor("davis_dog", mirrored=True), _LIBBY), _MEADOW),
    Play("people_yard", "person", (_DANCER, _RUNNER), _YARD),
    Play("people_meadow", "person", (_DANCER, Actor("davis_parkour", hue=60, start=40, share=0.55)), _MEADOW),
    Play("cars_yard", "car", (_CAR, _RACER), _YARD),
    Play("cars_meadow", "car", (_CAR, Actor("davis_drift-straight", hue=60, share=0.3)), _MEADOW),
    Play("camels_yard", "camel", (_CAMEL, Actor("davis_camel", hue=90, mirrored=True, start=30, share=0.5)), _YARD),
    Play("dogs_colour", "dog", (_DOG, Actor("davis_dog", hue=50, mirrored=True, start=10)), _YARD),
    Play("racers_colour", "car", (_RACER, Actor("davis_drift-straight", hue=110, mirrored=True, share=0.3)), _MEADOW),
    Play("twins_camel", "camel", (_CAMEL, Actor("davis_camel", mirrored=True, share=0.5)), _MEADOW),
)


def make(videos: Path, folder: Path) -> list[str]:
    """Writes every play in both orders; returns the names of the clips."""
    names = []
    for play in PLAYS:
        layers = [list(_cutouts(videos, actor)) for actor in play.actors]
        plate = _frame(videos / play.background[0], play.background[1])
        for front in range(2):
            name = f"cross_{play.name}_{front + 1}"
            if not (folder / "masks" / name / "boxes.json").is_file():
                _write(folder, name, play, layers, plate, front)
            names.append(name)
    return names


def _cutouts(videos: Path, actor: Actor) -> list[tuple[Image, NDArray[np.float32]]]:
    """Picture and mask per frame, to scale: the size changes as it did, within a third."""
    path = next((videos / "clips").glob(f"{actor.clip}.*"))
    number = len(list((videos / "masks" / actor.clip).glob("*.png")))
    # Forwards, then back again where the clip is too short.
    order = [*range(actor.start, number), *range(number - 2, actor.start, -1)][:NUM_FRAMES]
    images = _frames(path, set(order))
    found = {index: next(iter(truth.masks_at(videos, actor.clip, index).values()), None) for index in order}
    heights = [cv2.boundingRect(mask.astype(np.uint8))[3] for mask in found.values() if mask is not None]
    usual = float(np.median(heights))
    layers, last = [], None
    for index in order:
        mask = found[index]
        if mask is not None and np.count_nonzero(mask) > 200:
            last = _cutout(images[index], mask, actor, usual)
        if last is not None:
            layers.append(last)
    return layers


def _cutout(image: Image, mask: truth.Mask, actor: Actor, usual: float) -> tuple[Image, NDArray[np.float32]]:
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    scale = actor.share * HEIGHT / float(np.clip(height, 0.75 * usual, 1.33 * usual))
    size = max(round(width * scale), 2), max(round(height * scale), 2)
    part = cv2.resize(image[y : y + height, x : x + width], size, interpolation=cv2.INTER_AREA)
    soft = cv2.resize(mask[y : y + height, x : x + width].astype(np.float32), size, interpolation=cv2.INTER_AREA)
    if actor.hue:
        hsv = cv2.cvtColor(part, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(int) + actor.hue) % 180
        hsv[..., 1] = np.maximum(hsv[..., 1], 90)  # grey has no hue to turn
        part = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    if actor.mirrored:
        part, soft = part[:, ::-1], soft[:, ::-1]
    return np.ascontiguousarray(part, np.uint8), np.ascontiguousarray(soft)


def _write(
    folder: Path,
    name: str,
    play: Play,
    layers: list[list[tuple[Image, NDArray[np.float32]]]],
    plate: Image,
    front: int,
) -> None:
    masks = folder / "masks" / name
    masks.mkdir(parents=True, exist_ok=True)
    (folder / "clips").mkdir(exist_ok=True)
    wide = cv2.resize(plate, (WIDTH + _PAN_PX, HEIGHT), interpolation=cv2.INTER_AREA)
    with av.open(str(folder / "clips" / f"{name}.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(FPS), options={"crf": "16", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(NUM_FRAMES):
            picture, labels = _compose(wide, layers, number, front)
            cv2.imwrite(str(masks / f"{number:05d}.png"), labels)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    told = {"objects": {str(each + 1): f"{play.category} ({play.actors[each].clip})" for each in range(2)}}
    (masks / "boxes.json").write_text(json.dumps(told))


def _compose(
    wide: Image, layers: list[list[tuple[Image, NDArray[np.float32]]]], number: int, front: int
) -> tuple[Image, NDArray[np.uint8]]:
    """One walks from left to right, the other the other way; they meet in the middle of the clip."""
    share = number / (NUM_FRAMES - 1)
    shift = round(_PAN_PX * share)
    picture = wide[:, shift : shift + WIDTH].astype(np.float32)
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for each in (1 - front, front):
        part, soft = layers[each][number % len(layers[each])]
        along = 0.2 + 0.6 * share if each == 0 else 0.8 - 0.6 * share
        foot = 0.86 if each == front else 0.80  # who is nearer stands lower
        x, y = round(along * WIDTH - part.shape[1] / 2), round(foot * HEIGHT - part.shape[0])
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + part.shape[1], WIDTH), min(y + part.shape[0], HEIGHT)
        inside = (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x))
        weight = soft[inside][..., None]
        picture[y0:y1, x0:x1] = weight * part[inside] + (1 - weight) * picture[y0:y1, x0:x1]
        labels[y0:y1, x0:x1][soft[inside] >= 0.5] = each + 1
    return picture.round().astype(np.uint8), labels


def _frame(path: Path, index: int) -> Image:
    return _frames(path, {index})[index]


def _frames(path: Path, wanted: set[int]) -> dict[int, Image]:
    with av.open(str(path)) as container:
        found = {}
        for index, frame in enumerate(container.decode(video=0)):
            if index in wanted:
                found[index] = frame.to_ndarray(format="rgb24")
            if index >= max(wanted):
                break
    return found
