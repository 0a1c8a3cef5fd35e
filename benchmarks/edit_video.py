"""Does everything that was not edited come out as it went in? Real clips, written again untouched as H.264.

    python benchmarks/edit_video.py FOOTAGE

PSNR is of the whole picture, all of which is outside the (empty) edit; the bit rate counts video packets only. Prints
Markdown; exit 1 when a bar is missed.
"""

import argparse
import hashlib
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from sections import Section, table

from stages.encoding import encode, read_clip
from stages.media import probe

CLIPS = {
    "clips/davis_camel.mp4": "",
    "clips/davis_dog.mp4": "",
    "clips/mdn_flower.mp4": "sound (AAC)",
    "clips/intel_two_faces.mp4": "low bit rate",
    "odd/aeroplane_broken_audio_real.mp4": "damaged sound (MP3)",
    "odd/portrait_rotate90.mp4": "portrait by rotation",
    "odd/phone_rotation180_real.mp4": "uneven times, upside down, sound (AAC)",
    "odd/vfr_woman_dog.mp4": "uneven times",
    "odd/anamorphic_sar4x3.mp4": "oblong pixels",
    "odd/odd_853x479_yuv444.mp4": "odd size, 4:4:4",
    "odd/carphone_qcif_176x144.mp4": "small, oblong pixels",
    "odd/flower_vp8.webm": "VP8, sound (Vorbis)",
    "odd/mpeg2_dog.mpg": "MPEG-2",
    "odd/mjpeg_kite.avi": "MJPEG, full range",
    "odd/hdr10_hevc10.mp4": "HEVC, 10 bit, PQ",
}
MIN_PSNR, MAX_RATIO = 42.0, 1.5


def packets(path: Path, kind: str) -> list[tuple[float, int, str]]:
    """Time in milliseconds, size and hash of every packet of the first video, or of all audio."""
    with av.open(str(path)) as container:
        streams = container.streams.video[:1] if kind == "video" else list(container.streams.audio)
        found = [packet for packet in container.demux(streams) if packet.size] if streams else []
        return [
            (round(float((each.pts or 0) * each.time_base) * 1000), each.size, hashlib.sha256(bytes(each)).hexdigest())
            for each in found
        ]


def compare(source: Path, result: Path) -> tuple[float, float, bool]:
    """PSNR of RGB and of luma (of BT.601), over all frames together; whether the times of all frames are equal."""
    errors, equal = [], True
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    for ours, theirs in zip(read_clip(source), read_clip(result), strict=True):
        difference = ours.image.astype(np.float32) - theirs.image
        errors.append((np.square(difference).mean(), np.square(difference @ weights).mean()))
        equal &= Fraction(ours.pts) * ours.time_base == Fraction(theirs.pts) * theirs.time_base
    rgb, luma = (10 * np.log10(255**2 / max(float(mean), 1e-9)) for mean in np.mean(errors, axis=0))
    return float(rgb), float(luma), equal


def measure_clip(path: Path, work: Path) -> dict[str, object]:
    began = time.perf_counter()
    done = encode(path, (frame.image for frame in read_clip(path)), work / path.stem)
    seconds = time.perf_counter() - began
    rgb, luma, equal_times = compare(path, done.path)
    sound, copied = packets(path, "audio"), packets(done.path, "audio")
    sizes = [sum(size for _, size, _ in packets(each, "video")) for each in (path, done.path)]
    before, after = probe(path), probe(done.path)
    return {
        "frames": done.num_frames,
        "times_equal": equal_times,
        "sound_packets": len(sound),
        "sound_equal": [each[2] for each in sound] == [each[2] for each in copied],
        "shape_equal": (before.width, before.height, before.rotation) == (after.width, after.height, after.rotation),
        "psnr": rgb,
        "psnr_luma": luma,
        "ratio": sizes[1] / sizes[0],
        "kbit": sizes[0] * 8 / 1000 / (before.duration_seconds or done.num_frames / before.fps),
        "crf": done.crf,
        "ms_per_frame": 1000 * seconds / done.num_frames,
        "container": done.path.suffix,
    }


def measure(videos: Path, work: Path) -> Section:
    found = {}
    for name in CLIPS:
        found[name] = measure_clip(videos / name, work)
        print(name, found[name], file=sys.stderr, flush=True)
    rows = [
        [Path(name).name, CLIPS[name], each["frames"], _yes(each["times_equal"]), _sound(each), each["psnr"],
         each["psnr_luma"], each["ratio"], each["crf"], round(each["ms_per_frame"])]
        for name, each in found.items()
    ]  # fmt: skip
    header = ["clip", "what is odd", "frames", "times", "sound", "PSNR dB", "luma", "bit rate", "CRF", "ms a frame"]
    both = [each for each in found.values() if each["psnr"] >= MIN_PSNR and each["ratio"] <= MAX_RATIO]
    bars = {
        "number and times of frames equal": all(each["times_equal"] for each in found.values()),
        "sound bit for bit": all(each["sound_equal"] for each in found.values()),
        "upright size and rotation equal": all(each["shape_equal"] for each in found.values()),
        f"untouched pixels at least {MIN_PSNR:.0f} dB": all(each["psnr"] >= MIN_PSNR for each in found.values()),
        f"that at {MAX_RATIO} times the bit rate or less, on every clip": len(both) == len(found),
    }
    return Section("Edit: video in and out", table(header, rows), {"clips": found}, bars)


def _yes(value: object) -> str:
    return "equal" if value else "**differ**"


def _sound(each: dict[str, object]) -> str:
    return f"{each['sound_packets']} packets {_yes(each['sound_equal'])}" if each["sound_packets"] else "-"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", type=Path)
    with tempfile.TemporaryDirectory(prefix="recast-edit-video-") as work:
        section = measure(parser.parse_args().videos, Path(work))
    print(
        section.markdown, *(f"- {'met' if met else '**missed**'}: {bar}" for bar, met in section.bars.items()), sep="\n"
    )
    return 0 if all(section.bars.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
