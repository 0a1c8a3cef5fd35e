"""How finely H.264 has to quantise for a clip: coarse enough to stay small, fine enough for the eye.

Decoded video is coded again with little loss when every picture is of the same type (I, P, B) as it was: the errors of
the first coding are then where the second makes its own. On DAVIS clips at 1.3 times the source's bitrate that gives
2 to 3 dB more than free choice. What flatters the eye (psy, adaptive quantisation) or starves pictures that others do
not refer to (mb-tree) adds change elsewhere, so it is off; colour gets finer steps, since RGB doubles its errors.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from stages.media import EXACT, matrix_of
from stages.stored import Storing, colours_are_cosited

WANTED_DB = 42.0
"""PSNR of what was not edited, RGB, against the source."""

TYPED = frozenset({"h264", "hevc", "mpeg4", "mpeg2video", "mpeg1video", "h263", "vc1", "wmv3"})
"""Codecs whose picture types mean what H.264's mean."""

_MARGIN_DB = 0.4  # between a few runs of frames and the whole clip
_FINEST, _COARSEST, _STEP = 8.0, 28.0, 0.5  # CRF; a whole step is nearly 1 dB
_RUN_FRAMES, _MAX_RUNS = 16, 4
_NUM_THREADS = 4  # a fixed number, whatever the machine has: the bytes depend on it
_X264 = (
    "aq-mode=0:no-mbtree=1:no-psy=1:no-dct-decimate=1:chroma-qp-offset=-4:cpu-independent=1:bframes=16:b-adapt=1:"
    "qcomp=1"  # else frames of a short run are quantised otherwise than in the whole clip, and tell nothing of it
)


def h264_options(crf: float, frame: av.VideoFrame, is_typed: bool) -> dict[str, str]:
    """Options of libx264. is_typed: the pictures come with types that are to be kept."""
    parameters = f"{_X264}:chromaloc={0 if colours_are_cosited(frame) else 1}"
    if is_typed:
        parameters += ":keyint=infinite:scenecut=0"
    return {"preset": "slow", "crf": str(crf), "x264-params": parameters}


def set_threads(context: av.VideoCodecContext) -> None:
    """Threads for libx264: between frames, since slices cost quality."""
    context.thread_count, context.thread_type = _NUM_THREADS, "FRAME"


def keep_type(frame: av.VideoFrame, is_typed: bool) -> None:
    """Leaves the picture's type to the encoder, unless it is one that H.264 has and is to be kept."""
    kept = is_typed and int(frame.pict_type) in (1, 2, 3)  # I, P, B
    frame.pict_type = int(frame.pict_type) if kept else 0


class Sample:
    """A few runs of successive frames, spread evenly over a video of any length."""

    def __init__(self) -> None:
        self._runs: dict[int, list[av.VideoFrame]] = {}
        self._stride = 1

    def add(self, index: int, frame: av.VideoFrame) -> None:
        run = index // _RUN_FRAMES
        if run % self._stride:
            return
        self._runs.setdefault(run, []).append(frame)
        if len(self._runs) > _MAX_RUNS:
            self._stride *= 2
            self._runs = {kept: frames for kept, frames in self._runs.items() if kept % self._stride == 0}

    @property
    def is_intra_only(self) -> bool:
        """Every picture stands alone, as in MJPEG and ProRes: then the types say nothing."""
        return all(int(frame.pict_type) == 1 for run in self.runs for frame in run)

    @property
    def runs(self) -> list[list[av.VideoFrame]]:
        return list(self._runs.values())


def choose_crf(runs: Sequence[list[av.VideoFrame]], pixel_format: str, is_typed: bool) -> float:
    """The largest CRF at which frames that nobody edited keep WANTED_DB; found by bisection, 5 or 6 codings."""
    fine, coarse = 0, round((_COARSEST - _FINEST) / _STEP)
    while fine < coarse:
        middle = (fine + coarse + 1) // 2
        if _psnr(runs, pixel_format, _FINEST + middle * _STEP, is_typed) >= WANTED_DB + _MARGIN_DB:
            fine = middle
        else:
            coarse = middle - 1
    return _FINEST + fine * _STEP


def _psnr(runs: Sequence[list[av.VideoFrame]], pixel_format: str, crf: float, is_typed: bool) -> float:
    squares, scaler, again = [], VideoReformatter(), VideoReformatter()
    for run in runs:
        pairs = list(zip(run, _coded(run, pixel_format, crf, is_typed), strict=True))
        for frame, coded in pairs[1:] or pairs:  # the first is coded alone, finer than what the whole clip has there
            difference = _rgb(frame, scaler) - _rgb(coded, again)
            squares.append(float(np.mean(np.square(difference))))
    return float(10 * np.log10(255**2 / max(float(np.mean(squares)), 1e-9)))


def _coded(run: list[av.VideoFrame], pixel_format: str, crf: float, is_typed: bool) -> Iterator[av.VideoFrame]:
    first = run[0]
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = first.width, first.height, pixel_format
    encoder.framerate, encoder.time_base = Fraction(25), Fraction(1, 25)
    encoder.colorspace, encoder.color_range = first.colorspace, first.color_range
    encoder.options = h264_options(crf, first, is_typed)
    set_threads(encoder)
    decoder = av.CodecContext.create("h264", "r")
    storing = Storing(pixel_format)
    for index, frame in enumerate([*run, None]):
        if frame is not None:
            typed = int(frame.pict_type)
            times = frame.pts, frame.time_base
            plain = storing.own(frame)
            plain.pts, plain.time_base = index, Fraction(1, 25)
            keep_type(plain, is_typed and index > 0)
            packets = encoder.encode(plain)
            frame.pts, frame.time_base = times
            frame.pict_type = typed
        else:
            packets = encoder.encode(None)
        for packet in packets:
            yield from decoder.decode(packet)
    yield from decoder.decode(None)


def _rgb(frame: av.VideoFrame, scaler: VideoReformatter) -> NDArray[np.float32]:
    picture = scaler.reformat(
        frame, format="rgb24", src_colorspace=matrix_of(frame), dst_color_range=2, interpolation=EXACT, threads=1
    )
    return np.asarray(picture.to_ndarray(), np.float32)
