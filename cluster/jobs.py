"""Jobs on a Ray cluster, through its job server: submit, follow, look at, stop. Nothing here knows what is run."""

import asyncio
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster import s3
from cluster.local import ENVIRONMENT
from schemas.errors import UserError

ADDRESS_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
STOP_SECONDS = 30
"""Between asking a job to end and killing it. Ray's own default is 3 s; a run seals and commits within 25 s."""

RECONNECT_SECONDS = 2.0
MAX_FAILURES = 30
"""In a row, of asking how a job is, before it counts as lost."""

INTERRUPTED = 130
_SECRET = re.compile(r"SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|PRIVATE|ACCESS_KEY|API_?KEY", re.IGNORECASE)
_NODE_SETTINGS = {"RAY_worker_maximum_startup_concurrency", "RAY_raylet_start_wait_time_s"}  # of a node, not of a job
_ENDED = {"SUCCEEDED", "FAILED", "STOPPED"}

Say = Callable[[str], None]


def environment_of(assignments: Sequence[str]) -> dict[str, str]:
    """The variables of a job: what Recast needs, where S3 is, and NAME or NAME=value on top. Credentials are the
    cluster's own: what is in a job's environment can be read by everybody who may look at its dashboard.

    Raises UserError for a variable that is not set, and for one that sounds like a secret.
    """
    own = {name: value for name, value in ENVIRONMENT.items() if name not in _NODE_SETTINGS}
    return own | {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)} | s3.settings() | assigned(assignments)


def assigned(assignments: Sequence[str]) -> dict[str, str]:
    """The variables of NAME and NAME=value. Raises as `environment_of` does."""
    found = {}
    for assignment in assignments:
        name, given, value = assignment.partition("=")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise UserError(f"--env takes NAME or NAME=value, not {name!r}")
        if _SECRET.search(name):
            raise UserError(f"--env {name} sounds like a secret, which others could read there: give it to the nodes")
        if not given and name not in os.environ:
            raise UserError(f"--env {name}: there is no such variable here; give it as {name}=value")
        found[name] = value if given else os.environ[name]
    return found


def send_token() -> None:
    """A token in the environment is one to send. Ray itself does not without RAY_AUTH_MODE (ray#64755), and reads that
    when it is imported: call this before."""
    if any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")):
        os.environ.setdefault("RAY_AUTH_MODE", "token")


class Jobs:
    """The job server of one cluster. Every method raises UserError, one line, when it cannot be asked."""

    def __init__(self, address: str | None) -> None:
        """address: `http(s)://host:8265`; None: what ADDRESS_VARIABLES say."""
        address = address or next((os.environ[name] for name in ADDRESS_VARIABLES if os.environ.get(name)), None)
        if address is None:
            raise UserError("which cluster? Give --address http://HOST:8265, or set RAY_API_SERVER_ADDRESS")
        if not re.match(r"(https?|ray)://", address) and address != "auto":
            raise UserError(f"--address takes the address of the job server, http://HOST:8265, not {address!r}")
        os.environ[ADDRESS_VARIABLES[0]] = address  # Ray lets both variables win over an argument
        self.address = address
        from ray.job_submission import JobSubmissionClient

        for name in ("dashboard.modules.job.sdk", "dashboard.modules.dashboard_sdk", "_private.runtime_env.packaging"):
            logging.getLogger(f"ray.{name}").setLevel(logging.WARNING)  # each package and each closed socket
        with _explained(address):
            self._client: Any = JobSubmissionClient(address)

    def submit(self, entrypoint: str, job: str, folder: Path, environment: Mapping[str, str], pip: list[str]) -> None:
        """Run `entrypoint` (one shell command) in a copy of `folder` under the id `job`, at most once."""
        runtime_env: dict[str, Any] = {"working_dir": str(folder), "env_vars": dict(environment)}
        if pip:
            runtime_env["pip"] = pip
        with _explained(self.address):
            self._client.submit_job(entrypoint=entrypoint, submission_id=job, runtime_env=runtime_env)

    def ids(self) -> dict[str, str]:
        """Every job the cluster knows: id -> status (PENDING, RUNNING, SUCCEEDED, FAILED, STOPPED)."""
        with _explained(self.address):
            return {
                each.submission_id: str(each.status.value) for each in self._client.list_jobs() if each.submission_id
            }

    def info(self, job: str) -> dict[str, Any]:
        """What is known of a job: id, status, message, exit_code (None until it ended by itself), start and end in ms
        since 1970."""
        with _explained(self.address, job):
            found = self._client.get_job_info(job)
        status = str(found.status.value)
        return {
            "job": job,
            "status": status,
            "message": found.message,
            "exit_code": found.driver_exit_code,
            "started_ms": found.start_time,
            "ended_ms": found.end_time if status in _ENDED else None,
        }

    def stop(self, job: str) -> bool:
        """Ask a job to end; it commits what is done. False when it had ended already."""
        with _explained(self.address, job):
            return bool(self._client.stop_job(job))

    def logs(self, job: str) -> str:
        """What a job has printed so far."""
        with _explained(self.address, job):
            return str(self._client.get_job_logs(job))

    def follow(self, job: str, write: Say) -> dict[str, Any]:
        """Write what a job prints, from its beginning, until it ends; then its `info`. A connection that breaks while
        the job runs is made anew, for a minute, and what was written is not written again."""
        info = self.info(job)
        num_written = num_failures = 0
        while True:
            num_written = asyncio.run(self._tail(job, write, num_written))
            try:
                info = self.info(job)
            except UserError:
                num_failures += 1
                if num_failures == MAX_FAILURES:
                    raise
            else:
                num_failures = 0
                if info["status"] in _ENDED:
                    break
            time.sleep(RECONNECT_SECONDS)
        write(self.logs(job)[num_written:])  # what came between the last message and the end
        return info

    async def _tail(self, job: str, write: Say, num_written: int) -> int:
        import aiohttp

        position = 0
        try:
            async for text in self._client.tail_job_logs(job):
                write(text[max(0, num_written - position) :])
                position += len(text)
                num_written = max(num_written, position)
        except (RuntimeError, OSError, aiohttp.ClientError):  # if it stays so, `info` says what is wrong
            pass
        return num_written


def exit_code(info: Mapping[str, Any]) -> int:
    """0, 1, 2 or 130: what the command said, 130 for a job that was stopped, 1 for a death of any other kind."""
    if info["status"] == "STOPPED":
        return INTERRUPTED
    code = info["exit_code"]
    return int(code) if code in (0, 1, 2, INTERRUPTED) else 1


@contextmanager
def _explained(address: str, job: str = "") -> Iterator[None]:
    """Errors of Ray's client as one line that says what to do."""
    import requests
    from ray.exceptions import AuthenticationError

    try:
        yield
    except AuthenticationError as refused:
        given = "the token given is not the cluster's" if os.environ.get("RAY_AUTH_MODE") == "token" else "it wants one"
        raise UserError(
            f"{address} is protected by a token, and {given}: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or "
            "RAY_AUTH_TOKEN_PATH"
        ) from refused
    except (ConnectionError, requests.exceptions.RequestException) as error:
        raise UserError(f"no job server answers at {address}: {type(error).__name__}") from error
    except RuntimeError as error:
        text = str(error)
        if job and "does not exist" in text:
            raise UserError(f"{address} knows no job {job!r}") from error
        raise UserError(f"{address} refused: {text.strip().splitlines()[-1][:400]}") from error
