"""Subjects that return in another shot: what is planned, what is made of it, what follows when clips come and go."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from synthetic_build import Build, build_over_made_up_files

from pipeline import link, planner
from pipeline.link import LinkSource
from schemas.config import Config
from schemas.errors import BadInput
from schemas.reasons import Reason
from schemas.tables import TABLES
from schemas.video import Frame
from schemas.work import Phase, Unit
from stages import masks, media, recurrence

SIZE = (90, 160)


@pytest.fixture
def build(tmp_path, monkeypatch) -> Build:
    made = build_over_made_up_files(tmp_path, monkeypatch)
    made.subjects = ["subject_1"]
    return made


def test_shots_of_one_source_are_linked_once(build):
    build.write(a="cuts", b="one shot only")
    build.run()
    assert len(build.linked) == 1  # a source of one shot has nothing to link
    assert {row["clip_key"] for row in build.linked[0].payload["subjects"]} == {
        row["key"] for row in build.rows("clips") if row["source_uri"] == "/a"
    }
    across = [row for row in build.rows("pairs") if row["clip_key"] != row["clip_key_b"]]
    assert len(across) == 1
    assert {unit.key for unit in build.synthesized} >= {across[0]["key"]}
    build.run()
    assert len(build.linked) == 1


def test_every_source_is_linked_with_its_own_subjects_the_earliest_first(build, monkeypatch):
    monkeypatch.setattr(planner, "MAX_SUBJECTS", 3)
    monkeypatch.setattr(planner, "LINK_PAGE", 2)
    build.subjects = ["subject_1", "subject_2"]
    build.write(**{name: f"cuts {name}" for name in "abc"})
    build.run()
    assert [unit.payload["source_uri"] for unit in sorted(build.linked, key=lambda unit: unit.payload["path"])] == [
        "/a", "/b", "/c",
    ]  # fmt: skip
    start_of = {row["key"]: (row["start_frame"], row["source_uri"]) for row in build.rows("clips")}
    for unit in build.linked:
        shown = [start_of[row["clip_key"]] for row in unit.payload["subjects"]]
        assert shown == [(start, unit.payload["source_uri"]) for start in (0, 0, 90)]


def test_pairs_across_shots_go_with_their_clips_and_come_back(build):
    build.write(a="cuts")
    build.run()
    other = max(build.rows("clips"), key=lambda row: row["start_frame"])
    build.run("curation_thresholds.min_seconds=9")  # both clips go
    assert {row["status"] for row in build.rows("pairs")} == {"removed"}
    build.run("curation_thresholds.min_seconds=0.8")
    assert {row["status"] for row in build.rows("pairs")} == {"ok"}
    assert len(build.linked) == 1
    assert other["key"] in {row["clip_key_b"] for row in build.rows("pairs")}


def test_other_subjects_are_linked_anew_and_pairs_that_are_no_longer_given_go(build):
    build.write(a="cuts")
    build.run()
    build.subjects = []
    build.run("mining.min_similarity=0.81")  # everything is mined again, and nobody is found
    assert not [row for row in build.rows("pairs") if row["clip_key"] != row["clip_key_b"]]
    assert build.linked[-1].payload["subjects"] == []
    count = len(build.linked)
    build.run()
    assert len(build.linked) == count


def _descriptor(*values: float) -> np.ndarray:
    vector = np.array([*values, 0.1], np.float32)
    return vector / np.linalg.norm(vector)


def _mask(x: int, width: int, height: int) -> np.ndarray:
    mask = np.zeros(SIZE, np.bool_)
    mask[20 : 20 + height, x : x + width] = True
    return mask


def _subject(clip: str, name: str, views: dict[int, np.ndarray], descriptor: np.ndarray) -> dict[str, Any]:
    listed = [
        {
            "frame": frame,
            "seconds": frame / 25,
            "score": 0.9,
            "mask": dict(masks.encode(mask)),
            "embedding": base64.b64encode(recurrence.packed(descriptor)).decode(),
        }
        for frame, mask in views.items()
    ]
    return {"clip_key": clip, "identity": name, "category": "subject", "views": listed}


def _link(monkeypatch: pytest.MonkeyPatch, *subjects: dict[str, Any], damaged: int = -1) -> list[dict[str, Any]]:
    """damaged: the frame that cannot be read."""

    def read(path: str, indices: Sequence[int], seconds: Sequence[float]) -> list[Frame]:
        if damaged in indices:
            raise BadInput(Reason.DECODE_ERROR)
        noise = [np.random.default_rng(index).integers(0, 255, (*SIZE, 3)).astype(np.uint8) for index in indices]
        return [Frame(*each) for each in zip(indices, seconds, noise, strict=True)]

    monkeypatch.setattr(media, "read_frames", read)
    payload = {"path": "film", "content_hash": "h", "source_uri": "film", "generation": 0, "subjects": list(subjects)}
    return LinkSource(None, Config())(Unit(Phase.LINK, "h", payload=payload)).rows["pairs"]


def _returning(name: str, descriptor: np.ndarray, frame: int) -> list[dict[str, Any]]:
    """Seen in two shots, and different enough in both to make a pair."""
    return [
        _subject("c1", name, {frame: _mask(10, 30, 40)}, descriptor),
        _subject("c2", name, {60 + frame: _mask(90, 40, 30)}, descriptor),
    ]


def _by_clip(*subjects: dict[str, Any]) -> list[dict[str, Any]]:
    return sorted(subjects, key=lambda row: row["clip_key"])


DOG, CAT = _descriptor(1, 0, 0), _descriptor(0, 1, 0)


def test_who_returns_makes_pairs_of_two_clips(monkeypatch):
    rows = _link(
        monkeypatch,
        _subject("c1", "subject_1", {3: _mask(10, 30, 40), 9: _mask(50, 30, 40)}, DOG),
        _subject("c1", "subject_2", {3: _mask(100, 20, 30)}, CAT),
        _subject("c2", "subject_1", {60: _mask(90, 40, 30)}, DOG),
    )
    assert rows
    for row in rows:
        assert {row["clip_key"], row["clip_key_b"]} == {"c1", "c2"}
        assert (row["frame_a"] < 50) == (row["clip_key"] == "c1")
        assert len(row["subjects"]) == 1
        assert set(row) <= set(TABLES["pairs"].names)
        inside = masks.decode(row["subjects"][0]["mask_a"])
        assert masks.box_of(inside) == tuple(row["subjects"][0]["box_a"])


def test_of_two_look_alikes_neither_is_taken(monkeypatch):
    twins = [_subject("c2", f"subject_{n}", {60: _mask(20 + 60 * n, 40, 30)}, DOG) for n in range(2)]
    assert not _link(monkeypatch, _subject("c1", "subject_1", {3: _mask(10, 30, 40)}, DOG), *twins)


def test_different_subjects_make_no_pair(monkeypatch):
    dog = _subject("c1", "subject_1", {3: _mask(10, 30, 40)}, DOG)
    assert not _link(monkeypatch, dog, _subject("c2", "subject_1", {60: _mask(20, 40, 30)}, CAT))


def test_masks_of_those_who_do_not_return_are_left_as_they_are_stored(monkeypatch):
    """A source may show hundreds of subjects; only the views that make pairs are worth their pixels."""
    cat = _subject("c1", "subject_2", {3: _mask(100, 20, 30)}, CAT)
    cat["views"][0]["mask"]["counts"] = "no mask at all"
    assert _link(monkeypatch, *_by_clip(cat, *_returning("subject_1", DOG, 9)))


def test_who_cannot_be_read_again_makes_no_pair_and_costs_nobody_else_theirs(monkeypatch):
    both = _by_clip(*_returning("subject_1", DOG, 3), *_returning("subject_2", CAT, 9))
    assert len(_link(monkeypatch, *both)) == 2
    (left,) = _link(monkeypatch, *both, damaged=63)
    assert {left["frame_a"], left["frame_b"]} == {9, 69}
    with pytest.raises(BadInput, match="decode_error"):
        _link(monkeypatch, *_returning("subject_1", DOG, 3), damaged=63)


def test_of_too_many_who_return_the_surest_are_taken(monkeypatch):
    monkeypatch.setattr(link, "MAX_RECURRING", 1)
    unsure = _returning("subject_1", DOG, 3)
    unsure[1] = _subject("c2", "subject_1", {63: _mask(90, 40, 30)}, _descriptor(1, 0, 0.4))
    (row,) = _link(monkeypatch, *_by_clip(*unsure, *_returning("subject_2", CAT, 9)))
    assert {row["frame_a"], row["frame_b"]} == {9, 69}


def test_a_descriptor_survives_storage():
    assert recurrence.unpacked(recurrence.packed(DOG)) == pytest.approx(DOG, abs=1e-3)
