"""Every role of every shipped profile loads, unmodified, and answers one small call."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from actors.profiles import build_role, fingerprint, load_profile, shipped_profiles
from pipeline.models import weights_of
from schemas.config import RoleConfig
from schemas.errors import BadInput
from schemas.fill import Fill, Filled, FillRequest, VideoFillRequest
from schemas.keys import digest
from schemas.questions import CropAnswer, Question
from schemas.subject import Detection
from schemas.video import Footage
from tests.models.published import in_ci, publish, roles_with_models


def distinct() -> dict[str, tuple[str, RoleConfig]]:
    """By a name for people: profiles share models."""
    found = {digest(each[1], fingerprint(each[2])): each for each in roles_with_models()}
    return {f"{profile}-{role}": (role, config) for profile, role, config in found.values()}


ROLES = distinct()


def footage() -> Footage:
    images = [np.random.default_rng(seed).integers(0, 255, (64, 96, 3), np.uint8) for seed in range(2)]
    return Footage(images, [0, 1], [0.0, 0.1], [0, 1], (64, 96))


def region() -> Any:
    mask = np.zeros((64, 96), np.bool_)
    mask[16:48, 16:64] = True
    return mask


def quality(role: Any) -> None:
    assert all(0 <= scores["quality"] <= 1 for scores in role.score(footage().images))


def vlm(role: Any) -> None:
    (answer,) = role.ask([Question(CropAnswer, "Is this a dog?", footage().images[:1])])
    assert isinstance(answer, CropAnswer)


def detector(role: Any) -> None:
    assert len(role.detect(footage(), ["dog", "car"])) == 2


def segmenter(role: Any) -> None:
    for track in role.segment(footage(), [[Detection((16, 16, 64, 48), "dog", 0.9)], []]):
        assert all(mask.shape == (64, 96) and mask.dtype == np.bool_ for mask in track.masks.values())


def depth(role: Any) -> None:
    (nearness,) = role.nearness(footage().images[:1], [[region()]])
    assert nearness.shape == (64, 96)


def embedder(role: Any) -> None:
    vectors = role.embed([(image, region()) for image in footage().images])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1], abs=1e-3)


def image_editor(role: Any) -> None:
    (filled,) = role.fill([FillRequest(footage().images[0], region(), Fill.REMOVE, "empty ground", seed=0)])
    assert not isinstance(filled, BadInput)
    assert isinstance(filled, Filled)
    assert (filled.image[~region()] == footage().images[0][~region()]).all()


def video_generator(role: Any) -> None:
    frames = [footage().images[0]] * 5
    request = VideoFillRequest(frames, [region()] * 5, "a dog", seed=0)
    generated = role.generate(request)
    assert [each.shape for each in generated] == [(64, 96, 3)] * 5


CALLS: dict[str, Callable[[Any], None]] = {
    each.__name__: each for each in (quality, vlm, detector, segmenter, depth, embedder, image_editor, video_generator)
}


@pytest.mark.parametrize("name", ROLES)
def test_loads_as_the_profile_says_and_answers(name):
    """vLLM needs a GPU: where a profile names it, transformers loads the same model at the same revision."""
    role_name, config = ROLES[name]
    for weights in weights_of(config):
        publish(weights)
    CALLS[role_name](build_role(role_name, in_ci(config)))


@pytest.mark.parametrize("name", [name for name in shipped_profiles() if name != "oracle"])
def test_roles_without_a_model_are_built_too(name):
    for role_name, config in load_profile(name).roles.items():
        if not weights_of(config):
            build_role(role_name, config)
