"""A Ray cluster of several nodes on one machine, each a raylet with processes of its own that can be killed at once."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psutil
from ray.cluster_utils import Cluster

OBJECT_STORE_BYTES = 150 * 2**20


class SimulatedCluster:
    """A head that holds the driver and the ledger, and nodes of one CPU each. environment: of every process of it."""

    def __init__(self, num_nodes: int, environment: Mapping[str, str]) -> None:
        with _environment(environment):
            self._cluster = Cluster(
                initialize_head=True,
                head_node_args={"num_cpus": 1, "object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False},
            )
            self._nodes: list[Any] = [self._cluster.head_node]
            self._environment = dict(environment)
        for _ in range(num_nodes - 1):
            self.add_node()

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def add_node(self) -> None:
        with _environment(self._environment):
            self._nodes.append(self._cluster.add_node(num_cpus=1, object_store_memory=OBJECT_STORE_BYTES))

    def kill_node(self, number: int) -> None:
        """A power cut: every process of the node at the same moment. Number 0 is the head, and with it the cluster."""
        node = self._nodes.pop(number)
        roots = [each.process.pid for processes in node.all_processes.values() for each in processes]
        for process in _with_descendants(roots):
            process.kill()
        if number == 0:
            self.close()

    def processes(self, what: str) -> list[int]:
        """Pids of the actors, on any node, whose title has the word."""
        roots = [each.process.pid for node in self._nodes for some in node.all_processes.values() for each in some]
        titles = {process.pid: _title(process) for process in _with_descendants(roots)}
        return [pid for pid, title in titles.items() if title.startswith("ray::") and what in title]

    def close(self) -> None:
        for node in self._nodes:
            node.kill_all_processes(check_alive=False, allow_graceful=False)
        self._nodes = []


def _with_descendants(pids: list[int]) -> list[psutil.Process]:
    found = {}
    for pid in pids:
        try:
            process = psutil.Process(pid)
            for each in [process, *process.children(recursive=True)]:
                found[each.pid] = each
        except psutil.NoSuchProcess:
            continue
    return list(found.values())


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
