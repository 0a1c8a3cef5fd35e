"""Generation of edits around a generator: what stays bit-exact, seams between windows, leakage, removed subjects."""

import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import truth
from numpy.typing import NDArray
from sections import Section, table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from actors.video_generator import RehearsalGenerator
from schemas.edit import Action
from schemas.fill import VideoFillRequest
from schemas.passes import EditPass
from schemas.tracks import InstanceTrack
from schemas.video import Image
from stages import camera, masks, paste_back, retexture
from stages.appearance import look_of
from stages.edit_clip import Generation, edit_clip
from stages.leakage import Leakage
from stages.passes import plan_passes
from stages.tubes import Sizing
from stages.windows import FrameWindow, plan_windows

CLIPS = ("davis_camel", "davis_dog", "davis_car-roundabout")
LONG_FRAMES, LONG_PX = 325, (360, 640)  # five windows of 65 would cover it without sharing a frame
MAX_FRAMES, OVERLAP = 81, 9
TINT, GAIN, DRIFT = 14.0, 0.08, 10.0
"""Of the stand-in: levels and gain by which its windows differ, levels by which each drifts from its first frame to its
last; drawn evenly from within these."""

SEAM_BAR = 1.1


def read(videos: Path, clip: str) -> tuple[list[Image], list[InstanceTrack]]:
    """All frames and the true masks of all annotated instances."""
    with av.open(str(next((videos / "clips").glob(f"{clip}.*")))) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    nothing = np.zeros(frames[0].shape[:2], np.bool_)
    found = [truth.masks_at(videos, clip, number) for number in range(len(frames))]
    tracks = []
    for number, name in truth.objects(videos, clip).items():
        own = np.stack([each.get(number, nothing) for each in found])
        seen = own.any(axis=(1, 2))
        tracks.append(InstanceTrack(name, name, own, seen, seen.astype(np.float32), np.zeros(len(seen), np.float32)))
    return frames, tracks


def grown(own: NDArray[np.bool_], radius_px: float) -> NDArray[np.bool_]:
    return np.stack([masks.dilate(mask, radius_px) for mask in own])


# What is beyond the feather


def preserved(videos: Path) -> list[dict[str, Any]]:
    """Per clip, action and sizing: pixels beyond the feather, and how many of them changed."""
    rows = []
    for clip in CLIPS:
        frames, tracks = read(videos, clip)
        surveyed = camera.survey(frames, [track.masks for track in tracks])
        own = tracks[0].masks
        reference = cut_from(frames[0], own[0])
        asked = {
            "retexture": EditPass(Action.REPLACE, own, ((0,),), "zebra"),
            "reference": EditPass(Action.REPLACE, grown(own, 6), ((0,),), references=(reference,)),
            "remove": EditPass(Action.REMOVE, grown(own, 8), ((0,),)),
            "add": EditPass(Action.ADD, grown(own, 2) & ~grown(own, -1), ((0,),), "a golden outline"),
            "background": EditPass(Action.BACKGROUND, ~own, ((),), "snowy forest"),
        }
        for (name, one), sizing in [(each, Sizing.FAST) for each in asked.items()] + [
            (("retexture", asked["retexture"]), Sizing.SHARP)
        ]:
            how = Generation(clip, max_frames=49, overlap=OVERLAP, sizing=sizing)
            edited = edit_clip(frames, tracks, [one], RehearsalGenerator(49).generate, how, surveyed)
            rows.append({"clip": clip, "action": name, "tube": str(sizing)} | _compared(frames, edited, one))
    return rows


def cut_from(image: Image, mask: NDArray[np.bool_]) -> Image:
    """The subject on white, as references come."""
    x0, y0, x1, y1 = (int(side) for side in masks.box_of(mask) or (0, 0, 1, 1))
    cut = np.where(mask[..., None], image, 255)[y0:y1, x0:x1].astype(np.uint8)
    return np.pad(cut, ((10, 10), (10, 10), (0, 0)), constant_values=255)


