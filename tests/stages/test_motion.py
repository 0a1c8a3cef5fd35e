"""Own motion against the camera's."""

import numpy as np
from synthetic_shot import Disc, frame_of

from stages import masks, motion

MOVING = Disc((120, 120), (2.5, 0.5))
STILL_IN_SCENE = Disc((120, 120), (-1.0, 0.0))  # the camera pans by one pixel: this one moves with the background


def _saliency(disc: Disc) -> tuple[motion.Map, np.ndarray]:
    image, (mask,) = frame_of(10, [disc])
    groups = [[frame_of(10 + step, [disc])[0] for step in (-near, near)] for near in (3, 8)]
    return motion.saliency(image, groups), mask


def test_a_panning_camera_alone_moves_nothing() -> None:
    found, _ = _saliency(STILL_IN_SCENE)
    assert (found > 0.5).mean() < 0.01


def test_what_moves_on_its_own_stands_out() -> None:
    found, mask = _saliency(MOVING)
    assert found[masks.erode(mask, 3)].mean() > 0.8
    assert found[~masks.dilate(mask, 14)].mean() < 0.1


def test_without_context_nothing_is_claimed() -> None:
    assert not motion.saliency(frame_of(0, [MOVING])[0], []).any()


def test_flow_and_warp_bring_the_next_frame_back() -> None:
    here, _ = frame_of(5, [])
    there, _ = frame_of(8, [])
    flow = motion.flow_between(here, there)
    inner = np.s_[20:-20, 20:-20]
    assert np.abs(flow[inner][..., 0].mean() + 3) < 0.2
    assert np.abs(motion.warp(there, flow)[inner] - here[inner]).mean() < 3


def test_a_uniform_picture_is_handled() -> None:
    grey = np.full((64, 96, 3), 128, np.uint8)
    assert motion.saliency(grey, [[grey, grey]]).max() < 0.5


def test_shrinking_never_enlarges() -> None:
    picture = np.zeros((100, 200, 3), np.uint8)
    assert motion.shrink(picture, 50).shape == (50, 100, 3)
    assert motion.shrink(picture, 500).shape == picture.shape
