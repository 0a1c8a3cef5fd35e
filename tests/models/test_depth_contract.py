"""What every depth role holds to, and one scale for a clip."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from synthetic_shot import BLUE, RED, Disc, frame_of

from schemas.errors import UserError
from schemas.video import Image, Mask
from tests.models.checkpoints.depth_anything import build, build_metric
from tests.models.roles import role

DEPTH_ANYTHING = ("models.depth_anything:DepthAnything", "depth-anything/Depth-Anything-V2-Small-hf", build)
TWO = [Disc((70, 70), (2.2, 0.3), 28, colour=RED), Disc((250, 170), (-2.2, 0.2), 30, colour=BLUE)]


@pytest.fixture(scope="module", params=["embedded", "depth-anything"])
def depth(request: pytest.FixtureRequest) -> Any:
    embedded = request.param == "embedded"
    return role("depth", "depth:GroundContactDepth") if embedded else role("depth", *DEPTH_ANYTHING)


@pytest.fixture(scope="module")
def real() -> Any:
    return role("depth", *DEPTH_ANYTHING)


@pytest.fixture(scope="module")
def clip() -> tuple[list[Image], list[list[Mask]]]:
    shown = [frame_of(number, TWO) for number in (0, 6, 12, 18, 24)]
    return [image for image, _ in shown], [found for _, found in shown]


def test_nearness_is_per_pixel_between_far_and_near(depth, clip):
    found = depth.nearness(*clip)
    assert len(found) == len(clip[0])
    for nearness, image in zip(found, clip[0], strict=True):
        assert nearness.dtype == np.float32
        assert nearness.shape == image.shape[:2]
        assert 0 <= nearness.min() < nearness.max() <= 1


def test_the_same_clip_has_the_same_nearness(depth, clip):
    for one, other in zip(depth.nearness(*clip), depth.nearness(*clip), strict=True):
        assert (one == other).all()


def test_no_pictures(depth):
    assert depth.nearness([], []) == []


@pytest.mark.parametrize("size", [(97, 61), (61, 97), (33, 200), (300, 100)])
def test_odd_sizes_come_back_exactly(depth, size):
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    (nearness,) = depth.nearness([image], [[]])
    assert nearness.shape == size


def test_a_batch_is_the_same_as_one_by_one(real, clip):
    single = role("depth", *DEPTH_ANYTHING, batch_size=1)
    for one, other in zip(real.nearness(*clip), single.nearness(*clip), strict=True):
        assert np.allclose(one, other, atol=1e-4)


class Told:
    """Stands in for the model: what it is told to predict, in order."""

    def __init__(self, *predicted: NDArray[np.float32]) -> None:
        self.predicted = list(predicted)

    def __call__(self, pixels: list[torch.Tensor]) -> list[torch.Tensor]:
        return [torch.from_numpy(self.predicted.pop(0)) for _ in pixels]


def test_all_pictures_of_a_clip_have_one_scale_and_glare_does_not_set_it(monkeypatch):
    depth = role("depth", *DEPTH_ANYTHING)
    ramp = np.repeat(np.linspace(0, 1, 100, dtype=np.float32)[:, None], 100, axis=1)
    glare = ramp.copy()
    glare[50, 50] = 1000.0
    monkeypatch.setattr(depth, "_predict", Told(ramp, ramp + 1, glare))
    image = np.zeros((100, 100, 3), np.uint8)
    first, second, third = depth.nearness([image] * 3, [[]] * 3)
    assert first[0, 0] == 0
    assert second[-1, -1] == 1
    assert third[50, 50] == 1
    assert np.allclose(first[:40], third[:40], atol=1e-3)
    assert second[50, 50] - first[50, 50] == pytest.approx(0.5, abs=0.05)
    assert first[40, 5] < first[60, 5] < second[20, 5] < second[80, 5]


def test_a_flat_prediction_is_far_everywhere(monkeypatch):
    depth = role("depth", *DEPTH_ANYTHING)
    monkeypatch.setattr(depth, "_predict", Told(np.full((28, 28), 3.0, np.float32)))
    (nearness,) = depth.nearness([np.zeros((50, 40, 3), np.uint8)], [[]])
    assert np.allclose(nearness, 0, atol=1e-3)


def test_a_checkpoint_that_says_metres_is_refused():
    with pytest.raises(UserError, match="relative depth"):
        role("depth", DEPTH_ANYTHING[0], "depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf", build_metric)


def test_pictures_too_large_for_one_batch_are_done_one_by_one(monkeypatch, real, clip):
    expected = real.nearness(*clip)
    depth = role("depth", *DEPTH_ANYTHING, batch_size=5)
    predict = depth._predict

    def small(pixels: list[torch.Tensor]) -> list[torch.Tensor]:
        if len(pixels) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return predict(pixels)

    monkeypatch.setattr(depth, "_predict", small)
    for one, other in zip(depth.nearness(*clip), expected, strict=True):
        assert np.allclose(one, other, atol=1e-4)


def test_bfloat16(clip):
    depth = role("depth", *DEPTH_ANYTHING, dtype="bfloat16")
    assert all(each.dtype == np.float32 and np.isfinite(each).all() for each in depth.nearness(*clip))
