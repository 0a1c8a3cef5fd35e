"""The two actors that own state: one holds the ledger (the only process that writes tables), the others hold tars."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray

from cluster.local import die_with_parent
from pipeline.edit_planner import EditPlanner
from pipeline.ledger import Ledger
from pipeline.live import Pace
from pipeline.metrics import SHARD_BYTES, LedgerMetrics, instrument
from pipeline.planner import Planner
from pipeline.reconcile import cascade, reconcile, record_dead_jobs, record_dead_sources, remove_missing
from pipeline.rejudge import rejudge_edits
from pipeline.settings import Settings
from pipeline.writer import ShardWriter
from schemas.config import EngineConfig
from schemas.errors import RecastError, UserError
from schemas.work import Phase, Result, Unit

TAKEOVER_SECONDS = 15.0
"""How long the processes of a run that was killed may take to die before their lock counts as held."""


class SessionLost(Exception):
    """The run must begin a new session; nothing committed is lost."""


class LedgerHost:
    """A ledger, and the planner that feeds it. Every method runs alone: the actor is its lock.

    What goes wrong here ends the run, whoever asked: the first error is kept and `pulse` tells the driver.
    """

    def __init__(
        self,
        out: str,
        settings: Settings,
        run_id: str,
        listing: str,
        driver_pid: int,
        num_workers: int,
        planner: type[Planner | EditPlanner],
    ) -> None:
        self._settings = settings
        self._make_planner = planner
        self._fatal: BaseException | None = None
        self._stopping = False
        self._num_workers = num_workers
        self._begun = False
        self._metrics = LedgerMetrics(run_id)
        self._pace = Pace(num_workers)
        self._phase: Phase | None = None
        self._phase_over = False
        self._finished = False
        self._arguments = (out, settings, run_id, driver_pid)
        self._listing = f"read_parquet('{listing}')"
        self._listing_path = Path(listing)
        self._waves: Any = None
        self._events: list[dict[str, Any]] = []  # since the last pulse

    def take_over(self) -> int:
        """Take the output over; returns the epoch. Not part of construction, since Ray keeps only the text of what an
        actor's constructor raises, and who holds the output is a UserError."""
        self._ledger = _take_over(*self._arguments, self._tell)
        self._planner: Any = self._make_planner(self._ledger.tables, self._settings, self._listing_path)
        return self._ledger.epoch

    def die_with_driver(self) -> None:
        """An orphan would hold the output's lock."""
        die_with_parent()

    def stale(self) -> dict[str, int]:
        return self._planner.stale()

    # -- waves and phases, asked by the driver

    def open_wave(self, limit: int | None) -> bool:
        """Open the curation of the next wave; False when there is none."""
        if self._waves is None:
            self._generation = self._planner.generation()
            self._pace.num_sources = self._planner.num_pending_sources(limit)
            self._waves = self._planner.waves(limit)
        else:
            self._generation += 1
        wave = next(self._waves, None)
        if wave is None:
            return False
        self._pace.wave_opened(len(wave))
        self._open(Phase.CURATE, iter([wave] if wave else []))
        return True

    def open_phase(self, phase: Phase) -> None:
        self._open(phase, getattr(self._planner, phase.value)())

    def _open(self, phase: Phase, pages: Any) -> None:
        config = self._settings.config
        attempts = {Phase.SYNTHESIZE: config.synthesis.max_attempts, Phase.EDIT: config.editing.max_attempts}
        fingerprint = self._settings.fingerprints[phase]
        self._metrics.update(self._ledger.progress()["phases"])
        self._metrics.opened(str(phase))
        # Said here, at once: a source that polls may have taken every unit before the driver asks what waits.
        self._phase_over = not self._ledger.open_phase(
            phase, pages, fingerprint, attempts.get(phase, 1), self._num_workers
        )
        self._phase = phase
        self._pace.phase_opened(phase)

    def missing(self) -> tuple[int, int]:
        """How many known sources are not listed any more, of how many."""
        rows = self._ledger.tables.query(
            f"""select count(*) filter (where not exists (select 1 from {self._listing} l where l.key = s.key)) as gone,
                count(*) as known from sources s where s.status <> 'removed'"""
        ).to_pylist()
        return rows[0]["gone"], rows[0]["known"]

    def remove_missing(self) -> int:
        return remove_missing(self._ledger, self._listing)

    def reconcile(self) -> dict[str, int]:
        def everything() -> dict[str, int]:
            record_dead_sources(self._ledger, self._listing, self._generation)
            return reconcile(self._ledger, self._settings)

        return self._guarded(everything)

    def record_dead_jobs(self) -> int:
        return self._guarded(lambda: record_dead_jobs(self._ledger, self._listing))

    def rejudge_edits(self) -> int:
        return self._guarded(lambda: rejudge_edits(self._ledger, self._settings, self._listing))

    def cascade(self) -> None:
        self._guarded(lambda: cascade(self._ledger))

    def close_wave(self) -> None:
        self._guarded(lambda: self._ledger.record("wave_closed", self._generation, {}))
        self._pace.wave_closed()

    # -- the lease protocol, asked by sources, workers and writers

    def lease(self, max_units: int) -> list[Unit] | None:
        """Units of the open phase; [] = nothing now, ask again; None = the run is over."""
        if self._fatal or self._finished:
            return None
        if self._phase is None or self._phase_over:
            return []
        phase = self._phase
        units = self._guarded(lambda: self._ledger.lease(phase, min(max_units, self._ledger.num_fitting(phase))))
        self._phase_over = units is None
        return units or []

    def source_begins(self) -> None:
        """Called once. A second call means that the source's process died and Ray replays it: leases it had taken are
        lost in the replay, so the session starts anew from what is committed."""
        if self._begun:
            self._fatal = self._fatal or SessionLost("the process that hands out work died")
        self._begun = True

    def start(self, phase: Phase, ids: list[tuple[str, int]]) -> list[bool]:
        if self._fatal or self._stopping:
            return [False] * len(ids)
        return self._guarded(lambda: self._ledger.start(phase, ids))

    def deliver(self, results: list[Result]) -> None:
        if not self._fatal:
            self._guarded(lambda: self._ledger.deliver(results))

    def handed_over(self, ids: list[str], writer: str) -> None:
        self._ledger.handed_over(ids, writer)

    def writer_lost(self, writer: str) -> None:
        self._ledger.writer_lost(writer)

    # -- watched over by the driver

    def pulse(self) -> dict[str, Any]:
        """Commit what is due; say how far things are. Raises what went wrong in any call since."""
        if self._fatal is None:
            self._guarded(self._ledger.tick)
        if self._fatal is not None:
            raise self._fatal
        progress = self._ledger.progress()
        self._metrics.update(progress["phases"])
        if not self._phase_over and (note := self._pace.note(progress["phases"])):
            self._guarded(lambda: self._ledger.record("progress", None, note))
        events, self._events = self._events, []
        return {**progress, "over": self._phase_over, "events": events}

    def fail(self, message: str, is_mistake: bool) -> None:
        """A worker cannot go on: the settings ask for something that is not there, or there is a bug."""
        self._fatal = self._fatal or (UserError(message) if is_mistake else RuntimeError(message))

    def stop(self) -> None:
        """No new work: leases that have not been started lapse, to be planned again by the next run."""
        self._stopping = self._finished = True
        self._ledger.stop()

    def _tell(self, event: str, **fields: Any) -> None:
        self._events.append({"event": event, **fields})
        if event == "committed":
            self._metrics.committed(fields["seconds"])

    def finish(self) -> None:
        """No phase will follow: the source may end."""
        self._finished = True

    def close(self, event: str, detail: dict[str, Any]) -> None:
        self._ledger.close(event, detail)

    def _guarded(self, call: Any) -> Any:
        try:
            return call()
        except BaseException as error:
            self._fatal = self._fatal or error
            raise


