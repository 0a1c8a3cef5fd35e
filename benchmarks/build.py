"""Wall time, peak memory and funnel of one `recast build`.

    python benchmarks/build.py VIDEOS... [--out OUT] [--json FILE]

Memory is the sum of the proportional set sizes of the driver and everything it started (shared pages counted once),
sampled twice a second.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil


def memory_mb(root: psutil.Process) -> float:
    total = 0
    for process in [root, *root.children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:  # it ended meanwhile
            continue
    return total / 2**20


def watch(run: subprocess.Popen[str], samples: list[float]) -> None:
    root = psutil.Process(run.pid)
    while run.poll() is None:
        try:
            samples.append(memory_mb(root))
        except psutil.Error:
            return
        time.sleep(0.5)


def measure(videos: list[str], out: Path) -> dict[str, object]:
    command = [
        sys.executable,
        "-c",
        "from pipeline.cli import main; main()",
        "build",
        *videos,
        "--out",
        str(out),
        "--json",
    ]
    began = time.monotonic()
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    samples: list[float] = []
    watcher = threading.Thread(target=watch, args=(run, samples))
    watcher.start()
    printed, _ = run.communicate()
    watcher.join()
    if run.returncode not in (0, 1):
        raise SystemExit(f"the build ended with {run.returncode}")
    found = json.loads(printed)
    return {
        "exit": run.returncode,
        "wall_seconds": round(time.monotonic() - began, 1),
        "peak_memory_mb": round(max(samples)),
        "seconds": found["this_run"]["seconds"],
        "funnel": found["funnel"],
        "reasons": found["reasons"],
        "tasks": found["tasks"],
        "attempts": found["attempts"],
        "attempt_reasons": found["attempt_reasons"],
        "dead_letters": found["dead_letters"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recast-bench-") as folder:
        result = measure(options.videos, options.out or Path(folder) / "out")
    text = json.dumps(result, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
