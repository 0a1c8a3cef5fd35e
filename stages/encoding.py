"""Edited frames back into a video that is the source's in everything but the pictures that were changed.

Kept: number and times of frames (also where they are uneven), sound bit for bit, metadata, colour tags, bit depth and
subsampling. Orientation and pixel aspect are kept as the source has them, as tags beside pictures stored the same way:
players show the same upright video of the same size, and samples that nobody edited need no turning or resizing, which
subsampled colours do not survive. A PNG folder is upright with square pixels instead, since pictures have no such tags.

High dynamic range stays: edited pixels are placed on the source's own scale (PQ, HLG) at its bit depth, though they
come with 8 bits. Interlaced sources are written as the woven pictures that the stages see.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.sidedata.sidedata import Type as SideDataType

from schemas.errors import BadInput
from schemas.reasons import Reason
from schemas.video import Image, OutputFormat
from stages import muxing, rates
from stages.media import Decoded, Reading, VideoSource, open_video
from stages.stored import Storing, pixel_format_for, range_of
from stages.upright import geometry_of

_CODECS = {OutputFormat.H264: "libx264", OutputFormat.PRORES: "prores_ks", OutputFormat.FFV1: "ffv1"}
_DEPTHS = {OutputFormat.H264: (8, 10), OutputFormat.PRORES: (10,), OutputFormat.FFV1: (8, 10, 12, 16)}
_SUBSAMPLINGS = {OutputFormat.PRORES: ("422", "444")}
_ALL_SUBSAMPLINGS = ("420", "422", "444")
_SUFFIXES = {OutputFormat.H264: (".mp4", ".mov"), OutputFormat.PRORES: (".mov",), OutputFormat.FFV1: (".mp4",)}
_CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
_USUAL_RATE = Fraction(25)


@dataclass(frozen=True, slots=True)
class ClipFrame:
    """A frame at full size, upright. `pts` counts `time_base` seconds, as the source does."""

    index: int
    pts: int
    time_base: Fraction
    image: Image


@dataclass(frozen=True, slots=True)
class Encoded:
    """What was written. left_out: what of the source is not in it, and why, one sentence each."""

    path: Path
    num_frames: int
    num_audio_streams: int
    left_out: tuple[str, ...] = ()
    crf: float | None = None  # of H.264


def read_clip(source: VideoSource, start: int = 0, end: int | None = None) -> Iterator[ClipFrame]:
    """The frames [start, end) of a video, each once, in order.

    Raises BadInput as `media.open_video` and `media.Reading` do, and DECODE_ERROR when the video ends before `end`.
    """
    found = start
    with open_video(source) as container:
        reading = Reading(container)
        clock = _Clock(reading.stream)
        for decoded in reading:
            if end is not None and decoded.index >= end:
                return
            pts = clock.pts_of(decoded)
            if decoded.index >= start:
                found = decoded.index + 1
                yield ClipFrame(decoded.index, pts, clock.time_base, decoded.rgb())
    if end is not None and found < end:
        raise BadInput(Reason.DECODE_ERROR, f"the video ends at frame {found}, before frame {end}")


def encode(
    source: VideoSource, frames: Iterable[Image], destination: Path, output: OutputFormat = OutputFormat.H264
) -> Encoded:
    """Writes `frames` in place of those of `source`; equal input gives equal bytes.

    frames: one (H, W, 3) uint8 RGB picture per frame of the source, as `read_clip` gives them. Pixels equal to the
    source's are stored with the source's own samples. destination: without suffix; its container follows from the
    sound.
    Raises BadInput as reading the source does, ValueError when number or size of the frames is another, UserError when
    the destination of a PNG folder is something else.
    """
    if output == OutputFormat.PNG:
        return _write_pictures(source, frames, destination)
    plan = _plan(source, output)
    with open_video(source) as pictures, open_video(source) as sound:
        suffix = muxing.suffix_for(sound, _SUFFIXES[output])
        if suffix == ".mkv" and plan.is_oblong:
            raise BadInput(Reason.NO_CONTAINER, "its sound needs Matroska, which loses the shape of its pixels here")
        path = destination.with_name(destination.name + suffix)
        with muxing.writing(path, _CONTAINERS[suffix]) as target:
            reading = Reading(pictures)
            stream = _add_video(target, reading.stream, plan)
            target.metadata.update(muxing.described(pictures.metadata))
            audio = muxing.AudioCopy(sound, target)
            for packet in _packets(reading, frames, stream, plan):
                audio.write_until(float(packet.dts * packet.time_base))
                target.mux(packet)
            audio.write_until(float("inf"))
            left_out = list(audio.left_out)
            if suffix == ".mkv" and (1000 * _Clock(reading.stream).time_base).denominator != 1:
                left_out.append("fractions of a millisecond in the times of frames: Matroska has none")
    return Encoded(path, reading.num_frames, audio.num_streams, tuple(left_out), plan.crf)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How the pictures of one source are coded, known after one look through it."""

    output: OutputFormat
    pixel_format: str
    is_typed: bool  # picture types are kept
    is_oblong: bool  # its pixels are not square
    first: av.VideoFrame
    crf: float | None


