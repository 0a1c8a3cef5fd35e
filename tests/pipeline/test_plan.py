"""`recast plan`: which sources are built, what is read from their build, and the command itself."""

import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from synthetic_build import Build, abandon, build_over_made_up_files, leases

from cluster.sources import Listed
from pipeline import plan
from pipeline.estimate import Interval
from pipeline.plan import PAIRS_PER_SOURCE, PHASES, Chosen, Plan, SamplePlanner, choose, measure
from pipeline.plan_words import rests_on, show
from pipeline.planner import write_listing
from pipeline.session import Outcome
from pipeline.tables import read_tables
from schemas.config import EngineConfig
from schemas.errors import BadInput
from schemas.reasons import Reason
from schemas.video import Probe
from schemas.work import Phase, Unit

SECONDS = {"/a.mp4": 10.0, "/b.mp4": 20.0, "/silent.mp4": None, "/broken.mp4": BadInput(Reason.NO_VIDEO_STREAM)}


@pytest.fixture
def listing(tmp_path, monkeypatch) -> Path:
    """Sources of SECONDS of video, /b.mp4 named twice; the container of /silent.mp4 does not say."""

    def probed(path: str) -> Probe:
        found = SECONDS[path]
        if isinstance(found, BadInput):
            raise found
        return Probe(854, 480, 24.0, found, "h264")

    monkeypatch.setattr(plan, "probe", probed)
    monkeypatch.setattr(plan, "video_at", lambda path: path)
    given = [Listed(uri, f"{len(uri)}:1") for uri in SECONDS] + [Listed("/b.mp4", None)]
    write_listing(iter(given), tmp_path / "listing.parquet")
    return tmp_path / "listing.parquet"


def test_a_source_named_twice_counts_once_and_lengths_that_nobody_says_are_the_mean(listing):
    population, chosen = choose(listing, 4, seed=0)
    seconds = {uri: each.seconds for uri, each in chosen.items()}
    assert seconds == {"/a.mp4": 10.0, "/b.mp4": 20.0, "/silent.mp4": 10.0, "/broken.mp4": 0.0}
    assert len(population.sizes) == 4
    assert population.total_seconds() == 40.0
    assert {each.weight for each in chosen.values()} == {1.0}


def test_the_seed_says_which_sources_are_built(listing):
    drawn = {tuple(choose(listing, 2, seed)[1]) for seed in range(12)}
    assert len(drawn) > 1
    assert choose(listing, 2, 3)[1] == choose(listing, 2, 3)[1]


def test_of_sources_without_a_known_size_the_number_is_known(tmp_path):
    write_listing((Listed(f"s3://b/{number}.mp4", None) for number in range(5)), tmp_path / "listing.parquet")
    assert np.isnan(plan._sizes(tmp_path / "listing.parquet")).all()


# -- what is read from the build of a sample


@pytest.fixture
def build(tmp_path, monkeypatch) -> Build:
    return build_over_made_up_files(tmp_path, monkeypatch)


def synthesized(build: Build, host) -> list[Unit]:
    """Of the units that a sample's planner offers."""
    host._planner = SamplePlanner(host._ledger.tables, host._settings, host._listing_path)
    host.open_phase(Phase.SYNTHESIZE)
    found = list(leases(host))
    for unit in found:
        result = build._synthesize(unit)
        result.seconds["total"] = 3.0
        host.deliver([result])
    return found


def test_few_pairs_of_a_source_stand_for_all_of_them(build, monkeypatch):
    monkeypatch.setattr(plan, "_stored", lambda *_: {"/a": 1000, "/b": 0})
    build.write(a="footage", b="broken")
    build.found = [str(number) for number in range(5 * PAIRS_PER_SOURCE)]
    host = build.begin()
    host.open_wave(None)
    build.finish_wave(host, until=Phase.MINE)
    units = synthesized(build, host)
    host.close("finished", {})
    abandon(host)
    assert len({unit.key for unit in units}) == PAIRS_PER_SOURCE
    outcome = Outcome(num_workers=1)
    outcome.seconds.update({"total": 100.0, Phase.SYNTHESIZE: 3.0 * len(units) + 1.0})
    found = measure(build.out, outcome, EngineConfig(), {"/a": Chosen(10.0, 2.0), "/b": Chosen(0.0, 1.0)})
    a, b = found.built
    assert (a.weight, a.gave["pairs"], a.gave["samples"]) == (2.0, 5 * PAIRS_PER_SOURCE, 5 * len(units))
    assert a.seconds[Phase.SYNTHESIZE] == pytest.approx(5 * 3.0 * len(units))
    assert a.gave["bytes"] == 5000
    assert b.gave["pairs"] == b.gave["samples"] == 0
    assert found.barrier[Phase.SYNTHESIZE] == pytest.approx(1.0)


# -- the command


def interval(value: float) -> Interval:
    return Interval(value / 2, value, value * 2)


def test_a_plan_in_words_says_what_it_rests_on():
    names = ["wall_seconds", "cpu_hours", "gpu_hours", "video_hours", "bytes", "samples", "pairs", "clips"]
    names += ["rejected_clips", *(f"{phase}.wall_seconds" for phase in PHASES)]
    found = Plan(1000, 256, 24, 64, 2, 90.0, {name: interval(7200.0) for name in names})
    console = Console(width=200, record=True)
    show(found, console)
    text = console.export_text()
    assert "1,000 sources" in text
    assert "GPU-hours" in text
    assert any("64 workers are taken to be as fast as the 2" in line for line in rests_on(found))
    assert any("near-duplicates" in line for line in rests_on(found))


def test_a_sample_that_was_stopped_is_no_plan(listing, monkeypatch):
    monkeypatch.setattr(plan, "build", lambda *_, **__: Outcome(stopped="SIGINT"))
    monkeypatch.setattr(plan, "list_sources", lambda _: (Listed(uri, None) for uri in SECONDS))
    with pytest.raises(KeyboardInterrupt):
        plan.plan(["*.mp4"], None, [], 2, None, lambda *_: None, lambda _: None)


@pytest.mark.ray
def test_a_plan_from_all_sources_says_what_their_build_gave(recast, demo_videos, built):
    as_built = ("--set", "mining.max_pairs_per_clip=4")
    done = recast("plan", demo_videos, "--sample", "99", "--json", *as_built)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["num_sampled"] == found["num_sources"] == 6
    pairs = len(read_tables(built).query("select key from pairs where status = 'ok'"))
    estimates = found["estimates"]
    assert estimates["pairs"] == dict.fromkeys(("low", "mid", "high"), pytest.approx(pairs))
    assert estimates["samples"]["mid"] > 0
    assert estimates["bytes"]["mid"] > 0
    assert estimates["wall_seconds"]["mid"] > estimates["cpu_hours"]["mid"] * 3600 / found["workers"] > 0
