"""The queue alone: who gets what, when, and what a replay may not do."""

import pytest

from pipeline.leases import LEASE_SECONDS, LeaseQueue, OpenPhase, State
from schemas.work import Phase, Unit


def units(*keys):
    return [Unit(Phase.MINE, key) for key in keys]


def ids(batch):
    return [(unit.id, unit.attempt, unit.num_deliveries) for unit in batch]


def names(batch):
    return [unit.key for unit in batch]


def queue_of(*pages, credit=100, deliveries=None):
    return LeaseQueue(iter(pages), credit, deliveries)


def test_pages_are_pulled_only_when_nothing_waits():
    pulled = []

    def pages():
        for page in (units("a", "b"), units("c")):
            pulled.append(names(page))
            yield page

    queue = LeaseQueue(pages(), credit=100)
    assert names(queue.lease(1)) == ["a"]
    assert names(queue.lease(5)) == ["b"]
    assert pulled == [["a", "b"]]
    assert names(queue.lease(5)) == ["c"]


def test_tasks_of_one_pair_are_leased_together():
    tasks = [Unit(Phase.SYNTHESIZE, key, task) for key in "ab" for task in ("generation", "manipulation")]
    queue = queue_of(tasks)
    first = queue.lease(2)
    queue.start(ids(first))
    queue.accept(first[0].id, 0)
    queue.retry(first[0])
    assert [(unit.key, unit.task) for unit in queue.lease(2)] == [
        ("a", "generation"),  # the retry, which would part the tasks of b
        ("b", "generation"),
        ("b", "manipulation"),
    ]


def test_an_empty_page_means_ask_again():
    queue = queue_of([], units("a"))
    assert not queue.is_over
    assert names(queue.lease(2)) == ["a"]


def test_credit_bounds_what_is_out_and_handing_over_frees_it():
    queue = queue_of(units(*"abcde"), credit=4)
    out = queue.lease(2) + queue.lease(2)
    assert names(out) == ["a", "b", "c", "d"]
    assert queue.lease(2) == []
    queue.hand_over([out[0].id], "writer")
    assert queue.lease(2) == []  # whole micro-batches only
    queue.hand_over([out[1].id], "writer")
    assert names(queue.lease(2)) == ["e"]
    assert queue.count(State.HANDED) == 2


def test_a_window_smaller_than_a_micro_batch_is_filled():
    queue = queue_of(units(*"abcde"), credit=3)
    assert names(queue.lease(8)) == ["a", "b", "c"]


def test_over_only_when_everything_came_back():
    queue = queue_of(units("a"))
    [unit] = queue.lease(5)
    assert queue.lease(5) == []
    assert not queue.is_over
    queue.start(ids([unit]))
    queue.hand_over([unit.id], "writer")
    assert not queue.is_over
    assert queue.accept(unit.id, 0) == unit
    assert queue.is_over


def test_a_unit_planned_twice_is_leased_once():
    queue = queue_of(units("a"), units("a", "b"))
    assert names(queue.lease(5)) == ["a"]
    assert names(queue.lease(5)) == ["b"]


def test_a_second_start_names_the_dead_and_runs_nothing():
    queue = queue_of(units(*"abc"))
    batch = queue.lease(3)
    assert queue.start(ids(batch[:2])) == ([True, True], [])
    queue.accept(batch[0].id, 0)
    granted, dead = queue.start(ids(batch))
    assert granted == [False, False, False]
    assert names(dead) == ["b"]  # a was delivered, c had not begun
    assert names(queue.lease(3)) == ["c"]


def test_suspects_travel_alone():
    queue = queue_of(units(*"abc"))
    batch = queue.lease(2)
    queue.start(ids(batch))
    _, dead = queue.start(ids(batch))
    for unit in dead:
        queue.suspect(Unit(unit.phase, unit.key, num_deliveries=1))
    assert [names(queue.lease(9)) for _ in range(4)] == [["a"], ["b"], ["c"], []]


def test_known_suspects_of_an_earlier_run_travel_alone_from_the_start():
    [bad] = units("b")
    queue = queue_of(units(*"abc"), deliveries={(bad.id, 0): 2})
    assert names(queue.lease(9)) == ["b"]
    assert names(queue.lease(9)) == ["a", "c"]


def test_a_replay_of_an_earlier_delivery_is_no_death():
    queue = queue_of(units("a"))
    first = queue.lease(1)
    queue.start(ids(first))
    _, [dead] = queue.start(ids(first))
    queue.suspect(Unit(dead.phase, dead.key, num_deliveries=1))
    second = queue.lease(1)
    assert queue.start(ids(second)) == ([True], [])
    assert queue.start(ids(first)) == ([False], [])  # its task came back once more; the unit is with someone else
    assert queue.accept(dead.id, 0) is not None


@pytest.mark.parametrize("strange", [("unknown", 0), ("a", 1)])
def test_strangers_and_other_attempts_neither_start_nor_settle(strange):
    queue = queue_of(units("a"))
    [unit] = queue.lease(1)
    identity = unit.id if strange[0] == "a" else "unknown"
    assert queue.start([(identity, strange[1])]) == ([False], [])
    assert queue.accept(identity, strange[1]) is None


def test_results_are_taken_once_and_only_from_units_that_are_out():
    queue = queue_of(units("a"))
    identity = units("a")[0].id
    assert queue.accept(identity, 0) is None  # still waiting here
    [unit] = queue.lease(1)
    assert queue.accept(identity, 0) == unit
    assert queue.accept(identity, 0) is None
    queue.forget(identity)
    assert queue.accept(identity, 0) is None


def test_a_retry_goes_first_with_the_next_attempt_and_a_clean_record():
    queue = queue_of(units(*"abc"))
    [unit] = queue.lease(1)
    queue.accept(unit.id, 0)
    queue.retry(unit)
    again = queue.lease(1)[0]
    assert (again.key, again.attempt, again.num_deliveries) == ("a", 1, 0)
    assert queue.accept(unit.id, 0) is None  # the first attempt's result, late


def test_a_lost_writer_gives_its_units_back_uncounted():
    queue = queue_of(units(*"abc"))
    batch = queue.lease(3)
    queue.hand_over([batch[0].id], "lost")
    queue.hand_over([batch[1].id], "other")
    queue.writer_lost("lost")
    again = queue.lease(3)
    assert [(unit.key, unit.num_deliveries) for unit in again] == [("a", 0)]


def test_a_lease_holds_more_of_what_is_done_sooner():
    phase = OpenPhase(queue_of(units("a")), "fp", 1)
    assert phase.num_fitting == 1
    for _ in range(4):
        phase.time(LEASE_SECONDS / 8)
    assert phase.num_fitting == 8
    phase.time(100 * LEASE_SECONDS)
    assert phase.num_fitting == 1
