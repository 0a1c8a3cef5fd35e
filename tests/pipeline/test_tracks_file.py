"""Tracks come back from their file as they were, equal tracks give equal bytes, and damage is told."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.folder import LocalFolder
from pipeline import tracks_file
from schemas.tracks import InstanceTrack

NAMES = st.text(min_size=0, max_size=12).filter(lambda text: "\x00" not in text)


@st.composite
def tracks(draw):
    """Instances of one clip: T frames of one size, any width."""
    count, frames = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 19))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    return [
        InstanceTrack(
            draw(NAMES),
            draw(NAMES),
            random.random((frames, height, width)) < 0.5,
            random.random(frames) < 0.5,
            random.random(frames).astype(np.float32),
            random.random(frames).astype(np.float32),
        )
        for _ in range(count)
    ]


@settings(max_examples=40)
@given(tracks())
def test_what_is_read_is_what_was_written(tmp_path_factory, found):
    out = LocalFolder(tmp_path_factory.mktemp("tracks"))
    tracks_file.write(out, "deep/key.npz", found)
    again = tracks_file.read(out, "deep/key.npz")
    assert [(each.name, each.category) for each in again] == [(each.name, each.category) for each in found]
    for one, other in zip(again, found, strict=True):
        for name in ("masks", "seen", "scores", "nearness"):
            assert getattr(one, name).dtype == getattr(other, name).dtype
            assert np.array_equal(getattr(one, name), getattr(other, name))
    assert [file.name for file in out.files("deep")] == ["deep/key.npz"]
    tracks_file.write(out, "second.npz", again)
    assert out.read("second.npz") == out.read("deep/key.npz")


def test_what_is_no_file_of_tracks(tmp_path):
    out = LocalFolder(tmp_path)
    with pytest.raises(OSError, match="nothing"):
        tracks_file.read(out, "nothing.npz")
    out.write("cut.npz", b"PK\x03\x04 cut off")
    with pytest.raises(ValueError, match="tracks"):
        tracks_file.read(out, "cut.npz")
    with pytest.raises(ValueError):  # noqa: PT011  (numpy's words)
        tracks_file.write(out, "none.npz", [])
    assert not out.exists("none.npz")
