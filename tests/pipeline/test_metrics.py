"""What a run tells Prometheus, scraped from Ray's exporter as a Prometheus would, against what the tables say."""

import importlib
import os
import sys
import tarfile
import time
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.metrics import METRICS, LedgerMetrics
from pipeline.tables import read_tables
from tests.pipeline.test_pooled_build import PROFILE
from tests.pipeline.test_pools import FAKED, noted

PATIENCE_SECONDS = 60.0
NOTHING = {"outcomes": {}, "rejects": {}, "retried": 0, "queued": 0, "leased": 0, "handed": 0, "uncommitted": 0}


class Recorder:
    """In place of Ray's metrics: what they were told."""

    def __init__(self) -> None:
        self.counted: Counter[tuple[str, ...]] = Counter()
        self.values: dict[tuple[str, ...], float] = {}

    def inc(self, amount, tags):
        self.counted[tuple(tags.values())] += amount

    def set(self, value, tags):
        self.values[tuple(tags.values())] = value


@pytest.fixture
def recorder(monkeypatch) -> Recorder:
    made = Recorder()
    monkeypatch.setattr("pipeline.metrics.instrument", lambda metric, run_id: made)
    return made


def test_counts_go_on_when_a_phase_opens_again_and_never_count_twice(recorder):
    metrics = LedgerMetrics("run")
    for done in (1, 3, 3):
        metrics.update({"mine": NOTHING | {"outcomes": {"done": done}, "queued": 5 - done}})
    assert recorder.counted == {("mine", "done"): 3}
    assert recorder.values["mine", "queued"] == 2
    metrics.opened("mine")
    metrics.update({"mine": NOTHING | {"outcomes": {"done": 3, "rejected": 1}, "rejects": {"too_dark": 1}}})
    assert recorder.counted == {("mine", "done"): 6, ("mine", "rejected"): 1, ("mine", "too_dark"): 1}


def scraped(port: int) -> dict[str, Counter[tuple[str, ...]]]:
    """Values by series' name and labels of ours; those of several processes together."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    ours = {tag for metric in METRICS for tag in metric.tags}
    found: dict[str, Counter[tuple[str, ...]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith("ray_recast_"):
                labels = tuple(value for name, value in sorted(sample.labels.items()) if name in ours)
                found.setdefault(sample.name, Counter())[labels] += sample.value
    return found


@pytest.mark.ray
def test_the_series_of_a_build_are_what_its_tables_say(demo_videos: Path, tmp_path: Path, monkeypatch):
    import ray

    from cluster.local import ray_session
    from pipeline.build import Options, build
    from pipeline.settings import resolve

    profile = tmp_path / "faked.toml"
    profile.write_text(PROFILE.format(notes=tmp_path, quality="Marks"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FAKED), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(str(FAKED))
    monkeypatch.setitem(sys.modules, "actors.faked", importlib.import_module("faked"))
    monkeypatch.setenv("RAY_metrics_report_interval_ms", "100")
    out = tmp_path / "dataset"
    settings = resolve(out, str(profile), ["mining.max_pairs_per_clip=1"])
    videos = [str(path) for path in sorted(demo_videos.glob("*.mp4"))[:2]]
    with ray_session(100, num_cpus=2):
        port = ray.nodes()[0]["MetricsExportPort"]
        build(videos, out, settings, Options(), lambda phase, progress: None, lambda text: None)
        found = settled_series(port)
    tables = read_tables(out)
    settled = tables.query("select outcome, phase, count(*) as n from settled group by all").to_pylist()
    assert found["ray_recast_units_total"] == {(row["outcome"], row["phase"]): row["n"] for row in settled}
    dropped = "select phase, reason, count(*) as n from settled where status <> 'ok' group by all"
    reasons = {(row["phase"], row["reason"]): row["n"] for row in tables.query(dropped).to_pylist()}
    assert reasons
    assert found["ray_recast_rejects_total"] == reasons
    assert found["ray_recast_shard_bytes_total"] == {(): num_member_bytes(out)}
    assert found["ray_recast_commit_seconds_count"][()] >= len({row["phase"] for row in settled})
    for role, note in {("vlm",): "Words.called", ("embedder",): "Vectors.called"}.items():
        # What a model did in the last moment of its process is not reported: it is killed at the end of a run.
        assert 0 < found["ray_recast_model_batch_items_count"][role] <= len(noted(tmp_path, note))
        assert found["ray_recast_model_calls_total"][role] >= found["ray_recast_model_batch_items_count"][role]
        assert found["ray_recast_model_seconds_total"][role] > 0
    queues = found["ray_recast_queue_units"]  # of the last phase the last report may have been before its end
    assert {phase for phase, _ in queues} >= {"curate", "mine", "synthesize"}
    assert not any(count for (phase, _), count in queues.items() if phase != "synthesize")
    assert "ray_recast_gpu_memory_bytes" not in found  # these models are on no GPU


def settled_series(port: int) -> dict[str, Counter[tuple[str, ...]]]:
    """What is exported once it does not change any more. A gauge goes with its process: its last value counts."""
    found, deadline = scraped(port), time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        time.sleep(2)  # several reports
        again = scraped(port)
        if all(again[name] == values for name, values in found.items() if name in again):
            return found | again
        found |= again
    raise AssertionError("the series did not come to rest")


def num_member_bytes(out: Path) -> int:
    shards = [tarfile.open(path) for path in (out / "shards").glob("*.tar")]  # noqa: SIM115
    return sum(member.size for shard in shards for member in shard.getmembers())
