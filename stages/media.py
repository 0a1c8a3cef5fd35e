"""Reading video files safely: open, probe, decode, and fetch single frames. Upright, square pixels, RGB.

Only containers that hold their own pictures are opened (no playlists, no concatenation scripts, no network), and one
thread decodes, so that the same file gives the same frames on any machine, up to the same point where it is damaged.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from schemas.config import CurationConfig
from schemas.errors import BadInput
from schemas.reasons import Reason
from schemas.video import Frame, Image, Probe
from stages.upright import Geometry, geometry_of

av.logging.set_level(av.logging.FATAL)  # what matters arrives as an exception; the rest would flood stderr

VideoSource = str | Path | BinaryIO | Callable[[], BinaryIO]
"""A local path, an open binary file that can seek, or a function that opens one: as often as is needed, also twice at
once."""

Luma = NDArray[np.uint8]
"""uint8 brightness, of a picture or of a row."""

Taken = TypeVar("Taken")
"""What is kept of a frame that was looked for."""

MAX_FRAME_PX = CurationConfig().max_frame_px

_VIDEO_FORMATS = (
    "mov,mp4,matroska,webm,avi,mpeg,mpegts,mpegvideo,mxf,ogg,flv,asf,rm,wtv,nut,ivf,dv,gif,apng,"
    "h264,hevc,av1,obu,m4v,vc1,h263,h261,yuv4mpegpipe,swf,vob,mjpeg"
)
_STILL_FORMATS = "jpeg_pipe,png_pipe,webp_pipe,bmp_pipe,tiff_pipe,gif_pipe,j2k_pipe,jpegxl_pipe,pnm_pipe,ico"
_AUDIO_FORMATS = "mp3,flac,wav,aac,ac3,eac3,aiff,ape,opus,dts,amr,caf"  # named so that their owner hears why
_STILL_BRANDS = ("avif", "mif1", "heic", "heix")  # pictures in an MP4 box structure
_HDR_TRANSFERS = (16, 18)  # PQ (SMPTE 2084) and HLG (ARIB STD-B67)
_UNSPECIFIED_COLORSPACE = 2
_ITU709, _ITU601 = 1, 5
_FULL_RANGE = 2
_LUMA_PLANE_FORMATS = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "gray")
_FULL_OF_FULL = np.arange(256, dtype=np.uint8)
_FULL_OF_LIMITED = np.clip(np.round((np.arange(256) - 16) * 255 / 219), 0, 255).astype(np.uint8)
EXACT = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.BITEXACT
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)
"""How colours are converted here in either direction."""

_NEAR_FRAMES = 48  # decoding on is cheaper than seeking when the next frame wanted is this close


def matrix_of(frame: av.VideoFrame) -> int:
    """The YUV matrix of a frame; where the file says none, the one that players assume."""
    if frame.colorspace == _UNSPECIFIED_COLORSPACE:
        return _ITU709 if min(frame.width, frame.height) >= 720 else _ITU601
    return int(frame.colorspace)


class Decoded:
    """One decoded frame, not yet converted: take from it only the pictures that are needed."""

    __slots__ = ("_scaler_of", "geometry", "index", "seconds", "stored")

    def __init__(
        self,
        index: int,
        seconds: float,
        frame: av.VideoFrame,
        geometry: Geometry,
        scaler_of: "dict[int | None, VideoReformatter]",
    ) -> None:
        self.index, self.seconds = index, seconds
        self.stored, self.geometry, self._scaler_of = frame, geometry, scaler_of

    def rgb(self, short_side_px: int | None = None, coarse: bool = False) -> Image:
        """(H, W, 3) uint8 RGB, upright; scaled down (never up) to a short side of `short_side_px` pixels.

        coarse: the fastest scaling, which reads a few pixels for each that it writes.
        """
        frame = self.stored
        width, height = self.geometry.stored_size(short_side_px)
        interpolation = Interpolation.AREA if width * 2 <= frame.width else EXACT
        # A scaler keeps its tables between frames of one size, so each kind of picture has its own.
        scaler = self._scaler_of.setdefault(short_side_px, VideoReformatter())
        picture = scaler.reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            src_colorspace=matrix_of(frame),
            dst_color_range=2,
            interpolation=Interpolation.FAST_BILINEAR if coarse else interpolation,
            threads=1,
        )
        pixels: Any = picture.to_ndarray()
        return np.ascontiguousarray(self.geometry.upright(pixels))

    def luma(self) -> tuple[Luma, Luma]:
        """(H, W) uint8 as stored, full size, upright; and the table of 256 that takes it to full range.

        The picture may be a view of the decoder's memory: copy what is to be kept.
        """
        frame = self.stored
        if frame.format.name not in _LUMA_PLANE_FORMATS or self.geometry.stored_size(None) != (
            frame.width,
            frame.height,
        ):
            return np.asarray(cv2.cvtColor(self.rgb(), cv2.COLOR_RGB2GRAY), np.uint8), _FULL_OF_FULL
        plane = frame.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]
        is_full = frame.format.name.startswith("yuvj") or frame.color_range == _FULL_RANGE
        return self.geometry.upright(rows), _FULL_OF_FULL if is_full else _FULL_OF_LIMITED


@contextmanager
def open_video(source: VideoSource, max_frame_px: int = MAX_FRAME_PX) -> Iterator[av.container.InputContainer]:
    """An open container whose first true video stream can be decoded.

    Raises BadInput: MISSING, EMPTY_FILE, UNREADABLE, NO_VIDEO_STREAM, NOT_A_VIDEO, TOO_LARGE (`max_frame_px` bounds
    width x height).
    """
    with _open_file(source) as target, _open_container(target) as container:
        stream = _video_stream(container)
        if stream.width * stream.height > max_frame_px:
            raise BadInput(Reason.TOO_LARGE, f"{stream.width}x{stream.height} is more than {max_frame_px} pixels")
        stream.thread_count = 1
        stream.codec_context.options = {"max_pixels": str(max_frame_px)}
        yield container


@contextmanager
def _open_file(source: VideoSource) -> Iterator[str | BinaryIO]:
    """What FFmpeg opens. Closes what it opened. Raises BadInput(MISSING | EMPTY_FILE)."""
    if isinstance(source, str | Path):
        path = os.path.abspath(source)
        if not os.path.isfile(path):
            raise BadInput(Reason.MISSING, "no such file")
        if os.path.getsize(path) == 0:
            raise BadInput(Reason.EMPTY_FILE)
        yield f"file:{path}"  # the prefix keeps "concat:" in a name harmless
    elif callable(source):
        with source() as file, _open_file(file) as target:
            yield target
    else:
        if source.seek(0, os.SEEK_END) == 0:
            raise BadInput(Reason.EMPTY_FILE)
        source.seek(0)
        yield source


def _open_container(target: str | BinaryIO) -> av.container.InputContainer:
    options = {
        "format_whitelist": ",".join((_VIDEO_FORMATS, _STILL_FORMATS, _AUDIO_FORMATS)),
        "protocol_whitelist": "file",
    }
    try:
        return av.open(target, mode="r", container_options=options, metadata_errors="replace")
    except (av.FFmpegError, ValueError) as error:
        raise BadInput(Reason.UNREADABLE, _words(error)) from error


def _video_stream(container: av.container.InputContainer) -> av.VideoStream:
    """The first video stream that is not a picture. Raises BadInput: NO_VIDEO_STREAM, NOT_A_VIDEO, UNREADABLE."""
    if not container.streams.video:
        raise BadInput(Reason.NO_VIDEO_STREAM)
    if container.format.name in _STILL_FORMATS.split(","):
        raise BadInput(Reason.NOT_A_VIDEO, "the file is a still image")
    if container.metadata.get("major_brand", "").strip() in _STILL_BRANDS:
        raise BadInput(Reason.NOT_A_VIDEO, "the file is a still image (HEIF or AVIF)")
    pictures = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    moving = [stream for stream in container.streams.video if not stream.disposition & pictures]
    if not moving:
        raise BadInput(Reason.NOT_A_VIDEO, "the only picture is cover art")
    stream: av.VideoStream = moving[0]
    if stream.codec_context is None:
        raise BadInput(Reason.UNREADABLE, "no decoder for its codec")
    return stream


def probe(source: VideoSource, max_frame_px: int = MAX_FRAME_PX) -> Probe:
    """What the container says, after one frame was decoded (only frames carry all of it).

    Raises BadInput as `open_video` does, and NO_DECODABLE_FRAMES.
    """
    with open_video(source, max_frame_px) as container:
        reading = Reading(container)
        for _ in reading:
            break
        return reading.probe


class Reading:
    """Iterates over the frames of an open container once, in presentation order.

    A damaged stream ends with BadInput(DECODE_ERROR) after the last frame before the damage; damage before the first
    good frame (a recording that starts within a group of pictures) is skipped. No frame at all: NO_DECODABLE_FRAMES.
    """

    def __init__(self, container: av.container.InputContainer) -> None:
        self._container = container
        self.stream = _video_stream(container)
        self._geometry: Geometry | None = None
        self._scaler_of: dict[int | None, VideoReformatter] = {}
        self._first_frame: av.VideoFrame | None = None
        self.num_frames = 0

    def __iter__(self) -> Iterator[Decoded]:
        for frame in _good_frames(self._container, self.stream):
            yield self._decoded(frame, self.num_frames)
            self.num_frames += 1
        if self.num_frames == 0:
            raise BadInput(Reason.NO_DECODABLE_FRAMES)

    def from_seconds(self, seconds: float) -> Iterator[Decoded]:
        """The frames from the key frame at or before `seconds`; their `index` is -1, their `seconds` are exact.

        Raises av.FFmpegError when the container cannot seek.
        """
        if self.stream.time_base is None:
            raise av.FFmpegError(-1, "no time base")
        self._container.seek(int(seconds / self.stream.time_base), stream=self.stream, backward=True)
        for frame in _good_frames(self._container, self.stream):
            yield self._decoded(frame, -1)

    def _decoded(self, frame: av.VideoFrame, index: int) -> Decoded:
        if self._geometry is None:
            self._geometry = geometry_of(frame, self.stream.sample_aspect_ratio)
            self._first_frame = frame
        if frame.pts is None:  # raw streams: nothing but the order is known
            seconds = float(index / (self.stream.average_rate or Fraction(25)))
        else:
            tick = frame.time_base or Fraction(1)
            seconds = frame.pts * tick.numerator / tick.denominator
        return Decoded(index, seconds, frame, self._geometry, self._scaler_of)

    @property
    def probe(self) -> Probe:
        """Known once the first frame was read."""
        if self._geometry is None or self._first_frame is None:
            raise BadInput(Reason.NO_DECODABLE_FRAMES)
        stream, container = self.stream, self._container
        duration = float(container.duration / av.time_base) if container.duration else None
        if stream.duration and stream.time_base:
            duration = float(stream.duration * stream.time_base)
        return Probe(
            width=self._geometry.width,
            height=self._geometry.height,
            fps=float(stream.average_rate or 0),
            duration_seconds=duration,
            codec=stream.codec_context.codec.canonical_name,
            rotation=-self._first_frame.rotation % 360,
            pixel_aspect=float(stream.sample_aspect_ratio or 1),
            is_hdr=self._first_frame.color_trc in _HDR_TRANSFERS,
            has_audio=bool(container.streams.audio),
        )


def _good_frames(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """Frames until the first damage after a good frame, which is raised as BadInput(DECODE_ERROR)."""
    num_frames = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            frames = [] if packet is None else packet.decode()
        except av.FFmpegError as error:
            if num_frames:
                raise BadInput(Reason.DECODE_ERROR, f"{_words(error)} after {num_frames} frames") from error
            if not isinstance(error, av.InvalidDataError):
                return
            continue
        if packet is None:
            return
        for frame in frames:
            if frame.is_corrupt and num_frames:
                raise BadInput(Reason.DECODE_ERROR, f"damaged picture after {num_frames} frames")
            if not frame.is_corrupt:
                num_frames += 1
                yield frame


def decode(source: VideoSource, short_side_px: int | None = None) -> Iterator[Frame]:
    """All frames in presentation order, RGB, upright, square pixels; scaled down when `short_side_px` is given.

    Raises BadInput as `open_video` and `Reading` do: the readable frames come first, then DECODE_ERROR.
    """
    with open_video(source) as container:
        for decoded in Reading(container):
            yield Frame(decoded.index, decoded.seconds, decoded.rgb(short_side_px))


def read_frames(source: VideoSource, indices: Sequence[int], seconds: Sequence[float]) -> list[Frame]:
    """Full-size frames by source frame index, in the order asked: the very pictures `decode` numbered so.

    `seconds` are the times `decode` gave them. Each group of close frames costs one seek; where a container cannot
    seek exactly, the file is decoded from its start. Raises BadInput(DECODE_ERROR) when a frame cannot be found.
    """
    return read_pictures(source, indices, seconds, lambda index, frame: Frame(index, frame.seconds, frame.rgb()))


def read_pictures(
    source: VideoSource, indices: Sequence[int], seconds: Sequence[float], take: Callable[[int, Decoded], Taken]
) -> list[Taken]:
    """What `take` makes of each frame (its source index, the frame), as `read_frames` finds them, from one pass."""
    wanted = dict(sorted(zip(indices, seconds, strict=True)))
    with open_video(source) as container:
        found = _read_by_seeking(Reading(container), wanted, take)
    if len(found) < len(wanted):
        with open_video(source) as container:
            found = _take(iter(Reading(container)), set(wanted), lambda decoded: decoded.index, take)
    missing = wanted.keys() - found.keys()
    if missing:
        raise BadInput(Reason.DECODE_ERROR, f"frame {min(missing)} cannot be read again")
    return [found[index] for index in indices]


def _read_by_seeking(
    reading: Reading, wanted: dict[int, float], take: Callable[[int, Decoded], Taken]
) -> dict[int, Taken]:
    """Whatever of `wanted` is found by its time; stops at the first group that is not."""
    found: dict[int, Taken] = {}
    for group in _groups(list(wanted)):
        index_at = {wanted[index]: index for index in group}
        if len(index_at) < len(group):  # times that repeat name no frame
            return found
        try:
            frames = reading.from_seconds(wanted[group[0]])
            part = _take(frames, set(group), partial(_index_by_seconds, index_at), take)
        except av.FFmpegError:
            return found
        if len(part) < len(group):
            return found
        found |= part
    return found


def _groups(indices: list[int]) -> list[list[int]]:
    groups: list[list[int]] = []
    for index in indices:
        if groups and index - groups[-1][-1] <= _NEAR_FRAMES:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def _index_by_seconds(index_at: dict[float, int], decoded: Decoded) -> int:
    return index_at.get(decoded.seconds, -1)


def _take(
    frames: Iterator[Decoded],
    wanted: set[int],
    index_of: Callable[[Decoded], int],
    take: Callable[[int, Decoded], Taken],
) -> dict[int, Taken]:
    found: dict[int, Taken] = {}
    try:
        for decoded in frames:
            index = index_of(decoded)
            if index in wanted:
                found[index] = take(index, decoded)
                if len(found) == len(wanted):
                    break
    except BadInput:  # damage behind the frames wanted does not matter; before them, they are missing
        return found
    return found


def _words(error: Exception) -> str:
    """One line without the path: messages are kept in tables that travel."""
    return str(getattr(error, "strerror", None) or error).splitlines()[0]
