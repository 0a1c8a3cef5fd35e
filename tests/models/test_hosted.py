"""Roles of a shipped profile, unmodified, in hosts of their own: they answer there as they do in process."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from actors.profiles import build_role, load_profile
from cluster.local import ray_session
from pipeline.pools import Pools
from schemas.config import EngineConfig
from schemas.questions import CropAnswer, Question
from tests.models.checkpoints.qwen3_vl import build as build_qwen
from tests.models.checkpoints.vision_transformers import build_dinov2
from tests.models.hub import publish

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def profile():
    profile = load_profile("cpu-small")
    for role_name, build in (("embedder", build_dinov2), ("vlm", build_qwen)):
        role = profile.roles[role_name]
        publish(role.model, build, role.revision)
    return profile


@pytest.fixture(scope="module")
def hosted(profile):
    with ray_session(80, num_cpus=2):
        pools = Pools(profile, {"embedder", "vlm"}, "hosted", 4, EngineConfig())
        yield pools.roles
        pools.close()


def test_hosts_answer_as_roles_in_process_do(profile, hosted):
    rng = np.random.default_rng(0)
    subjects = [(rng.integers(0, 256, (97, 61, 3), np.uint8), np.ones((97, 61), bool)) for _ in range(6)]
    questions = [
        Question(CropAnswer, f"Is this number {number}?", [image]) for number, (image, _) in enumerate(subjects)
    ]
    with ThreadPoolExecutor(4) as callers:
        vectors = list(callers.map(lambda subject: hosted.embedder.embed([subject])[0], subjects))
        answers = list(callers.map(lambda question: hosted.vlm.ask([question])[0], questions))
    in_process = build_role("embedder", profile.roles["embedder"]).embed(subjects)
    assert np.stack(vectors) == pytest.approx(in_process, abs=1e-5)
    assert all(isinstance(answer, CropAnswer) for answer in answers)
