"""Ray itself: start it on this machine, or join the cluster RAY_ADDRESS names, and stop it again."""

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

ENVIRONMENT = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SCHEDULER_EVENTS": "0",
    "RAY_raylet_start_wait_time_s": "180",  # a busy machine is slow to start, not broken
    # A worker killed for memory must be seen by the ledger as a death, not vanish in silent retries of Ray's own.
    "RAY_task_oom_retries": "0",
    # A machine with few CPUs and many models starts several processes for each CPU: Ray warns of that on stdout.
    "RAY_worker_maximum_startup_concurrency": str(max(64, os.cpu_count() or 1)),
}


def die_with_parent(poll_seconds: float = 1.0) -> None:
    """End this process when the raylet that started it is gone. Ray does so itself, except when a worker is stuck in
    a call (seen after `kill -9` of a driver): an orphan would hold the output's lock, or a GPU's memory, for good."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(poll_seconds)
        os._exit(1)

    threading.Thread(target=watch, name="die-with-parent", daemon=True).start()


@contextmanager
def quiet_native_code() -> Iterator[None]:
    """What C++ prints on file descriptor 2 (each actor pool: ray#53727) is not for the user; Python's stderr stays.

    RECAST_LOG_WORKERS=1 leaves everything as it is.
    """
    if os.environ.get("RECAST_LOG_WORKERS"):
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    python_stderr, sys.stderr = sys.stderr, os.fdopen(os.dup(2), "w", buffering=1)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        sys.stderr.close()
        sys.stderr = python_stderr


@contextmanager
def ray_session(object_store_mb: int, num_cpus: int | None = None) -> Iterator[int]:
    """Yields the number of CPUs of the session. A cluster that is already joined, or named by RAY_ADDRESS, is used."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray
    from ray.data import DataContext

    own = not ray.is_initialized()
    if own:
        address = os.environ.get("RAY_ADDRESS")
        local = {"num_cpus": num_cpus, "object_store_memory": object_store_mb * 2**20, "include_dashboard": False}
        ray.init(
            address=address or "local",
            configure_logging=True,
            logging_level=logging.ERROR,
            log_to_driver=bool(os.environ.get("RECAST_LOG_WORKERS")),
            **({} if address else local),
        )
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = 1  # a block is a row is a micro-batch: nothing waits in a buffer
    context.execution_options.verbose_progress = False
    context.execution_no_progress_timeout_s = -1  # the engine has a watchdog of its own
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield int(ray.cluster_resources().get("CPU", 1))
    finally:
        if own:
            ray.shutdown()
