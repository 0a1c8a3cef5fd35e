"""Ray on this machine."""

import shutil
from types import SimpleNamespace

import pytest

from cluster import local


@pytest.mark.parametrize(
    ("total", "left"), [(10 * 2**40, local.ROOM_ON_DISK), (64 * 2**30, local.ROOM_ON_DISK), (2**30, 0.05 * 2**30)]
)
def test_objects_go_to_disk_while_there_is_room_for_them(monkeypatch, total, left):
    """Not while a share of a large disk is free."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=total))
    assert (1 - float(local._disk_limit())) * total == pytest.approx(left, rel=1e-3)
