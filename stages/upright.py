"""How a stored picture becomes upright with square pixels, from its display matrix and pixel aspect."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from numpy.typing import NDArray

_MIN_ASPECT_ERROR = 0.01


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a stored picture becomes upright with square pixels: resize, transpose, then mirror."""

    width: int  # upright
    height: int
    transpose: bool
    flip_x: bool
    flip_y: bool

    def stored_size(self, short_side_px: int | None) -> tuple[int, int]:
        """Width and height before rotation; never larger than the upright picture."""
        width, height = (self.height, self.width) if self.transpose else (self.width, self.height)
        if short_side_px is None or short_side_px >= min(width, height):
            return width, height
        scale = short_side_px / min(width, height)
        return max(1, round(width * scale)), max(1, round(height * scale))

    def upright(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.transpose:
            picture = picture.swapaxes(0, 1)
        return picture[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]

    def lay_down(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The inverse of `upright`."""
        picture = picture[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]
        return picture.swapaxes(0, 1) if self.transpose else picture


def geometry_of(frame: av.VideoFrame, pixel_aspect: Fraction | None) -> Geometry:
    """Square pixels by enlarging the side that is stored too short; orientation from the display matrix.

    The matrix maps a stored point (x, y) to (a x + c y, b x + d y): FFmpeg's libavutil/display.h.
    """
    width, height = frame.width, frame.height
    if pixel_aspect and abs(pixel_aspect - 1) < _MIN_ASPECT_ERROR:  # 1281:1280 comes of rounding: leave the pixels be
        pixel_aspect = None
    if pixel_aspect and pixel_aspect > 1:
        width = round(width * pixel_aspect)
    elif pixel_aspect and pixel_aspect > 0:
        height = round(height / pixel_aspect)
    a, b, c, d = 1, 0, 0, 1
    if SideDataType.DISPLAYMATRIX in [data.type for data in frame.side_data]:
        matrix: Any = np.frombuffer(bytes(frame.side_data[SideDataType.DISPLAYMATRIX]), np.int32)
        a, b, c, d = (int(matrix[k]) for k in (0, 1, 3, 4))
    if abs(c) > abs(a):
        return Geometry(height, width, True, flip_x=c < 0, flip_y=b < 0)
    return Geometry(width, height, False, flip_x=a < 0, flip_y=d < 0)
