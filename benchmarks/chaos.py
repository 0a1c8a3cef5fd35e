"""Kill parts of a cluster under a build, and compare what it made with a build nobody disturbed.

    python benchmarks/chaos.py [VIDEOS] [--only REGEX] [--json FILE]

The cluster is simulated: three raylets of one CPU each on this machine, every process of a node killed at once
(benchmarks/simulated_cluster.py); the output is on an S3 server on this machine too. Per fault: samples lost or with
other bytes, rows or samples twice, `recast check`, units worked on more than once, seconds from the fault to the
first result of work that began after it, and what the fault cost in seconds of the whole build. Without VIDEOS three
of the demo clips are used. Exit 1 when anything was lost or doubled, or a fault did not happen.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from reliability import MAX_RUNS, SETTINGS, members, recast, repeated
from simulated_cluster import OBJECT_STORE_BYTES, SimulatedCluster, kill

from pipeline.demo import make_demo_videos
from pipeline.tables import read_tables
from tests.object_store import CREDENTIALS, new_bucket, serving

CLIPS = ("cup_meadow", "launch_two_subjects", "planet_square")
NUM_NODES = 3


@dataclass
class Finding:
    fault: str
    reached: bool  # the fault did happen
    num_runs: int  # until the build ended as it should, the disturbed one included
    lost: int  # samples of the undisturbed build that are missing or have other bytes
    twice: int  # rows more than once, and samples the undisturbed build does not have
    check: int  # exit code of `recast check`
    units: int  # that the build is made of
    repeated: int  # times that a unit was begun beyond its first
    recovered_seconds: float | None  # from the fault to the first result of work begun after it
    extra_seconds: float  # of the whole build, runs and new clusters included, over the undisturbed one

    @property
    def good(self) -> bool:
        return self.reached and not self.lost and not self.twice and not self.check


class Build:
    """One build on a cluster of its own, run again until it ends as expected."""

    def __init__(self, videos: Path, folder: Path, store: "Store", **fault: str) -> None:
        self.videos, self.folder, self.store, self.out = videos, folder, store, f"{new_bucket()}/out"
        folder.mkdir(exist_ok=True)
        self.trace = folder / "trace"
        self._environment = {"PYTHONPATH": str(Path(__file__).parents[1]), "RECAST_TRACE": str(self.trace), **fault}
        self.num_runs = 0
        self.new_cluster()
        self.began = time.monotonic()

    def new_cluster(self) -> None:
        self.cluster = SimulatedCluster(NUM_NODES, self._environment)

    def start(self) -> subprocess.Popen[str]:
        self.num_runs += 1
        return recast("build", self.videos, "--out", self.out, *SETTINGS, RAY_ADDRESS=self.cluster.address)

    def finish(self, expected: int = 0) -> float:
        """Run until it exits as expected; the seconds all of it took."""
        while self.num_runs < MAX_RUNS:
            if self.start().wait() == expected:
                return time.monotonic() - self.began
        raise SystemExit(f"{self.out} did not finish in {self.num_runs} runs")

    def begin(self) -> tuple[subprocess.Popen[str], bool, float]:
        """A run in which samples are being made, whether it came that far, and when, in seconds since 1970."""
        run = self.start()
        return run, self._wait_until_busy(run), time.time()

    def _wait_until_busy(self, run: subprocess.Popen[str]) -> bool:
        """Until samples are being made; False when the run ended before."""
        while run.poll() is None:
            if any("synthesize" in line for line in self.begun()):
                time.sleep(2.0)
                return run.poll() is None
            time.sleep(0.2)
        return False

    def begun(self) -> list[str]:
        """Per start of work on a unit: seconds since 1970, phase, unit, attempt."""
        return self.trace.read_text().splitlines() if self.trace.exists() else []

    def recovered_after(self, moment: float) -> float | None:
        """Seconds from `moment` to the first unit settled of those begun after it."""
        later = {line.split()[2] for line in self.begun() if float(line.split()[0]) > moment}
        rows = read_tables(self.out).query("select key, epoch(created_at) as settled_at from settled").to_pylist()
        done = [row["settled_at"] for row in rows if row["key"] in later and row["settled_at"] > moment]
        return round(min(done) - moment, 1) if done else None


class Store:
    """The S3 server of a measurement: one process, which can be held."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def hold(self, seconds: float) -> None:
        """Connections are taken, and nothing is answered."""
        os.kill(self._pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(self._pid, signal.SIGCONT)


def node_killed(build: Build, replaced: bool) -> tuple[bool, float]:
    run, reached, moment = build.begin()
    build.cluster.kill_node(1)
    if replaced:
        time.sleep(5.0)
        build.cluster.add_node()
    return reached and run.wait() == 0, moment


def actor_killed(what: str, build: Build) -> tuple[bool, float]:
    run, reached, moment = build.begin()
    pids = build.cluster.processes(what)
    for pid in pids[:1]:
        kill(pid)
    return reached and bool(pids) and run.wait() == 0, moment


def driver_killed(build: Build) -> tuple[bool, float]:
    run, reached, moment = build.begin()
    run.kill()
    run.wait()
    build.finish()
    return reached, moment


def head_killed(build: Build) -> tuple[bool, float]:
    """With the head goes the cluster, and with that the job: both are started again."""
    run, reached, moment = build.begin()
    build.cluster.kill_node(0)
    reached &= run.wait() != 0
    build.new_cluster()
    build.finish()
    return reached, moment


def poisoned(build: Build) -> tuple[bool, float]:
    """One more video, which kills whatever process touches it: a dead letter after its tries, the rest as ever."""
    run, reached, moment = build.begin()
    reached &= run.wait() == 1  # finished, with a failure over the bound
    rejects = read_tables(build.out).query("select 1 from rejects where reason = 'poison'")
    return reached and rejects.num_rows == 1, moment


def with_poison(videos: Path, folder: Path) -> tuple[Path, dict[str, str]]:
    """The same videos and one more, and what makes that one crash its process."""
    more = folder / "with-poison"
    shutil.copytree(videos, more)
    poison = more / "poison.mp4"
    shutil.copy(min(videos.glob("*.mp4")), poison)
    with poison.open("ab") as file:
        file.write(b"other bytes, so that it is no duplicate")
    return more, {"RECAST_FAULT": f"crash={poison.name}"}


def object_store_full(build: Build) -> tuple[bool, float]:
    """Somebody else's job keeps more in the object store than it holds; Ray moves what does not fit to disk."""
    run, reached, moment = build.begin()
    hog = subprocess.Popen([sys.executable, "-c", HOG], env={**os.environ, "RAY_ADDRESS": build.cluster.address})
    reached &= run.wait() == 0
    hog.kill()
    hog.wait()
    return reached, moment


def store_held(build: Build) -> tuple[bool, float]:
    run, reached, moment = build.begin()
    build.store.hold(60.0)
    return reached and run.wait() == 0, moment


def disk_full(build: Build) -> tuple[bool, float]:
    """The disk for temporary files fills up while samples are made: the run says so and ends. Then there is room."""
    run, reached, _ = build.begin()
    filler = build.folder / "disk" / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    reached &= run.wait() == 2
    moment = time.time()
    filler.unlink()
    build.finish()
    return reached, moment


def small_disk(folder: Path) -> dict[str, str]:
    """A small file system, which takes the rights to mount it, and what puts temporary files there."""
    disk = folder / "disk"
    disk.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "recast-bench", str(disk)], check=True)
    return {"TMPDIR": str(disk)}


