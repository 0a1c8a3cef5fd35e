"""`recast plan` against what a whole build then took.

    recast build VIDEOS... --out WHOLE                                     (or benchmarks/build.py)
    python benchmarks/plan.py VIDEOS... --whole WHOLE [--sample 6] [--seeds 0,1,2] [--json FILE]

Plans: the real thing, once per seed, each building its own sample. Draws: what other samples would have said, without
building them: the records of the whole build, as if only the sampled sources had been in it. That is 200 samples of
each size for nothing, but their start-up and barriers are the whole build's own, and all work was timed in one run:
they show how sources differ, not how the pace of a machine does.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cluster.sources import list_sources
from pipeline.estimate import Measured, Unmeasured, draw, estimate
from pipeline.plan import choose, measure, plan
from pipeline.planner import write_listing
from pipeline.session import Outcome
from pipeline.tables import read_tables
from schemas.config import EngineConfig

NAMES = ("wall_seconds", "cpu_hours", "bytes", "samples", "pairs", "clips")
NUM_DRAWS = 200
DRAWN = (3, 6, 12, 18)  # sources
BAR = 0.25


def outcome_of(out: Path) -> Outcome:
    """Of the only run of a finished build, from its tables."""
    rows = read_tables(out).query("select event, created_at, detail from runs order by created_at").to_pylist()
    events = {row["event"]: row for row in rows}
    if Counter(row["event"] for row in rows)["started"] != 1 or "finished" not in events:
        raise SystemExit(f"{out} is not the work of one finished run")
    detail = json.loads(events["finished"]["detail"])
    seconds = Counter(detail["seconds"])
    took = events["finished"]["created_at"] - events["started"]["created_at"]
    seconds["total"] = seconds["start"] + took.total_seconds()
    return Outcome(num_workers=detail["workers"], models=detail["models"], seconds=seconds)


def truth_of(out: Path, outcome: Outcome, whole: Measured) -> dict[str, float]:
    """What the whole build took and gave: by the clock, its rows and its files; the work as its workers timed it."""
    count = {
        name: read_tables(out).query(f"select count(*) as n from {name} where status = 'ok'").to_pylist()[0]["n"]
        for name in ("samples", "pairs", "clips")
    }
    work = sum(sum(each.seconds.values()) for each in whole.built)
    files = sum(path.stat().st_size for path in (out / "shards").iterdir())
    return {"wall_seconds": outcome.seconds["total"], "cpu_hours": work / 3600, "bytes": files, **count}


def draws(whole: Measured, population: Unmeasured, truth: dict[str, float], number: int) -> dict[str, Any]:
    """Errors and intervals of NUM_DRAWS samples of `number` sources."""
    ratios: dict[str, list[float]] = {name: [] for name in NAMES}
    held: Counter[str] = Counter()
    for seed in range(NUM_DRAWS):
        chosen = draw(population.seconds, number, np.random.default_rng(seed))
        built = [replace(whole.built[position], weight=weight) for position, weight in chosen.items()]
        sample = replace(whole, built=built)
        found = estimate(sample, population, whole.workers, EngineConfig().wave_size, seed)
        for name in NAMES:
            ratios[name].append(found[name].mid / truth[name])
            held[name] += found[name].low <= truth[name] <= found[name].high
    return {
        name: {
            "median": round(float(np.median(each)), 2),
            "5 %": round(float(np.percentile(each, 5)), 2),
            "95 %": round(float(np.percentile(each, 95)), 2),
            "within 25 %": round(float(np.mean(np.abs(np.array(each) - 1) <= BAR)), 2),
            "interval holds it": round(held[name] / NUM_DRAWS, 2),
        }
        for name, each in ratios.items()
    }


def planned(videos: list[str], number: int, seed: int, truth: dict[str, float]) -> dict[str, Any]:
    found = plan(videos, None, [], number, None, lambda *_: None, lambda _: None, seed)
    return {
        "seed": seed,
        "took_seconds": round(found.sample_seconds, 1),
        **{name: round(float(found.estimates[name].mid / truth[name]), 3) for name in NAMES},
        "held": [name for name in NAMES if found.estimates[name].low <= truth[name] <= found.estimates[name].high],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+")
    parser.add_argument("--whole", type=Path, required=True, help="output of a finished build of VIDEOS")
    parser.add_argument("--sample", type=int, default=6)
    parser.add_argument("--seeds", default="", help="comma-separated; none: draws only")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recast-plan-") as folder:
        listing = Path(folder) / "listing.parquet"
        population, chosen = choose(listing, write_listing(list_sources(options.videos), listing), 0)
    outcome = outcome_of(options.whole)
    whole = measure(options.whole, outcome, EngineConfig(), chosen)
    exact = estimate(whole, population, whole.workers, EngineConfig().wave_size)
    truth = truth_of(options.whole, outcome, whole)
    print(f"the whole: { {name: round(float(value), 3) for name, value in truth.items()} }")
    print(f"from its own records:  { {name: round(float(exact[name].mid), 3) for name in NAMES} }")
    found: dict[str, Any] = {"truth": truth, "draws": {}, "plans": []}
    for number in DRAWN:
        found["draws"][number] = draws(whole, population, truth, number)
        for name, figures in found["draws"][number].items():
            print(
                f"draws of {number:2}  {name:13} " + "  ".join(f"{key} {value:.2f}" for key, value in figures.items())
            )
    for seed in [int(text) for text in options.seeds.split(",") if text]:
        found["plans"].append(planned(options.videos, options.sample, seed, truth))
        print(f"plan {found['plans'][-1]}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))
    passed = all(abs(each[name] - 1) <= BAR for each in found["plans"] for name in ("wall_seconds", "samples", "bytes"))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
