"""A run is one streaming Ray Data execution behind the lease queue; its phases take turns in it.

    source (one read task, polls the ledger) -> worker actors (a step) -> ledger actor, or writer actors for samples

Ray Data moves micro-batches between warm actors and restarts what dies; it is an at-least-once conveyor. What is
done, redelivered or given up is decided by the ledger alone (notes on each rule: docs/architecture.md, "The engine").
"""

import contextlib
import os
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy
from ray.data._internal.execution.streaming_executor import StreamingExecutor
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask

from actors.profiles import Roles
from cluster.local import die_with_parent
from pipeline import failpoints
from pipeline.pools import PooledRoles, pooled
from pipeline.settings import Settings
from pipeline.watchdog import Watchdog
from schemas.config import Config
from schemas.errors import BadInput, RecastError, Unreachable, UserError
from schemas.reasons import Reason
from schemas.work import Outcome, Phase, Result, Unit

POLL_SECONDS = 0.2
CLOSE_SECONDS = 10.0
SOURCE_CPUS = 0.01  # distinct from the workers', or Ray Data would fuse the read into them
WORKER_CPUS = 0.9  # what is left over keeps the source schedulable


OUT_OF_REACH = frozenset({Reason.MISSING, Reason.UNREADABLE})
"""What a step may find of a source that was curated before: a mount that is gone must not empty a dataset."""

OUTCOMES = {reason: Outcome.UNAVAILABLE for reason in OUT_OF_REACH} | {Reason.POISON: Outcome.POISON}
"""How a unit ends for which a step raises BadInput with this reason; with another it is rejected."""


class Step(Protocol):
    """Works on one unit. Knows neither Ray nor the ledger; raises BadInput for bad data."""

    def __init__(self, roles: Roles, config: Config) -> None: ...

    def __call__(self, unit: Unit) -> Result: ...


MakeStep = Callable[[Phase, Roles], Step]


class LeaseSource(Datasource):
    """Yields leased micro-batches, one row each, of whatever phase is open, until the ledger ends the run."""

    def __init__(self, ledger: Any, micro_batch: int) -> None:
        self._ledger, self._micro_batch = ledger, micro_batch

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[ReadTask]:
        ledger, micro_batch = self._ledger, self._micro_batch

        def leases() -> Iterator[pa.Table]:
            ray.get(ledger.source_begins.remote())
            while (units := ray.get(ledger.lease.remote(micro_batch))) is not None:
                if units:
                    yield pa.table({"units": [[unit.to_json() for unit in units]]})
                else:
                    time.sleep(POLL_SECONDS)

        metadata = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return [ReadTask(leases, metadata)]

    def estimate_inmemory_data_size(self) -> None:
        return None


class Worker:
    """The steps in an actor, each loaded when its first unit comes. Whatever a unit does, one row comes out per
    micro-batch, so a replay cannot shift rows."""

    def __init__(
        self, make_step: MakeStep, roles: PooledRoles, ledger: Any, writers: list[Any], row_timeout_seconds: float
    ) -> None:
        import cv2

        cv2.setNumThreads(1)  # parallelism is the number of workers
        die_with_parent()
        self._make_step, self._roles, self._ledger, self._writers = make_step, roles, ledger, writers
        self._steps: dict[Phase, Step] = {}
        self._watchdog = Watchdog(row_timeout_seconds)
        roles.pause = self._watchdog.paused  # a host has a watchdog of its own

    def __call__(self, batch: pa.Table) -> pa.Table:
        units = [Unit.from_json(text) for text in batch["units"][0].as_py()]  # of one phase: they are one lease
        ids = [(unit.id, unit.attempt, unit.num_deliveries) for unit in units]
        granted = ray.get(self._ledger.start.remote(units[0].phase, ids))
        for unit, grant in zip(units, granted, strict=True):
            if grant:
                with self._reporting(f"{unit.phase} of {unit.key}"):
                    self._deliver(self._work(unit))
        return pa.table({"done": [sum(granted)]})

    @contextlib.contextmanager
    def _reporting(self, what: str) -> Iterator[None]:
        """What a step lets through is the user's mistake or a bug in the engine: the ledger tells the driver, since
        what Ray Data makes of an exception names neither row nor stage."""
        try:
            yield
        except UserError as mistake:
            ray.get(self._ledger.fail.remote(str(root_cause(mistake)), True))  # Ray may have wrapped it
        except ray.exceptions.RayError:
            raise
        except Exception:
            ray.get(self._ledger.fail.remote(f"{what}:\n{traceback.format_exc()}", False))
            raise

    def _work(self, unit: Unit) -> Result:
        if unit.phase not in self._steps:
            self._steps[unit.phase] = self._make_step(unit.phase, self._roles)
        began, waited = time.perf_counter(), self._roles.waited.copy()
        with self._watchdog.watching(f"{unit.phase} of {unit.key}"):
            failpoints.begun(f"{unit.phase} {unit.id} {unit.attempt}")
            failpoints.misbehave(str(unit.payload.get("path")))
            result = attempt(self._steps[unit.phase], unit)
        result.seconds["total"] = time.perf_counter() - began
        result.seconds |= {f"{role}.wait": spent for role, spent in (self._roles.waited - waited).items()}
        return result

    def _deliver(self, result: Result) -> None:
        if not result.members:
            ray.get(self._ledger.deliver.remote([result]))
            return
        writer = self._writers[int(result.key[:8], 16) % len(self._writers)]
        ray.get(writer.put.remote([result]))


