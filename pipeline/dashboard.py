"""The Grafana dashboard and the table of the documentation, made from the one list of metrics.

`python -m pipeline.dashboard` writes both anew after a change of pipeline/metrics.py.
"""

import json
from pathlib import Path
from typing import Any

from pipeline import metrics
from pipeline.metrics import METRICS, Metric

DOCS = Path(__file__).resolve().parent.parent / "docs"
DASHBOARD, PAGE = DOCS / "grafana-dashboard.json", DOCS / "observability.md"
BEGIN, END = "<!-- metrics: begin -->\n", "<!-- metrics: end -->\n"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT = 12, 8
OF_RUN = 'SessionName=~"$session", run=~"$run"'


def series(metric: Metric) -> str:
    return f"ray_{metric.name}"


def _rate(metric: Metric, suffix: str = "") -> str:
    return f"rate({series(metric)}{suffix}{{{OF_RUN}}}[$__rate_interval])"


def _summed(by: str, metric: Metric) -> str:
    return f"sum by ({by}) ({_rate(metric)})"


def _quantile(share: float, metric: Metric, by: str) -> str:
    return f"histogram_quantile({share}, sum by ({by}) ({_rate(metric, '_bucket')}))"


def panels() -> list[dict[str, Any]]:
    """Two in a row; each metric is shown by at least one."""
    waiting = f"sum by (phase, state) ({series(metrics.QUEUE)}{{{OF_RUN}}})"
    memory = f"max by (role, kind) ({series(metrics.GPU_MEMORY)}{{{OF_RUN}}})"
    commits = {_quantile(share, metrics.COMMIT_SECONDS, "le"): f"{share:.0%} are faster" for share in (0.5, 0.95)}
    wanted = [
        ("Units per second", "ops", {_summed("phase, outcome", metrics.UNITS): "{{phase}} {{outcome}}"}),
        ("Units by state", "short", {waiting: "{{phase}} {{state}}"}),
        ("Rejected per second, by reason", "ops", {_summed("reason", metrics.REJECTS): "{{reason}}"}),
        ("Sent back per second", "ops", {_summed("phase", metrics.RETRIES): "{{phase}}"}),
        ("Commits: seconds", "s", commits),
        ("Written to shards", "Bps", {f"sum({_rate(metrics.SHARD_BYTES)})": "all writers"}),
        ("Models computing (replicas)", "short", {_summed("role", metrics.MODEL_SECONDS): "{{role}}"}),
        ("Model calls per second", "ops", {_summed("role", metrics.MODEL_CALLS): "{{role}}"}),
        ("Items per batch, median", "short", {_quantile(0.5, metrics.MODEL_BATCH, "le, role"): "{{role}}"}),
        ("GPU memory of the fullest replica", "bytes", {memory: "{{role}} {{kind}}"}),
    ]
    return [_panel(number, *each) for number, each in enumerate(wanted)]


def _panel(number: int, title: str, unit: str, queries: dict[str, str]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": query, "legendFormat": legend}
        for index, (query, legend) in enumerate(queries.items())
    ]
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "datasource": SOURCE,
        "gridPos": {"x": WIDTH * (number % 2), "y": HEIGHT * (number // 2), "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "table", "placement": "right", "calcs": ["lastNotNull"]}},
        "targets": targets,
    }


def dashboard() -> dict[str, Any]:
    """What Grafana's import takes (schema version 39, Grafana 10 and later)."""
    return {
        "uid": "recast",
        "title": "Recast",
        "description": "Runs of recast build and recast edit, from Ray's metrics.",
        "tags": ["recast", "ray"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"},
                _choice("session", "SessionName", "Ray session"),
                _choice("run", "run", "Run"),
            ]
        },
        "annotations": {"list": []},
        "panels": panels(),
    }


def _choice(name: str, label: str, title: str) -> dict[str, Any]:
    values = f"label_values({series(metrics.QUEUE)}, {label})"
    return {
        "name": name,
        "type": "query",
        "label": title,
        "datasource": SOURCE,
        "query": {"query": values, "refId": name},
        "definition": values,
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def table() -> str:
    """The metrics as a Markdown table."""
    rows = [
        f"| `{series(metric)}` | {metric.kind} | {', '.join(f'`{tag}`' for tag in ('run', *metric.tags))} "
        f"| {metric.meaning} |"
        for metric in METRICS
    ]
    return "\n".join(["| series | kind | labels | what |", "|---|---|---|---|", *rows]) + "\n"


def as_json() -> str:
    return json.dumps(dashboard(), indent=2) + "\n"


def with_table(page: str) -> str:
    """The page with its table as it should be."""
    head, rest = page.split(BEGIN)
    return head + BEGIN + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    DASHBOARD.write_text(as_json(), "utf-8")
    PAGE.write_text(with_table(PAGE.read_text("utf-8")), "utf-8")
