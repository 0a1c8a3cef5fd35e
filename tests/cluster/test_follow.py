"""Following a job over a connection that breaks, with a client that plays Ray's."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from cluster import jobs as module
from cluster.jobs import Jobs
from schemas.errors import UserError

LOG = "".join(f"line {number}\n" for number in range(10))


class Client:
    """tails: for each connection, up to where it tells the log, and whether it then breaks. statuses: of each time it
    is asked; an exception is raised."""

    def __init__(self, tails: list[tuple[int, bool]], statuses: list[str | Exception]) -> None:
        self.tails, self.statuses = tails, statuses

    async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
        end, breaks = self.tails.pop(0) if self.tails else (0, True)
        for start in range(0, end, 7):
            yield LOG[start : min(start + 7, end)]
        if breaks:
            raise RuntimeError("WebSocket connection closed unexpectedly")

    def get_job_info(self, job: str) -> Any:
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if isinstance(status, Exception):
            raise status
        code = 0 if status == "SUCCEEDED" else None
        value = SimpleNamespace(value=status)
        return SimpleNamespace(status=value, message="", driver_exit_code=code, start_time=1, end_time=2)

    def get_job_logs(self, job: str) -> str:
        return LOG


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(module, "RECONNECT_SECONDS", 0)


def follow(client: Client) -> tuple[str, dict[str, Any]]:
    jobs = object.__new__(Jobs)
    jobs.address, jobs._client = "http://head:8265", client
    heard: list[str] = []
    info = jobs.follow("job", heard.append)
    return "".join(heard), info


@pytest.mark.parametrize(
    "tails", [[(70, False)], [(30, True), (70, False)], [(0, True), (12, True), (12, True), (40, False)], [(65, False)]]
)
def test_every_line_is_heard_once(tails):
    statuses = ["RUNNING", *["RUNNING"] * (len(tails) - 1), "SUCCEEDED"]
    heard, info = follow(Client(tails, statuses))
    assert heard == LOG
    assert (info["status"], info["exit_code"]) == ("SUCCEEDED", 0)


def test_a_server_that_is_away_for_a_while_is_waited_for():
    away = ConnectionError("refused")
    heard, _ = follow(Client([(30, True), (0, True), (70, False)], ["RUNNING", away, away, "SUCCEEDED"]))
    assert heard == LOG


def test_a_server_that_stays_away_ends_in_one_line():
    with pytest.raises(UserError, match="no job server answers at http://head:8265"):
        follow(Client([(30, True)], ["RUNNING", ConnectionError("refused")]))
