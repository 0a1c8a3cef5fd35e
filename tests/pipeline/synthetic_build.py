"""Builds without Ray, video or models: the real ledger, planner, decisions and curation step over made-up files, with
stand-ins for what decodes, mines and synthesises. Not a test itself."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.sources import Listed
from pipeline import curate
from pipeline.engine import attempt
from pipeline.host import LedgerHost
from pipeline.planner import Planner, write_listing
from pipeline.settings import resolve
from pipeline.tables import read_tables
from schemas.errors import BadInput
from schemas.keys import digest, sample_key, source_key
from schemas.reasons import Reason
from schemas.video import Probe, Shot
from schemas.work import Phase, Result, Unit
from stages.curation import Measured, MeasuredShot

GOOD = {"brightness": 0.5, "contrast": 0.2, "sharpness": 0.5, "noise": 0.0, "chroma_noise": 0.0, "blockiness": 0.0,
        "motion": 0.5, "text": 0.0, "still_share": 0.0, "quality": 0.9, "content_short_side_px": 480.0}  # fmt: skip
VIEW = {"frame": 3, "seconds": 0.1, "score": 0.9, "mask": {"size": [1, 1], "counts": "01"}, "embedding": b"\x00\x3c"}
PASSING = {"identity": 0.95, "copy_ncc": 0.5, "background_inliers": 0.0, "vlm_score": 1.0}
FRAME_PX = 854 * 480

Step = Callable[[Unit], Result]


def in_key_order(*names: str) -> list[str]:
    """The order in which waves take sources."""
    return sorted(names, key=source_key)


class Disk:
    """Files by uri. Their text is "footage", or "footage|how it is stored": equal footage is a near-duplicate. A text
    with "broken" is no video, with "cuts" has two shots, with "bug" makes the decoder fail, with "damaged" ends
    early."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.decoded: list[str] = []
        self.categories: dict[str, str] = {}  # what sidecars say
        self._stamps: dict[str, int] = {}

    def write(self, uri: str, text: str) -> None:
        """Also with the same text: a touched file."""
        self.files[uri] = text
        self._stamps[uri] = self._stamps.get(uri, 0) + 1

    def listed(self, uri: str) -> Listed:
        return Listed(uri, str(self._stamps[uri]) if uri in self.files else "")

    def content_hash(self, path: str) -> str:
        if path not in self.files:
            raise BadInput(Reason.MISSING)
        return digest(self.files[path])

    def measure(self, path: str, config: Any, _score: Any) -> Measured:
        text = self.files[path]
        self.decoded.append(path)
        if "bug" in text:
            raise RuntimeError("a bug")
        if "broken" in text:
            raise BadInput(Reason.NO_VIDEO_STREAM)
        if config.max_frame_px < FRAME_PX:
            raise BadInput(Reason.TOO_LARGE)
        picture = digest("picture", text.partition("|")[0])[:16]
        shots = [MeasuredShot(Shot(0, 90, 0.0, 3.75), GOOD, [picture], (0, 0, 854, 480))]
        if "cuts" in text:
            other = digest("other picture", text.partition("|")[0])[:16]
            shots.append(MeasuredShot(Shot(90, 180, 3.75, 7.5), GOOD, [other], (0, 0, 854, 480)))
        damage = BadInput(Reason.DECODE_ERROR, "ends early") if "damaged" in text else None
        return Measured(Probe(854, 480, 24.0, 3.75, "h264"), 90 * len(shots), shots, damage)


