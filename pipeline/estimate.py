"""What all sources will take, from what a sample of them took. Pure arithmetic.

Each sampled source stands for those of about its length, in proportion to their seconds of video. (One ratio of work to
seconds for all would do as well where work grows with length. For short clips it does not, and those that happen to be
long would speak for the others.) The interval is by resampling the sampled sources.

Work, samples and bytes grow with the sources; starting up does not. A phase's wall time is its work over the workers,
the tail in which the last units finish while other workers have nothing to do, and what the barrier between two phases
takes, once per wave.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUM_DRAWS = 1000
INTERVAL = (5.0, 95.0)  # percentiles
QUEUED_LEASES = 2
"""A worker is sent the next lease while it has one in work."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Unmeasured:
    """What is known of sources before any is built. size: bytes, nan where the listing does not say; seconds: of
    video, of those that were probed only."""

    sizes: Floats
    probed: NDArray[np.int64]
    seconds: Floats

    def total_seconds(self, drawn: NDArray[np.int64] | None = None) -> float:
        """Of all sources: those probed, and the others by their bytes, or their number where bytes are not known.
        drawn: positions in `probed`, to see what another choice would have said."""
        probed, seconds = (self.probed, self.seconds) if drawn is None else (self.probed[drawn], self.seconds[drawn])
        others = np.ones(len(self.sizes), bool)
        others[self.probed] = False
        sizes = self.sizes[others]
        known = sizes[np.isfinite(sizes)]
        both = np.isfinite(self.sizes[probed])
        total = float(self.seconds.sum())
        by_bytes = float(self.sizes[probed][both].sum())
        if by_bytes > 0:
            total += float(known.sum()) * float(seconds[both].sum()) / by_bytes
        else:
            total += len(known) * float(seconds.mean())
        return total + (len(sizes) - len(known)) * float(seconds.mean())


@dataclass(frozen=True)
class Built:
    """What one sampled source took and gave. size: seconds of video. weight: how many such it stands for. Per phase:
    seconds of workers, number of units. models: seconds that workers waited for each role with a pool."""

    size: float
    weight: float
    seconds: Mapping[str, float]
    units: Mapping[str, float]
    gave: Mapping[str, float]  # samples, bytes and whatever else is to be counted
    models: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """A sample and the run that built it. workers: of that run; start: seconds until it worked; barrier: seconds of
    each phase that were neither work nor tail; unit: per phase, how long the unit takes that is in work at a random
    moment; busy: seconds in which the model of each role computed, gpus: what it held."""

    built: Sequence[Built]
    workers: int
    start: float
    barrier: Mapping[str, float]
    unit: Mapping[str, float]
    busy: Mapping[str, float] = field(default_factory=dict)
    gpus: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Interval:
    """An estimate, and the bounds that nine in ten such samples would keep."""

    low: float
    mid: float
    high: float


def estimate(
    measured: Measured, population: Unmeasured, workers: int, wave_size: int, seed: int = 0
) -> dict[str, Interval]:
    """wall_seconds, cpu_hours, gpu_hours, video_hours, what the sources gave; per phase "PHASE.wall_seconds" and
    "PHASE.worker_hours"; per role with a pool "ROLE.model_hours".

    cpu_hours are those of workers while they do not wait for a model. A sample of one source of many says nothing of
    how sources differ: its interval is the estimate itself.
    """
    plan = _Plan(measured, population, workers, wave_size)
    num, of = len(measured.built), len(population.sizes)
    mid = plan.totals(np.arange(num), population.total_seconds())
    if num == of or num < 2:
        return {name: Interval(value, value, value) for name, value in mid.items()}
    random = np.random.default_rng(seed)
    draws = []
    for _ in range(NUM_DRAWS):
        probed = random.integers(len(population.probed), size=len(population.probed))
        seconds = population.total_seconds(probed if len(population.probed) < of else None)
        draws.append(plan.totals(random.integers(num, size=num), seconds))
    # Drawn with replacement, a sample of n varies too little by (n - 1) / n; and of a sample that is most of what there
    # is, only the rest is uncertain.
    spread = (num / (num - 1) * (1 - num / of)) ** 0.5
    return {name: _interval(mid[name], np.array([each[name] for each in draws]), spread) for name in mid}


def _interval(mid: float, draws: Floats, spread: float) -> Interval:
    low, high = mid + spread * (np.percentile(draws, INTERVAL) - mid)
    return Interval(max(0.0, min(mid, float(low))), mid, max(mid, float(high)))