HOG = f"""
import time, numpy, ray
ray.init()
held = [ray.put(numpy.ones(20 * 2**20, numpy.uint8)) for _ in range({2 * OBJECT_STORE_BYTES // (20 * 2**20)})]
time.sleep(3600)
"""

FAULTS: dict[str, Callable[[Build], tuple[bool, float]]] = {
    "worker node killed, none in its place": lambda build: node_killed(build, replaced=False),
    "worker node killed, another joins": lambda build: node_killed(build, replaced=True),
    "worker process killed": lambda build: actor_killed("MapWorker", build),
    "writer process killed": lambda build: actor_killed("WriterHost", build),
    "ledger process killed": lambda build: actor_killed("LedgerHost", build),
    "driver killed, job run again": driver_killed,
    "head killed, cluster and job started again": head_killed,
    "a row that kills its process": poisoned,
    "object store full": object_store_full,
    "S3 does not answer for a minute": store_held,
    "disk of the nodes full": disk_full,
}


def measure(
    fault: str, build: Build, inject: Callable[[Build], tuple[bool, float]], truth: Build, span: float
) -> Finding:
    reached, moment = inject(build)
    extra = time.monotonic() - build.began - span
    build.cluster.close()
    wanted, found = members(truth.out), members(build.out)
    counts = Counter(line.split(None, 1)[1] for line in build.begun())
    return Finding(
        fault,
        reached,
        build.num_runs,
        sum(found.get(key) != hashes for key, hashes in wanted.items()),
        repeated(build.out) + len(set(found) - set(wanted)),
        recast("check", build.out).wait(),
        len(counts),
        sum(counts.values()) - len(counts),
        build.recovered_after(moment),
        round(extra, 1),
    )


def run_all(videos: Path, folder: Path, store: Store, only: str) -> list[Finding]:
    truth = Build(videos, folder / "truth", store)
    span = truth.finish()
    truth.cluster.close()
    print(f"undisturbed: {len(members(truth.out))} samples in {span:.0f} s", flush=True)
    findings = []
    for number, (fault, inject) in enumerate(FAULTS.items()):
        if re.search(only, fault):
            given, told = with_poison(videos, folder) if inject is poisoned else (videos, {})
            told |= small_disk(folder / f"fault{number}") if inject is disk_full else {}
            build = Build(given, folder / f"fault{number}", store, **told)
            try:
                findings.append(measure(fault, build, inject, truth, span))
            finally:
                build.cluster.close()
            print(findings[-1], flush=True)
            if inject is disk_full:
                subprocess.run(["umount", "-l", str(build.folder / "disk")], check=False)
            shutil.rmtree(build.folder, ignore_errors=True)
    return findings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="?", type=Path, help="a folder")
    parser.add_argument("--only", default="", help="faults whose name matches this expression")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recast-bench-") as place, serving() as server:
        folder = Path(place)
        os.environ.update(CREDENTIALS | {"AWS_ENDPOINT_URL": server.endpoint})
        if options.videos is None:
            make_demo_videos(folder / "videos", names=CLIPS)
        findings = run_all(options.videos or folder / "videos", folder, Store(server.pid), options.only)
    if options.json:
        options.json.write_text(json.dumps([asdict(finding) for finding in findings], indent=2) + "\n")
    return 0 if all(finding.good for finding in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
