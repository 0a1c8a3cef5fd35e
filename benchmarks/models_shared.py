"""A role through its actors, asked as in a build: pools of model hosts (pipeline/pools.py), callers elsewhere."""

import itertools
import threading
import time
import uuid
from collections.abc import Callable

import ray

from actors.profiles import load_profile
from benchmarks.models_calls import CALLS, Sizes, verdict
from cluster.local import ray_session
from pipeline.model_host import METHOD_OF
from pipeline.pools import PooledRoles, Pools
from schemas.config import EngineConfig, Profile, RoleConfig, VerificationThresholds
from stages import verification

Tell = Callable[..., None]

SECONDS = 10.0
CALLERS = {"video_generator": 1, "image_editor": 4, "segmenter": 4, "detector": 6, "depth": 6}
MOST_CALLERS = 12
VIDEO_STEPS = 8


@ray.remote(num_cpus=0)
class Caller:
    """A worker of a build, as far as models are concerned; with several threads it stands for as many."""

    def __init__(self, roles: PooledRoles, role_name: str, small: bool, number: int) -> None:
        self._ask = getattr(getattr(roles, role_name), METHOD_OF[role_name])
        self._role_name, self._sizes = role_name, Sizes(small)
        self._seeds = itertools.count(10_000_000 * (number + 1))
        self._calls = [CALLS[role_name](10_000 * number + seed, Sizes(small)) for seed in range(2)]

    def once(self) -> None:
        self._ask(*self._calls[0][0])

    def many(self, seconds: float, threads: int) -> tuple[int, float]:
        """Items answered, and the seconds it took until the last of them."""
        counts = [0] * threads
        deadline = time.perf_counter() + seconds
        started = time.perf_counter()

        def work(number: int) -> None:
            while time.perf_counter() < deadline:
                counts[number] += self._step(number)

        workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return sum(counts), time.perf_counter() - started

    def _step(self, number: int) -> int:
        """One call. Of the vlm the step of verification: a question never asked before, and its answer judged."""
        if self._role_name != "vlm":
            arguments, items = self._calls[number % 2]
            self._ask(*arguments)
            return items
        (answer,) = self._ask([verdict(next(self._seeds), self._sizes)])
        verification.vlm_check(answer, VerificationThresholds())
        return 1


def measure(profile_name: str, name: str, small: bool, tell: Tell, role: RoleConfig | None = None) -> None:
    profile = load_profile(profile_name)
    role = role or profile.roles[name]
    if name == "video_generator":
        role = role.model_copy(update={"options": {**role.options, "num_steps": VIDEO_STEPS}})
    ask_through_pool(
        profile.model_copy(update={"roles": {name: role}}), name, small, tell, [CALLERS.get(name, MOST_CALLERS)]
    )


def ask_through_pool(
    profile: Profile, name: str, small: bool, tell: Tell, callers: list[int], seconds: float = SECONDS
) -> None:
    """callers: how many at once, one measurement each; more than MOST_CALLERS are threads."""
    engine = EngineConfig()
    num_processes = min(max(callers), MOST_CALLERS)
    started = time.perf_counter()
    with ray_session(engine.object_store_mb):
        tell("ray", seconds=time.perf_counter() - started)
        pools = Pools(profile, [name], uuid.uuid4().hex[:8], max(callers), engine)
        asking = [Caller.remote(pools.roles, name, small, number) for number in range(num_processes)]
        ray.get([each.many.remote(0.0, 1) for each in asking])
        started = time.perf_counter()
        ray.get(asking[0].once.remote())
        tell("first_call", seconds=time.perf_counter() - started)
        for count in callers:
            processes = min(count, num_processes)
            threads = count // processes
            done = ray.get([each.many.remote(seconds, threads) for each in asking[:processes]])
            rate = sum(items for items, _ in done) / max(taken for _, taken in done)
            tell("actor", callers=processes * threads, per_second=rate, batch_size=profile.roles[name].batch_size)
        pools.close()
