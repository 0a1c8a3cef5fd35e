"""Named pools of model hosts: a model is loaded `replicas` times in a run, not once per worker and phase.

    step -> PooledRole (in the worker) -> ModelHost actors (pipeline/model_host.py) -> implementation (actors/)

A worker has at most one call on its way, so the object store holds no more than one call per worker; what is over
`engine.object_store_mb` waits on disk.
"""

import itertools
import math
import os
import random
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.embedder import cropped
from actors.profiles import Roles
from pipeline.model_host import ALSO, METHOD_OF, ModelHost
from pipeline.packing import pack, unpack
from schemas.config import EngineConfig, Profile, RoleConfig
from schemas.errors import UserError

START_SECONDS = 120.0
"""For the processes of hosts to come up; their models are loaded later, by the first call."""

CLOSE_SECONDS = 5.0
PARTS_OF_GPU = 10_000
"""Ray counts fractions of a GPU in ten thousandths."""

Pause = Callable[[], AbstractContextManager[None]]


def pooled(profile: Profile) -> dict[str, RoleConfig]:
    """The roles that get a pool: those with a model, or a place on a GPU. The others are built in each worker."""
    return {name: role for name, role in profile.roles.items() if role.model or role.gpu_memory_gb}


class PooledRole:
    """A role whose protocol method is answered by a pool, replicas in turn. Raises what the role raises."""

    def __init__(self, role_name: str, hosts: Sequence[str], pause: Pause = nullcontext) -> None:
        self._hosts: list[Any] = [ray.get_actor(host) for host in hosts]
        self._turns = itertools.count(random.randrange(len(hosts)))
        self._role_name, self._pause = role_name, pause
        setattr(self, METHOD_OF[role_name], partial(self._call, ""))
        for method in ALSO.get(role_name, ()):
            setattr(self, method, partial(self._call, method))

    def __getattr__(self, name: str) -> Any:
        """What else the protocol has: values that do not change."""
        if name.startswith("_"):
            raise AttributeError(name)
        return self._ask(self._hosts[0].attribute, name)

    def _call(self, method: str, *arguments: Any) -> Any:
        host = self._hosts[next(self._turns) % len(self._hosts)]
        if self._role_name == "embedder" and not method:
            arguments = (cropped(*arguments),)
        return unpack(self._ask(host.call, uuid.uuid4().hex, pack(arguments), method))

    def _ask(self, method: Any, *arguments: Any) -> Any:
        with self._pause():
            while True:
                try:
                    return ray.get(method.remote(*arguments))
                except ray.exceptions.OutOfMemoryError:
                    continue  # Ray shot the host and has restarted it; the host knows what it was doing
                except ray.exceptions.RayTaskError as failed:
                    raise failed.cause from None


