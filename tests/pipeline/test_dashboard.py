"""The dashboard and the documentation say what the code counts: no more, no less."""

import json
import re
from collections import Counter

import pytest

from pipeline import dashboard
from pipeline.metrics import METRICS, STATES

SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
EXPORTED = {dashboard.series(metric) + suffix: metric for metric in METRICS for suffix in SUFFIXES[metric.kind]}
RAYS_LABELS = {"SessionName", "NodeAddress", "WorkerId"}


@pytest.fixture
def shipped() -> dict:
    return json.loads(dashboard.DASHBOARD.read_text("utf-8"))


def expressions(found: dict) -> list[str]:
    return [target["expr"] for panel in found["panels"] for target in panel["targets"]]


def wrong_series(expression: str) -> list[str]:
    """What an expression asks for that no process exports: series, or labels of a series."""
    named = re.findall(r"ray_\w+", expression)
    wrong = [name for name in named if name not in EXPORTED]
    labels = {label for name in named if name in EXPORTED for label in ("run", *EXPORTED[name].tags)} | RAYS_LABELS
    asked = set(re.findall(r"(\w+)[=!]~?\"", expression))
    asked |= {label.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(",")}
    return wrong + sorted(asked - labels - {"le"})


def test_the_files_are_what_the_list_of_metrics_makes_them():
    assert dashboard.DASHBOARD.read_text("utf-8") == dashboard.as_json(), "run `python -m pipeline.dashboard`"
    page = dashboard.PAGE.read_text("utf-8")
    assert page == dashboard.with_table(page), "run `python -m pipeline.dashboard`"


def test_every_query_asks_for_series_and_labels_that_are_exported_and_every_series_is_shown(shipped):
    assert {each: wrong for each in expressions(shipped) if (wrong := wrong_series(each))} == {}
    shown = {EXPORTED[name].name for each in expressions(shipped) for name in re.findall(r"ray_\w+", each)}
    assert shown == {metric.name for metric in METRICS}
    for legend in (target["legendFormat"] for panel in shipped["panels"] for target in panel["targets"]):
        assert set(re.findall(r"{{(\w+)}}", legend)) <= {tag for metric in METRICS for tag in metric.tags}


def test_a_query_for_what_nobody_exports_is_found():
    assert wrong_series('rate(ray_recast_units_total{run=~"$run"}[1m])') == []
    assert wrong_series("rate(ray_recast_unit_total[1m])") == ["ray_recast_unit_total"]
    assert wrong_series("ray_recast_commit_seconds") == ["ray_recast_commit_seconds"]  # a histogram has no such series
    assert wrong_series('sum by (role) (ray_recast_queue_units{phase="mine"})') == ["role"]


def test_it_has_what_an_import_needs(shipped):
    assert shipped.keys() >= {"title", "uid", "schemaVersion", "panels", "templating", "time"}
    assert "id" not in shipped, "Grafana gives ids; an import with one overwrites a stranger's"
    ids = Counter(panel["id"] for panel in shipped["panels"])
    assert set(ids.values()) == {1}
    variables = {variable["name"] for variable in shipped["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(shipped["panels"])))
    assert used == variables
    taken = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in shipped["panels"]
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken)), "panels lie on each other"
    assert max(x for x, _ in taken) < 24
    for panel in shipped["panels"]:
        assert panel["title"]
        assert panel["type"] == "timeseries"
        references = [target["refId"] for target in panel["targets"]]
        assert len(references) == len(set(references))


def test_the_states_of_the_queue_are_those_that_the_ledger_reports():
    from pipeline.leases import LeaseQueue, OpenPhase

    reported = OpenPhase(LeaseQueue(iter([]), 1, {}), "", 1).progress()
    assert set(STATES) <= reported.keys()
