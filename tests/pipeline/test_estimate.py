"""What follows for all sources from what a sample took: proportions, intervals, waves and tails."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.estimate import Built, Measured, Unmeasured, barrier, draw, estimate, in_work, tail

PHASES = ("curate", "mine")
WAVE = 8


def sources(count: int, seconds: float = 10.0) -> Unmeasured:
    """All probed, all alike."""
    return Unmeasured(np.full(count, 1e6), np.arange(count), np.full(count, seconds))


def built(
    size: float = 10.0, work: float = 4.0, samples: float = 3.0, units: float = 1.0, weight: float = 1.0
) -> Built:
    gave = {"samples": samples, "bytes": 1e6 * samples}
    return Built(size, weight, dict.fromkeys(PHASES, work), dict.fromkeys(PHASES, units), gave)


def measured(*of: Built, workers: int = 2, start: float = 5.0, **more) -> Measured:
    return Measured(of or (built(),), workers, start, dict.fromkeys(PHASES, 0.5), dict.fromkeys(PHASES, 4.0), **more)


some_built = st.builds(
    built,
    st.floats(0.5, 600),
    st.floats(0.01, 100),
    st.floats(0, 50),
    st.integers(1, 20).map(float),
    st.floats(1, 9),
)
samples_of_sources = st.lists(some_built, min_size=2, max_size=6).map(lambda each: measured(*each))


@settings(max_examples=20)
@given(samples_of_sources, st.integers(1, 4), st.integers(1, 8))
def test_twice_the_sources_are_twice_the_work_and_start_once(sample, waves, workers):
    once = estimate(sample, sources(waves * WAVE), workers, WAVE)
    twice = estimate(sample, sources(2 * waves * WAVE), workers, WAVE)
    for name in ("cpu_hours", "samples", "bytes", "video_hours"):
        assert twice[name].mid == pytest.approx(2 * once[name].mid)
    assert twice["wall_seconds"].mid - 5.0 == pytest.approx(2 * (once["wall_seconds"].mid - 5.0))


@settings(max_examples=20)
@given(samples_of_sources, st.integers(8, 2000), st.integers(1, 8))
def test_the_interval_holds_the_estimate(sample, count, workers):
    for interval in estimate(sample, sources(count), workers, WAVE).values():
        assert 0 <= interval.low <= interval.mid <= interval.high


@settings(max_examples=20)
@given(samples_of_sources, st.integers(8, 2000), st.integers(1, 8))
def test_workers_share_the_time_and_add_no_work(sample, count, workers):
    few, many = (estimate(sample, sources(count), number, WAVE) for number in (workers, 2 * workers))
    assert many["cpu_hours"].mid == few["cpu_hours"].mid
    assert few["wall_seconds"].mid >= few["cpu_hours"].mid * 3600 / workers
    assert many["wall_seconds"].mid >= few["cpu_hours"].mid * 3600 / (2 * workers)


def test_many_units_are_done_in_their_work_over_the_workers_and_the_rest_stays():
    sample = measured(built(units=100.0))
    found = estimate(sample, sources(WAVE), 4, WAVE)["wall_seconds"].mid
    ends = 2 * (tail(4.0, 4) + 0.5)
    assert found == pytest.approx(5.0 + 2 * WAVE * 4.0 / 4 + ends)
    assert estimate(sample, sources(3 * WAVE), 4, WAVE)["wall_seconds"].mid - 5.0 == pytest.approx(3 * (found - 5.0))


def test_workers_beyond_the_units_of_a_wave_stay_idle():
    sample = measured(built(units=1.0))
    assert estimate(sample, sources(WAVE), 1000, WAVE) == estimate(sample, sources(WAVE), WAVE, WAVE)


def test_a_sample_of_everything_leaves_no_doubt():
    sample = measured(built(10.0, 1.0), built(20.0, 9.0))
    found = estimate(sample, Unmeasured(np.full(2, 1e6), np.arange(2), np.array([10.0, 20.0])), 1, WAVE)
    assert found["cpu_hours"].low == found["cpu_hours"].high == pytest.approx(2 * 10.0 / 3600)


def test_sources_that_differ_leave_more_doubt_than_those_that_are_alike():
    alike = estimate(measured(built(), built(), built()), sources(100), 2, WAVE)["samples"]
    unlike = estimate(measured(built(samples=0), built(), built(samples=9)), sources(100), 2, WAVE)["samples"]
    assert alike.low == alike.high == pytest.approx(300)
    assert unlike.high - unlike.low > unlike.mid


@settings(max_examples=10)
@given(st.integers(0, 2**32))
def test_nine_in_ten_intervals_hold_the_truth_more_or_less(seed):
    """Of forty samples, a few miss: far fewer would make the interval useless, far more a lie."""
    random = np.random.default_rng(seed)
    lengths = random.uniform(5, 60, 200)
    work = lengths * random.uniform(0.5, 1.5, 200)
    population = Unmeasured(np.full(200, np.nan), np.arange(200), lengths)
    held = 0
    for number in range(40):
        chosen = random.choice(200, 20, replace=False)
        sample = measured(*(built(lengths[each], work[each]) for each in chosen))
        found = estimate(sample, population, 2, 256, number)["cpu_hours"]
        held += found.low <= 2 * work.sum() / 3600 <= found.high
    assert held >= 26


def test_models_that_compute_longer_than_all_workers_set_the_pace_and_hold_their_gpus():
    slow = Built(10.0, 1.0, dict.fromkeys(PHASES, 4.0), dict.fromkeys(PHASES, 1.0), {}, {"vlm": 3.0})
    sample = measured(slow, busy={"vlm": 2.0}, gpus={"vlm": 0.5})
    found = estimate(sample, sources(WAVE), 1000, WAVE)
    assert found["wall_seconds"].mid == pytest.approx(5.0 + 2.0 * WAVE)
    assert found["vlm.model_hours"].mid == pytest.approx(2.0 * WAVE / 3600)
    assert found["cpu_hours"].mid == pytest.approx((2 * 4.0 - 3.0) * WAVE / 3600)
    assert found["gpu_hours"].mid == pytest.approx(found["wall_seconds"].mid * 0.5 / 3600)


def test_unreadable_sources_count_by_their_number():
    sample = measured(built(size=0.0, work=0.1, samples=0), built(size=0.0, work=0.3, samples=0))
    found = estimate(sample, sources(100, seconds=0.0), 2, WAVE)
    assert found["cpu_hours"].mid == pytest.approx(100 * 2 * 0.2 / 3600)


# -- lengths of what was not probed


def test_lengths_go_by_bytes_and_where_those_are_not_known_by_number():
    sizes = np.array([100.0, 200.0, 300.0, np.nan])
    population = Unmeasured(sizes, np.array([0, 1]), np.array([10.0, 20.0]))
    assert population.total_seconds() == pytest.approx(10 + 20 + 30 + 15)
    unsized = Unmeasured(np.full(10, np.nan), np.array([3, 4]), np.array([10.0, 20.0]))
    assert unsized.total_seconds() == pytest.approx(30 + 8 * 15)


# -- which sources are built


@settings(max_examples=50)
@given(
    st.lists(st.floats(0, 1e9) | st.just(float("nan")), min_size=1, max_size=60), st.integers(1, 20), st.integers(0, 9)
)
def test_a_sample_has_as_many_as_asked_each_once_and_itself_at_least(sizes, number, seed):
    chosen = draw(np.array(sizes), number, np.random.default_rng(seed))
    assert len(chosen) == min(number, len(sizes))
    assert list(chosen) == sorted(chosen)
    assert set(chosen) <= set(range(len(sizes)))
    assert all(weight >= 1 for weight in chosen.values())


@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=60), st.integers(1, 20))
def test_the_sources_of_a_sample_stand_for_all_seconds_there_are(sizes, number):
    chosen = draw(np.array(sizes), number, np.random.default_rng(0))
    assert sum(sizes[each] * weight for each, weight in chosen.items()) == pytest.approx(sum(sizes))


def test_each_group_of_like_size_gives_one():
    sizes = np.arange(100.0)
    for seed in range(20):
        chosen = draw(sizes, 10, np.random.default_rng(seed))
        assert [each // 10 for each in chosen] == list(range(10))
    assert len({tuple(draw(sizes, 10, np.random.default_rng(seed))) for seed in range(20)}) > 10


@pytest.mark.parametrize("grows", [True, False], ids=["work grows with length", "work is the same for all"])
def test_samples_are_right_on_average_whatever_work_depends_on(grows):
    """25 sources in 6 groups: those of the smaller groups are drawn more often than others and must not count more."""
    random = np.random.default_rng(0)
    lengths = random.lognormal(2, 0.5, 25)
    work = lengths if grows else np.full(25, 5.0)
    ratios = []
    for _ in range(200):
        chosen = draw(lengths, 6, random)
        sample = measured(*(built(lengths[each], work[each], weight=weight) for each, weight in chosen.items()))
        found = estimate(sample, Unmeasured(np.full(25, np.nan), np.arange(25), lengths), 2, 256)
        ratios.append(found["cpu_hours"].mid / (2 * work.sum() / 3600))
    assert np.mean(ratios) == pytest.approx(1, abs=0.05)


# -- the wall time of a phase


def test_what_neither_work_nor_tail_explain_is_the_barrier():
    wall = 40.0 / 2 + tail(4.0, 2) + 0.7
    assert barrier(wall, 40.0, 10, 4.0, 2) == pytest.approx(0.7)
    assert barrier(1.0, 40.0, 10, 4.0, 2) == 0.0


def test_a_single_worker_has_no_tail():
    assert tail(4.0, 1) == 0.0
    assert 0 < tail(4.0, 2) < tail(4.0, 8) < 4.0


def test_long_units_are_in_work_for_longer_and_short_ones_travel_together():
    assert in_work([1.0, 1.0, 8.0], 0.0, 8) == pytest.approx(6.6)
    assert in_work([0.01] * 1000, 2.0, 8) == pytest.approx(0.08)
    assert in_work([1.0] * 1000, 2.0, 8) == 2.0
    assert in_work([], 2.0, 8) == 0.0
