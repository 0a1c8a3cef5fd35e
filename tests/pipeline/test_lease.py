"""pipeline/lock.py on S3: one owner at a time, and a dead one is not waited for longer than it takes to be sure."""

import json
import os

import pytest

from cluster import s3
from cluster.folder import output_folder
from cluster.s3_errors import ConditionLost
from pipeline import lock
from pipeline.lock import BEAT_SECONDS, DEAD_SECONDS, Lease, owner_of
from schemas.errors import UserError


class Time:
    """A clock that sleeping moves; `then` happens when so many seconds have passed."""

    def __init__(self, at: float = 0.0, then=lambda: None):
        self.now, self._at, self._then = 0.0, at, then

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        before, self.now = self.now, self.now + seconds
        if before < self._at <= self.now:
            self._then()


@pytest.fixture
def out(bucket, monkeypatch):
    monkeypatch.setattr(lock, "BEAT_SECONDS", 3600.0)  # beats are given by hand
    return output_folder(bucket + "/out")


def take(out, time=None):
    time = time or Time()
    return Lease(out, 0, time.clock, time.sleep)


def elsewhere(lease):
    """As if its owner ran on another machine."""
    lease._me |= {"host": "another", "processes": "another boot"}
    lease.beat()


def test_a_living_owner_is_seen_by_its_beat_and_named(out):
    first = take(out)
    elsewhere(first)
    time = Time(BEAT_SECONDS, first.beat)
    with pytest.raises(UserError, match=rf"in use by pid {os.getpid()} on another"):
        take(out, time)
    assert time.now < DEAD_SECONDS
    first.release()


def test_a_silent_owner_is_followed_after_a_while_and_finds_out(out):
    first = take(out)
    elsewhere(first)
    time = Time()
    second = take(out, time)
    assert DEAD_SECONDS <= time.now < DEAD_SECONDS + 5
    with pytest.raises(ConditionLost):
        first.beat()
    second.beat()
    first.release()  # of what it lost it gives nothing free
    assert not owner_of(out).get("released")
    second.release()


def test_what_was_released_is_free_at_once(out):
    take(out).release()
    time = Time()
    take(out, time).release()
    assert time.now == 0
    assert owner_of(out)["released"]


def test_one_that_is_released_while_it_is_watched_is_free(out):
    first = take(out)
    elsewhere(first)
    time = Time(5.0, first.release)
    take(out, time).release()
    assert time.now < DEAD_SECONDS


def test_who_died_on_this_machine_is_not_waited_for(out):
    first = take(out)
    first._me["pid"] = 2**22 + 1  # no process has it
    first.beat()
    time = Time()
    take(out, time).release()
    assert time.now == 0


def test_another_container_of_the_same_hostname_is_not_taken_for_dead(out):
    first = take(out)
    first._me |= {"processes": "this boot/another namespace", "pid": 2**22 + 1}
    first.beat()
    with pytest.raises(UserError, match="in use") as refused:
        take(out, Time(BEAT_SECONDS, first.beat))
    assert not hasattr(refused.value, "driver_pid")
    first.release()


def test_an_owner_whose_last_answer_was_lost_keeps_its_lease(out):
    first = take(out)
    s3.put(out.address(lock.NAME), first._body(beat=-1))  # it was written, and nobody was told
    first.beat()
    assert owner_of(out)["beat"] == 1
    s3.put(out.address(lock.NAME), first._body(beat=-2))
    first.release()
    assert owner_of(out)["released"]


def test_a_password_in_a_command_is_not_announced(out, monkeypatch):
    monkeypatch.setattr(lock, "_command", lambda _: "recast build --set endpoint=http://me:secret@host/v1 s3://b/c")
    first = take(out)
    assert owner_of(out)["command"] == "recast build --set endpoint=http://host/v1 s3://b/c"
    first.release()


def test_of_two_that_wait_one_gets_it(out):
    dead = take(out)
    elsewhere(dead)
    won = []

    def other() -> None:
        won.append(take(out, Time()))
        elsewhere(won[0])

    with pytest.raises(UserError, match="in use"):
        take(out, Time(10.0, other))
    assert json.loads(s3.read(out.address(lock.NAME)))["lease"] == won[0]._me["lease"]
    won[0].release()


def test_what_cannot_be_read_is_waited_for_like_an_owner(out):
    s3.put(out.address(lock.NAME), b"{half")
    time = Time()
    take(out, time).release()
    assert time.now >= DEAD_SECONDS
