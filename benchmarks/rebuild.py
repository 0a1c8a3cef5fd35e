"""What a rebuild does, counted: units worked on per phase, requests for the bytes of sources, what changed.

    python benchmarks/rebuild.py VIDEOS [--number 20] [--json FILE]

Sources and output are on an S3 server on this machine, behind a proxy that counts (tests/faulty_s3.py). VIDEOS is a
folder; its first clips by name are taken, the last of them as the new one, and the one after as what replaces another.
Exit 1 when a step did other work than it should.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from deltalake import DeltaTable
from faulty_s3 import FaultyS3, serving

from cluster import s3
from cluster.folder import output_folder
from pipeline.tables import read_tables

ROOT = Path(__file__).resolve().parents[1]
SOURCES, OUT = "s3://films/videos/", "s3://films/sets/one"
SMALL = ("--set", "mining.max_pairs_per_clip=1")
OK_SAMPLES = "samples where status = 'ok'"
Units = dict[str, dict[str, int]]


@dataclass
class Step:
    """A rebuild and what it did. bodies: requests for the bytes of sources."""

    what: str
    exit_code: int
    bodies: int
    units: Units
    changed: dict[str, int]
    good: bool
    says: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


class Dataset:
    def __init__(self, server: FaultyS3) -> None:
        self._server = server
        self.steps: list[Step] = []

    def build(self, what: str, expected: Callable[[Step], bool], *options: str, source: str = SOURCES) -> Step:
        """One `recast build`, its work counted and held against what is expected of it."""
        self._server.forget()
        done = subprocess.run(command(source, *options), capture_output=True, text=True, check=False, cwd=ROOT)
        run = json.loads(done.stdout)["this_run"] if done.stdout else {"counts": {}, "changed": {}}
        bodies = self._server.count("GET", "/films/videos/")
        says = done.stderr.strip().splitlines()[-1] if done.returncode else ""
        step = Step(what, done.returncode, bodies, run["counts"], run["changed"], False, says)
        step.good = expected(step)
        self.steps.append(step)
        print(f"{'ok ' if step.good else 'NOT'} {what}: {done.returncode}, {bodies} bodies, {step.units}", flush=True)
        return step

    def samples(self) -> dict[str, list[str]]:
        rows = read_tables(OUT).query("select key, member_sha256 from samples where status = 'ok'").to_pylist()
        return {row["key"]: row["member_sha256"] for row in rows}

    def samples_of(self, uri: str, status: str) -> int:
        return self.count(f"samples where source_uri = '{uri}' and status = '{status}'")

    def count(self, sql: str) -> int:
        return int(read_tables(OUT).query(f"select count(*) as n from {sql}")["n"][0].as_py())


def command(source: str, *options: str) -> list[str]:
    cli = [sys.executable, "-c", "from pipeline.cli import main; main()"]
    return [*cli, "build", source, "--out", OUT, "--json", *SMALL, *options]


def did(step: Step) -> int:
    return sum(sum(outcomes.values()) for outcomes in step.units.values())


def curated(step: Step) -> int:
    return sum(step.units.get("curate", {}).values())


def only(*phases: str) -> Callable[[Step], bool]:
    return lambda step: step.exit_code == 0 and set(step.units) <= set(phases) and step.bodies == 0


def nothing(step: Step) -> bool:
    return step.exit_code == 0 and not did(step) and step.bodies == 0


def refused(step: Step) -> bool:
    return step.exit_code == 2 and not did(step)


def one_source(step: Step) -> bool:
    return step.exit_code == 0 and curated(step) == 1


def sources(dataset: Dataset, clips: list[Path], other: Path) -> None:
    """New, replaced, removed. other: what replaces one of the clips."""
    name = {clip: f"{SOURCES}{clip.name}" for clip in clips}
    dataset.build(f"{len(clips) - 1} sources", lambda step: step.exit_code == 0 and curated(step) == len(clips) - 1)
    dataset.build("nothing changed", nothing)
    s3.upload(clips[-1], name[clips[-1]])
    dataset.build(f"1 new of {len(clips)}", one_source)
    replaced, gone = [clip for clip in clips if dataset.samples_of(name[clip], "ok")][:2]
    before = dataset.samples_of(name[replaced], "ok")
    s3.upload(other, name[replaced])
    step = dataset.build("1 replaced under its name", one_source)
    step.facts = {"its samples before": before, "of these now removed": dataset.samples_of(name[replaced], "removed")}
    step.good &= step.facts["of these now removed"] == before
    s3.delete([name[gone]])
    dataset.build("1 gone, without --sync", nothing)
    dataset.build("a prefix that is not there, with --sync", refused, "--sync", "--yes", source="s3://films/gone/")
    options = output_folder(OUT).delta_options
    old, before = DeltaTable(f"{OUT}/tables/samples", storage_options=options).version(), dataset.count(OK_SAMPLES)
    step = dataset.build("--sync", lambda step: step.exit_code == 0 and not did(step), "--sync", "--yes")
    then = DeltaTable(f"{OUT}/tables/samples", version=old, storage_options=options)
    step.facts = {
        "its samples ok": dataset.samples_of(name[gone], "ok"),
        "its samples removed": dataset.samples_of(name[gone], "removed"),
        "samples ok in the version before": then.to_pyarrow_table(columns=["status"])["status"].to_pylist().count("ok"),
    }
    step.good &= not step.facts["its samples ok"] and step.facts["its samples removed"] > 0
    step.good &= step.facts["samples ok in the version before"] == before


def settings(dataset: Dataset) -> None:
    """A threshold, the captions, a model."""
    before = dataset.samples()
    stricter = ("--set", "curation_thresholds.min_sharpness=1.0")
    dataset.build("a threshold that nothing passes", only(), *stricter)
    step = dataset.build("the threshold as it was", only(), "--set", "curation_thresholds.min_sharpness=0.06")
    step.good &= dataset.samples() == before
    english = ("--set", 'captions.languages=["en"]')
    step = dataset.build("captions in other languages", only("caption"), *english)
    step.good &= {key: each[:-1] for key, each in dataset.samples().items()} == {
        key: each[:-1] for key, each in before.items()
    }
    editor = ("--set", "roles.image_editor.revision=two")
    step = dataset.build(
        "another revision of the image editor", lambda step: step.exit_code == 0 and not curated(step), *editor
    )
    step.good &= "mine" not in step.units and bool(step.units.get("synthesize"))
    quality = ("--set", "roles.quality.revision=two")
    dataset.build(
        "another revision of the quality model", lambda step: step.exit_code == 0 and curated(step) > 1, *quality
    )


def overlapping(dataset: Dataset) -> None:
    """Two at the same moment, with work to do."""
    both = [
        subprocess.Popen(
            command(SOURCES, "--set", "roles.image_editor.revision=three"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for _ in range(2)
    ]
    ends = [(run.communicate(), run.returncode) for run in both]
    codes = sorted(code for _, code in ends)
    says = next((said[1].strip().splitlines()[-1] for said, code in ends if code), "")
    twice = dataset.count("(select key from samples group by key having count(*) > 1)")
    step = Step("two at once", codes[-1], 0, {}, {}, codes == [0, 2] and not twice, says, {"exit codes": codes})
    dataset.steps.append(step)
    print(step, flush=True)
    dataset.build("and then nothing is left to do", nothing)


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("videos", type=Path)
    arguments.add_argument("--number", type=int, default=20)
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    clips = sorted(each for each in given.videos.iterdir() if each.suffix == ".mp4")[: given.number + 1]
    *clips, other = clips
    with serving() as server, tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for clip in clips[:-1]:
            s3.upload(clip, f"{SOURCES}{clip.name}")
        dataset = Dataset(server)
        sources(dataset, clips, other)
        settings(dataset)
        overlapping(dataset)
    if given.json:
        given.json.write_text(json.dumps([asdict(step) for step in dataset.steps], indent=2))
    sys.exit(not all(step.good for step in dataset.steps))


if __name__ == "__main__":
    main()