class _Plan:
    """Totals by ratio for any draw of the sampled sources."""

    def __init__(self, measured: Measured, population: Unmeasured, workers: int, wave_size: int) -> None:
        self._measured, self._workers = measured, workers
        self._waves = ceil(len(population.sizes) / wave_size)
        built = measured.built
        self._phases = list(measured.barrier)
        self._gave = sorted({name for each in built for name in each.gave})
        self._num_sources = len(population.sizes)
        # Where no source has a length (none can be read) each counts as one.
        self._by_number = not any(each.size for each in built)
        weights = np.array([each.weight for each in built])
        self._sizes = weights * [1.0 if self._by_number else each.size for each in built]
        self._work = weights[:, None] * _columns([each.seconds for each in built], self._phases)
        self._units = weights[:, None] * _columns([each.units for each in built], self._phases)
        self._given = weights[:, None] * _columns([each.gave for each in built], self._gave)
        self._roles = sorted(measured.busy)
        self._waits = weights[:, None] * _columns([each.models for each in built], self._roles)

    def totals(self, drawn: NDArray[np.int64], video_seconds: float) -> dict[str, float]:
        size = self._sizes[drawn].sum()
        # A draw of unreadable sources only has no ratio of its own.
        share = (self._num_sources if self._by_number else video_seconds) / (size or self._sizes.mean() * len(drawn))
        work, units, given, waits = (
            dict(zip(names, share * values[drawn].sum(0), strict=True))
            for names, values in (
                (self._phases, self._work),
                (self._phases, self._units),
                (self._gave, self._given),
                (self._roles, self._waits),
            )
        )
        walls = {phase: self._wall(phase, work[phase], units[phase]) for phase in self._phases}
        computing = self._computing(waits)
        wall = self._measured.start + max(sum(walls.values()), max(computing.values(), default=0.0))
        return {
            "wall_seconds": wall,
            "cpu_hours": (sum(work.values()) - sum(waits.values())) / 3600,
            "gpu_hours": wall * sum(self._measured.gpus.values()) / 3600,
            "video_hours": video_seconds / 3600,
            **given,
            **{f"{phase}.wall_seconds": walls[phase] for phase in self._phases},
            **{f"{phase}.worker_hours": work[phase] / 3600 for phase in self._phases},
            **{f"{role}.model_hours": computing[role] / 3600 for role in self._roles},
        }

    def _wall(self, phase: str, work: float, units: float) -> float:
        """A wave with fewer units than workers leaves some idle. Every wave ends with a tail and a barrier."""
        at_once = max(1.0, min(self._workers, units / self._waves))
        ends = tail(self._measured.unit[phase], at_once) + self._measured.barrier[phase]
        return work / at_once + self._waves * ends

    def _computing(self, waits: Mapping[str, float]) -> dict[str, float]:
        """Per role, seconds in which its model computes: however many workers ask, it takes as long."""
        found = {}
        for role in self._roles:
            waited = sum(each.models.get(role, 0.0) for each in self._measured.built)
            found[role] = self._measured.busy[role] * waits[role] / waited if waited else 0.0
        return found


def tail(unit: float, workers: float) -> float:
    """Seconds by which a phase takes longer than its work over the workers. At its end each worker has some part of up
    to QUEUED_LEASES units before it, any part equally likely: the largest of n such parts is n / (n + 1) of them on
    average, their mean half."""
    return QUEUED_LEASES * unit * (workers / (workers + 1) - 0.5) if workers > 1 else 0.0


def in_work(seconds: Sequence[float], lease_seconds: float, most: int) -> float:
    """How long the lease takes that is in work at a random moment: longer units are in work for longer, and short ones
    travel together, as many as fill `lease_seconds` but not more than `most`. 0 for no units."""
    total = sum(seconds)
    if not total:
        return 0.0
    return max(sum(each**2 for each in seconds) / total, min(lease_seconds, most * total / len(seconds)))


def barrier(wall: float, work: float, units: int, unit: float, workers: int) -> float:
    """Seconds of a phase that took `wall` which neither work nor tail explain."""
    at_once = max(1, min(workers, units))
    return max(0.0, wall - work / at_once - tail(unit, at_once))


def draw(sizes: Floats, number: int, random: np.random.Generator) -> dict[int, float]:
    """Positions of `number` of the sources (all, if fewer), one at random from each of as many groups of like size, and
    how many such as itself each stands for: its group's sizes over its own, or their number where it has none.
    Ascending. What has no size (nan) is a group of the largest."""
    order = np.lexsort((random.random(len(sizes)), sizes))
    chosen = {}
    for group in np.array_split(order, min(number, len(sizes))):
        one = int(random.choice(group))
        chosen[one] = float(np.nansum(sizes[group]) / sizes[one]) if sizes[one] > 0 else float(len(group))
    return dict(sorted(chosen.items()))


def _columns(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Floats:
    """rows x names."""
    return np.array([[float(row.get(name, 0.0)) for name in names] for row in rows]).reshape(len(rows), len(names))