class PooledRoles(Roles):
    """The roles of a profile as a worker has them: those with a pool are asked there. hosts: role -> actor names."""

    def __init__(self, profile: Profile, hosts: Mapping[str, Sequence[str]]) -> None:
        super().__init__(profile)
        self._hosts = hosts
        self.pause: Pause = nullcontext  # entered while a pool is waited for
        self.waited: Counter[str] = Counter()  # seconds for the pool of each role, whatever came of it

    def __reduce__(self) -> tuple[Any, ...]:
        return PooledRoles, (self.profile, self._hosts)

    def _build(self, role_name: str) -> Any:
        hosts = self._hosts.get(role_name)
        return PooledRole(role_name, hosts, partial(self._asking, role_name)) if hosts else super()._build(role_name)

    @contextmanager
    def _asking(self, role_name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            with self.pause():
                yield
        finally:
            self.waited[role_name] += time.perf_counter() - began


class Pools:
    """The hosts of the roles a run needs. They load no model yet. Raises UserError when they do not fit the GPUs of the
    cluster."""

    def __init__(
        self, profile: Profile, needed: Collection[str], run_id: str, num_callers: int, engine: EngineConfig
    ) -> None:
        roles = {name: role for name, role in pooled(profile).items() if name in needed}
        parts = gpu_parts(roles, gpus_of_cluster()) if roles else {}
        self._hosts: dict[str, list[Any]] = {}
        self._gpus = {name: parts[name] * role.replicas / PARTS_OF_GPU for name, role in roles.items()}
        names: dict[str, list[str]] = {}
        for role_name in sorted(roles, key=lambda name: -parts[name]):  # the largest first, as they were fitted
            role = roles[role_name]
            names[role_name] = [f"{role_name}-{number}-{run_id}" for number in range(role.replicas)]
            self._hosts[role_name] = [
                _host(name, parts[role_name], num_callers).remote(
                    name, role_name, role, engine, parts[role_name] > 0, _num_threads(), run_id
                )
                for name in names[role_name]
            ]
        self.roles = PooledRoles(profile, names)
        self._await([host.ready.remote() for host in self._all()])

    def _all(self) -> list[Any]:
        return [host for hosts in self._hosts.values() for host in hosts]

    def usage(self) -> dict[str, dict[str, float]]:
        """Per role: gpus, what all its replicas hold; busy_seconds, in which its model was computing (the mean of its
        replicas, since their processes started)."""
        found = {}
        for name, hosts in self._hosts.items():
            busy = ray.get([host.busy_seconds.remote() for host in hosts])
            found[name] = {"gpus": self._gpus[name], "busy_seconds": round(sum(busy) / len(busy), 2)}
        return found

    def _await(self, answers: list[Any]) -> None:
        late = ray.wait(answers, num_returns=len(answers), timeout=START_SECONDS)[1] if answers else []
        if late:
            what = f"{len(late)} of {len(answers)} model processes found no place within {START_SECONDS:.0f} s"
            raise UserError(f"{what}: others may hold the GPUs of this cluster")

    def close(self) -> None:
        """Free the models and end their processes."""
        closing = [host.close.remote() for host in self._all()]
        if closing:
            ray.wait(closing, num_returns=len(closing), timeout=CLOSE_SECONDS)
        for host in self._all():
            ray.kill(host)
        self._hosts = {}


def gpu_parts(roles: Mapping[str, RoleConfig], nodes: Sequence[Sequence[float]]) -> dict[str, int]:
    """Ten thousandths of a GPU that a replica of each role takes; 0 for all where there is no GPU. nodes: GiB of each
    GPU of each node; the smallest decides. Raises UserError when they do not fit together.
    """
    if not any(nodes):
        return dict.fromkeys(roles, 0)
    smallest = min(min(gpus) for gpus in nodes if gpus)
    parts = {name: _parts(role.gpu_memory_gb / smallest) for name, role in roles.items()}
    free = [[PARTS_OF_GPU] * len(gpus) for gpus in nodes]
    for name in sorted(roles, key=lambda name: -parts[name]):
        if not all(_take(free, parts[name]) for _ in range(roles[name].replicas)):
            raise UserError(_too_large(roles, nodes))
    return parts


def _parts(share: float) -> int:
    """Whole GPUs above one."""
    return PARTS_OF_GPU * math.ceil(share) if share > 1 else math.ceil(PARTS_OF_GPU * share)


def _take(free: list[list[int]], parts: int) -> bool:
    """Take that much of the fullest GPU it fits, or that many empty ones of one node. False when there is no room."""
    if parts > PARTS_OF_GPU:
        for gpus in free:
            empty = [number for number, left in enumerate(gpus) if left == PARTS_OF_GPU]
            if len(empty) * PARTS_OF_GPU >= parts:
                for number in empty[: parts // PARTS_OF_GPU]:
                    gpus[number] = 0
                return True
        return False
    fitting = [(left, gpus, number) for gpus in free for number, left in enumerate(gpus) if left >= parts]
    if not fitting:
        return False
    left, gpus, number = min(fitting, key=lambda each: each[0])
    gpus[number] = left - parts
    return True


def _too_large(roles: Mapping[str, RoleConfig], nodes: Sequence[Sequence[float]]) -> str:
    asked = ", ".join(
        f"{name} {role.replicas} x {role.gpu_memory_gb:g} GiB" for name, role in roles.items() if role.gpu_memory_gb
    )
    there = ", ".join(f"{gpu:.1f} GiB" for gpus in nodes for gpu in gpus)
    return f"the models do not fit the GPUs: {asked} are asked for, there are {there}; take a smaller profile"


def gpus_of_cluster() -> list[list[float]]:
    """GiB of each GPU of each node that has some. Raises UserError where a GPU does not say."""
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU")]
    ask = ray.remote(gpu_memory)
    here = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    found = ray.get([ask.options(num_cpus=0, scheduling_strategy=strategy).remote() for strategy in here])
    counts = [int(node["Resources"]["GPU"]) for node in nodes]
    if short := [count for count, gpus in zip(counts, found, strict=True) if len(gpus) < count]:
        raise UserError(f"Ray counts {short[0]} GPUs on a machine where nvidia-smi does not list as many")
    return [sorted(gpus)[:count] for count, gpus in zip(counts, found, strict=True)]


def gpu_memory() -> list[float]:
    """GiB of each NVIDIA GPU of this machine; [] without one."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return [float(line) / 1024 for line in done.stdout.split()]
    except (OSError, subprocess.SubprocessError, ValueError):
        return []


def _host(name: str, parts: int, num_callers: int) -> Any:
    """num_cpus 0: models on a GPU need none to speak of, and where they compute on the CPUs, the workers wait."""
    return ray.remote(ModelHost).options(
        name=name,
        num_cpus=0,
        num_gpus=parts / PARTS_OF_GPU,
        max_concurrency=num_callers + 1,  # one more to close it
        max_restarts=-1,
        max_task_retries=-1,
    )


def _num_threads() -> int:
    return int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
