"""Videos on S3 are the same pictures and sound as on a disk, and of a long one only what is needed is fetched."""

from fractions import Fraction

import av
import numpy as np
import pytest
from faulty_s3 import Answer, Cut, FaultyS3, serving
from synthetic_footage import write_clip

from cluster import s3, s3_errors, s3_reader
from cluster.storage import video_at
from schemas.errors import BadInput, Unreachable, UserError
from schemas.reasons import Reason
from stages import encoding, media

FILM = "s3://films/film.mp4"
RATE, NUM_FRAMES, SIZE_PX = 24, 240, (192, 320)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Ten seconds of noise, so that they are many bytes, with sound; the index is at the end of the file."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    noise = np.random.default_rng(1)
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", RATE, options={"crf": "8", "g": "24", "preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = *SIZE_PX, "yuv420p"
        sound = target.add_stream("aac", 44100, layout="mono")
        for number in range(NUM_FRAMES):
            picture = noise.integers(0, 255, (*SIZE_PX, 3), np.uint8)
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
            samples = noise.uniform(-0.5, 0.5, (1, 44100 // RATE)).astype(np.float32)
            heard = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
            heard.sample_rate, heard.pts, heard.time_base = 44100, number * samples.size, Fraction(1, 44100)
            target.mux(sound.encode(heard))
        target.mux(stream.encode())
        target.mux(sound.encode())
    assert path.stat().st_size > 16_000_000
    return path


@pytest.fixture
def server(film, monkeypatch):
    monkeypatch.setattr(s3_errors, "_FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(s3_reader, "_blocks", s3_reader._Blocks())
    monkeypatch.setattr(s3, "ATTEMPTS", 1)
    with serving() as running:
        s3.upload(film, FILM)
        running.forget()
        yield running


def test_a_short_span_of_a_long_video_takes_few_requests_and_few_bytes(server: FaultyS3, film):
    indices = range(120, 140)
    found = media.read_frames(video_at(FILM), indices, [index / RATE for index in indices])
    local = media.read_frames(film, indices, [index / RATE for index in indices])
    assert all(np.array_equal(one.image, other.image) for one, other in zip(found, local, strict=True))
    fetched = server.of("GET", "/films/film.mp4")
    assert len(fetched) <= 6
    assert sum(each.num_bytes for each in fetched) < film.stat().st_size / 3


def test_a_whole_video_is_the_same_through_every_fault(server, film):
    server.fail(Cut(100_000), 5, "GET")
    server.fail(Answer(503, "SlowDown"), 5, "GET")
    both = zip(media.decode(video_at(FILM)), media.decode(film), strict=True)
    assert all(np.array_equal(one.image, other.image) for one, other in both)
    assert len([each for each in server.of("GET") if each.status == 206]) < film.stat().st_size / (2 << 20)


def test_an_edit_of_a_source_on_s3_has_its_sound_and_is_the_same_file(server, tmp_path):
    clip = write_clip(tmp_path, "bear", sound=True)
    s3.upload(clip, "s3://films/bear.mp4")
    written = [
        encoding.encode(source, (255 - frame.image for frame in encoding.read_clip(source)), tmp_path / name)
        for name, source in (("local", clip), ("s3", video_at("s3://films/bear.mp4")))
    ]
    assert written[1].num_audio_streams == 1
    assert written[0].path.read_bytes() == written[1].path.read_bytes()


def test_what_is_out_of_reach_while_it_is_decoded_is_no_damage(server, monkeypatch):
    monkeypatch.setattr(s3_errors, "PATIENCE_SECONDS", 0.01)
    frames = media.decode(video_at(FILM))
    next(frames)
    server.fail(Cut(), 10_000)
    with pytest.raises(Unreachable):
        list(frames)
    server.heal()
    server.fail(Answer(400, "ExpiredToken"), 10_000)
    with pytest.raises(UserError, match="expired"):
        media.read_frames(video_at(FILM), [200], [200 / RATE])


def test_a_list_of_files_is_no_video_there_either(server, film):
    for text in (f"#EXTM3U\n#EXTINF:1,\n{film}\n", f"ffconcat version 1.0\nfile '{film}'\n"):
        s3.put("s3://films/list.mp4", text.encode())
        with pytest.raises(BadInput) as bad:
            media.probe(video_at("s3://films/list.mp4"))
        assert bad.value.reason is Reason.UNREADABLE


def test_an_empty_object_and_one_that_is_not_there(server):
    s3.put("s3://films/empty.mp4", b"")
    for uri, reason in (("s3://films/empty.mp4", Reason.EMPTY_FILE), ("s3://films/none.mp4", Reason.MISSING)):
        with pytest.raises(BadInput) as bad:
            media.probe(video_at(uri))
        assert bad.value.reason is reason