def _compared(frames: Sequence[Image], edited: Any, one: EditPass) -> dict[str, int]:
    beyond_px = changed_px = inside_px = 0
    for number, (before, after) in enumerate(zip(frames, edited, strict=True)):
        reach = paste_back.feather_px(*before.shape[:2])
        outside = (~one.masks[number]).astype(np.uint8)
        # Measured anew, not by the stage's own distance: chessboard steps bound Euclidean ones from below.
        near = cv2.dilate(1 - outside, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
        differs = (before != after).any(axis=2)
        beyond_px += int(np.count_nonzero(~near))
        changed_px += int(np.count_nonzero(differs & ~near))
        inside_px += int(np.count_nonzero(differs & near))
    return {"beyond_px": beyond_px, "changed_px": changed_px, "edited_px": inside_px}


# Seams


@dataclass(slots=True)
class DriftingGenerator:
    """Draws the same in every window, but each in another tint, and drifting. strength 0: neither."""

    strength: float
    offsets: list[NDArray[np.float64]] = field(default_factory=list)

    def generate(self, request: VideoFillRequest) -> list[Image]:
        rng = np.random.default_rng(request.seed)
        gain = 1 + self.strength * rng.uniform(-GAIN, GAIN, 3)
        offset = self.strength * rng.uniform(-TINT, TINT, 3)
        drift = self.strength * rng.uniform(-DRIFT, DRIFT, 3)
        self.offsets.append(offset)
        drawn = retexture.retexture(request.frames, request.masks, look_of(request.target))
        shares = np.linspace(0, 1, len(drawn))
        return [
            np.where(
                mask[..., None], np.clip(np.rint((new - 127.0) * gain + 127 + offset + drift * share), 0, 255), frame
            ).astype(np.uint8)
            for frame, mask, new, share in zip(request.frames, request.masks, drawn, shares, strict=True)
        ]


def long_clip(videos: Path) -> tuple[list[Image], list[InstanceTrack]]:
    """The camel walking on and back again, LONG_FRAMES frames at half the size."""
    frames, (track, *_) = read(videos, "davis_camel")
    order = [*range(len(frames)), *range(len(frames) - 2, 0, -1)]
    order = [order[number % len(order)] for number in range(LONG_FRAMES)]
    small = [cv2.resize(frames[number], LONG_PX[::-1], interpolation=cv2.INTER_AREA) for number in order]
    own = np.stack([masks.resize(track.masks[number], *LONG_PX) for number in order])
    ones = np.ones(len(order), np.float32)
    return small, [InstanceTrack("camel 1", "camel", own, ones > 0, ones, ones)]


def differences(edited: Sequence[Image], own: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(T - 1,) mean levels by which each frame differs from the next where both are generated."""
    found = []
    for number in range(len(edited) - 1):
        both = own[number] & own[number + 1]
        apart = np.abs(edited[number + 1][both].astype(np.int16) - edited[number][both])
        found.append(float(apart.mean()))
    return np.array(found)


def colour_steps(edited: Sequence[Image], own: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(T - 1,) levels by which the mean colour under the mask changes, of the channel that changes most."""
    means = np.array([image[mask].mean(axis=0) for image, mask in zip(edited, own, strict=True)])
    return np.abs(np.diff(means, axis=0)).max(axis=1)


def visibility(apart: NDArray[np.float64], windows: Sequence[FrameWindow]) -> tuple[float, float]:
    """Largest and mean difference at the joints over the median elsewhere. A joint is every step from the last frame
    of one window alone to the first of the next alone."""
    at_joint = np.zeros(len(apart), np.bool_)
    for one, other in itertools.pairwise(windows):
        at_joint[other.start - 1 : one.stop] = True
    usual = float(np.median(apart[~at_joint]))
    return float(apart[at_joint].max() / usual), float(apart[at_joint].mean() / usual)


def seams(videos: Path) -> dict[str, dict[str, float]]:
    frames, tracks = long_clip(videos)
    own = tracks[0].masks
    # Plain: a pattern that moves would hide what happens at the joints.
    one = EditPass(Action.REPLACE, own, ((0,),), "a grey one")
    apart: dict[str, NDArray[np.float64]] = {}
    windows, steps = {}, {}
    runs = (
        ("steady", 0.0, MAX_FRAMES, OVERLAP),
        ("cut", 1.0, LONG_FRAMES // 5, 0),
        ("joined", 1.0, MAX_FRAMES, OVERLAP),
    )
    for name, strength, max_frames, overlap in runs:
        how = Generation("seams", max_frames=max_frames, overlap=overlap)
        edited = list(edit_clip(frames, tracks, [one], DriftingGenerator(strength).generate, how))
        apart[name] = differences(edited, own)
        windows[name] = plan_windows(0, len(frames), max_frames, overlap)
        steps[name] = colour_steps(edited, own)
    results = {}
    for name in ("cut", "joined", "steady"):
        # The camel's steps are uneven: each difference counts as a multiple of what it is without tint and drift.
        largest, mean = visibility(apart[name] / apart["steady"], windows[name])
        raw_largest, raw_mean = visibility(apart[name], windows[name])
        results[name] = {
            "windows": len(windows[name]),
            "largest": largest,
            "mean": mean,
            "raw_largest": raw_largest,
            "raw_mean": raw_mean,
            "colour_step": max(float(steps[name][at.start - 1]) for at in windows[name][1:]),
        }
    return results


# Leakage and removal


def leakages(videos: Path) -> dict[str, list[float]]:
    frames, tracks = read(videos, "comp_dog_dancer")
    wanted = [
        EditPass(Action.REPLACE, track.masks, ((number,),), target, prompt=target, nearness=float(number))
        for number, (track, target) in enumerate(zip(tracks, ("a blue one", "a green one"), strict=True))
    ]
    found = {}
    for name, joint in (("one pass per target", False), ("joint", True)):
        passes = plan_passes(wanted, joint)
        leakage = Leakage(tracks, passes)
        for _ in edit_clip(frames, tracks, passes, RehearsalGenerator().generate, Generation("leak"), None, leakage):
            pass
        found[name] = [share for shares in leakage.shares() for share in shares if share is not None]
    return found


def removal(videos: Path) -> dict[str, Any]:
    """The dancer taken out of the composite, against the clip she was laid over, where she was: PSNR in dB, and detail
    as a share of the truth's."""
    frames, tracks = read(videos, "comp_dog_dancer")
    true, _ = read(videos, "davis_dog")
    who = next(number for number, track in enumerate(tracks) if "danc" in track.name or "person" in track.name)
    region = grown(tracks[who].masks, 5) & ~tracks[1 - who].masks
    surveyed = camera.survey(frames, [track.masks for track in tracks])
    one = EditPass(Action.REMOVE, region, ((who,),))
    edited = list(edit_clip(frames, tracks, [one], RehearsalGenerator().generate, Generation("remove"), surveyed))
    spread = [
        cv2.inpaint(frame, mask.astype(np.uint8), 5, cv2.INPAINT_TELEA)
        for frame, mask in zip(frames, region, strict=True)
    ]
    return {
        "outside_db": psnr(frames, true, ~grown(region, 4)),
        "fills": {
            name: (psnr(found, true, region), detail(found, region) / detail(true, region))
            for name, found in (("nothing", frames), ("diffusion, per frame", spread), ("clean plate", edited))
        },
    }


def detail(images: Sequence[Image], where: NDArray[np.bool_]) -> float:
    """Mean absolute Laplacian in levels: a fill that is smooth has little."""
    found = [
        np.abs(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_32F))[masks.erode(at, 2)]
        for image, at in zip(images, where, strict=False)
    ]
    return float(np.concatenate(found).mean())


def psnr(found: Sequence[Image], true: Sequence[Image], where: NDArray[np.bool_]) -> float:
    """Of all pixels `where` in all frames together, in dB."""
    pairs = zip(found, true, where, strict=False)
    errors = np.concatenate([((one[at].astype(np.float64) - other[at]) ** 2).ravel() for one, other, at in pairs])
    return float(10 * np.log10(255**2 / max(float(errors.mean()), 1e-9)))


def measure(videos: Path, work: Path) -> Section:
    kept, joints, leaked, removed = preserved(videos), seams(videos), leakages(videos), removal(videos)
    changed = sum(row["changed_px"] for row in kept)
    figures = {"preserved": kept, "seams": joints, "leakage": leaked, "removal": removed}
    bars = {
        "no pixel beyond the feather differs, whatever the action": changed == 0,
        f"seams of a drifting generator at most {SEAM_BAR} times a usual step": joints["joined"]["largest"] <= SEAM_BAR,
        "the check sees seams where windows are cut instead": joints["cut"]["largest"] > SEAM_BAR,
        "one pass per target: at most 1 % of a change is on another's instance": max(leaked["one pass per target"])
        < 0.01,
    }
    return Section("Edit: generation", _text(kept, joints, leaked, removed), figures, bars)


def _text(
    kept: list[dict[str, Any]],
    joints: dict[str, dict[str, float]],
    leaked: dict[str, list[float]],
    removed: dict[str, Any],
) -> str:
    rows = [[row[name] for name in ("clip", "action", "tube", "edited_px", "beyond_px", "changed_px")] for row in kept]
    exact = table(["clip", "action", "tube", "pixels changed", "beyond the feather", "of these changed"], rows)
    joint_rows = [
        [
            name,
            each["windows"],
            each["largest"],
            each["mean"],
            each["raw_largest"],
            each["raw_mean"],
            each["colour_step"],
        ]
        for name, each in joints.items()
    ]
    seam = table(
        ["windows are", "windows", "largest", "mean", "largest, raw", "mean, raw", "colour step, levels"], joint_rows
    )
    leak = table(
        ["passes", "first target", "second target"],
        [[name, *(f"{100 * s:.2f} %" for s in shares)] for name, shares in leaked.items()],
    )
    fills = [[name, db, share] for name, (db, share) in removed["fills"].items()]
    out = table(["taken out by", "PSNR, dB", "detail"], fills)
    return f"""True masks, the embedded generator, before encoding. The feather is 3 px wide at 480p.

{exact}

Seams: {LONG_FRAMES} frames of the camel walking to and fro, windows of at most {MAX_FRAMES} that share {OVERLAP},
a stand-in that tints each window by up to {TINT:.0f} levels and {100 * GAIN:.0f} % and drifts by up to {DRIFT:.0f}
levels within it. The difference between neighbouring frames at the joints over its median elsewhere, each as a
multiple of what it is when the same is drawn without tint and drift (steady); raw: not divided by that, so with the
camel's uneven steps in it. Colour step: the largest change of the mean colour from the last frame before a window to
its first. Cut: windows of {LONG_FRAMES // 5} that share nothing.

{seam}

Leakage on `comp_dog_dancer`: of what was changed for a target, the part on the other's instance.

{leak}

The dancer removed from the composite, against the clip she was laid over, where she was (elsewhere the composite equals
it to {removed["outside_db"]:.1f} dB). Detail: mean Laplacian over the truth's.

{out}"""
