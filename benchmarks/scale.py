"""Throughput of the engine against its number of workers, and the most micro-batches a second it can move.

    python benchmarks/scale.py [--workers 1,4,16,64] [--rounds 6] [--seconds 10] [--json FILE]
    python benchmarks/scale.py --fast [--workers 2,4] [--json FILE]

The engine is the real one: Ray, planner, lease source, worker processes, ledger, tables, a writer for every fourth
unit. Only the work is made up: a unit sleeps for 0.8 to 1.2 of --seconds, so that this machine can hold more workers
than it has CPUs, and travels alone, so that it is a micro-batch. With --fast units return at once, and travel in
micro-batches of 1 and of up to 8. No unit is worked on before every worker has one, so start-up is in no figure.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from actors.profiles import Roles
from cluster.local import ray_session
from cluster.sources import Listed
from pipeline.planner import PAGE, Planner, write_listing
from pipeline.run import Product, ask, started
from pipeline.settings import resolve
from pipeline.tables import read_tables
from schemas.keys import digest, seed_of
from schemas.work import Phase, Result, Unit

BAR = 0.90
FAST_UNITS = 400  # per unit of a micro-batch
MEMBER_BYTES = 20_000
WORKER_MB = 200  # a worker process needs less
TASK = "single_generation"
PROCESSES = {"Ledger": "ledger", "ReadLease": "lease source", "MapBatches": "workers", "Writer": "writer"}


@dataclass(frozen=True)
class Load:
    """What one measurement runs. seconds: that a unit sleeps, on average."""

    workers: int
    micro_batch: int
    units: int
    seconds: float


class MadeUpPlanner(Planner):
    """Every listed source is a unit; none is ever opened."""

    def synthesize(self) -> Iterator[list[Unit]]:
        for batch in self._tables.query_batches(f"select key from {self._listing} order by key", PAGE):
            yield [Unit(Phase.SYNTHESIZE, row["key"], TASK) for row in batch.to_pylist()]


class Sleep:
    """A step that does nothing for a while, once `meet` holds a file of every worker. Every fourth result has bytes."""

    def __init__(self, load: Load, meet: Path) -> None:
        self._load = load
        me = psutil.Process().pid
        (meet / str(me)).touch()
        while len(list(meet.iterdir())) < load.workers:
            time.sleep(0.05)
        self._me = me

    def __call__(self, unit: Unit) -> Result:
        began = time.time()
        draw = seed_of(unit.key, 0)
        time.sleep(self._load.seconds * random.Random(draw).uniform(0.8, 1.2))
        result = Result(unit.phase, unit.key, unit.task, unit.attempt)
        if draw % 4 == 0:
            result.rows = {"samples": [{"key": digest("sample", unit.key), "task": TASK}]}
            result.members = {f"{unit.key}.target.jpg": bytes(MEMBER_BYTES)}
        result.seconds = {"began": began, "worker": self._me, "slept": time.time() - began}
        return result


def _make(load: Load, meet: Path, _phase: Phase, _roles: Roles) -> Sleep:
    return Sleep(load, meet)


def measure(load: Load, folder: Path) -> dict[str, Any]:
    """Run a load from takeover to close, in a Ray of its own with as many CPUs as workers."""
    meet, listing, out = folder / "meet", folder / "listing.parquet", folder / "out"
    meet.mkdir()
    write_listing((Listed(f"s3://made/up/{number:07}.mp4", None) for number in range(load.units)), listing)
    settings = resolve(out, None, [f"engine.num_workers={load.workers}", f"engine.micro_batch={load.micro_batch}"])
    product = Product((Phase.SYNTHESIZE,), MadeUpPlanner)
    spent: list[tuple[float, Counter[str]]] = []

    def watch(_progress: dict[str, Any]) -> None:
        spent.append((time.time(), cpu_seconds()))

    with (
        ray_session(512, num_cpus=load.workers),
        started(out, settings, listing, partial(_make, load, meet), None, product) as run,
    ):
        ask(run.ledger.open_phase.remote(Phase.SYNTHESIZE))
        run.phase(Phase.SYNTHESIZE, watch)
        memory = memory_mb()
        run.finish()
        run.close("finished", {})
    return asdict(load) | worked(load, out) | {"memory_mb": round(memory)} | per_unit(out, spent)


def _laps(out: Path) -> list[dict[str, float]]:
    rows = read_tables(out).query("select seconds from settled where outcome = 'done'").to_pylist()
    return [dict(row["seconds"]) for row in rows]


def worked(load: Load, out: Path) -> dict[str, Any]:
    """seconds: from when all workers were up to the last result. linear: share of that in which workers slept, which
    is throughput over that of workers who never wait. steady: the same, until the first worker had no more to do."""
    laps = _laps(out)
    if len(laps) != load.units:
        raise SystemExit(f"{len(laps)} of {load.units} units were settled")
    spans = defaultdict(list)
    for lap in laps:
        spans[lap["worker"]].append((lap["began"], lap["began"] + lap["slept"]))
    everyone = [sorted(each) for each in spans.values()]
    begin = max(each[0][0] for each in everyone)
    first, last = (choose(each[-1][1] for each in everyone) for choose in (min, max))
    gaps = [later[0] - earlier[1] for each in everyone for earlier, later in pairwise(each)]
    return {
        "seconds": round(last - begin, 2),
        "units_per_second": round(load.units / (last - begin), 3),
        "linear": round(busy(everyone, begin, last), 4),
        "steady": round(busy(everyone, begin, first), 4),
        "gap_ms": round(1000 * statistics.median(gaps), 1),
    }


def busy(everyone: list[list[tuple[float, float]]], begin: float, end: float) -> float:
    """Share of all workers' time between `begin` and `end` that lies within their spans."""
    inside = sum(max(0.0, min(stop, end) - max(start, begin)) for spans in everyone for start, stop in spans)
    return inside / (len(everyone) * (end - begin))