class WriterHost:
    """A shard writer. A new life of the actor first tells the ledger that the old one's unsealed bytes are lost."""

    def __init__(self, out: str, name: str, config: EngineConfig, epoch: int, ledger: str, run_id: str) -> None:
        die_with_parent()
        self._name = name
        self._ledger: Any = ray.get_actor(ledger)
        ray.get(self._ledger.writer_lost.remote(name))
        self._writer = ShardWriter(out, name, config, epoch, self._sealed)
        self._bytes, self._num_counted = instrument(SHARD_BYTES, run_id), 0

    def _sealed(self, results: list[Result]) -> None:
        self._bytes.inc(self._writer.num_bytes_sealed - self._num_counted)
        self._num_counted = self._writer.num_bytes_sealed
        ray.get(self._ledger.deliver.remote(results))

    def put(self, results: list[Result]) -> None:
        self._writer.put(results)
        ray.get(self._ledger.handed_over.remote([result.id for result in results], self._name))

    def tick(self) -> None:
        self._writer.tick()

    def seal(self) -> None:
        self._writer.seal()


def _take_over(out: str, settings: Settings, run_id: str, driver_pid: int, tell: Callable[..., None]) -> Ledger:
    """Take the output over. A run that was killed a moment ago may still be dying: its lock is waited for."""
    deadline = time.monotonic() + TAKEOVER_SECONDS
    while True:
        try:
            return Ledger(out, settings.config.engine, run_id, driver_pid=driver_pid, tell=tell)
        except UserError as error:
            if time.monotonic() > deadline or not _dying(error):
                raise
            time.sleep(0.5)


def _dying(error: RecastError) -> bool:
    """Whether the lock's holder belongs to a driver that is gone."""
    pid = getattr(error, "driver_pid", None)
    return pid is not None and not os.path.exists(f"/proc/{pid}")
