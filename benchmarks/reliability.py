"""Break a build in every way we know of, run it again, and compare with a build nobody disturbed.

    python benchmarks/reliability.py [VIDEOS] [--only REGEX] [--random 10] [--json FILE]

For each fault: the run is killed (or its worker, writer or ledger process, or somebody else writes to its output), then
the same command runs until it exits 0. Equal means: the same sample keys with the same member_sha256, nothing twice in
any table, `recast check` finds nothing, and after `recast compact` the shard files are byte for byte the same. Without
VIDEOS two of the demo clips are used. Exit 1 when anything differs.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from pipeline.demo import make_demo_videos
from pipeline.failpoints import NAMES
from pipeline.tables import read_tables

# Small commits and shards, so that a short build passes by every failpoint several times.
SMALL = ["engine.commit_seconds=0.3", "engine.seal_seconds=1", "engine.commits_per_compaction=4"]
SMALL += ["engine.row_timeout_seconds=20", "mining.anchors_per_clip=4", "mining.max_pairs_per_clip=2"]
SETTINGS = [word for setting in SMALL for word in ("--set", setting)]
CLIPS = ("cup_meadow", "launch_two_subjects")
NTH = {"takeover_after_lock": 1, "takeover_between_epochs": 3, "close_before_release": 1, "compact_after_commit": 1}
MAX_RUNS = 6


@dataclass
class Finding:
    fault: str
    reached: bool  # the fault did happen
    num_runs: int  # until exit 0, the disturbed one included
    lost: int  # samples of the undisturbed build that are missing or have other bytes
    twice: int  # rows more than once, and samples the undisturbed build does not have
    check: int  # exit code of `recast check`
    shards_equal: bool  # after compact
    seconds: float

    @property
    def good(self) -> bool:
        return self.reached and not self.lost and not self.twice and not self.check and self.shards_equal


def recast(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", *map(str, arguments)]
    log = open(os.environ.get("RECAST_BENCH_LOG", os.devnull), "a")  # noqa: SIM115  (lives as long as the process)
    return subprocess.Popen(command, stdout=log, stderr=log, text=True, env={**os.environ, **environment})


def build(videos: list[Path], out: Path, **environment: str) -> subprocess.Popen[str]:
    return recast("build", *videos, "--out", out, *SETTINGS, **environment)


def members(out: str | Path) -> dict[str, list[str]]:
    rows = read_tables(out).query("select key, member_sha256 from samples where status = 'ok'").to_pylist()
    return {row["key"]: row["member_sha256"] for row in rows}


def repeated(out: str | Path) -> int:
    tables = read_tables(out)
    names = ("sources", "clips", "subjects", "pairs", "samples", "attempts", "rejects", "settled")
    return sum(
        tables.query(f"select count(*) - count(distinct key) as n from {name}").to_pylist()[0]["n"] for name in names
    )


def shards(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "shards").glob("*.tar")}


def finish(videos: list[Path], out: Path, runs: int = 1) -> int:
    """Run the build until it exits 0; the number of runs, those before included."""
    while runs < MAX_RUNS:
        runs += 1
        if build(videos, out).wait() == 0:
            return runs
    raise SystemExit(f"{out} did not finish in {runs} runs")


def compare(fault: str, reached: bool, runs: int, began: float, out: Path, truth: Path) -> Finding:
    wanted, found = members(truth), members(out)
    lost = sum(found.get(key) != hashes for key, hashes in wanted.items())
    twice = repeated(out) + len(set(found) - set(wanted))
    seconds = time.monotonic() - began
    check = recast("check", out).wait()
    recast("compact", out, "--grace-hours", 0).wait()
    return Finding(fault, reached, runs, lost, twice, check, shards(out) == shards(truth), round(seconds, 1))


def at_failpoint(name: str, videos: list[Path], out: Path, truth: Path) -> Finding:
    began = time.monotonic()
    point = f"{name}:{NTH.get(name, 2)}" if not name.startswith("compact") else name
    if name.startswith("compact"):
        shutil.copytree(truth.with_name("uncompacted"), out)
        code = recast("compact", out, "--grace-hours", 0, RECAST_FAILPOINT=point).wait()
        runs = 2  # `compare` compacts again
    else:
        code = build(videos, out, RECAST_FAILPOINT=point).wait()
        runs = finish(videos, out)
    return compare(f"killed at {name}", code == -signal.SIGKILL, runs, began, out, truth)


def at_random(number: int, span: float, videos: list[Path], out: Path, truth: Path) -> Finding:
    began = time.monotonic()
    run = build(videos, out)
    wait = random.Random(number).uniform(0.15, 0.95) * span
    time.sleep(wait)
    run.kill()
    code = run.wait()
    return compare(f"driver killed after {wait:.0f} s", code == -signal.SIGKILL, finish(videos, out), began, out, truth)


def process_killed(what: str, videos: list[Path], out: Path, truth: Path) -> Finding:
    """Kill one of the run's own processes, by the name Ray gives it, once it is at work; the run itself must go on."""
    began = time.monotonic()
    run = build(videos, out)
    killed = wait_and_kill(what, run, out)
    code = run.wait()
    runs = 1 if code == 0 else finish(videos, out)
    return compare(f"{what} process killed", killed, runs, began, out, truth)


