"""Pools of model hosts: where they fit, and with Ray what they share, merge, survive and give up."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pipeline.pools import PARTS_OF_GPU, Pools, gpu_parts, pooled
from schemas.config import EngineConfig, Profile, RoleConfig
from schemas.errors import BadInput, UserError
from schemas.reasons import Reason

FAKED = Path(__file__).parent / "faked"
REPOSITORY = Path(__file__).parents[2]


def role(gib: float = 0.0, replicas: int = 1) -> RoleConfig:
    return RoleConfig(implementation="a:B", model="hub/id", gpu_memory_gb=gib, replicas=replicas)


def test_roles_with_a_model_or_a_place_on_a_gpu_have_a_pool():
    plain, scorer = RoleConfig(implementation="a:B"), RoleConfig(implementation="a:B", gpu_memory_gb=2)
    profile = Profile(name="x", roles={"vlm": role(), "depth": plain, "quality": scorer})
    assert set(pooled(profile)) == {"vlm", "quality"}


def test_shares_of_the_smallest_gpu_rounded_up():
    roles = {"vlm": role(20), "embedder": role(1, replicas=2), "quality": role()}
    assert gpu_parts(roles, [[80.0, 24.0]]) == {"vlm": 8334, "embedder": 417, "quality": 0}
    assert gpu_parts(roles, []) == dict.fromkeys(roles, 0)
    assert gpu_parts(roles, [[], []]) == dict.fromkeys(roles, 0)


def test_whole_gpus_of_one_node_for_what_needs_more_than_one():
    roles = {"video_generator": role(60), "vlm": role(20)}
    assert gpu_parts(roles, [[48.0, 48.0, 48.0]]) == {"video_generator": 2 * PARTS_OF_GPU, "vlm": 4167}
    with pytest.raises(UserError, match="do not fit"):
        gpu_parts({"video_generator": role(60)}, [[48.0], [48.0]])


def test_what_does_not_fit_is_one_line_with_what_is_asked_and_what_is_there():
    with pytest.raises(UserError) as caught:
        gpu_parts({"vlm": role(14, replicas=2), "depth": role(1)}, [[24.0]])
    assert str(caught.value) == (
        "the models do not fit the GPUs: vlm 2 x 14 GiB, depth 1 x 1 GiB are asked for, "
        "there are 24.0 GiB; take a smaller profile"
    )


# -- with Ray


@pytest.fixture(scope="module")
def ray_here(tmp_path_factory) -> Iterator[None]:
    from cluster.local import ray_session

    path = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(FAKED), str(REPOSITORY), path])
    try:
        with ray_session(80, num_cpus=2):
            yield
    finally:
        os.environ["PYTHONPATH"] = path


@pytest.fixture
def start(ray_here, tmp_path):
    made = []

    def begin(name="Doubler", role_name="quality", **values):
        config = RoleConfig(implementation=f"faked:{name}", model=str(tmp_path), batch_size=8, **values)
        engine = EngineConfig(row_timeout_seconds=2)
        profile = Profile(name="x", roles={role_name: config, "video_generator": config})
        made.append(Pools(profile, {role_name}, f"run{time.monotonic_ns()}", 8, engine))
        return getattr(made[-1].roles, role_name)

    yield begin
    for pools in made:
        pools.close()


def noted(folder: Path, event: str) -> list[tuple[int, int]]:
    """(process, number) per event of that name."""
    lines = (
        [line.split() for line in (folder / "notes").read_text().splitlines()] if (folder / "notes").exists() else []
    )
    return [(int(pid), int(number)) for name, pid, number in lines if name.endswith(event)]


def all_at_once(call, arguments):
    """What each call gave or raised."""

    def tried(each):
        try:
            return call(each)
        except Exception as error:
            return error

    with ThreadPoolExecutor(8) as callers:
        return list(callers.map(tried, arguments))


@pytest.mark.ray
def test_a_model_is_loaded_by_the_first_call_and_shared(start, tmp_path):
    role = start()
    assert not noted(tmp_path, "loaded")
    given = all_at_once(role.score, [[number, number + 1] for number in range(100, 140)])
    assert given == [[2 * number, 2 * number + 2] for number in range(100, 140)]
    assert [number for _, number in noted(tmp_path, "loaded")] == [8]  # once, and with its batch size
    sizes = [number for _, number in noted(tmp_path, "called")]
    assert sum(sizes) == 80
    assert max(sizes) > 2, "no two calls were merged"


@pytest.mark.ray
def test_replicas_share_the_calls(start, tmp_path):
    role = start(replicas=2)
    assert all_at_once(role.score, [[number] for number in range(100, 120)]) == [
        [2 * number] for number in range(100, 120)
    ]
    assert len({pid for pid, _ in noted(tmp_path, "called")}) == 2


@pytest.mark.ray
def test_a_poisoned_call_fails_its_caller_alone(start, tmp_path):
    given = all_at_once(start().score, [[number] for number in range(8, 18)])
    assert "ArithmeticError: thirteen (faked.py:" in str(given.pop(5))
    assert given == [[2 * number] for number in range(8, 18) if number != 13]
    assert len(noted(tmp_path, "loaded")) == 1


@pytest.mark.ray
@pytest.mark.parametrize("deadly", [66, "hang"])
def test_a_call_that_kills_or_hangs_its_host_is_given_up_and_no_other_lost(start, tmp_path, deadly):
    given = all_at_once(start().score, [[1], [deadly], [2], [3], [4], [5]])
    poisoned = given.pop(1)
    assert isinstance(poisoned, BadInput)
    assert poisoned.reason is Reason.POISON
    assert given == [[2], [4], [6], [8], [10]]
    assert len(noted(tmp_path, "loaded")) in (3, 4)  # the last process may find nothing left to do


@pytest.mark.ray
def test_a_host_killed_in_the_middle_costs_nothing(start, tmp_path):
    role = start()
    with ThreadPoolExecutor(1) as killer:

        def kill_in_the_middle():
            for so_many in (5, 10):
                while len(noted(tmp_path, "called")) < so_many:
                    time.sleep(0.02)
                os.kill(noted(tmp_path, "called")[-1][0], signal.SIGKILL)

        killing = killer.submit(kill_in_the_middle)
        given = all_at_once(role.score, [[number] for number in range(100, 400)])
        killing.result()
    assert given == [[2 * number] for number in range(100, 400)]
    assert Counter(pid for pid, _ in noted(tmp_path, "loaded")).total() == 3


@pytest.mark.ray
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Absent", "cannot be loaded: not in the cache"),
        ("Broken", "cannot be loaded: KeyError: 'layers.0.weight'"),
        ("Deadly", "killed its process 3 times"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_the_users_mistake_in_one_line(start, name, message):
    with pytest.raises(UserError, match=message) as caught:
        start(name).score([1])
    assert type(caught.value) is UserError
    assert "\n" not in str(caught.value)


@pytest.mark.ray
def test_what_comes_back_is_writable_and_more_than_the_store_holds_gets_through(start):
    """8 answers of 24 MB, a store of 80 MB."""
    images = [np.full((1000, 2000), number + 1, np.uint8) for number in range(8)]
    role = start("Near", "depth")
    for answered in all_at_once(lambda image: role.nearness([image] * 3, []), images):
        for near in answered:
            near[:] += 1  # not an array of Ray's
            assert near.max() == near.min() == 2


@pytest.mark.ray
def test_closing_frees_the_model_and_ends_its_process(ray_here, tmp_path):
    config = RoleConfig(implementation="faked:Doubler", model=str(tmp_path))
    pools = Pools(Profile(name="x", roles={"quality": config}), {"quality"}, "closing", 8, EngineConfig())
    pools.roles.quality.score([1])
    pools.close()
    [(pid, _)] = noted(tmp_path, "closed")
    give_up = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and "zombie" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < give_up
        time.sleep(0.1)
