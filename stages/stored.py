"""Edited pictures back into the samples that a video file stores: what was not edited keeps its own, bit for bit.

Stages see upright, square-pixel RGB; files hold rotated, perhaps squeezed, mostly subsampled YUV. Turning all of a
picture back would cost every pixel a little. So only pixels that differ from the source's own picture are converted,
with the same matrix, range and orientation; wherever nothing was changed the stored samples are taken as they are.
"""

from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from schemas.video import Image, Mask
from stages.media import EXACT, Decoded, matrix_of
from stages.upright import Geometry

FULL_RANGE, LIMITED_RANGE = 2, 1
_ITU601 = 5
_RGB_MATRIX = 0  # of pictures that hold RGB themselves

Samples = NDArray[Any]
"""(h, w) uint8 or uint16: one plane of a picture."""


class Storing:
    """Lays edited pictures into the frames they were made from; for the frames of one video, all in one format."""

    def __init__(self, pixel_format: str) -> None:
        """pixel_format: planar YUV, by its name in FFmpeg; that of the source keeps its samples exactly."""
        self.pixel_format = pixel_format
        self._to_rgb, self._to_yuv, self._other_format = (VideoReformatter() for _ in range(3))

    def lay(self, decoded: Decoded, edited: Image) -> av.VideoFrame:
        """A frame as the source stores it, with its times and tags, and with what `edited` changes.

        edited: (H, W, 3), the upright picture. Where it equals `decoded.rgb()`, the source's samples stay; a
        subsampled one stays when nothing under it changed. Raises ValueError for a picture of another size.
        """
        plain = decoded.rgb()
        if edited.shape != plain.shape:
            raise ValueError(f"an edited frame is {edited.shape}, its source {plain.shape}")
        own = self.own(decoded.stored)
        changed = (edited != plain).any(axis=2)
        if not changed.any():
            return own
        new = self._converted(decoded, edited)
        stored_change = _stored_change(changed, decoded.geometry, decoded.stored)
        for kept, drawn in zip(planes_of(own), planes_of(new), strict=True):
            drawn[...] = np.where(_any_under(stored_change, drawn.shape), drawn, kept)
        return new

    def own(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame itself, or its conversion when the format is another."""
        if frame.format.name == self.pixel_format:
            return frame
        return _reformat(
            self._other_format, frame, self.pixel_format, FULL_RANGE if frame.format.is_rgb else range_of(frame)
        )

    def _converted(self, decoded: Decoded, edited: Image) -> av.VideoFrame:
        frame = decoded.stored
        pixels = np.ascontiguousarray(decoded.geometry.lay_down(edited))
        if pixels.shape[:2] != (frame.height, frame.width):
            resized = cv2.resize(pixels, (frame.width, frame.height), interpolation=cv2.INTER_AREA)
            pixels = np.asarray(resized, np.uint8)
        # A picture made from the frame carries all that is known of it on, such as where colour samples are sited.
        picture = self._to_rgb.reformat(frame, format="rgb24", interpolation=EXACT, threads=1)
        rows = _rows_of(picture.planes[0])
        rows[: frame.height, : 3 * frame.width] = pixels.reshape(frame.height, -1)
        picture.colorspace, picture.color_range = frame.colorspace, range_of(frame)
        return _reformat(self._to_yuv, picture, self.pixel_format, FULL_RANGE)


def _reformat(scaler: VideoReformatter, frame: av.VideoFrame, pixel_format: str, source_range: int) -> av.VideoFrame:
    """In another pixel format, with the matrix and the range that the frame is tagged with."""
    return scaler.reformat(
        frame,
        format=pixel_format,
        src_colorspace=matrix_for_yuv(frame),
        dst_colorspace=matrix_for_yuv(frame),
        src_color_range=source_range,
        dst_color_range=range_of(frame),
        interpolation=EXACT,
        threads=1,
    )


def colours_are_cosited(frame: av.VideoFrame) -> bool:
    """Whether subsampled colours belong to the left one of two pixels (H.264's default), not between both (JPEG's).

    Measured, since the frame does not tell: an edge between two pixels that share a sample is converted.
    """
    probe = VideoReformatter().reformat(frame, format="rgb24", width=32, height=16)
    rows = _rows_of(probe.planes[0])
    rows[:] = 0
    rows[:, 3 * 17 : 3 * 32 : 3] = 255  # red from column 17 on: column 16 is the left one of its pair
    red = planes_of(_reformat(VideoReformatter(), probe, "yuv420p", FULL_RANGE))[2][4].astype(int)
    return bool(red[8] - red[0] < 0.4 * (red[15] - red[0]))


def range_of(frame: av.VideoFrame) -> int:
    """Full range where the frame or its format says so, else limited: what players assume."""
    is_full = frame.color_range == FULL_RANGE or frame.format.name.startswith("yuvj")
    return FULL_RANGE if is_full else LIMITED_RANGE


def matrix_for_yuv(frame: av.VideoFrame) -> int:
    """The matrix that the samples of a frame are, or will be, made with."""
    return _ITU601 if matrix_of(frame) == _RGB_MATRIX else matrix_of(frame)


def _rows_of(plane: Any) -> NDArray[np.uint8]:
    """The bytes of a plane, a row each, as a writable view of its memory."""
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)


def planes_of(frame: av.VideoFrame) -> list[Samples]:
    """The planes of a planar frame as writable views of its memory, without padding."""
    views: list[Samples] = []
    for part in frame.format.components:
        kind = np.dtype(np.uint8 if part.bits <= 8 else np.uint16)
        rows: Samples = _rows_of(frame.planes[part.plane]).view(kind)
        views.append(rows[: part.height, : part.width])
    return views


def pixel_format_for(frame: av.VideoFrame, depths: tuple[int, ...], subsamplings: tuple[str, ...]) -> str:
    """The planar YUV format that loses least of a frame: its own where the encoder takes it.

    depths: bits per sample an encoder takes, ascending. subsamplings: of "420", "422", "444", the ones it takes.
    """
    form = frame.format
    parts = form.components
    if form.is_rgb or len(parts) < 3:
        wanted = "444" if form.is_rgb else "420"
    else:
        halved_x, halved_y = parts[1].width < frame.width, parts[1].height < frame.height
        wanted = "444" if not halved_x else "420" if halved_y else "422"
    if wanted == "420" and (frame.width % 2 or frame.height % 2):
        wanted = "444"  # H.264 has no odd pictures with shared colours
    if wanted == "422" and frame.width % 2:
        wanted = "444"
    chosen = next((kind for kind in ("420", "422", "444") if kind >= wanted and kind in subsamplings), subsamplings[-1])
    bits = max(part.bits for part in parts)
    depth = next((each for each in depths if each >= bits), depths[-1])
    return f"yuv{chosen}p" if depth == 8 else f"yuv{chosen}p{depth}le"


def _stored_change(changed: Mask, geometry: Geometry, frame: av.VideoFrame) -> Mask:
    """Where a stored pixel covers anything changed in the upright picture."""
    laid = np.ascontiguousarray(geometry.lay_down(changed.view(np.uint8)))
    if laid.shape == (frame.height, frame.width):
        return laid.view(np.bool_)
    covered = cv2.resize(laid.astype(np.float32), (frame.width, frame.height), interpolation=cv2.INTER_AREA)
    return np.asarray(covered > 0, np.bool_)


def _any_under(changed: Mask, shape: tuple[int, ...]) -> Mask:
    """`changed` at the size of a subsampled plane: True where any pixel that shares the sample is."""
    if changed.shape == shape:
        return changed
    factors = [-(-full // part) for full, part in zip(changed.shape, shape, strict=True)]
    padding = [(0, part * factor - full) for full, part, factor in zip(changed.shape, shape, factors, strict=True)]
    blocks = np.pad(changed, padding).reshape(shape[0], factors[0], shape[1], factors[1])
    return np.asarray(blocks.any(axis=(1, 3)), np.bool_)
