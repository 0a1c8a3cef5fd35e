"""Tiny clips with known truth, as files: patterned shapes over patterned ground, with masks as `oracle` reads them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image as Pictures

from schemas.video import Image, Mask

SIZE = (96, 64)  # width, height
FPS = 24


@dataclass(frozen=True)
class Thing:
    """An ellipse of a category. start: its centre (x, y); step: per frame; radii: half its width and height, in px."""

    category: str
    start: tuple[float, float]
    step: tuple[float, float] = (0.5, 0.0)
    radii: tuple[int, int] = (11, 15)
    colour: tuple[int, int, int] = (190, 110, 50)


LEFT = Thing("bear", (26, 34), (0.5, 0.1))
RIGHT = Thing("bear", (70, 36), (-0.4, 0.0), (10, 14), (60, 90, 180))
BETWEEN = Thing("dog", (48, 30), (0.0, 0.3), (7, 8), (60, 150, 70))


def write_clip(
    folder: Path,
    name: str,
    things: Sequence[Thing] = (LEFT,),
    num_frames: int = 13,
    size: tuple[int, int] = SIZE,
    degrees: int = 0,
    sound: bool = False,
) -> Path:
    """folder/NAME.mp4 and the truth about it; later things are nearer. size: as stored; degrees: how far players turn
    it, against the clock. The truth is upright."""
    folder.mkdir(parents=True, exist_ok=True)
    truth = folder / "masks" / name
    truth.mkdir(parents=True)
    upright = size[::-1] if degrees % 180 else size
    path = folder / f"{name}.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "10", "preset": "veryfast"})
        stream.codec_context.thread_count = 1
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        if degrees:
            stream.set_display_rotation(degrees)
        heard = container.add_stream("aac", rate=48000) if sound else None
        for number in range(num_frames):
            picture, shown = picture_of(number, things, upright, seed=len(name) + ord(name[0]))
            labels = np.zeros(upright[::-1], np.uint8)
            for order, mask in enumerate(shown, 1):
                labels[mask] = order
            Pictures.fromarray(labels).save(truth / f"{number:05d}.png")
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.rot90(picture, -(degrees // 90))), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if heard is not None:
            tone = (np.sin(np.arange(48000 * num_frames // FPS) / 20) * 8000).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(tone, "s16", "mono")
            frame.rate = 48000
            container.mux(heard.encode(frame))
            container.mux(heard.encode(None))
    objects = {str(order): thing.category for order, thing in enumerate(things, 1)}
    (truth / "boxes.json").write_text(json.dumps({"objects": objects}))
    return path


def picture_of(
    number: int, things: Sequence[Thing], size: tuple[int, int] = SIZE, seed: int = 0
) -> tuple[Image, list[Mask]]:
    """A frame, and what of each thing is to be seen in it. The camera pans slowly."""
    width, height = size
    ground = np.float32([[95, 120, 90]]) + 45 * _pattern(width + 200, height, seed)[..., None]
    picture = ground[:, (number // 2) % 200 : (number // 2) % 200 + width].copy()
    shown: list[Mask] = []
    for order, thing in enumerate(things):
        x, y = (thing.start[axis] + thing.step[axis] * number for axis in range(2))
        canvas = np.zeros((height, width), np.uint8)
        cv2.ellipse(canvas, (round(x), round(y)), thing.radii, 0, 0, 360, 1, -1)
        mask = canvas.astype(bool)
        skin = np.roll(_pattern(width, height, 50 + order), (round(y), round(x)), (0, 1))
        picture[mask] = np.float32(thing.colour) + 25 * skin[mask][:, None]
        shown = [each & ~mask for each in shown] + [mask]
    return picture.clip(0, 255).astype(np.uint8), shown


def _pattern(width: int, height: int, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return smooth / smooth.std()
