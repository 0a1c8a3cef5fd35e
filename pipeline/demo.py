"""Demo clips with ground truth: cut-outs of photographs move, lean, turn and change their light over other photographs.

`python -m pipeline.demo FOLDER` writes FOLDER/*.mp4, FOLDER/masks/CLIP/NNNNN.png (palette, n = object n, 0 = none) with
boxes.json, and FOLDER/demo.json.
"""

import json
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pipeline.demo_photographs import CutOut, Float, background, subject
from pipeline.demo_scenes import CLIPS, Actor, DemoClip, Pose
from schemas.keys import seed_of
from schemas.video import Image

FPS = 24
SHADOW = 0.45  # how dark a soft shadow gets
Labels = NDArray[np.uint8]
"""(H, W): 0 = background, n = object n."""


def _ease(share: float) -> float:
    return share * share * (3 - 2 * share)


def _between(actor: Actor, share: float, rng_phase: float) -> Pose:
    """The pose at `share` of the shot: eased from start to end, with a little sway."""
    ease, sway = _ease(share), float(np.sin(2 * np.pi * share + rng_phase))
    values = {
        name: getattr(actor.start, name) * (1 - ease) + getattr(actor.end, name) * ease
        for name in Pose.__dataclass_fields__
    }
    values["x"] += 0.008 * sway
    values["degrees"] += 1.2 * sway
    return Pose(**values)


