"""The Ray Data execution of a run, and what is left of it when the run ends early."""

import sys
import threading
import time
from types import SimpleNamespace

import pytest
import ray

from actors.profiles import load_profile
from cluster.local import ray_session
from pipeline.engine import Execution
from pipeline.pools import PooledRoles
from pipeline.settings import resolve
from schemas.work import Phase, Unit

pytestmark = pytest.mark.ray
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Ray's workers do not know where tests are


class BusyLedger:
    """There is always more to do."""

    def __init__(self) -> None:
        self.num_leases = 0

    def source_begins(self) -> None:
        pass

    def lease(self, count):
        self.num_leases += 1
        return [Unit(Phase.MINE, f"clip {self.num_leases}")]

    def start(self, phase, ids):
        return [False] * len(ids)

    def count(self):
        return self.num_leases


def test_an_execution_that_is_closed_in_the_middle_leaves_nothing_that_would_use_ray(tmp_path):
    settings = resolve(tmp_path, None, [])
    with ray_session(200, 2):
        ledger = ray.remote(BusyLedger).options(num_cpus=0).remote()
        run = SimpleNamespace(ledger=ledger, writers=[], num_cpus=2)
        execution = Execution(lambda phase, roles: None, PooledRoles(load_profile("embedded"), {}), run, settings)
        while ray.get(ledger.count.remote()) < 4:
            time.sleep(0.1)
        assert not execution.wait(0)
        execution.close()
        assert execution.wait(0)
        names = {thread.name for thread in threading.enumerate()}
        assert not [name for name in names if name.startswith(("StreamingExecutor", "execution", "ray-data"))]
