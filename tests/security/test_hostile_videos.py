"""Videos that try to make their reader open something else, or hold more than the machine does."""

import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import av
import pytest
from synthetic_video import write_video

from schemas.errors import BadInput
from schemas.reasons import Reason
from stages.media import probe


def reason_of(source) -> Reason | None:
    try:
        probe(source)
    except BadInput as bad:
        return bad.reason
    return None


@pytest.fixture
def port():
    """Of a server on loopback that notes every connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        callers: list[object] = []

        def serve() -> None:
            while True:
                try:
                    connection, address = server.accept()
                except OSError:
                    return
                callers.append(address)
                connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)
    assert callers == [], "a file made its reader open a connection"


TRICKS = {
    "playlist": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n",
    "playlist_of_a_file": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{path}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{url}'\n",
    "concat_of_a_file": "ffconcat version 1.0\nfile '{path}'\n",
    "dash": '<?xml version="1.0"?><MPD><Period><AdaptationSet><Representation><BaseURL>{url}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n",
    "subfile": "subfile,,start,0,end,100,,:{path}",
    "image_sequence": "{path}%03d.png",
    "rtsp_redirect": "rtsptext\nrtsp://127.0.0.1:{port}/x\n",
    "asx": '<asx version="3.0"><entry><ref href="{url}"/></entry></asx>',
    "svg": '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="{url}"/></svg>',
}


@pytest.mark.parametrize("as_file", [False, True], ids=["path", "object"])
@pytest.mark.parametrize("trick", TRICKS)
def test_a_text_that_names_another_file_is_no_video(tmp_path, port, trick, as_file):
    canary = write_video(tmp_path / "canary.mp4", 4)
    url = f"http://127.0.0.1:{port}/v.mp4"
    path = tmp_path / "trick.mp4"
    path.write_text(TRICKS[trick].format(url=url, path=canary, port=port))
    if as_file:
        with path.open("rb") as file:
            assert reason_of(file) is Reason.UNREADABLE
    else:
        assert reason_of(path) is Reason.UNREADABLE


NAMES = ["concat:canary.mp4|canary.mp4", "http://127.0.0.1:{port}/v.mp4", "-i", "subfile,,start,0,end,9,,:canary.mp4"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_a_name(tmp_path, port, monkeypatch, name):
    write_video(tmp_path / "canary.mp4", 4)
    monkeypatch.chdir(tmp_path)
    assert reason_of(name.format(port=port)) is Reason.MISSING


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def with_external_data(movie: bytes, target: str) -> bytes:
    """The QuickTime file with its first track's data declared to lie in the file `target` (an alias record), as in
    FFmpeg's mov_read_dref."""
    at = movie.index(b"dref") - 4
    size = struct.unpack(">I", movie[at : at + 4])[0]
    path = b"/" + target.encode()
    volume = b"\0" * 10 + bytes([1]) + b"v".ljust(27, b"\0") + b"\0" * 12
    name = Path(target).name.encode()[:63]
    alias = volume + bytes([len(name)]) + name.ljust(63, b"\0") + b"\0" * 16
    alias += struct.pack(">hh", 1, 1) + b"\0" * 16  # levels from and to
    alias += struct.pack(">hH", 2, len(path)) + path + b"\0" * (len(path) % 2) + struct.pack(">hH", -1, 0)
    dref = box(b"dref", b"\0\0\0\0\0\0\0\1" + box(b"alis", b"\0\0\0\0" + alias))
    changed = bytearray(movie[:at] + dref + movie[at + size :])
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        start = movie.index(parent) - 4
        (old,) = struct.unpack(">I", movie[start : start + 4])
        changed[start : start + 4] = struct.pack(">I", old + len(dref) - size)
    return bytes(changed)


def test_a_film_does_not_take_its_frames_from_another_file(tmp_path):
    """And the trick is a real one: told to, FFmpeg follows it."""
    canary = tmp_path / "canary.mov"
    with av.open(str(canary), "w") as container:
        stream = container.add_stream("rawvideo", rate=10)
        stream.width = stream.height = 16
        stream.pix_fmt = "rgb24"
        frame = av.VideoFrame(16, 16, "rgb24")
        frame.planes[0].update(b"\xc8" * frame.planes[0].buffer_size)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    film = tmp_path / "film.mov"
    film.write_bytes(with_external_data(canary.read_bytes(), "canary.mov"))

    with av.open(str(film), container_options={"enable_drefs": "1"}) as followed:
        assert int(next(followed.decode(video=0)).to_ndarray(format="rgb24").max()) == 200
    assert reason_of(film) is Reason.NO_DECODABLE_FRAMES
    with film.open("rb") as file:
        assert reason_of(file) is Reason.NO_DECODABLE_FRAMES


def gif_of(width: int, height: int) -> bytes:
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", width, height, 0x80, 0, 0)
        + bytes(6)
        + b","
        + struct.pack("<HHHHB", 0, 0, width, height, 0)
        + b"\2\3\x84\x51\0\0;"
    )


def y4m_of(width: int, height: int) -> bytes:
    return f"YUV4MPEG2 W{width} H{height} F25:1 Ip C420jpeg\nFRAME\n".encode() + bytes(100)


LOOK = """
import resource, sys
from stages.media import probe
from schemas.errors import BadInput
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    probe(sys.argv[1])
except BadInput as bad:
    print(bad.reason, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("make", [gif_of, y4m_of])
def test_a_frame_larger_than_agreed_is_not_unpacked(tmp_path, make):
    """A picture of it is 10 GB."""
    path = tmp_path / "bomb.mp4"
    path.write_bytes(make(60_000, 60_000))
    seen = subprocess.run([sys.executable, "-c", LOOK, path], capture_output=True, text=True, check=True).stdout.split()
    assert seen[0] in (Reason.TOO_LARGE, Reason.UNREADABLE, Reason.NO_DECODABLE_FRAMES)
    assert int(seen[1]) < 200  # MiB
