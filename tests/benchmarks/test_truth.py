"""The measures the quality benchmark rests on."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import truth


def _disc(x: int, y: int, radius: int) -> np.ndarray:
    rows, columns = np.mgrid[:120, :200]
    return np.asarray((columns - x) ** 2 + (rows - y) ** 2 <= radius**2)


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Two clips with the same two discs: one per instance, one where both are a union."""
    for clip in ("two", truth.UNIONS[0]):
        folder = tmp_path / "masks" / clip
        folder.mkdir(parents=True)
        first, second = _disc(50, 60, 20), _disc(130, 60, 20)
        labels = first * 1 + second * (2 if clip == "two" else 1)
        cv2.imwrite(str(folder / "00000.png"), labels.astype(np.uint8))
        named = {"1": "girl", "2": "backpack of girl 1"} if clip == "two" else {"1": "both"}
        (folder / "boxes.json").write_text(json.dumps({"objects": named}))
    return tmp_path


def test_tuning_and_reporting_are_disjoint() -> None:
    assert not set(truth.TUNING) & set(truth.REPORTING)
    assert len(truth.TUNING) + len(truth.REPORTING) == 12


def test_the_same_outline_has_f_1_and_a_far_one_0() -> None:
    assert truth.boundary_f(_disc(60, 60, 30), _disc(60, 60, 30)) == 1
    assert truth.boundary_f(_disc(60, 60, 30), _disc(61, 60, 30)) == 1  # within the tolerance
    assert truth.boundary_f(_disc(40, 60, 10), _disc(150, 60, 30)) == 0


def test_each_mask_is_matched_once(videos: Path) -> None:
    found = [_disc(130, 60, 18), _disc(50, 60, 20), _disc(50, 60, 10)]
    judged = truth.judge(videos, "two", 0, found)
    assert [each.number for each in judged] == [2, 1, 0]
    assert judged[1].j == 1
    assert judged[2].j == 0


def test_a_girl_may_carry_her_backpack(videos: Path) -> None:
    both = _disc(50, 60, 20) | _disc(130, 60, 20)
    assert truth.judge(videos, "two", 0, [both])[0].j == 1
    assert truth.who(videos, "two", 0, _disc(130, 60, 20)) == 1


def test_members_of_a_union_are_judged_together(videos: Path) -> None:
    first, second = _disc(50, 60, 20), _disc(130, 60, 20)
    assert [each.j for each in truth.judge(videos, truth.UNIONS[0], 0, [first, second])] == [1, 1]
    assert truth.judge(videos, truth.UNIONS[0], 0, [first])[0].j == pytest.approx(0.5)
    assert truth.judge(videos, truth.UNIONS[0], 0, [_disc(90, 20, 10)])[0].number == 0


def test_who_needs_most_of_the_mask(videos: Path) -> None:
    assert truth.who(videos, "two", 0, _disc(50, 60, 15)) == 1
    assert truth.who(videos, "two", 0, _disc(50, 60, 40)) == 0


def test_match_cuts_counts_each_true_cut_once():
    assert truth.match_cuts([10, 11, 50, 70], [10, 30], ignore=[(48, 55)]) == (1, 2, 1)
