from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.windows import fade_in, plan_windows


@given(st.integers(0, 50), st.integers(1, 700), st.integers(1, 100), st.integers(0, 99))
def test_windows_cover_every_frame_and_each_is_owned_once_outside_cross_fades(start, num_frames, max_frames, overlap):
    longest = (max_frames - 1) // 4 * 4 + 1
    if overlap >= longest:
        with pytest.raises(ValueError, match="share"):
            plan_windows(start, start + num_frames, max_frames, overlap)
        return
    windows = plan_windows(start, start + num_frames, max_frames, overlap)
    assert windows[0].start == start
    assert windows[-1].stop == start + num_frames
    weight = np.zeros(num_frames)
    for number, window in enumerate(windows):
        assert window.num_frames <= max_frames
        shared = max(windows[number - 1].stop - window.start, 0) if number else 0
        weight[window.start - start :][:shared] *= 1 - fade_in(shared)
        weight[window.start - start :][:shared] += fade_in(shared)
        weight[window.start - start + shared : window.stop - start] += 1
    assert np.allclose(weight, 1)


@given(st.integers(1, 700), st.integers(5, 100), st.integers(0, 20))
def test_windows_are_4n_plus_1_share_enough_and_are_no_more_than_needed(num_frames, max_frames, overlap):
    longest = (max_frames - 1) // 4 * 4 + 1
    overlap = min(overlap, longest - 1)
    windows = plan_windows(0, num_frames, max_frames, overlap)
    if len(windows) == 1:
        assert num_frames <= longest
        return
    assert {window.num_frames % 4 for window in windows} == {1}
    assert len({window.num_frames for window in windows}) == 1
    assert all(one.stop - other.start >= overlap for one, other in pairwise(windows))
    fewer = len(windows) - 1
    assert fewer * longest - (fewer - 1) * overlap < num_frames


@given(st.integers(1, 40))
def test_a_fade_goes_from_the_old_to_the_new(num_shared):
    weights = fade_in(num_shared)
    assert np.all(np.diff(weights) > 0)
    assert weights[0] > 0
    assert weights[-1] < 1
    assert np.allclose(weights + weights[::-1], 1)
