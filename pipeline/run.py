"""One run: Ray, the ledger and writer actors, and the loop that watches a phase until it ends or is told to stop."""

import os
import signal
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.capacity import Capacity
from cluster.folder import output_folder
from cluster.local import quiet_native_code, ray_session
from pipeline import journal
from pipeline.edit_planner import EditPlanner
from pipeline.engine import Execution, MakeStep, num_workers, root_cause
from pipeline.host import LedgerHost, SessionLost, WriterHost
from pipeline.planner import Planner
from pipeline.pools import Pools
from pipeline.settings import Settings, roles_of
from schemas.errors import RecastError, UserError
from schemas.work import Phase

PULSE_SECONDS = 0.5
GRACE_SECONDS = 12.0
"""From a stop request to sealing what is there; with sealing and committing it keeps within 25 s."""


class Stopped(Exception):
    """The run was asked to end early: by a signal or by --max-hours."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Run:
    """Handles of the actors of a run, and `phase`, which streams one phase from start to end."""

    def __init__(
        self,
        out: str | Path,
        settings: Settings,
        listing: Path,
        make_step: MakeStep,
        num_cpus: int,
        deadline: float | None,
        product: "Product",
    ) -> None:
        self._make_step, self._product = make_step, product
        self.out, self.settings, self.num_cpus = out, settings, num_cpus
        self.run_id = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{uuid.uuid4().hex[:6]}"
        self._deadline = deadline
        self._signal: str | None = None
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        # By name, not by handle: Ray cannot restart an actor whose constructor was given a handle (ray#53727).
        name = f"ledger-{self.run_id}"
        own = {"num_cpus": 0, "max_restarts": 0, "scheduling_strategy": here, "name": name}
        self.ledger: Any = (
            ray.remote(LedgerHost)
            .options(**own)
            .remote(
                str(out),
                settings,
                self.run_id,
                str(listing),
                os.getpid(),
                num_workers(settings, num_cpus),
                product.planner,
            )
        )
        ask(self.ledger.die_with_driver.remote())
        epoch = ask(self.ledger.take_over.remote())
        writer = ray.remote(WriterHost).options(num_cpus=0, max_restarts=-1, max_task_retries=-1)
        writers = [f"writer-{number}" for number in range(settings.config.engine.num_writers)]
        self.writers = [
            writer.remote(str(out), each, settings.config.engine, epoch, name, self.run_id) for each in writers
        ]
        self.progress: dict[str, Any] = {}
        self._execution: Execution | None = None
        self._pools: Pools | None = None
        self._capacity = Capacity(ray.cluster_resources)

    def phase(self, phase: Phase, show: Callable[[dict[str, Any]], None]) -> None:
        """Stream an opened phase until everything in it is settled. Raises Stopped, SessionLost, UserError, or the bug.

        The execution starts with the first phase that has work, and stays up, its actors warm, for those that follow.
        """
        self._pulse(phase)  # before anything can stop: `outcomes` must not speak of the phase as it was last opened
        self.check_stop()
        if self.progress["over"]:
            return
        execution = self._execution or self._start()
        moved = time.monotonic()
        stall = max(self.settings.config.engine.stall_seconds, 2 * self.settings.config.engine.row_timeout_seconds)
        while not self.progress["over"]:
            ended = execution.wait(PULSE_SECONDS)
            before = self.progress
            self._pulse(phase)  # raises an error of ours, which says more than what it did to the execution
            if self._capacity.is_lost():
                raise SessionLost("a node of the cluster died and none came in its place")
            show(self.progress)
            if ended:
                raise root_cause(execution.error or RuntimeError("the execution ended before its work"))
            if before != self.progress:
                moved = time.monotonic()
            elif time.monotonic() - moved > stall:
                raise RuntimeError(f"phase {phase} settled nothing for {stall:.0f} s; see engine.stall_seconds")
            self.check_stop()

    def _start(self) -> Execution:
        """Workers, and the processes of models; each model is loaded by the first call."""
        callers = num_workers(self.settings, self.num_cpus)
        engine, needed = self.settings.config.engine, roles_of(self._product.phases, self.settings.config)
        self._pools = Pools(self.settings.profile, needed, self.run_id, callers, engine)
        self._execution = Execution(self._make_step, self._pools.roles, self, self.settings)
        return self._execution

    def models(self) -> dict[str, dict[str, float]]:
        """What the roles with a pool hold and did, as `Pools.usage` says it."""
        return self._pools.usage() if self._pools is not None else {}

    def end_execution(self) -> None:
        """Of whatever is left of it, then of its models."""
        if self._execution is not None:
            self._execution.close()
        if self._pools is not None:
            self._pools.close()

    def outcomes(self, phase: Phase) -> dict[str, int]:
        """How the units of the phase ended since it was last opened, with those sent back as "retry"."""
        found = self.progress.get("phases", {}).get(str(phase), {})
        retried = {"retry": found["retried"]} if found.get("retried") else {}
        return {**found.get("outcomes", {}), **retried}

    def note(self, event: str, **fields: Any) -> None:
        """For the log of what happens."""
        journal.note(self.run_id, event, fields)

    def _looked(self) -> dict[str, Any]:
        progress: dict[str, Any] = ask(self.ledger.pulse.remote())
        for event in progress.pop("events", ()):
            self.note(**event)
        return progress

    def _pulse(self, phase: Phase) -> None:
        self.progress = self._looked()
        waiting = self.progress.get("phases", {}).get(str(phase), {})
        idle = not waiting.get("queued") and not waiting.get("leased")
        ask([writer.seal.remote() if idle else writer.tick.remote() for writer in self.writers])

    def check_stop(self) -> None:
        if self._signal:
            raise Stopped(self._signal)
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise Stopped("--max-hours")

    def note_signal(self, name: str) -> None:
        self._signal = name

    def wind_down(self) -> None:
        """No new work; let what is running finish for a moment, then seal and commit it."""
        ask(self.ledger.stop.remote())
        if self._execution is not None:
            self._execution.wait(GRACE_SECONDS)
        ask([writer.seal.remote() for writer in self.writers])
        self.progress = self._looked()

    def finish(self) -> None:
        """Every phase is over: let the execution end."""
        ask(self.ledger.finish.remote())
        if self._execution is not None:
            self._execution.wait(GRACE_SECONDS)

    def close(self, event: str, detail: dict[str, Any]) -> None:
        ask([writer.seal.remote() for writer in self.writers])
        ask(self.ledger.close.remote(event, detail))


def ask(reference: Any) -> Any:
    """ray.get, with our own errors as themselves."""
    try:
        return ray.get(reference)
    except RayActorError as died:
        cause = root_cause(died)
        if isinstance(cause, RecastError):
            raise cause from None
        raise
    except ray.exceptions.RayTaskError as failed:
        cause = root_cause(failed)
        raise cause if isinstance(cause, RecastError | SessionLost) else failed from None


@dataclass(frozen=True)
class Product:
    """What a run makes: its phases, and who says what is pending in them."""

    phases: tuple[Phase, ...]
    planner: type[Planner | EditPlanner]


@contextmanager
def started(
    out: str | Path, settings: Settings, listing: Path, make_step: MakeStep, deadline: float | None, product: Product
) -> Iterator[Run]:
    """A run with its Ray session; signals end it gracefully while it lasts."""
    engine = settings.config.engine
    os.environ["RECAST_DRIVER_PID"] = str(os.getpid())  # inherited by every process of the session
    with journal.overhearing() as heard, quiet_native_code(), ray_session(engine.object_store_mb) as num_cpus:
        # Where the cluster carried our code to, relative paths mean something else.
        run = Run(output_folder(out).place, settings, listing, make_step, num_cpus, deadline, product)
        heard.run_id = run.run_id
        before = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT)}
        for name in before:
            signal.signal(name, lambda number, _: run.note_signal(signal.Signals(number).name))
        try:
            yield run
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)
            run.end_execution()


@contextmanager
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="recast-") as folder:
        yield Path(folder)


def check_writable(out: str | Path) -> None:
    """Raises UserError when OUT cannot be made or written."""
    try:
        output_folder(out).check_writable()
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror or error}") from None
