"""How the ledger scales: pending work by anti-join over few and many sources, its memory, and commits per second.

`python benchmarks/ledger_scale.py [--json] [--sizes 10000,1000000] [--commits 30]` makes fake sources and a settled
table with half of them done, in a temporary folder. Each size runs in a process of its own, for a peak of its own.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import write_deltalake

from pipeline.ledger import Ledger
from pipeline.tables import now
from schemas.config import EngineConfig
from schemas.keys import source_key
from schemas.tables import TABLES
from schemas.work import Phase, Result, Unit

PAGE = 1000
UNITS_PER_COMMIT = 50
CHILDREN_PER_UNIT = 4
MAX_SECONDS = 60.0
MAX_GROWTH_MB = 200.0
PENDING_SQL = """
    SELECT l.key, l.uri FROM read_parquet(?) l
    ANTI JOIN (SELECT parent_key FROM settled WHERE phase = 'curate' AND fingerprint = 'fp') s ON s.parent_key = l.key
    ORDER BY l.key
"""


def prepare(out: Path, size: int) -> Path:
    """A listing of `size` sources, every other one settled. Returns the listing."""
    Ledger(out, EngineConfig(), "prepare").close("finished", {})
    listing = out / "listing.parquet"
    schema = pa.schema([("key", pa.string()), ("uri", pa.string())])
    with pq.ParquetWriter(listing, schema) as writer:
        for start in range(0, size, 100_000):
            uris = [f"s3://bucket/videos/{number:09}.mp4" for number in range(start, min(start + 100_000, size))]
            keys = [source_key(uri) for uri in uris]
            writer.write_table(pa.table({"key": keys, "uri": uris}, schema=schema))
            done = [Unit(Phase.CURATE, key) for key in keys[::2]]
            moment = now()
            rows = [
                {"key": unit.id, "parent_key": unit.key, "status": "ok", "fingerprint": "fp", "created_at": moment}
                | {"phase": "curate", "task": "", "attempt": 0, "outcome": "done", "num_children": 1}
                for unit in done
            ]
            table = pa.Table.from_pylist(rows, schema=TABLES["settled"])
            write_deltalake(str(out / "tables" / "settled"), table, mode="append")
    return listing


def peak_mb() -> float:
    """Of this program alone: ru_maxrss would begin with the peak of the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def measure(out: Path, listing: Path, commits: int) -> dict[str, Any]:
    """Plan all that is pending, then lease and settle enough of it for `commits` commits."""
    Ledger(out, EngineConfig(), "warm-up").close("finished", {})  # imports
    started = time.perf_counter()
    ledger = Ledger(out, EngineConfig(commit_seconds=1e9, credit=UNITS_PER_COMMIT, max_deliveries=3), "measure")
    takeover_seconds = time.perf_counter() - started
    started = time.perf_counter()
    batches = ledger.tables.query_batches(PENDING_SQL, PAGE, [str(listing)])
    first_page_seconds, pending = 0.0, 0
    for batch in batches:
        first_page_seconds = first_page_seconds or time.perf_counter() - started
        pending += batch.num_rows
    pending_seconds = time.perf_counter() - started
    peak = peak_mb()
    seconds = commit(ledger, listing, commits)
    ledger.close("finished", {})
    return {
        "takeover_seconds": takeover_seconds,
        "pending": pending,
        "pending_seconds": pending_seconds,
        "first_page_seconds": first_page_seconds,
        "pending_peak_mb": peak,
        "commits_per_second": commits / seconds,
        "units_per_second": commits * UNITS_PER_COMMIT / seconds,
        "peak_mb": peak_mb(),
    }


def commit(ledger: Ledger, listing: Path, commits: int) -> float:
    """Seconds of `commits` commits of UNITS_PER_COMMIT sources with their clips, including their leases."""

    def pages() -> Any:
        for batch in ledger.tables.query_batches(PENDING_SQL, PAGE, [str(listing)]):
            yield [Unit(Phase.CURATE, row["key"]) for row in batch.to_pylist()]

    ledger.open_phase(Phase.CURATE, pages(), "fp")
    started = time.perf_counter()
    for _ in range(commits):
        units = ledger.lease(Phase.CURATE, UNITS_PER_COMMIT) or []
        ledger.start(Phase.CURATE, [(unit.id, unit.attempt, unit.num_deliveries) for unit in units])
        ledger.deliver([_curated(unit) for unit in units])
        ledger.flush()
    return time.perf_counter() - started


def _curated(unit: Unit) -> Result:
    clips = [{"key": f"{unit.key}{number}", "start_frame": number} for number in range(CHILDREN_PER_UNIT)]
    return Result(Phase.CURATE, unit.key, rows={"sources": [{"key": unit.key}], "clips": clips})


def in_own_process(out: Path, commits: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--measure", str(out), "--commits", str(commits)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="figures for machines")
    parser.add_argument("--sizes", default="10000,1000000", help="numbers of sources, comma-separated")
    parser.add_argument("--commits", type=int, default=30)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.measure / "listing.parquet", arguments.commits)))
        return 0
    found = []
    for size in [int(text) for text in arguments.sizes.split(",")]:
        with tempfile.TemporaryDirectory(prefix="recast-scale-") as folder:
            prepare(Path(folder), size)
            found.append({"sources": size} | in_own_process(Path(folder), arguments.commits))
    growth = found[-1]["pending_peak_mb"] - found[0]["pending_peak_mb"]
    passed = growth < MAX_GROWTH_MB and all(each["pending_seconds"] < MAX_SECONDS for each in found)
    if arguments.json:
        print(json.dumps({"sizes": found, "pending_growth_mb": growth, "passed": passed}))
    else:
        for name in found[0]:
            print(f"{name:22}" + "".join(f"{each[name]:14,.2f}" for each in found))
        print(f"{'pending growth, MB':22}{growth:14,.2f}   {'passed' if passed else 'FAILED'}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
