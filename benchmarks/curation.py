"""How much dearer is measuring than decoding?  python benchmarks/curation.py FOLDER... [--repeat N] [--workers N]

Both sides read the same files, N times over, with a process pool of the same size and one decoder thread each:
`decode` is PyAV's `container.decode` and nothing else; `measure` is stage i. `scenedetect` is PySceneDetect's own
SceneManager with its AdaptiveDetector over the same files (its default downscaling), for comparison. With --ray,
`recast` is the curation phase of a real build of the same files (linked N times under other names); what starting its
actors costs is measured on one file and stated apart.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import av
import cv2
from scenedetect import AdaptiveDetector, SceneManager, open_video

from actors.quality import MeasuredQuality
from schemas.config import CurationConfig
from stages.curation import measure

SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".mpg")


def decode_only(path: str) -> int:
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        return sum(1 for _ in container.decode(stream))


def measure_all(path: str) -> int:
    cv2.setNumThreads(1)
    return measure(path, CurationConfig(), MeasuredQuality().score).num_frames


def scenedetect_only(path: str) -> int:
    cv2.setNumThreads(1)
    manager = SceneManager()
    manager.add_detector(AdaptiveDetector())
    return int(manager.detect_scenes(open_video(path, backend="pyav", threading_mode="NONE")))


def seconds_for(work: Callable[[str], int], files: list[str], workers: int) -> tuple[float, int]:
    """Wall seconds and number of frames, without the start of the pool."""
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(work, files[:workers]))
        start = time.perf_counter()
        num_frames = sum(pool.map(work, files))
        return time.perf_counter() - start, num_frames


def curate_with_ray(files: list[str], repeat: int, workers: int) -> dict[str, float]:
    """Wall seconds of the curation phase of `recast build`, on one file and on all of them."""
    with tempfile.TemporaryDirectory(prefix="recast-bench-") as folder:
        videos = Path(folder) / "videos"
        videos.mkdir()
        for number in range(repeat):
            for file in files:
                (videos / f"{number}-{Path(file).parent.name}-{Path(file).name}").symlink_to(Path(file).resolve())
        one = _curation_seconds(sorted(videos.iterdir())[0], Path(folder) / "one", workers)
        everything = _curation_seconds(videos, Path(folder) / "all", workers)
    return {"ray_start_seconds": round(one, 2), "recast_seconds": round(everything - one, 2)}


def _curation_seconds(videos: Path, out: Path, workers: int) -> float:
    nothing_to_mine = ["--set", "curation_thresholds.min_seconds=1e9", "--set", "engine.wave_size=100000"]
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", "build", str(videos), "--out", str(out)]
    command += ["--json", "--set", f"engine.num_workers={workers}", *nothing_to_mine]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout)["this_run"]["seconds"]["curate"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--ray", action="store_true", help="also through `recast build`")
    arguments = parser.parse_args()
    files = [str(path) for folder in arguments.folders for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES]
    figures: dict[str, float] = {"files": len(files) * arguments.repeat, "workers": arguments.workers}
    for name, work in (("decode", decode_only), ("measure", measure_all), ("scenedetect", scenedetect_only)):
        seconds, num_frames = seconds_for(work, files * arguments.repeat, arguments.workers)
        figures |= {"frames": num_frames, f"{name}_seconds": round(seconds, 2)}
        figures[f"{name}_over_decode"] = round(seconds / figures["decode_seconds"], 3)
    if arguments.ray:
        figures |= curate_with_ray(files, arguments.repeat, arguments.workers)
        figures["recast_over_decode"] = round(figures["recast_seconds"] / figures["decode_seconds"], 3)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
