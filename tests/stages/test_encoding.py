"""Writing an edited video: what was not edited survives, and everything beside the pictures is the source's."""

import csv
import hashlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import BadInput, UserError
from schemas.reasons import Reason
from schemas.video import OutputFormat
from stages.encoding import encode, read_clip
from stages.media import Reading, open_video, probe
from stages.stored import Storing, planes_of
from stages.upright import Geometry

TICKS = (0, 3, 4, 9, 11, 12, 20, 22, 23, 30)  # in 1/30 s, uneven
FOOTAGE = (
    "odd/aeroplane_broken_audio_real.mp4",
    "odd/anamorphic_sar4x3.mp4",
    "odd/flower_vp8.webm",
    "odd/hdr10_hevc10.mp4",
    "odd/mjpeg_kite.avi",
    "odd/mpeg2_dog.mpg",
    "odd/odd_853x479_yuv444.mp4",
    "odd/phone_rotation180_real.mp4",
    "odd/portrait_rotate90.mp4",
    "odd/vfr_woman_dog.mp4",
)


def write_source(path: Path, audio: str = "aac", degrees: int = 0, size=(96, 64), pixel_format="yuv420p") -> Path:
    """Uneven times, colour tags, sound, a title; moving noise, so that nothing is equal by accident."""
    random = np.random.default_rng(0)
    ground = random.integers(0, 255, (size[1] // 4, size[0] // 4 + 16, 3), np.uint8).repeat(4, 0).repeat(4, 1)
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "A walk"
        stream = container.add_stream("libx264", rate=30, options={"crf": "18", "bf": "2", "g": "12"})
        stream.width, stream.height, stream.pix_fmt = *size, pixel_format
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 1, 1, 1, 1
        sound = container.add_stream(audio, rate=48000) if audio else None
        if degrees:
            stream.set_display_rotation(degrees)
        for index, tick in enumerate(TICKS):
            picture = np.ascontiguousarray(ground[: size[1], 2 * index : 2 * index + size[0]])
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 30)
            container.mux(stream.encode(frame))
        for packet in stream.encode(None):
            packet.duration = round(Fraction(3, 30) / packet.time_base)
            container.mux(packet)
        if sound is not None:
            tone = (np.sin(np.arange(48000) / 20) * 8000).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(tone, "s16", "mono")
            frame.rate = 48000
            container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
    return path


def times(path) -> list[Fraction]:
    return [frame.pts * frame.time_base for frame in read_clip(path)]


def sound(path) -> list[tuple[float, str]]:
    with av.open(str(path)) as container:
        streams = list(container.streams.audio)
        packets = [packet for packet in container.demux(streams) if packet.size] if streams else []
        return [
            (round(float(each.pts * each.time_base), 4), hashlib.sha256(bytes(each)).hexdigest()) for each in packets
        ]


def stored(path) -> list[list[np.ndarray]]:
    with open_video(path) as container:
        return [[plane.copy() for plane in planes_of(decoded.stored)] for decoded in Reading(container)]


def images(path) -> list[np.ndarray]:
    return [frame.image for frame in read_clip(path)]


def psnr(one, other) -> float:
    error = np.mean([np.square(a.astype(float) - b).mean() for a, b in zip(one, other, strict=True)])
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    return write_source(tmp_path_factory.mktemp("source") / "walk.mp4", degrees=90)


@pytest.mark.parametrize("output", [OutputFormat.H264, OutputFormat.PRORES, OutputFormat.FFV1])
def test_times_sound_tags_and_orientation_are_the_sources(source, tmp_path, output):
    done = encode(source, images(source), tmp_path / "out", output)
    assert (done.num_frames, done.num_audio_streams, done.left_out) == (len(TICKS), 1, ())
    assert times(done.path) == times(source)
    assert sound(done.path) == sound(source) != []
    assert [path.name for path in tmp_path.iterdir()] == [done.path.name]
    before, after = probe(source), probe(done.path)
    assert (
        (after.width, after.height, after.rotation) == (before.width, before.height, before.rotation) == (64, 96, 270)
    )
    assert output != OutputFormat.H264 or after.duration_seconds == pytest.approx(before.duration_seconds, abs=1e-6)
    with open_video(done.path) as container:
        assert container.metadata["title"] == "A walk"
        frame = next(iter(Reading(container))).stored
        assert (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range) == (1, 1, 1, 1)
    if output == OutputFormat.H264:
        assert psnr(images(done.path), images(source)) > 41.9
    else:  # neither says where colours are sited, so readers may place them half a pixel off; brightness is no question
        brightness = [[planes[0].astype(float) for planes in stored(each)] for each in (done.path, source)]
        assert psnr(*(np.array(each) / np.max(each) * 255 for each in brightness)) > 38  # of noise, in ProRes


def test_lossless_output_has_the_sources_samples_wherever_nothing_was_edited(source, tmp_path):
    edited = images(source)
    for image in edited:
        image[40:56, 24:40] = (200, 30, 60)
    done = encode(source, edited, tmp_path / "out", OutputFormat.FFV1)
    for before, after in zip(stored(source), stored(done.path), strict=True):
        for plane, (own, kept) in enumerate(zip(before, after, strict=True)):
            inside = np.zeros(own.shape, bool)
            step = 2 if plane else 1
            inside[24 // step : 40 // step, 40 // step : 56 // step] = True  # stored turned by 90 degrees
            assert np.array_equal(own[~inside], kept[~inside])
            assert (own[inside] != kept[inside]).mean() > 0.9
    for after in images(done.path):
        assert np.abs(after[44:52, 28:36].astype(int) - (200, 30, 60)).max() <= 5
    plain = encode(source, images(source), tmp_path / "plain", OutputFormat.FFV1)
    for before, after in zip(stored(source), stored(plain.path), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("output", [OutputFormat.H264, OutputFormat.FFV1])
def test_equal_input_gives_equal_bytes(source, tmp_path, output):
    first, second = (encode(source, images(source), tmp_path / name, output).path for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_sound_that_mp4_cannot_hold_decides_the_container(tmp_path):
    for codec, suffix, expected in (("pcm_s16le", ".mov", ".mov"), ("tta", ".mkv", ".mkv")):
        path = write_source(tmp_path / f"{codec}{suffix}", codec, degrees=90)
        done = encode(path, images(path), tmp_path / f"out_{codec}")
        assert done.path.suffix == expected
        assert [each for _, each in sound(done.path)] == [each for _, each in sound(path)] != []
        assert (probe(done.path).width, probe(done.path).rotation) == (64, 270)
        assert np.abs(np.subtract(times(done.path), times(path)).astype(float)).max() <= 0.001


def test_a_folder_of_pictures_is_exact_and_tells_the_times(source, tmp_path):
    done = encode(source, images(source), tmp_path / "out", OutputFormat.PNG)
    rows = list(csv.DictReader((done.path / "timestamps.csv").open()))
    assert [int(row["pts"]) * Fraction(row["time_base"]) for row in rows] == times(source)
    import cv2

    for row, image in zip(rows, images(source), strict=True):
        assert np.array_equal(cv2.cvtColor(cv2.imread(str(done.path / row["file"])), cv2.COLOR_BGR2RGB), image)
    assert [each for _, each in sound(done.path / "audio.mka")] == [each for _, each in sound(source)]
    encode(source, images(source), tmp_path / "out", OutputFormat.PNG)  # ours: replaced
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("keep me")
    with pytest.raises(UserError):
        encode(source, images(source), tmp_path / "mine", OutputFormat.PNG)
    assert (tmp_path / "mine" / "thesis.txt").exists()


@pytest.mark.parametrize(
    "spoil", [lambda all_: all_[:-1], lambda all_: [*all_, all_[0]], lambda all_: [a[1:] for a in all_]]
)
@pytest.mark.parametrize("output", [OutputFormat.FFV1, OutputFormat.PNG])
def test_wrong_number_or_size_of_frames_is_an_error_that_leaves_nothing_behind(source, tmp_path, spoil, output):
    with pytest.raises(ValueError, match=r"shorter|longer|size|source"):
        encode(source, spoil(images(source)), tmp_path / "out", output)
    assert list(tmp_path.iterdir()) == []


def test_read_clip_gives_each_frame_of_a_range_once(source):
    whole = list(read_clip(source))
    assert [frame.index for frame in whole] == list(range(len(TICKS)))
    part = list(read_clip(source, 3, 7))
    assert [frame.index for frame in part] == [3, 4, 5, 6]
    assert all(np.array_equal(a.image, b.image) and a.pts == b.pts for a, b in zip(part, whole[3:7], strict=True))
    with pytest.raises(BadInput) as caught:
        list(read_clip(source, 0, 11))
    assert caught.value.reason == Reason.DECODE_ERROR


@given(st.booleans(), st.booleans(), st.booleans(), st.integers(1, 5), st.integers(1, 5))
def test_laying_down_undoes_turning_upright(transpose, flip_x, flip_y, height, width):
    picture = np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)
    geometry = Geometry(width, height, transpose, flip_x, flip_y)
    assert np.array_equal(geometry.lay_down(geometry.upright(picture)), picture)


@pytest.mark.footage
@pytest.mark.parametrize("name", FOOTAGE)
def test_odd_sources_keep_samples_times_and_sound(footage, tmp_path, name):
    """Lossless, so that every sample can be compared; the upper half of the upright picture is inverted."""
    path = footage / name

    def edited():
        for frame in read_clip(path):
            image = frame.image.copy()
            image[: image.shape[0] // 2] = 255 - image[: image.shape[0] // 2]
            yield image

    done = encode(path, edited(), tmp_path / "out", OutputFormat.FFV1)
    before, after = probe(path), probe(done.path)
    assert times(done.path) == times(path)
    assert sound(done.path) == sound(path)
    assert (after.width, after.height, after.rotation) == (before.width, before.height, before.rotation)
    assert after.is_hdr == before.is_hdr
    with open_video(path) as ours, open_video(done.path) as theirs:
        for one, other in zip(Reading(ours), Reading(theirs), strict=True):
            own, kept = planes_of(one.stored)[0], planes_of(other.stored)[0]
            upright = one.geometry.upright(own == kept)
            assert upright[upright.shape[0] // 2 + 1 :].all()
            assert not upright[: upright.shape[0] // 2 - 1].all()


def test_a_frame_of_another_size_is_refused(source):
    with open_video(source) as container:
        decoded = next(iter(Reading(container)))
        with pytest.raises(ValueError, match="source"):
            Storing("yuv420p").lay(decoded, np.zeros((10, 10, 3), np.uint8))