def cpu_seconds() -> Counter[str]:
    """Of the processes of this run so far, by what they are."""
    found = Counter[str]()
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            title, times = " ".join(process.cmdline()), process.cpu_times()
        except psutil.Error:
            continue
        names = [name for mark, name in PROCESSES.items() if title.startswith("ray::") and mark in title]
        own = "driver" if process.pid == psutil.Process().pid else "Ray"
        found[names[0] if names else own] += times.user + times.system
    return found


def per_unit(out: Path, spent: list[tuple[float, Counter[str]]]) -> dict[str, Any]:
    """CPU milliseconds by process between the first and the last look while units were worked on."""
    laps = _laps(out)
    began = max(min(lap["began"] for lap in laps), spent[0][0])
    (_, before), (_, after) = next(each for each in spent if each[0] >= began), spent[-1]
    return {"cpu_ms": {name: round(1000 * (after[name] - before[name]) / len(laps), 2) for name in after}}


def memory_mb() -> float:
    """Proportional set sizes of everything this run started."""
    total = 0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total / 2**20


def loads(options: argparse.Namespace) -> list[Load]:
    workers = [int(text) for text in options.workers.split(",")]
    if options.fast:
        return [Load(number, size, FAST_UNITS * size, 0.0) for number in workers for size in (1, 8)]
    return [Load(number, 1, number * options.rounds, options.seconds) for number in workers]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", default="1,4,16,64", help="numbers of workers, comma-separated")
    parser.add_argument("--rounds", type=int, default=6, help="micro-batches per worker")
    parser.add_argument("--seconds", type=float, default=10.0, help="that a micro-batch takes")
    parser.add_argument("--fast", action="store_true", help="units that return at once")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = []
    for load in loads(options):
        if (room := psutil.virtual_memory().available / 2**20) < load.workers * WORKER_MB:
            print(f"{load.workers} workers do not fit in {room:,.0f} MB")
            break
        with tempfile.TemporaryDirectory(prefix="recast-scale-") as folder:
            found.append(measure(load, Path(folder)))
        print(json.dumps(found[-1]), flush=True)
        if options.json:
            options.json.write_text(json.dumps(found, indent=2))
    passed = options.fast or (len(found) == len(loads(options)) and all(each["steady"] >= BAR for each in found))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
