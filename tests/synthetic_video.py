"""The smallest video whose frames can be told apart."""

from pathlib import Path

import av
import numpy as np


def write_video(path: Path, num_frames: int = 30, size: tuple[int, int] = (96, 64), degrees: int = 0) -> Path:
    """A white square in the upper left corner of grey; its brightness tells the frame number. B-frames and all."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "10", "bf": "2", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        if degrees:
            stream.set_display_rotation(degrees)
        for index in range(num_frames):
            picture = np.full((size[1], size[0], 3), 40 + 4 * index % 160, np.uint8)
            picture[: size[1] // 4, : size[0] // 4] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))
    return path
