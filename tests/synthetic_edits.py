"""Edits without Ray: the real ledger, planner and steps over tiny clips with known truth. Not a test itself."""

import itertools
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from synthetic_footage import LEFT, RIGHT, write_clip

from actors.oracle import oracle_profile, truth_of
from actors.profiles import Roles
from pipeline.edit import STEPS
from pipeline.edit_jobs import jobs_of
from pipeline.edit_planner import EditPlanner, write_jobs
from pipeline.edit_results import results
from pipeline.edit_rows import JOB, stamp_of_job
from pipeline.engine import attempt
from pipeline.host import LedgerHost
from pipeline.settings import Settings, resolve
from pipeline.tables import read_tables
from schemas.edit import EditJob
from schemas.work import EDIT_PHASES, Phase, Result, Unit
from stages.edit_grammar import parse_prompts

TINY = {
    "editing.format": '"ffv1"',
    "edit_thresholds.max_warping_ratio": "9",  # of a shape of 20 px optical flow tells little
    "edit_thresholds.min_motion": "0.1",
    # FFV1 does not say where its colours were sampled: read back they are half a pixel off.
    "edit_thresholds.min_background_psnr": "35",
}


def write_two_clips(folder: Path) -> Path:
    """One subject in `one`, two in `two`."""
    write_clip(folder, "one", (LEFT,), 9)
    write_clip(folder, "two", (LEFT, RIGHT), 9)
    return folder


class Edits:
    """An output and the clips it is edited from; `footage` has been written with tests/synthetic_footage.py."""

    def __init__(self, folder: Path, footage: Path) -> None:
        self.out, self.footage, self._folder = folder / "out", footage, folder
        self.worked: list[Unit] = []
        self.roles: dict[str, Any] = {}  # in place of the profile's
        self._numbers = itertools.count(1)

    @cached_property
    def profile(self) -> Path:
        """The oracle of this footage, as a file, so that recast.json names it."""
        truth_of.cache_clear()
        path = self._folder / "oracle.toml"
        lines = ['name = "oracle"']
        for name, role in oracle_profile(self.footage).roles.items():
            options = ", ".join(f'{key} = "{value}"' for key, value in role.options.items() if key == "truth")
            lines += [f"[roles.{name}]", f'implementation = "{role.implementation}"', f"options = {{ {options} }}"]
        lines += ["[settings.edit_thresholds]", "min_count_share = 0.0"]
        path.write_text("\n".join(lines) + "\n")
        return path

    def settings(self, **assignments: Any) -> Settings:
        chosen = TINY | {name.replace("__", "."): str(value) for name, value in assignments.items()}
        return resolve(self.out, str(self.profile), [f"{name}={value}" for name, value in chosen.items()])

    def jobs(self, *names: str, prompts: Sequence[str] = ("[bear on the left -> gorilla]",)) -> list[EditJob]:
        return list(jobs_of(parse_prompts(list(prompts)), [str(self.footage / f"{name}.mp4") for name in names]))

    def begin(self, jobs: Sequence[EditJob], **assignments: Any) -> LedgerHost:
        number = next(self._numbers)
        listing = self._folder / f"listing{number}.parquet"
        self.keys = write_jobs(map(listed, jobs), listing)
        settings = self.settings(**assignments)
        host = LedgerHost(str(self.out), settings, f"run{number}", str(listing), 0, 1, EditPlanner)
        host.take_over()
        return host

    def run(self, jobs: Sequence[EditJob], phases: Sequence[Phase] = EDIT_PHASES, **assignments: Any) -> dict[str, int]:
        """A whole run, in the order of pipeline/edit.py. How many units each phase worked on."""
        host = self.begin(jobs, **assignments)
        before = len(self.worked)
        try:
            for phase in phases:
                if phase is Phase.EDIT:
                    host.rejudge_edits()
                host.open_phase(phase)
                self.work(host, phase)
                host.record_dead_jobs()
            host.close("finished", {})
        finally:
            host._ledger.abandon()
        done = [str(unit.phase) for unit in self.worked[before:]]
        return {phase: done.count(phase) for phase in sorted(set(done))}

    def work(self, host: LedgerHost, phase: Phase) -> None:
        step = partial(attempt, self.step(phase, host._settings))
        while units := host.lease(10):
            host.start(phase, [(unit.id, unit.attempt, unit.num_deliveries) for unit in units])
            for unit in units:
                self.worked.append(unit)
                host.deliver([step(unit)])

    def step(self, phase: Phase, settings: Settings) -> Any:
        roles = Roles(settings.profile)
        roles.__dict__.update(self.roles)
        return STEPS[phase](roles, settings.config)

    def vlm(self) -> Any:
        """The oracle's."""
        return Roles(self.settings().profile).vlm

    # -- what came of it

    def entries(self) -> dict[str, dict[str, Any]]:
        return {entry["name"]: entry for entry in results(self.out)}

    def rows(self, table: str) -> list[dict[str, Any]]:
        return read_tables(self.out).rows(table)

    def one(self, job: EditJob, **assignments: Any) -> tuple[Result, Result | None]:
        """A job through both steps alone, without a ledger: what aligning gave, and editing if it came to that."""
        aligned = self.aligned(job, **assignments)
        if aligned.reason is not None:
            return aligned, None
        payload = {**aligned.rows["jobs"][0], "path": job.source, "out": str(self.out), "verdict_fingerprint": "v"}
        return aligned, attempt(
            self.step(Phase.EDIT, self.settings(**assignments)), Unit(Phase.EDIT, "job", payload=payload)
        )

    def aligned(self, job: EditJob, **assignments: Any) -> Result:
        row = {**listed(job), "path": job.source, "out": str(self.out), "seen_hash": None}
        step = self.step(Phase.ALIGN, self.settings(**assignments))
        return attempt(step, Unit(Phase.ALIGN, "job", payload=row))


def listed(job: EditJob) -> dict[str, str | None]:
    request = JOB.dump_json(job).decode()
    return {"uri": job.source, "stamp": stamp_of_job(job), "name": job.name, "request": request}
