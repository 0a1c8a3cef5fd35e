"""Own motion against the camera's."""

import numpy as np
import pytest
from synthetic_shot import Disc, frame_of

from stages import masks, motion

MOVING = Disc((120, 120), (2.5, 0.5))
STILL_IN_SCENE = Disc((120, 120), (-1.0, 0.0))  # the camera pans by one pixel: this one moves with the background


def _evidence(disc: Disc) -> tuple[motion.Map, np.ndarray]:
    """Of the middle of nine frames, and the disc's mask there."""
    seen = [frame_of(number, [disc]) for number in range(9)]
    own = motion.OwnMotion([image for image, _ in seen], [4])
    (found,) = own.evidence(own.telling_lag())
    return found, seen[4][1][0]


def test_a_panning_camera_alone_moves_nothing() -> None:
    found, _ = _evidence(STILL_IN_SCENE)
    assert (found > 0).mean() < 0.01


def test_what_moves_on_its_own_stands_out() -> None:
    found, mask = _evidence(MOVING)
    assert (found[masks.erode(mask, 3)] > 0).mean() > 0.9
    assert (found[~masks.dilate(mask, 14)] > 0).mean() < 0.05


def test_the_camera_is_told_from_a_subject_that_fills_a_third_of_the_picture() -> None:
    flow = np.zeros((120, 160, 2), np.float32)
    flow[..., 0] = np.linspace(-4, 4, 160)  # zooms
    flow[20:110, 50:120] += (6, 3)
    camera = motion.camera_flow(flow)
    assert np.abs(camera[..., 0] - np.linspace(-4, 4, 160)).max() < 0.5
    assert np.abs(camera[..., 1]).max() < 0.5


def test_flow_and_warp_bring_the_next_frame_back() -> None:
    here, _ = frame_of(5, [])
    there, _ = frame_of(8, [])
    flow = motion.flow_between(here, there)
    inner = np.s_[20:-20, 20:-20]
    assert np.abs(flow[inner][..., 0].mean() + 3) < 0.2
    assert np.abs(motion.warp(there, flow)[inner] - here[inner]).mean() < 3


def test_a_uniform_picture_is_handled_and_one_picture_is_refused() -> None:
    grey = np.full((64, 96, 3), 128, np.uint8)
    assert max(each.max() for each in motion.OwnMotion([grey] * 3, [0, 1, 2]).evidence(1)) < 0
    with pytest.raises(ValueError, match="two frames"):
        motion.OwnMotion([grey], [0]).telling_lag()


def test_the_slower_what_moves_the_longer_the_lag() -> None:
    def lag(velocity: tuple[float, float]) -> int:
        images = [frame_of(number, [Disc((120, 120), velocity)])[0] for number in range(13)]
        return motion.OwnMotion(images, list(range(13))).telling_lag()

    assert (lag((4.0, 0.5)), lag((0.5, 0.0)), lag((-0.7, 0.0))) == (1, 2, 6)


def test_shrinking_never_enlarges() -> None:
    picture = np.zeros((100, 200, 3), np.uint8)
    assert motion.shrink(picture, 50).shape == (50, 100, 3)
    assert motion.shrink(picture, 500).shape == picture.shape