def _window_of(cut: CutOut, pose: Pose, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the frame the cut-out cannot leave, however it is turned."""
    width, height = size
    own_height, own_width = cut.alpha.shape
    reach = 1.2 * pose.height * height * float(np.hypot(cut.stands, 0.6 * own_width / own_height))
    x, y = pose.x * width, pose.y * height
    rows = slice(max(0, int(y - reach)), max(0, min(height, int(y + reach))))
    return rows, slice(max(0, int(x - reach)), max(0, min(width, int(x + reach))))


def _placed(cut: CutOut, pose: Pose, size: tuple[int, int], window: tuple[slice, slice]) -> tuple[Float, Float]:
    """In that window of a frame of `size` (width, height): the cut-out's lit colours (h, w, 3) and alpha (h, w)."""
    width, height = size
    own_height, own_width = cut.alpha.shape
    scale = pose.height * height / own_height
    angle = np.deg2rad(pose.degrees)
    v, u = np.mgrid[window].astype(np.float32)
    u, v = u - np.float32(pose.x * width), v - np.float32(pose.y * height)
    x = np.float32(np.cos(angle) / scale) * u + np.float32(np.sin(angle) / scale) * v
    y = np.float32(np.cos(angle) / scale) * v - np.float32(np.sin(angle) / scale) * u
    x = x + np.float32(pose.lean * own_height) * np.square(np.clip(-y / own_height, 0, 1.2))
    yaw = 0.75 * pose.turn  # radians
    x = x / (np.float32(np.cos(yaw)) * (1 + np.float32(0.25 * np.sin(yaw) / own_width) * x))
    x, y = x + np.float32(own_width / 2), y + np.float32(cut.stands * own_height)
    seen_x = x
    for _ in range(3):  # towards the fixed point of: source = here, shifted by the relief found there
        relief = cv2.remap(cut.relief, seen_x, y, cv2.INTER_LINEAR)
        seen_x = x - np.float32(0.12 * own_width * pose.turn) * (relief - 0.5)
    alpha = cv2.remap(cut.alpha, seen_x, y, cv2.INTER_LINEAR)
    colours = cv2.remap(cut.image, seen_x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    shade = 1 + np.float32(0.55 * pose.light) * (2 * seen_x / own_width - 1)
    return colours * np.clip(shade, 0.3, 1.5)[..., None], alpha


def _view(photograph: Float, at: tuple[float, float, float], size: tuple[int, int]) -> Float:
    """A window of the photograph with the frame's shape."""
    width, height = size
    rows, columns = photograph.shape[:2]
    span = min(columns / width, rows / height) / at[2]
    left, top = at[0] * (columns - span * width), at[1] * (rows - span * height)
    matrix = np.array([[span, 0, left], [0, span, top]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(photograph, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _frames(clip: DemoClip, numbers: dict[str, int], seed: int) -> Iterator[tuple[Image, Labels]]:
    """Every frame of the clip with its label picture."""
    rng = np.random.default_rng(seed_of("demo", seed, clip.name))
    for shot in clip.shots:
        num_frames = round(shot.seconds * FPS)
        phases = rng.uniform(0, 2 * np.pi, len(shot.actors))
        for index in range(num_frames):
            share = index / (num_frames - 1)
            at = tuple(a * (1 - share) + b * share for a, b in zip(*shot.pan, strict=True))
            picture = _view(background(shot.background), at, clip.size)
            labels = np.zeros(picture.shape[:2], np.uint8)
            for actor, phase in zip(shot.actors, phases, strict=True):
                cut, pose = subject(actor.subject), _between(actor, share, phase)
                window = _window_of(cut, pose, clip.size)
                colours, alpha = _placed(cut, pose, clip.size, window)
                if actor.shadow:
                    picture[window] *= (1 - SHADOW * _shadow_of(alpha, clip.size[1]))[..., None]
                picture[window] += (colours - picture[window]) * alpha[..., None]
                labels[window][alpha >= 0.5] = numbers[actor.subject]
            if shot.bank:
                _cover(picture, labels, at[0])
            picture += 1.5 * rng.standard_normal(labels.shape, np.float32)[..., None] + 0.5
            yield np.clip(picture, 0, 255).astype(np.uint8), labels


def _cover(picture: Float, labels: Labels, pan: float) -> None:
    """Draws a bank of pebbles before everything, so that who stands behind it is not cut off by the frame."""
    height, width = labels.shape
    strip = background("bank")[:, (start := int(pan * (background("bank").shape[1] - width))) :][:, :width]
    columns = np.arange(start, start + width)
    top = height * (0.87 + 0.012 * np.sin(columns / 53) + 0.006 * np.sin(columns / 17))
    alpha = np.clip(np.arange(height)[-len(strip) :, None] - top + 0.5, 0, 1).astype(np.float32)
    below = picture[-len(strip) :]
    below += (strip - below) * alpha[..., None]
    labels[-len(strip) :][alpha >= 0.5] = 0


def _shadow_of(alpha: Float, frame_height: int) -> Float:
    moved = np.array([[1, 0, 0.02 * frame_height], [0, 1, 0.03 * frame_height]], np.float32)
    return cv2.GaussianBlur(cv2.warpAffine(alpha, moved, alpha.shape[::-1]), (0, 0), 0.02 * frame_height)


def make_demo_videos(folder: str | Path, seed: int = 0, names: Collection[str] | None = None) -> list[dict[str, Any]]:
    """Writes the demo clips (all, or those of `names`) and their truth below `folder`; returns what demo.json holds.

    Per clip: name, width, height, fps, frames, cuts (first frame of each new shot), shots ([start, end) frames and the
    objects seen in them), objects ("1" -> identity and category), masks (folder, relative) and rigid. Object numbers
    are one identity through the whole clip. The same seed gives the same pictures.
    """
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    entries = [_write_clip(clip, root, seed) for clip in CLIPS if names is None or clip.name in names]
    (root / "demo.json").write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    return entries


def _write_clip(clip: DemoClip, root: Path, seed: int) -> dict[str, Any]:
    # Numbered as they appear, back to front: a higher number hides a lower one.
    names = list(dict.fromkeys(actor.subject for shot in clip.shots for actor in shot.actors))
    numbers = {name: number for number, name in enumerate(names, start=1)}
    masks = root / "masks" / clip.name
    masks.mkdir(parents=True, exist_ok=True)
    boxes: dict[str, Any] = {}
    with av.open(str(root / f"{clip.name}.mp4"), "w") as container:
        # The same bytes each time: one thread, and no macroblock tree (measured: differs from run to run).
        options = {"crf": "18", "preset": "veryfast", "x264-params": "mbtree=0"}
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.codec_context.thread_count = 1
        stream.width, stream.height, stream.pix_fmt = *clip.size, "yuv420p"
        for index, (picture, labels) in enumerate(_frames(clip, numbers, seed)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            frame.pts = index
            container.mux(stream.encode(frame))
            _write_labels(masks / f"{index:05d}.png", labels)
            boxes[f"{index:05d}"] = _boxes_of(labels)
        container.mux(stream.encode())
    objects = {str(number): subject(name).category for name, number in numbers.items()}
    (masks / "boxes.json").write_text(json.dumps({"objects": objects, "frames": boxes}) + "\n", encoding="utf-8")
    return _truth_of(clip, numbers)


def _truth_of(clip: DemoClip, numbers: dict[str, int]) -> dict[str, Any]:
    ends = np.cumsum([round(shot.seconds * FPS) for shot in clip.shots]).tolist()
    starts = [0, *ends[:-1]]
    return {
        "name": f"{clip.name}.mp4",
        "width": clip.size[0],
        "height": clip.size[1],
        "fps": FPS,
        "frames": ends[-1],
        "cuts": starts[1:],
        "shots": [
            {"frames": [start, end], "objects": sorted(numbers[actor.subject] for actor in shot.actors)}
            for start, end, shot in zip(starts, ends, clip.shots, strict=True)
        ],
        "objects": {
            str(number): {"identity": name, "category": subject(name).category} for name, number in numbers.items()
        },
        "masks": f"masks/{clip.name}",
        "rigid": clip.rigid,
    }


def _write_labels(path: Path, labels: Labels) -> None:
    picture = PillowImage.fromarray(labels, mode="P")
    picture.putpalette([0, 0, 0, 220, 60, 50, 60, 160, 220, 240, 190, 60])
    picture.save(path, compress_level=1)


def _boxes_of(labels: Labels) -> dict[str, Any]:
    found = {}
    for number in np.unique(labels[labels > 0]).tolist():
        mask = (labels == number).astype(np.uint8)
        found[str(number)] = {"bbox_xywh": list(cv2.boundingRect(mask)), "area": int(mask.sum())}
    return found


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m pipeline.demo FOLDER")
    for entry in make_demo_videos(sys.argv[1]):
        print(f"{entry['name']}: {entry['frames']} frames, cuts {entry['cuts']}, objects {entry['objects']}")
