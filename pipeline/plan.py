"""`recast plan`: build a few sources into a temporary output, and say what all of them will take.

listing -> sizes -> a few hundred headers probed -> a few sources built -> pipeline/estimate.py

The sample goes through the pipeline itself with the settings asked for. Pairs are the dear part and alike within a
source, while sources differ in how many they give: so of a sampled source every pair is found and two are
synthesised.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cluster.folder import output_folder
from cluster.sources import list_sources
from cluster.storage import path_of, video_at
from pipeline.build import Options, build
from pipeline.estimate import Built, Floats, Interval, Measured, Unmeasured, barrier, draw, estimate, in_work
from pipeline.leases import LEASE_SECONDS
from pipeline.planner import Planner, write_listing
from pipeline.run import Product, scratch
from pipeline.session import Outcome, Say, Show
from pipeline.settings import resolve
from pipeline.shards import ShardReader
from pipeline.tables import Snapshot, read_tables
from schemas.config import EngineConfig
from schemas.errors import BadInput
from schemas.work import BUILD_PHASES, Phase, Unit
from stages.media import probe

NUM_PROBED = 256
NUM_THREADS = 8
PAIRS_PER_SOURCE = 2  # synthesised
TAR_BLOCK = 512

PHASES = tuple(phase for phase in BUILD_PHASES if phase is not Phase.CAPTION)  # which a new dataset has no use for


class SamplePlanner(Planner):
    """A planner for which few pairs of each source are enough."""

    def synthesize(self) -> Iterator[list[Unit]]:
        """Which pairs is a draw: their keys are hashes."""
        rows = self._rows(
            "select key from pairs where status = 'ok'"
            f" qualify row_number() over (partition by content_hash order by key) <= {PAIRS_PER_SOURCE}"
        )
        chosen = {row["key"] for row in rows}
        for page in super().synthesize():
            if few := [unit for unit in page if unit.key in chosen]:
                yield few


@dataclass(frozen=True)
class Plan:
    """What all sources will take. estimates: as `pipeline.estimate.estimate` names them."""

    num_sources: int
    num_probed: int
    num_sampled: int
    workers: int
    sample_workers: int
    sample_seconds: float
    estimates: dict[str, Interval]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def plan(
    sources: list[str],
    profile: str | None,
    assignments: list[str],
    sample: int,
    workers: int | None,
    show: Show,
    say: Say,
    seed: int = 0,
) -> Plan:
    """sample: sources to build. workers: to plan for (None: as many as the sample had). seed: which are drawn.

    Raises UserError for bad arguments, as `build` does, and KeyboardInterrupt when the sample's build was stopped.
    """
    with scratch() as folder:
        settings = resolve(folder / "out", profile, assignments)
        listing = folder / "sources.parquet"
        write_listing(list_sources(sources), listing)
        population, chosen = choose(listing, sample, seed)
        say(f"{len(population.sizes)} sources: building {len(chosen)} of them to see what they take")
        few = folder / "sample.parquet"
        pq.write_table(pa.table({"uri": list(chosen)}), few)
        # One wave, as the sample would be within a larger run.
        engine = settings.config.engine.model_copy(update={"wave_size": max(sample, 1)})
        once = replace(settings, config=settings.config.model_copy(update={"engine": engine}))
        product = Product(BUILD_PHASES, SamplePlanner)
        outcome = build([str(few)], folder / "out", once, Options(), show, say, product)
        if outcome.stopped:
            raise KeyboardInterrupt
        measured = measure(folder / "out", outcome, engine, chosen)
    workers = workers or outcome.num_workers
    found = estimate(measured, population, workers, settings.config.engine.wave_size, seed)
    num_probed, took = len(population.probed), outcome.seconds["total"]
    return Plan(len(population.sizes), num_probed, len(chosen), workers, outcome.num_workers, took, found)


# -- before anything is built


@dataclass(frozen=True)
class Chosen:
    """A source of the sample. seconds: of video; weight: how many such it stands for among those probed."""

    seconds: float
    weight: float


def choose(listing: Path, number: int, seed: int) -> tuple[Unmeasured, dict[str, Chosen]]:
    """What can be known without building, and a sample by uri: spread over the sizes that the listing says, then over
    the durations of those that were probed."""
    random = np.random.default_rng(seed)
    sizes = _sizes(listing)
    probed = np.array(list(draw(sizes, max(NUM_PROBED, number), random)))
    uris = _uris(listing, probed.tolist())
    seconds = _seconds(uris)
    picked = draw(seconds, number, random)
    chosen = {uris[position]: Chosen(float(seconds[position]), weight) for position, weight in picked.items()}
    return Unmeasured(sizes, probed, seconds), chosen


def _listed(listing: Path) -> str:
    quoted = str(listing).replace("'", "''")
    return f"(select distinct on (key) * from read_parquet('{quoted}'))"


def _sizes(listing: Path) -> Floats:
    """Bytes of each source in the order of keys; nan where the listing has not asked; 0 for what is not there."""
    size = "case when stamp = '' then 0 else try_cast(split_part(stamp, ':', 1) as double) end"
    found = duckdb.sql(f"select {size} as size from {_listed(listing)} order by key").fetchnumpy()["size"]
    return np.ma.filled(np.ma.asarray(found, np.float64), np.nan)


def _uris(listing: Path, positions: Sequence[int]) -> list[str]:
    """Those at these positions, ascending, in the order of keys."""
    wanted = ", ".join(map(str, positions))
    sql = f"select uri, row_number() over (order by key) - 1 as position from {_listed(listing)}"
    return [
        uri
        for (uri,) in duckdb.sql(f"select uri from ({sql}) where position in ({wanted}) order by position").fetchall()
    ]


def _seconds(uris: list[str]) -> Floats:
    """Of video; 0 of what is none; of containers that do not say, the mean of the others."""
    with ThreadPoolExecutor(NUM_THREADS) as threads:
        found = np.array(list(threads.map(_duration, uris)))
    known = found[np.isfinite(found)]
    return np.where(np.isfinite(found), found, known.mean() if len(known) else 0.0)


def _duration(uri: str) -> float:
    try:
        seconds = probe(video_at(path_of(uri))).duration_seconds
    except BadInput:
        return 0.0
    return np.nan if seconds is None else seconds


# -- after the sample was built


def measure(out: Path, outcome: Outcome, engine: EngineConfig, chosen: Mapping[str, Chosen]) -> Measured:
    """What a finished run of one wave into an empty output took, by its tables, its shards and its outcome. chosen: all
    its sources by uri."""
    tables = read_tables(out)
    attempts = _attempts(tables)
    workers = outcome.num_workers
    unit, barriers = {}, {}
    for phase in PHASES:
        seconds = _by_parent(each for each in attempts if each["phase"] == phase)
        unit[str(phase)] = in_work(seconds, LEASE_SECONDS, engine.micro_batch)
        barriers[str(phase)] = barrier(outcome.seconds[phase], sum(seconds), len(seconds), unit[str(phase)], workers)
    # Of the first phase most is the start of the workers.
    usual = median(barriers[phase] for phase in PHASES[1:])
    start = outcome.seconds["total"] - sum(outcome.seconds[phase] for phase in PHASES)
    start += max(0.0, barriers[PHASES[0]] - usual)
    barriers[PHASES[0]] = min(barriers[PHASES[0]], usual)
    busy = {role: used["busy_seconds"] for role, used in outcome.models.items()}
    gpus = {role: used["gpus"] for role, used in outcome.models.items()}
    return Measured(_built(tables, attempts, out, chosen), workers, start, barriers, unit, busy, gpus)


def _attempts(tables: Snapshot) -> list[dict[str, Any]]:
    """Every attempt at every unit: phase, parent_key, source (a uri), attempt, laps."""
    sql = """
        select t.phase, t.parent_key, t.attempt, t.seconds as laps, coalesce(s.uri, h.uri, c.source_uri) as source
        from settled t left join sources s on s.key = t.parent_key left join clips c on c.key = t.parent_key
        left join (select content_hash, min(uri) as uri from sources where status = 'ok' group by 1) h
            on h.content_hash = t.parent_key
        where t.phase in ('curate', 'mine', 'link')
        union all
        select 'synthesize', a.parent_key, a.attempt, a.seconds, p.source_uri
        from attempts a join pairs p on p.key = a.parent_key
    """
    return [{**row, "laps": dict(row["laps"] or [])} for row in tables.query(sql).to_pylist()]


def _by_parent(attempts: Iterable[dict[str, Any]]) -> list[float]:
    """Worker seconds of what is leased together: the tasks of a pair."""
    leased: defaultdict[tuple[str, int], float] = defaultdict(float)
    for each in attempts:
        leased[each["parent_key"], each["attempt"]] += each["laps"].get("total", 0.0)
    return list(leased.values())


def _built(tables: Snapshot, attempts: list[dict[str, Any]], out: Path, chosen: Mapping[str, Chosen]) -> list[Built]:
    """Per source. What synthesis took and gave is of a few of its pairs, and is multiplied to stand for all."""
    of_source: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for each in attempts:
        of_source[each["source"]].append(each)
    kept = _counted(tables, "clips", "status = 'ok'"), _counted(tables, "clips", "status <> 'ok'")
    pairs, samples = _counted(tables, "pairs", "status = 'ok'"), _counted(tables, "samples", "status = 'ok'")
    stored = _stored(tables, out)
    built = []
    for uri, one in chosen.items():
        tried = len({each["parent_key"] for each in of_source[uri] if each["phase"] == Phase.SYNTHESIZE})
        times = {Phase.SYNTHESIZE: pairs[uri] / tried} if tried else {}
        seconds, units, waits = _work(of_source[uri], times)
        gave: dict[str, float] = {"clips": kept[0][uri], "rejected_clips": kept[1][uri], "pairs": pairs[uri]}
        gave["samples"] = samples[uri] * times.get(Phase.SYNTHESIZE, 1.0)
        gave["bytes"] = stored[uri] * times.get(Phase.SYNTHESIZE, 1.0)
        built.append(Built(one.seconds, one.weight, seconds, units, gave, waits))
    return built


def _work(attempts: list[dict[str, Any]], times: dict[Phase, float]) -> tuple[dict[str, float], ...]:
    """Worker seconds and number of units per phase, and seconds of waiting per role."""
    seconds, units, waits = (defaultdict[str, float](float) for _ in range(3))
    for each in attempts:
        factor = times.get(each["phase"], 1.0)
        units[each["phase"]] += factor
        seconds[each["phase"]] += factor * each["laps"].get("total", 0.0)
        for name, spent in each["laps"].items():
            if name.endswith(".wait"):
                waits[name.removesuffix(".wait")] += factor * spent
    return seconds, units, waits


def _counted(tables: Snapshot, name: str, where: str) -> Counter[str]:
    rows = tables.query(f"select source_uri, count(*) as n from {name} where {where} group by 1").to_pylist()
    return Counter({row["source_uri"]: row["n"] for row in rows})


def _stored(tables: Snapshot, out: Path) -> Counter[str]:
    """Bytes that each source's samples take in shards."""
    shards = ShardReader(output_folder(out))
    found = Counter[str]()
    for row in tables.query("select source_uri, shard, members from samples where status = 'ok'").to_pylist():
        index = shards.index(row["shard"])
        for member in row["members"]:
            found[row["source_uri"]] += TAR_BLOCK + TAR_BLOCK * -(-index[member][1] // TAR_BLOCK)
    return found