class Build:
    """An output and the files it is made of. `sources`: what the command line would name, listed or not there."""

    def __init__(self, out: Path, disk: Disk) -> None:
        self.out, self.disk = out, disk
        self.sources: list[str] = []
        self.found = ["p"]  # the pairs mining finds in a clip
        self.mined: list[dict[str, Any]] = []  # payloads
        self.subjects: list[str] = []  # the identities mining finds in a clip
        self.linked: list[Unit] = []
        self.synthesized: list[Unit] = []
        self._num_runs = 0

    def write(self, **texts: str) -> None:
        for name, text in texts.items():
            self.disk.write(f"/{name}", text)
            self.sources = sorted({*self.sources, f"/{name}"})

    def begin(self, *assignments: str, num_workers: int = 1) -> LedgerHost:
        self._num_runs += 1
        listing = self.out.parent / f"listing{self._num_runs}.parquet"
        write_listing(map(self.disk.listed, self.sources), listing)
        settings = resolve(self.out, "embedded", list(assignments))
        host = LedgerHost(str(self.out), settings, f"run{self._num_runs}", str(listing), 0, num_workers, Planner)
        host.take_over()
        return host

    def run(self, *assignments: str, sync: bool = False) -> None:
        """A whole build, in the order of pipeline/build.py."""
        host = self.begin(*assignments)
        if sync:
            host.remove_missing()
        try:
            while host.open_wave(None):
                self.finish_wave(host)
            host.close("finished", {})
        finally:
            abandon(host)

    def finish_wave(self, host: LedgerHost, until: Phase = Phase.SYNTHESIZE) -> None:
        self.curate(host)
        host.open_phase(Phase.MINE)
        work(host, self._mine)
        host.open_phase(Phase.LINK)
        work(host, self._link)
        host.cascade()
        if until is Phase.MINE:
            return
        host.open_phase(Phase.SYNTHESIZE)
        work(host, self._synthesize)
        host.close_wave()

    def curate(self, host: LedgerHost) -> None:
        self.curate_only(host)
        host.reconcile()

    def curate_only(self, host: LedgerHost) -> None:
        work(host, self.curation_of(host))

    def curation_of(self, host: LedgerHost) -> Step:
        roles = SimpleNamespace(quality=SimpleNamespace(score=None))
        return partial(attempt, curate.CurateSource(roles, host._settings.config))

    def _mine(self, unit: Unit) -> Result:
        self.mined.append(unit.payload)
        copied = {name: unit.payload[name] for name in ("content_hash", "source_uri", "generation")}
        spans = {"frame_a": 0, "frame_b": 1, "seconds_a": 0.0, "seconds_b": 0.1}
        spans |= {"subjects": [{"category": unit.payload["category"]}]}
        clips = {"clip_key": unit.key, "clip_key_b": unit.key}
        rows = [{"key": digest("pair", unit.key, name)} | clips | copied | spans for name in self.found]
        seen = [
            {
                "key": digest("subject", unit.key, name),
                "clip_key": unit.key,
                "content_hash": unit.payload["content_hash"],
                "identity": name,
                "category": "subject",
                "views": [VIEW],
            }
            for name in self.subjects
        ]
        return Result(Phase.MINE, unit.key, rows={"pairs": rows, "subjects": seen})

    def _link(self, unit: Unit) -> Result:
        """The first subject of the first clip returns in the last one."""
        self.linked.append(unit)
        clips = [row["clip_key"] for row in unit.payload["subjects"]]
        if len(set(clips)) < 2:
            return Result(Phase.LINK, unit.key)
        copied = {name: unit.payload[name] for name in ("content_hash", "source_uri", "generation")}
        spans = {"frame_a": 0, "frame_b": 100, "seconds_a": 0.0, "seconds_b": 4.0, "subjects": []}
        row = {"key": digest("pair", clips[0], clips[-1]), "clip_key": clips[0], "clip_key_b": clips[-1]}
        return Result(Phase.LINK, unit.key, rows={"pairs": [row | copied | spans]})

    def _synthesize(self, unit: Unit) -> Result:
        self.synthesized.append(unit)
        sample = {"key": sample_key(unit.key, unit.task), "pair_key": unit.key, "shard": "shards/a.tar"}
        sample |= {name: unit.payload[name] for name in ("source_uri", "caption_fingerprint")}
        tried = {"verdict": PASSING, "decision": unit.payload["verdict_fingerprint"]}
        rows = {"attempts": [tried], "samples": [sample]}
        return Result(Phase.SYNTHESIZE, unit.key, unit.task, unit.attempt, rows=rows)

    # -- what came of it

    def rows(self, table: str) -> list[dict[str, Any]]:
        return read_tables(self.out).rows(table)

    def verdicts(self, table: str, name: str = "source_uri") -> dict[str, tuple[str, str | None]]:
        """Status and reason of every row, by the source it is from."""
        return {row[name]: (row["status"], row["reason"]) for row in self.rows(table)}

    def living(self, table: str) -> dict[str, int]:
        """How many rows are ok, by content, or by source where a table names no content."""
        counts: dict[str, int] = {}
        for row in self.rows(table):
            if row["status"] == "ok":
                name = row["content_hash"] or row["source_uri"]
                counts[name] = counts.get(name, 0) + 1
        return counts


def leases(host: LedgerHost) -> Iterator[Unit]:
    """All units of the open phase, each started; whoever asks settles them or leaves them."""
    while units := host.lease(10):
        host.start(units[0].phase, [(unit.id, unit.attempt, unit.num_deliveries) for unit in units])
        yield from units


def work(host: LedgerHost, step: Step) -> None:
    for unit in leases(host):
        host.deliver([step(unit)])


def abandon(host: LedgerHost) -> None:
    """What the end of the process would do."""
    host._ledger.abandon()


def build_over_made_up_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    folder.mkdir(exist_ok=True)
    disk = Disk()
    monkeypatch.setattr(curate, "content_hash", disk.content_hash)
    monkeypatch.setattr(curate, "category_of", lambda path: disk.categories.get(path, ""))
    monkeypatch.setattr(curate.curation, "measure", disk.measure)
    return Build(folder / "out", disk)
