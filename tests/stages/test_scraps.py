"""Scraps: brief and slight at once."""

import numpy as np

from schemas.tracks import InstanceTrack
from stages.scraps import without_scraps


def track(number: int, frames: range, side_px: int) -> InstanceTrack:
    own = np.zeros((30, 40, 40), bool)
    own[frames.start : frames.stop, :side_px, :side_px] = True
    seen = own.any(axis=(1, 2))
    return InstanceTrack(f"subject {number}", "subject", own, seen, seen.astype(np.float32), np.zeros(30, np.float32))


def test_what_is_brief_and_slight_goes_and_the_others_are_numbered_anew():
    body, leg, child, passer = (
        track(1, range(30), 20),
        track(2, range(5), 8),
        track(3, range(30), 5),
        track(4, range(6), 20),
    )
    kept = without_scraps([body, leg, child, passer])
    assert [each.name for each in kept] == ["subject 1", "subject 2", "subject 3"]
    assert [each.masks.sum() for each in kept] == [each.masks.sum() for each in (body, child, passer)]


def test_one_alone_stays_however_brief():
    assert len(without_scraps([track(1, range(2), 3)])) == 1
    assert without_scraps([]) == []
