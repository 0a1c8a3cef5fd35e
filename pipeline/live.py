"""How far a run in progress is: what its ledger notes in `runs`, and what another machine makes of that.

Reads tables and the lock's announcement, takes no lock and writes nothing, so it disturbs no run.
"""

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.lock import died_here, owner_of
from pipeline.tables import Snapshot
from schemas.work import Phase

NOTE_SECONDS = 30.0
"""Between two notes: each is a commit to `runs`."""

SILENT_SECONDS = 4 * NOTE_SECONDS
_GOING = ("started", "wave_closed", "progress")
"""The events of a run that has not ended."""


class Pace:
    """What the ledger's process notes. num_sources: pending when the run began, 0 where it has none to count;
    clock: monotonic seconds."""

    def __init__(self, num_workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._num_workers = num_workers
        self._began = self._noted = clock()
        self._opened: tuple[Phase, float] | None = None
        self.num_sources = 0
        self._in_wave = self._num_done = 0

    def wave_opened(self, num_sources: int) -> None:
        self._in_wave = num_sources

    def wave_closed(self) -> None:
        self._num_done += self._in_wave

    def phase_opened(self, phase: Phase) -> None:
        self._opened = phase, self._clock()

    def note(self, phases: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
        """Of the open phase, if one is due. phases: `Ledger.progress()["phases"]`."""
        if self._opened is None or self._clock() - self._noted < NOTE_SECONDS:
            return None
        self._noted = self._clock()
        phase, since = self._opened
        found = phases[str(phase)]
        return {
            "phase": str(phase),
            "phase_seconds": round(self._noted - since, 1),
            "settled": sum(found["outcomes"].values()),
            "waiting": sum(found[state] for state in ("queued", "leased", "handed")),
            "planned": found["planned"],  # else there is more to come than waits in memory
            "run_seconds": round(self._noted - self._began, 1),
            "sources": self.num_sources,
            "sources_done": self._num_done,  # of closed waves
            "workers": self._num_workers,
        }


def live(tables: Snapshot, moment: datetime | None = None) -> dict[str, Any] | None:
    """The run in progress, None when the latest one has ended (JSON).

    state: running; silent: nothing was heard of it for SILENT_SECONDS, so it may have died; died: its process is gone,
    which is known on its own machine and of a lease that was given back. owner: as the lock announces it. Seconds left
    are null where nothing says: of the phase before anything settled or while units are still being looked for, of the
    run before a wave was closed. moment: now, by this machine's clock.
    """
    runs = tables.query(
        "select run_id, event, created_at, detail from runs where epoch = (select max(epoch) from runs)"
        " order by created_at"
    ).to_pylist()
    if not runs or any(row["event"] not in _GOING for row in runs):
        return None
    run_id = runs[0]["run_id"]
    committed = tables.query("select max(created_at) as at from settled where run_id = ?", [run_id])["at"][0].as_py()
    heard = max([runs[-1]["created_at"], *([committed] if committed else [])])
    silence = max((moment or datetime.now(UTC)) - heard, timedelta()).total_seconds()
    owner = owner_of(tables.root)
    dead = bool(owner.get("released")) or died_here(owner)
    note = next((row for row in reversed(runs) if row["event"] == "progress"), None)
    return {
        "run_id": run_id,
        "state": "died" if dead else "silent" if silence > SILENT_SECONDS else "running",
        "since": runs[0]["created_at"].isoformat(),
        "heard_seconds_ago": round(silence, 1),
        "owner": {name: owner.get(name) for name in ("pid", "host", "command")},
        "waves_closed": sum(row["event"] == "wave_closed" for row in runs),
        "progress": _pace(note) if note else None,
    }


def _pace(row: Mapping[str, Any]) -> dict[str, Any]:
    """A note with the rates and the time left that follow from it, as of `at`."""
    note = json.loads(row["detail"])
    note.pop("tables", None)
    rate = note["settled"] / note["phase_seconds"] if note["phase_seconds"] else 0.0
    left = note["sources"] - note["sources_done"]
    done = note["sources_done"] / note["run_seconds"] if note["run_seconds"] else 0.0
    return {
        "at": row["created_at"].isoformat(),
        **note,
        "units_per_second": round(rate, 3),
        "phase_seconds_left": round(note["waiting"] / rate) if rate and note["planned"] else None,
        "run_seconds_left": round(left / done) if done else None,
    }


def words(found: Mapping[str, Any]) -> list[str]:
    """The same for people, a line each."""
    owner, note = found["owner"], found["progress"]
    state = {
        "running": "is in progress",
        "silent": f"was last heard of {_span(found['heard_seconds_ago'])} ago, and may have died",
        "died": "died before its end; run the same command again to go on",
    }[found["state"]]
    lines = [f"run {found['run_id']} {state} (pid {owner['pid']} on {owner['host']}, since {found['since']})"]
    if note and found["state"] != "died":
        more = "" if note["planned"] else " or more"
        line = f"{note['phase']}: {note['settled']} done, {note['waiting']}{more} to do"
        line += f", {note['units_per_second']:.2f}/s with {note['workers']} workers"
        if note["phase_seconds_left"] is not None:
            line += f", about {_span(note['phase_seconds_left'])} left of it"
        lines.append(line)
        if note["sources"]:
            line = f"{note['sources_done']} of {note['sources']} sources through all phases"
            if note["run_seconds_left"] is not None:
                line += f", about {_span(note['run_seconds_left'])} left"
            lines.append(line)
    return lines


def _span(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
