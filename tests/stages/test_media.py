"""Reading video: what is refused, what is upright, and that a frame can be found again."""

import io

import av
import numpy as np
import pytest
from synthetic_video import write_video

from schemas.errors import BadInput
from schemas.reasons import Reason
from stages.media import decode, open_video, probe, read_frames


def reason_of(source) -> Reason:
    with pytest.raises(BadInput) as caught:
        probe(source)
    return caught.value.reason


def test_frames_are_numbered_in_presentation_order(tmp_path):
    frames = list(decode(write_video(tmp_path / "v.mp4")))
    assert [frame.index for frame in frames] == list(range(30))
    assert [frame.seconds for frame in frames] == [index / 25 for index in range(30)]
    assert all(np.diff([float(frame.image[40:, 40:].mean()) for frame in frames]) > 2)


def test_decode_scales_down_but_never_up(tmp_path):
    path = write_video(tmp_path / "v.mp4", 2)
    assert next(iter(decode(path, 32))).image.shape == (32, 48, 3)
    assert next(iter(decode(path, 500))).image.shape == (64, 96, 3)


@pytest.mark.parametrize(("degrees", "corner"), [(0, (0, 0)), (90, (-1, 0)), (180, (-1, -1)), (-90, (0, -1))], ids=str)
def test_rotation_metadata_is_applied(tmp_path, degrees, corner):
    """Degrees counterclockwise, as FFmpeg writes them: the white corner moves with the picture."""
    path = write_video(tmp_path / "v.mp4", 2, degrees=degrees)
    image, size = next(iter(decode(path))).image, probe(path)
    assert image.shape[:2] == ((96, 64) if degrees % 180 else (64, 96)) == (size.height, size.width)
    assert size.rotation == -degrees % 360
    white = [at for at in [(0, 0), (-1, 0), (-1, -1), (0, -1)] if image[at].min() > 200]
    assert white == [corner]


def test_a_frame_read_again_is_the_same_picture(tmp_path):
    path = write_video(tmp_path / "v.mp4", 120)
    frames = list(decode(path))
    for indices in ([0], [119], [3, 4, 90, 7], [60, 11]):
        again = read_frames(path, indices, [frames[index].seconds for index in indices])
        assert [frame.index for frame in again] == indices
        assert all(np.array_equal(frame.image, frames[frame.index].image) for frame in again)


def test_wrong_times_still_give_the_right_frames(tmp_path):
    path = write_video(tmp_path / "v.mp4")
    assert np.array_equal(read_frames(path, [7], [99.0])[0].image, list(decode(path))[7].image)


def test_a_frame_that_is_not_there_is_bad_input(tmp_path):
    with pytest.raises(BadInput) as caught:
        read_frames(write_video(tmp_path / "v.mp4"), [30], [1.2])
    assert caught.value.reason is Reason.DECODE_ERROR


def test_open_files_are_read_like_paths(tmp_path):
    path = write_video(tmp_path / "v.mp4", 3)
    assert probe(io.BytesIO(path.read_bytes())) == probe(path)
    assert reason_of(io.BytesIO(b"")) is Reason.EMPTY_FILE


def test_colours_survive(tmp_path):
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), (200, 60, 30), np.uint8), "rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    image = next(iter(decode(path))).image
    assert np.abs(image.reshape(-1, 3).mean(axis=0) - (200, 60, 30)).max() < 4


def test_missing_and_too_large(tmp_path):
    assert reason_of(tmp_path / "none.mp4") is Reason.MISSING
    with pytest.raises(BadInput) as caught, open_video(write_video(tmp_path / "v.mp4", 2), max_frame_px=1000):
        pass
    assert caught.value.reason is Reason.TOO_LARGE


def test_a_name_is_never_a_protocol(tmp_path, monkeypatch):
    write_video(tmp_path / "v.mp4", 2)
    monkeypatch.chdir(tmp_path)
    assert reason_of("concat:v.mp4|v.mp4") is Reason.MISSING
    assert probe(write_video(tmp_path / "file:x.mp4", 2)).width == 96


def test_damage_comes_after_the_readable_frames(tmp_path):
    path = write_video(tmp_path / "v.mp4", 60)
    content = bytearray(path.read_bytes())
    first, last = content.index(b"mdat"), content.index(b"moov")
    content[(first + last) // 2 : last - 8] = bytes(b ^ 0x5A for b in content[(first + last) // 2 : last - 8])
    path.write_bytes(content)
    seen: list[int] = []
    with pytest.raises(BadInput) as caught:
        seen.extend(frame.index for frame in decode(path))
    assert caught.value.reason is Reason.DECODE_ERROR
    assert seen == list(range(len(seen)))
    assert 5 < len(seen) < 60


SIZES = {
    "anamorphic_sar4x3.mp4": (853, 480),
    "portrait_rotate90.mp4": (406, 720),
    "phone_rotation180_real.mp4": (1280, 720),
    "odd_853x479_yuv444.mp4": (853, 479),
    "mjpeg_kite.avi": (640, 360),
    "no_duration_header_dark_real.webm": (1280, 720),
}


@pytest.mark.footage
def test_odd_files_are_read_and_found_again(footage):
    for path in sorted((footage / "odd").iterdir()):
        frames = list(decode(path))
        size = probe(path)
        assert frames[0].image.shape == (size.height, size.width, 3), path.name
        if path.name in SIZES:
            assert (size.width, size.height) == SIZES[path.name]
        times = [frame.seconds for frame in frames]
        assert times == sorted(set(times)), path.name
        indices = sorted({0, len(frames) // 3, len(frames) // 2, len(frames) - 1})
        again = read_frames(path, indices, [times[index] for index in indices])
        assert all(np.array_equal(frame.image, frames[frame.index].image) for frame in again), path.name
    assert probe(footage / "odd/hdr10_hevc10.mp4").is_hdr