def _plan(source: VideoSource, output: OutputFormat) -> _Plan:
    sample, first = rates.Sample(), None
    with open_video(source) as container:
        reading = Reading(container)
        is_typed = output == OutputFormat.H264 and reading.stream.codec_context.codec.canonical_name in rates.TYPED
        for decoded in reading:
            first = first or decoded.stored
            if output != OutputFormat.H264:
                break
            sample.add(decoded.index, decoded.stored)
        assert first is not None  # Reading raises when there is none
        upright = geometry_of(first, reading.stream.sample_aspect_ratio)
    pixel_format = pixel_format_for(first, _DEPTHS[output], _SUBSAMPLINGS.get(output, _ALL_SUBSAMPLINGS))
    is_typed = is_typed and not sample.is_intra_only
    crf = rates.choose_crf(sample.runs, pixel_format, is_typed) if output == OutputFormat.H264 else None
    is_oblong = {upright.width, upright.height} != {first.width, first.height}
    return _Plan(output, pixel_format, is_typed, is_oblong, first, crf)


def _add_video(target: av.container.OutputContainer, own: av.VideoStream, plan: _Plan) -> av.VideoStream:
    """A stream with the geometry, the clock and the tags of the source's."""
    clock, first = _Clock(own), plan.first
    stream: av.VideoStream = target.add_stream(_CODECS[plan.output], rate=own.average_rate or _USUAL_RATE)
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = first.width, first.height, plan.pixel_format
    context.time_base = stream.time_base = clock.time_base
    context.sample_aspect_ratio = own.sample_aspect_ratio or Fraction(0, 1)
    context.colorspace, context.color_primaries = first.colorspace, first.color_primaries
    context.color_trc = first.color_trc
    context.color_range = range_of(first) if first.color_range or first.format.name.startswith("yuvj") else 0
    if plan.crf is not None:
        stream.options = rates.h264_options(plan.crf, first, plan.is_typed)
        rates.set_threads(context)
    elif plan.output == OutputFormat.PRORES:
        stream.options = {"profile": "4444" if "444" in plan.pixel_format else "hq", "vendor": "apl0"}
    else:
        stream.options = {"level": "3", "g": "1", "slices": "4", "slicecrc": "1"}
    if SideDataType.DISPLAYMATRIX in [data.type for data in first.side_data]:
        stream.set_display_matrix(np.frombuffer(bytes(first.side_data[SideDataType.DISPLAYMATRIX]), np.int32).tolist())
    stream.metadata.update(muxing.described(own.metadata))
    return stream


def _packets(reading: Reading, frames: Iterable[Image], stream: av.VideoStream, plan: _Plan) -> Iterator[av.Packet]:
    """The coded pictures, with the times and durations of the source's."""
    clock, storing = _Clock(reading.stream), Storing(plan.pixel_format)
    duration_of: dict[int, int] = {}
    for decoded, image in zip(reading, frames, strict=True):
        duration, type_of_source = decoded.stored.duration, decoded.stored.pict_type
        pts = clock.pts_of(decoded)
        duration_of[pts] = duration or clock.usual_duration
        frame = storing.lay(decoded, image)
        frame.pts, frame.time_base, frame.pict_type = pts, clock.time_base, type_of_source
        rates.keep_type(frame, plan.is_typed)
        yield from _timed(stream.encode(frame), duration_of)
    yield from _timed(stream.encode(None), duration_of)


def _timed(packets: Iterable[av.Packet], duration_of: dict[int, int]) -> Iterator[av.Packet]:
    for packet in packets:
        packet.duration = duration_of.pop(packet.pts)
        yield packet


class _Clock:
    """The times of a stream's frames, as whole ticks that never stand still: containers take no others."""

    def __init__(self, stream: av.VideoStream) -> None:
        rate = stream.average_rate or _USUAL_RATE
        self.time_base: Fraction = stream.time_base or 1 / rate
        self.usual_duration = max(round(1 / (rate * self.time_base)), 1)
        self._last: int | None = None

    def pts_of(self, decoded: Decoded) -> int:
        """Asked once per frame, in order."""
        pts = decoded.stored.pts
        if pts is None:  # raw streams: nothing but the order is known
            pts = round(decoded.seconds / self.time_base)
        self._last = pts if self._last is None else max(pts, self._last + 1)
        return self._last


def _write_pictures(source: VideoSource, frames: Iterable[Image], folder: Path) -> Encoded:
    """Numbered PNGs, their times, and the sound as audio.mka where there is any."""
    with muxing.filling(folder) as part, open_video(source) as container:
        reading = Reading(container)
        clock = _Clock(reading.stream)
        with open(part / muxing.MARKER, "w", newline="") as listed:
            rows = csv.writer(listed, lineterminator="\n")
            rows.writerow(["file", "pts", "time_base", "seconds"])
            for decoded, image in zip(reading, frames, strict=True):
                name, pts = f"{decoded.index:06d}.png", clock.pts_of(decoded)
                if image.shape != (decoded.geometry.height, decoded.geometry.width, 3):
                    raise ValueError(f"frame {decoded.index} has another size than its source: {image.shape}")
                if not cv2.imwrite(str(part / name), cv2.cvtColor(image, cv2.COLOR_RGB2BGR)):
                    raise OSError(f"cannot write {part / name}")
                rows.writerow([name, pts, clock.time_base, f"{float(pts * clock.time_base):.6f}"])
        num_audio, left_out = _write_sound(source, part / "audio.mka")
    return Encoded(folder, reading.num_frames, num_audio, tuple(left_out))


def _write_sound(source: VideoSource, path: Path) -> tuple[int, list[str]]:
    with open_video(source) as container:
        copied, left_out = muxing.audio_of(container)
        if copied:
            with muxing.writing(path, "matroska") as target:
                audio = muxing.AudioCopy(container, target)
                audio.write_until(float("inf"))
    return len(copied), left_out
