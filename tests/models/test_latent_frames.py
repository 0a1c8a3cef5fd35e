"""Latent frames: 4n + 1, and no picture's mask is lost when masks are shrunk in time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.models import latent_frames


@given(st.integers(1, 400))
def test_the_padded_count_is_the_next_of_its_form(count: int) -> None:
    padded = latent_frames.padded_count(count)
    assert padded % 4 == 1
    assert count <= padded < count + 4


@given(st.integers(0, 20), st.data())
def test_every_latent_frame_reads_all_it_has_to_paint(groups: int, data: st.DataObject) -> None:
    count = 4 * groups + 1
    marked = data.draw(st.integers(0, count - 1))
    frame_masks = [np.zeros((2, 3), np.bool_) for _ in range(count)]
    frame_masks[marked][1, 2] = True
    told = latent_frames.latent_masks(frame_masks)
    reads = latent_frames.read_frames(count)
    assert told[reads[(marked + 3) // 4]][1, 2]
    assert sum(mask.sum() for mask in frame_masks) == 1  # what was given stays as it was
    assert not np.any([mask[0] for mask in told])
    assert all((told[frame] >= frame_masks[frame]).all() for frame in range(count))
    assert sum(mask.any() for mask in told) <= 5  # its own group and the picture that is read


def test_the_masks_read_are_those_of_vace() -> None:
    # Measured on the pipeline: latent frame 1 of 81 pictures reads picture 5, 6 reads 25.
    reads = latent_frames.read_frames(81)
    assert (reads[1], reads[6], reads[-1]) == (5, 25, 79)


def test_other_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="4n"):
        latent_frames.latent_masks([np.zeros((2, 2), np.bool_)] * 6)
