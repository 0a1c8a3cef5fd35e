"""What a run measures of itself: Ray's user-defined metrics, scraped by Prometheus as `ray_<name>`.

METRICS is the one list of them; docs/observability.md and docs/grafana-dashboard.json are made from it
(`python -m pipeline.dashboard`). Counted once per pulse, commit, shard or batch, never per unit. Ray sends what was
counted every ten seconds (`metrics_report_interval_ms`), so the last of it may be lost with a process: the tables are
the truth.
"""

import sys
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Metric:
    """name: as the code says it, Prometheus has `ray_` before it. unit: of the value, as a Grafana unit. boundaries:
    of a histogram's buckets, in `unit`."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    tags: tuple[str, ...]
    unit: str
    meaning: str
    boundaries: tuple[float, ...] = ()


UNITS = Metric("recast_units_total", "counter", ("phase", "outcome"), "short", "units of work that ended, by outcome")
REJECTS = Metric(
    "recast_rejects_total", "counter", ("phase", "reason"), "short", "units rejected, failed or given up, by reason"
)
RETRIES = Metric("recast_retries_total", "counter", ("phase",), "short", "attempts that another attempt followed")
QUEUE = Metric(
    "recast_queue_units",
    "gauge",
    ("phase", "state"),
    "short",
    "units by state: queued (read ahead, not given out), leased (with a worker), handed (their bytes are with a "
    "writer), uncommitted",
)
COMMIT_SECONDS = Metric(
    "recast_commit_seconds",
    "histogram",
    (),
    "s",
    "how long commits took; their number is its count",
    (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
SHARD_BYTES = Metric("recast_shard_bytes_total", "counter", (), "bytes", "bytes of the samples in sealed shards")
MODEL_CALLS = Metric("recast_model_calls_total", "counter", ("role",), "short", "calls answered by models")
MODEL_SECONDS = Metric(
    "recast_model_seconds_total", "counter", ("role",), "s", "seconds in which a replica's model was computing"
)
MODEL_BATCH = Metric(
    "recast_model_batch_items",
    "histogram",
    ("role",),
    "short",
    "items answered together, of roles that answer item by item",
    (1, 2, 4, 8, 16, 32, 64, 128),
)
GPU_MEMORY = Metric(
    "recast_gpu_memory_bytes",
    "gauge",
    ("role", "kind"),
    "bytes",
    "GPU memory of a replica's tensors: allocated now, and the peak so far; absent without a GPU",
)
METRICS = (
    *(UNITS, REJECTS, RETRIES, QUEUE, COMMIT_SECONDS),
    *(SHARD_BYTES, MODEL_CALLS, MODEL_SECONDS, MODEL_BATCH, GPU_MEMORY),
)
STATES = ("queued", "leased", "handed", "uncommitted")


def instrument(metric: Metric, run_id: str) -> Any:
    """Ray's metric of that definition, for this process; every series carries the run."""
    from ray.util import metrics

    keys = ("run", *metric.tags)
    if metric.kind == "histogram":
        made = metrics.Histogram(metric.name, metric.meaning, list(metric.boundaries), keys)
    else:
        kind = metrics.Counter if metric.kind == "counter" else metrics.Gauge
        made = kind(metric.name, metric.meaning, keys)
    made.set_default_tags({"run": run_id})
    return made


class LedgerMetrics:
    """What the ledger's process counts."""

    def __init__(self, run_id: str) -> None:
        self._units, self._rejects, self._retries, self._queue, self._commits = (
            instrument(metric, run_id) for metric in (UNITS, REJECTS, RETRIES, QUEUE, COMMIT_SECONDS)
        )
        self._seen: dict[str, Counter[tuple[str, str]]] = {}

    def opened(self, phase: str) -> None:
        """The phase's own counts begin at nothing again."""
        self._seen.pop(phase, None)

    def update(self, phases: Mapping[str, Mapping[str, Any]]) -> None:
        """phases: `Ledger.progress()["phases"]`."""
        for phase, found in phases.items():
            now = Counter({("outcome", key): count for key, count in found["outcomes"].items()})
            now.update({("reason", key): count for key, count in found["rejects"].items()})
            now["retry", ""] = found["retried"]
            for (kind, key), count in (now - self._seen.get(phase, Counter())).items():
                if kind == "outcome":
                    self._units.inc(count, {"phase": phase, "outcome": key})
                elif kind == "reason":
                    self._rejects.inc(count, {"phase": phase, "reason": key})
                else:
                    self._retries.inc(count, {"phase": phase})
            self._seen[phase] = now
            for state in STATES:
                self._queue.set(found[state], {"phase": phase, "state": state})

    def committed(self, seconds: float) -> None:
        self._commits.observe(seconds)


class ModelMetrics:
    """What the process of a model counts."""

    def __init__(self, role_name: str, run_id: str) -> None:
        self._role = {"role": role_name}
        self._calls, self._seconds, self._items, self._memory = (
            instrument(metric, run_id) for metric in (MODEL_CALLS, MODEL_SECONDS, MODEL_BATCH, GPU_MEMORY)
        )
        self._busy, self._lock = 0.0, threading.Lock()

    def served(self, num_calls: int, num_items: int, busy_seconds: float) -> None:
        """After a batch. num_items: 0 where a call is answered as a whole; busy_seconds: of the model, in all."""
        self._calls.inc(num_calls, self._role)
        if num_items:
            self._items.observe(num_items, self._role)
        with self._lock:  # several threads may have been served at once
            if busy_seconds > self._busy:
                self._seconds.inc(busy_seconds - self._busy, self._role)
                self._busy = busy_seconds
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            self._memory.set(torch.cuda.memory_allocated(), self._role | {"kind": "allocated"})
            self._memory.set(torch.cuda.max_memory_allocated(), self._role | {"kind": "peak"})
