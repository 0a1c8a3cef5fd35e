"""Pictures that people give with an edit."""

import contextlib
import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import BadInput
from schemas.reasons import Reason
from stages.pictures import FORMATS, decode_picture


def png_of(width: int, height: int) -> bytes:
    """Claims a size; holds one row."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    row = zlib.compress(b"\0" * (1 + 3 * min(width, 1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", row) + chunk(b"IEND", b"")


def encoded(picture: PIL.Image.Image, form: str, **how) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **how)
    return file.getvalue()


def reason_of(content: bytes) -> Reason:
    with pytest.raises(BadInput) as caught:
        decode_picture(content)
    return caught.value.reason


@pytest.mark.parametrize("form", FORMATS)
def test_every_kind_is_read_as_it_is(form):
    row = np.linspace(0, 255, 40, dtype=np.uint8)
    picture = np.stack([np.tile(row, (30, 1)), np.full((30, 40), 90, np.uint8), np.tile(row[::-1], (30, 1))], axis=-1)
    found = decode_picture(encoded(PIL.Image.fromarray(picture), form))
    assert found.shape == (30, 40, 3)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - picture).mean() < 12  # GIF has 256 colours


def test_upright_and_on_white():
    turned = PIL.Image.new("RGB", (40, 30), (10, 20, 30))
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    assert decode_picture(encoded(turned, "JPEG", exif=exif)).shape == (40, 30, 3)
    clear = PIL.Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert (decode_picture(encoded(clear, "PNG")) == 255).all()


LOOK = """
import resource, sys
from stages.pictures import decode_picture
from schemas.errors import BadInput
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode_picture(open(sys.argv[1], "rb").read())
except BadInput as bad:
    print(bad.reason, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("side", [9_000, 30_000, 2**31 - 1])
def test_a_small_file_that_claims_to_be_huge_is_not_unpacked(tmp_path, side):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of(side, side))
    seen = subprocess.run([sys.executable, "-c", LOOK, path], capture_output=True, text=True, check=True).stdout.split()
    assert seen[0] in (Reason.TOO_LARGE, Reason.UNREADABLE)
    assert int(seen[1]) < 100  # MiB


def test_what_would_run_another_program_is_no_picture():
    """Pillow gives PostScript to Ghostscript."""
    assert reason_of(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n") is Reason.UNREADABLE
    assert reason_of(b"") is Reason.UNREADABLE


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=8), st.sampled_from(FORMATS))
def test_damage_is_a_reason(place, other, form):
    pixels = np.arange(2700).astype(np.uint8).reshape(30, 30, 3)
    content = bytearray(encoded(PIL.Image.fromarray(pixels), form))
    at = place % len(content)
    content[at : at + len(other)] = other
    for damaged in (bytes(content), bytes(content[:at])):
        with contextlib.suppress(BadInput):
            assert decode_picture(damaged).ndim == 3
