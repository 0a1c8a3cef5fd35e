"""How fast the models of a profile are, alone and through their actors, in full size with random weights.

`python benchmarks/models.py --out figures.jsonl [--hub folder] [--measure detector,vllm] [--small]` on a machine with a
GPU. A measurement is a process of its own with a time limit; each figure is a line of the file as soon as it is known,
so what comes later cannot lose it. `python benchmarks/models_report.py figures.jsonl` makes the tables of
docs/performance.md. --small tries it all out with tiny models on any machine.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

PROFILE = "h100"
SECONDS = {
    "vllm": 240,
    "vllm_alone": 240,
    "transformers": 330,
    "vllm_actor": 240,
    "video_generator": 280,
    "image_editor": 200,
    "segmenter": 200,
}
MAX_SECONDS = 150  # of any other
ROLES = ("embedder", "quality", "depth", "detector", "segmenter", "image_editor", "video_generator")
MEASUREMENTS = (*ROLES, "vllm", "vllm_alone", "vllm_actor", "transformers")


def run(name: str, options: argparse.Namespace) -> None:
    """One measurement, in a process whose children end with it."""
    command = [sys.executable, __file__, "--child", name, "--out", str(options.out), "--hub", str(options.hub)]
    command += ["--small"] if options.small else []
    environment = {
        **os.environ,
        "HF_HUB_CACHE": str(options.hub),
        "RECAST_TEST_HUB": str(options.hub),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "VLLM_USE_FLASHINFER_SAMPLER": "0",
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "RECAST_LOG_WORKERS": "1",
        **({"VLLM_PLUGINS": ""} if name == "vllm" else {}),  # raw is without ours
        "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH", "")])),
    }
    started = time.perf_counter()
    child = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        ended = f"exit {child.wait(SECONDS.get(name, MAX_SECONDS))}"
    except subprocess.TimeoutExpired:
        ended = "out of time"
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)  # vLLM's shutdown can hang, and its processes hold the GPU
    child.wait()
    note(options.out, name, "ended", how=ended, seconds=time.perf_counter() - started)


def note(out: Path, name: str, kind: str, **figures: Any) -> None:
    line = json.dumps({"measurement": name, "kind": kind, **figures})
    print(line, flush=True)
    with out.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def machine() -> dict[str, Any]:
    import torch
    import transformers

    found: dict[str, Any] = {
        "cpus": os.cpu_count(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    if torch.cuda.is_available():
        found |= {"gpu": torch.cuda.get_device_name(0), "gpu_gib": torch.cuda.mem_get_info()[1] / 2**30}
    return found


def measure(name: str, options: argparse.Namespace) -> None:
    from benchmarks import models_alone, models_shared, models_vlm

    def tell(kind: str, **figures: Any) -> None:
        note(options.out, name, kind, **figures)

    if name in ROLES:
        models_alone.publish(PROFILE, name, options.small, tell)
        models_alone.measure(PROFILE, name, options.small, tell)
        models_shared.measure(PROFILE, name, options.small, tell)
        models_alone.unpublish(PROFILE, name)
    else:
        {
            "vllm": models_vlm.measure_vllm,
            "vllm_alone": models_vlm.measure_vllm_alone,
            "vllm_actor": models_vlm.measure_actor,
            "transformers": models_vlm.measure_transformers,
        }[name](PROFILE, options.small, tell)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, appended to")
    parser.add_argument("--hub", type=Path, default=Path("/tmp/recast-bench-hub"), help="where checkpoints are made")
    parser.add_argument("--measure", default=",".join(MEASUREMENTS), help="which, in this order")
    parser.add_argument("--small", action="store_true", help="tiny models, on any machine")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        measure(options.child, options)
        return
    options.hub.mkdir(parents=True, exist_ok=True)
    note(options.out, "machine", "machine", **machine())
    for name in options.measure.split(","):
        run(name, options)


if __name__ == "__main__":
    main()