def attempt(step: Step, unit: Unit) -> Result:
    """Run a step on a unit: bad data becomes a result with its reason, a bug a result that names stage and error."""
    try:
        return step(unit)
    except BadInput as bad:
        outcome = OUTCOMES.get(bad.reason, Outcome.REJECTED)
        stage = str(unit.phase)
        return Result(unit.phase, unit.key, unit.task, unit.attempt, outcome, bad.reason, bad.message, stage)
    except Unreachable as error:
        stage = str(unit.phase)
        return Result(unit.phase, unit.key, unit.task, unit.attempt, Outcome.UNAVAILABLE, None, str(error), stage)
    except (RecastError, ray.exceptions.RayError):
        raise
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        message = f"{type(error).__name__}: {error} ({os.path.basename(where.filename)}:{where.lineno})"
        if os.environ.get("RECAST_LOG_WORKERS"):
            traceback.print_exc()
        return Result(
            unit.phase,
            unit.key,
            unit.task,
            unit.attempt,
            Outcome.FAILED,
            Reason.INTERNAL_ERROR,
            message,
            str(unit.phase),
        )


def num_workers(settings: Settings, num_cpus: int) -> int:
    """One per CPU, and as many again where models have pools: some wait for answers while the others compute."""
    return settings.config.engine.num_workers or max(1, num_cpus) * (2 if pooled(settings.profile) else 1)


class Execution:
    """The Ray Data execution of a run, drained in a thread so that the caller can watch over it."""

    def __init__(self, make_step: MakeStep, roles: PooledRoles, run: Any, settings: Settings) -> None:
        self.error: BaseException | None = None
        engine = settings.config.engine
        workers = num_workers(settings, run.num_cpus)
        source = ray.data.read_datasource(
            LeaseSource(run.ledger, engine.micro_batch), override_num_blocks=1, num_cpus=SOURCE_CPUS
        )
        # Ray Data restarts actors and replays their tasks without end (its defaults): `Ledger.start` breaks the loop.
        self._dataset = source.map_batches(
            Worker,
            fn_constructor_args=(make_step, roles, run.ledger, run.writers, engine.row_timeout_seconds),
            batch_size=None,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=2),
            num_cpus=min(WORKER_CPUS, WORKER_CPUS * run.num_cpus / workers),
        )
        # Ray Data takes our one generator for one row of work and finds the pool too large.
        warnings.filterwarnings("ignore", message="The minimum number of concurrent actors")
        self._thread = threading.Thread(target=self._drain, name="execution", daemon=True)
        self._thread.start()

    def _drain(self) -> None:
        try:
            for _ in self._dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                pass
        except BaseException as error:
            self.error = error

    def wait(self, seconds: float) -> bool:
        """True when the execution has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def close(self) -> None:
        """End it, over or not. Ray ends a process at once and in silence whose threads still use it after its shutdown:
        a run that failed would neither say why nor exit as it should."""
        for thread in threading.enumerate():
            if isinstance(thread, StreamingExecutor):
                thread.shutdown(force=True)
        self._thread.join(CLOSE_SECONDS)


def root_cause(error: BaseException) -> BaseException:
    """Ray wraps what its actors raise, sometimes several times. An error of ours says more than what it came from."""
    while isinstance(cause := getattr(error, "cause", None) or error.__cause__, BaseException):
        if isinstance(error, RecastError) and not isinstance(error, ray.exceptions.RayError):
            break
        error = cause
    return error
