"""Ray itself: start it on this machine, or join the cluster RAY_ADDRESS names, and stop it again."""

import errno
import logging
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster import s3
from cluster.code import stage_code
from schemas.errors import UserError

ENVIRONMENT = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SCHEDULER_EVENTS": "0",
    "RAY_raylet_start_wait_time_s": "180",  # a busy machine is slow to start, not broken
    # A worker killed for memory must be seen by the ledger as a death, not vanish in silent retries of Ray's own.
    "RAY_task_oom_retries": "0",
    # A submitted job has environment variables of its own: Ray takes ours beside them only when told that ours win.
    "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1",
    # A machine with few CPUs and many models starts several processes for each CPU: Ray warns of that on stdout.
    "RAY_worker_maximum_startup_concurrency": str(max(64, os.cpu_count() or 1)),
}


ROOM_ON_DISK = 2**29
"""Bytes of the disk of temporary files that Ray leaves free when it moves there what its store has no room for."""


def _disk_limit() -> str:
    """The share of the disk of temporary files that may be in use while Ray still moves objects there. Ray's own limit,
    95 %, refuses a disk of 10 TB with 500 GB free, and the run with it."""
    total = shutil.disk_usage(tempfile.gettempdir()).total
    return str(max(0.95, 1 - ROOM_ON_DISK / total))


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
def _room_for_files() -> Iterator[None]:
    """Ray keeps its logs, its store and the code that travels among the temporary files. Raises UserError where these
    have no room, whatever Ray makes of it."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and getattr(cause, "errno", None) != errno.ENOSPC:
            cause = cause.__cause__ or cause.__context__
        if cause is None:
            raise
        raise UserError(f"no space left on the disk of {tempfile.gettempdir()}, where Ray keeps its files") from error


@contextmanager
def _how_to_start(object_store_mb: int, num_cpus: int | None) -> Iterator[dict[str, Any]]:
    """Arguments of ray.init: Ray on this machine, or the cluster of RAY_ADDRESS with our code on its nodes, which are
    told where S3 is (never secrets: each machine has its own). A job has both from its submission."""
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        local = {"num_cpus": num_cpus, "object_store_memory": object_store_mb * 2**20, "include_dashboard": False}
        yield {"address": "local", **local}
    elif "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        yield {"address": address}
    else:
        with tempfile.TemporaryDirectory(prefix="recast-") as folder:
            stage_code(Path(folder))
            yield {"address": address, "runtime_env": {"working_dir": folder, "env_vars": s3.settings()}}


@contextmanager
def ray_session(object_store_mb: int, num_cpus: int | None = None) -> Iterator[int]:
    """Yields the number of CPUs of the session. A cluster that is already joined, or named by RAY_ADDRESS, is used."""
    for name, value in {**ENVIRONMENT, "RAY_local_fs_capacity_threshold": _disk_limit()}.items():
        os.environ.setdefault(name, value)
    import ray
    from ray.data import DataContext

    own = not ray.is_initialized()
    if own:
        with _room_for_files(), _how_to_start(object_store_mb, num_cpus) as how:
            ray.init(
                configure_logging=True,
                logging_level=logging.ERROR,
                log_to_driver=bool(os.environ.get("RECAST_LOG_WORKERS")),
                **how,
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
