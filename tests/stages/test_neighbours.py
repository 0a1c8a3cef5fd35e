"""Frames around a moment: nearest first, none of them the moment itself, and what is missing is left out."""

import av
import numpy as np
import pytest

from stages import neighbours

FPS = 25


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> str:
    """Fifty frames whose grey value says their number (4 levels apart)."""
    path = str(tmp_path_factory.mktemp("video") / "grey.mkv")
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
        for number in range(50):
            picture = np.full((48, 64, 3), 4 * number, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def numbers(images) -> list[int]:
    return [round(float(image.mean()) / 4) for image in images]


def test_nearest_first_on_both_sides(video):
    found = neighbours.read_neighbours(video, 20 / FPS, (0.12, 0.4))
    assert numbers(found.before) == [17, 10]
    assert numbers(found.after) == [23, 30]


def test_what_lies_outside_the_video_is_left_out(video):
    assert numbers(neighbours.read_neighbours(video, 2 / FPS, (0.04, 0.4)).before) == [1]
    assert numbers(neighbours.read_neighbours(video, 48 / FPS, (0.04, 0.4)).after) == [49]


def test_pictures_come_as_the_caller_takes_them(video):
    found = neighbours.read_neighbours(video, 20 / FPS, (0.12,), lambda picture: picture[4:20, 8:40])
    assert found.before[0].shape == (16, 32, 3)


def test_a_file_that_cannot_be_read_gives_none(tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    found = neighbours.read_neighbours(str(broken), 1.0, (0.1,))
    assert not found.before
    assert not found.after
