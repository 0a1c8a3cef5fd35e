"""cluster/capacity.py: when a run counts the nodes it was laid out for as gone."""

from hypothesis import given
from hypothesis import strategies as st

from cluster.capacity import REPLACEMENT_SECONDS, Capacity


class Cluster:
    def __init__(self, **totals: float) -> None:
        self.totals: dict[str, float] = totals
        self.now = 0.0

    def watched(self) -> Capacity:
        return Capacity(lambda: self.totals, lambda: self.now)


def test_a_lost_node_is_waited_for_before_it_counts():
    cluster = Cluster(CPU=6.0)
    capacity = cluster.watched()
    cluster.totals = {"CPU": 4.0}
    assert not capacity.is_lost()
    cluster.now = REPLACEMENT_SECONDS - 0.1
    assert not capacity.is_lost()
    cluster.now = REPLACEMENT_SECONDS
    assert capacity.is_lost()


def test_a_replacement_ends_the_wait():
    cluster = Cluster(CPU=6.0)
    capacity = cluster.watched()
    cluster.totals = {"CPU": 4.0}
    assert not capacity.is_lost()
    cluster.totals = {"CPU": 6.0}
    cluster.now = REPLACEMENT_SECONDS + 1
    assert not capacity.is_lost()
    cluster.totals = {"CPU": 4.0}
    assert not capacity.is_lost()  # a new loss, a new wait


def test_a_lost_gpu_counts_though_cpus_are_left():
    cluster = Cluster(CPU=6.0, GPU=2.0)
    capacity = cluster.watched()
    cluster.totals = {"CPU": 8.0}
    assert not capacity.is_lost()
    cluster.now = REPLACEMENT_SECONDS
    assert capacity.is_lost()


@given(st.lists(st.floats(0, 20), min_size=1, max_size=20))
def test_a_cluster_that_only_grows_is_never_lost(steps: list[float]):
    cluster = Cluster(CPU=1.0)
    capacity = cluster.watched()
    for step in steps:
        cluster.now += step * REPLACEMENT_SECONDS
        cluster.totals = {"CPU": cluster.totals["CPU"] + step}
        assert not capacity.is_lost()