def wait_and_kill(what: str, run: subprocess.Popen[str], out: Path) -> bool:
    while run.poll() is None:
        time.sleep(0.2)
        if has_pairs(out) and (pids := ray_processes(what, run.pid)):
            time.sleep(1.0)
            os.kill(pids[0], signal.SIGKILL)
            return True
    return False


def has_pairs(out: Path) -> bool:
    try:
        return bool(read_tables(out).query("select 1 from pairs limit 1").num_rows)
    except Exception:  # not there yet, or a version that is being written this moment
        return False


def ray_processes(what: str, driver: int) -> list[int]:
    """Pids of actors whose title has the word, among the descendants of this driver."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()[1:]]
    parents = {int(row[0]): int(row[1]) for row in rows}

    def belongs(pid: int) -> bool:
        while pid > 1:
            pid = parents.get(pid, 0)
            if pid == driver:
                return True
        return False

    return [int(row[0]) for row in rows if row[2].startswith("ray::") and what in row[2] and belongs(int(row[0]))]


def bad_row(kind: str, videos: list[Path], out: Path, truth: Path) -> Finding:
    """One more video, which kills or hangs the process that touches it: it ends as a dead letter, the rest as ever."""
    began = time.monotonic()
    poison = out.parent / f"{kind}-poison.mp4"
    shutil.copy(videos[0], poison)
    with poison.open("ab") as file:
        file.write(b"other bytes, so that it is no duplicate")
    code = build([*videos, poison], out, RECAST_FAULT=f"{kind}={poison.name}").wait()
    dead = read_tables(out).query("select 1 from rejects where reason = 'poison'").num_rows
    name = {"crash": "a row that crashes", "hang": "a row that hangs"}[kind]
    finding = compare(name, dead == 1, 1, began, out, truth)
    finding.reached &= code == 1  # finished with a failure over the bound
    return finding


def foreign_commit(videos: list[Path], out: Path, truth: Path) -> Finding:
    """Somebody else appends to a table of a run that is going: the run must stop, not write on."""
    began = time.monotonic()
    run = build(videos, out)
    while not has_pairs(out) and run.poll() is None:
        time.sleep(0.2)
    table = DeltaTable(str(out / "tables" / "settled"))
    schema = pa.schema(table.schema().to_arrow())
    write_deltalake(table, schema.empty_table(), mode="append")
    code = run.wait()
    return compare("foreign commit", code == 1, finish(videos, out), began, out, truth)


def faults(span: float, num_random: int) -> dict[str, Callable[[list[Path], Path, Path], Finding]]:
    found: dict[str, Callable[[list[Path], Path, Path], Finding]] = {}
    found |= {f"failpoint {name}": partial(at_failpoint, name) for name in NAMES}
    found |= {f"random {number}": partial(at_random, number, span) for number in range(num_random)}
    found |= {
        f"process {what}": partial(process_killed, what)
        for what in ("MapWorker", "WriterHost", "LedgerHost", "LeaseSource")
    }
    found |= {f"row {kind}": partial(bad_row, kind) for kind in ("crash", "hang")}
    return found | {"foreign commit": foreign_commit}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--only", default="", help="faults whose name matches this expression")
    parser.add_argument("--random", type=int, default=10, help="driver kills at random moments")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recast-bench-") as folder:
        findings = run_all(options, Path(folder))
    if options.json:
        options.json.write_text(json.dumps([asdict(finding) for finding in findings], indent=2) + "\n")
    return 0 if all(finding.good for finding in findings) else 1


def run_all(options: argparse.Namespace, folder: Path) -> list[Finding]:
    videos: list[Path] = options.videos
    if not videos:
        make_demo_videos(folder / "videos", names=CLIPS)
        videos = sorted((folder / "videos").glob("*.mp4"))
    truth = folder / "truth"
    began = time.monotonic()
    if code := build(videos, truth).wait():
        raise SystemExit(f"the undisturbed build ended with {code}")
    span = time.monotonic() - began
    shutil.copytree(truth, truth.with_name("uncompacted"))
    recast("compact", truth, "--grace-hours", 0).wait()
    print(f"undisturbed: {len(members(truth))} samples in {span:.0f} s", flush=True)
    print(f"{'fault':44} reached runs lost twice check shards seconds", flush=True)
    findings = []
    for number, (name, inject) in enumerate(faults(span, options.random).items()):
        if not re.search(options.only, name):
            continue
        finding = inject(videos, folder / f"out{number}", truth)
        print(
            f"{finding.fault:44} {finding.reached!s:7} {finding.num_runs:4} {finding.lost:4} {finding.twice:5} "
            f"{finding.check:5} {'equal' if finding.shards_equal else 'DIFFER':6} {finding.seconds:7.1f}",
            flush=True,
        )
        findings.append(finding)
        shutil.rmtree(folder / f"out{number}", ignore_errors=True)
    return findings


if __name__ == "__main__":
    sys.exit(main())
