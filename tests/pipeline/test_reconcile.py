"""Decisions over stored rows: thresholds, duplicates, orphans, flipped verdicts. No Ray, no video."""

import pytest

from pipeline.ledger import Ledger
from pipeline.reconcile import cascade, reconcile, record_dead_sources, remove_missing
from pipeline.settings import Settings, resolve
from schemas.config import EngineConfig
from schemas.keys import digest
from schemas.work import Phase
from stages.verification import judge

GOOD = {"brightness": 0.5, "contrast": 0.2, "sharpness": 0.5, "noise": 0.0, "chroma_noise": 0.0, "blockiness": 0.0,
        "motion": 0.5, "text": 0.0, "still_share": 0.0, "quality": 0.9, "content_short_side_px": 480.0}  # fmt: skip
PASSING = {"identity": 0.95, "copy_ncc": 0.5, "background_inliers": 0.0, "vlm_score": 1.0}


@pytest.fixture
def ledger(tmp_path):
    opened = Ledger(tmp_path / "out", EngineConfig(), "run")
    yield opened
    opened.abandon()


def settings(tmp_path, *assignments) -> Settings:
    return resolve(tmp_path / "out", "embedded", list(assignments))


def source(uri, content, generation=0, **more):
    return {"key": uri, "uri": uri, "content_hash": content, "stamp": "1", "generation": generation, **more}


def clip(key, content, hashes=("0" * 16,), generation=0, scores=GOOD, uri=None, **more):
    return {
        "key": key, "parent_key": content, "content_hash": content, "source_uri": uri or content,
        "generation": generation,
        "start_frame": 0, "end_frame": 90, "start_seconds": 0.0, "end_seconds": 3.75, "width": 854, "height": 480,
        "scores": scores, "hashes": list(hashes), "status": "rejected", **more,
    }  # fmt: skip


def statuses(ledger, table):
    return {row["key"]: (row["status"], row["reason"]) for row in ledger.tables.rows(table)}


def test_new_clips_are_decided_and_a_second_look_changes_nothing(ledger, tmp_path):
    ledger.put({
        "sources": [source("a", "A"), source("b", "B")],
        "clips": [clip("a1", "A"), clip("b1", "B", ["f" * 16], scores={**GOOD, "brightness": 0.0})],
    })  # fmt: skip
    assert reconcile(ledger, settings(tmp_path))["decided_clips"] == 2
    found = statuses(ledger, "clips")
    assert found["a1"] == ("ok", None)
    assert found["b1"][0] == "rejected"
    assert reconcile(ledger, settings(tmp_path)) == {}


def test_a_changed_threshold_drops_clips_and_what_hangs_on_them_and_brings_both_back(ledger, tmp_path):
    ledger.put({
        "sources": [source("a", "A")],
        "clips": [clip("a1", "A")],
        "pairs": [{"key": "p", "clip_key": "a1", "clip_key_b": "a1", "generation": 0}],
        "samples": [{"key": "s", "pair_key": "p", "clip_key": "a1", "task": "single_generation"}],
    })  # fmt: skip
    reconcile(ledger, settings(tmp_path))
    assert statuses(ledger, "samples")["s"] == ("ok", None)
    reconcile(ledger, settings(tmp_path, "curation_thresholds.min_seconds=10"))
    assert statuses(ledger, "clips")["a1"] == ("rejected", "too_short")
    assert statuses(ledger, "pairs")["p"] == ("removed", "parent_rejected")
    assert statuses(ledger, "samples")["s"][0] == "removed"
    reconcile(ledger, settings(tmp_path))
    assert [statuses(ledger, name)[key][0] for name, key in (("clips", "a1"), ("pairs", "p"), ("samples", "s"))] == [
        "ok"
    ] * 3


def test_of_equal_bytes_the_earlier_wave_wins_then_the_smaller_key(ledger, tmp_path):
    ledger.put({
        "sources": [source("z", "A", 0), source("b", "A", 1), source("a", "A", 1)],
        "clips": [clip("c", "A", uri="a")],
    })  # fmt: skip
    reconcile(ledger, settings(tmp_path))
    rows = {row["key"]: row for row in ledger.tables.rows("sources")}
    assert (rows["z"]["status"], rows["a"]["duplicate_of"], rows["b"]["duplicate_of"]) == ("ok", "z", "z")
    assert [row["source_uri"] for row in ledger.tables.rows("clips")] == ["z"]


def test_when_the_owner_of_a_content_goes_its_duplicate_takes_over(ledger, tmp_path):
    ledger.put({"sources": [source("a", "A"), source("b", "A")], "clips": [clip("c", "A", uri="a")]})
    reconcile(ledger, settings(tmp_path))
    ledger.put({"sources": [source("a", "A", status="removed", reason="missing")]})
    reconcile(ledger, settings(tmp_path))
    assert statuses(ledger, "sources")["b"] == ("ok", None)
    assert [(row["status"], row["source_uri"]) for row in ledger.tables.rows("clips")] == [("ok", "b")]


def test_near_duplicates_lose_to_the_earlier_wave_and_name_their_source(ledger, tmp_path):
    near = "0" * 15 + "1"  # one bit away from sixteen zeros
    ledger.put({
        "sources": [source("new", "N", 1), source("old", "O", 0)],
        "clips": [clip("a-new", "N", [near], 1, uri="new"), clip("z-old", "O", ["0" * 16], 0, uri="old")],
    })  # fmt: skip
    reconcile(ledger, settings(tmp_path))
    assert statuses(ledger, "clips") == {"a-new": ("rejected", "near_duplicate"), "z-old": ("ok", None)}
    assert statuses(ledger, "sources")["new"][1] == "near_duplicate"
    ledger.put({"sources": [source("old", "O", 0, status="removed", reason="missing")]})
    reconcile(ledger, settings(tmp_path))
    assert statuses(ledger, "clips")["a-new"] == ("ok", None)


def test_clips_of_replaced_bytes_are_removed_and_come_back_with_them(ledger, tmp_path):
    ledger.put({"sources": [source("a", "A")], "clips": [clip("c", "A", uri="a")]})
    reconcile(ledger, settings(tmp_path))
    ledger.put({"sources": [source("a", "B")]})
    reconcile(ledger, settings(tmp_path))
    assert statuses(ledger, "clips")["c"][0] == "removed"
    ledger.put({"sources": [source("a", "A")]})
    reconcile(ledger, settings(tmp_path))
    assert statuses(ledger, "clips")["c"] == ("ok", None)


def test_sync_removes_what_is_not_listed(ledger, tmp_path):
    ledger.put({"sources": [source("a", "A"), source("b", "B")]})
    assert remove_missing(ledger, "(select 'a' as key)") == 1
    assert statuses(ledger, "sources") == {"a": ("ok", None), "b": ("removed", "missing")}


def test_a_source_that_killed_its_process_gets_a_row_that_says_so(ledger):
    ledger.put({"rejects": [{"key": "r", "table": "sources", "row_key": "a", "reason": "poison", "message": "died"}]})
    listing = "(select 'a' as key, 'a' as uri, '1' as stamp)"
    assert record_dead_sources(ledger, listing, 0) == 1
    assert record_dead_sources(ledger, listing, 0) == 0
    assert statuses(ledger, "sources")["a"] == ("failed", "poison")


def attempts(tmp_path, *scores, accepted):
    given = settings(tmp_path)
    fingerprint = given.fingerprints[Phase.SYNTHESIZE]
    return [
        {
            "key": digest("attempt", number), "parent_key": "p", "pair_key": "p", "task": "single_generation",
            "attempt": number, "fingerprint": fingerprint, "verdict": values, "decision": given.fingerprints["verdict"],
            "status": "ok" if number == accepted else "rejected",
            "reasons": [str(reason) for reason in judge(values, given.config.verification).reasons],
        }
        for number, values in enumerate(scores)
    ]  # fmt: skip


def settled_unit(ledger, tmp_path, *scores, accepted):
    ledger.put({
        "sources": [source("a", "A")],
        "clips": [clip("c", "A")],
        "pairs": [{"key": "p", "parent_key": "c", "clip_key": "c", "clip_key_b": "c", "generation": 0}],
        "samples": [{"key": "s", "parent_key": "p", "pair_key": "p", "clip_key": "c", "task": "single_generation"}],
        "attempts": attempts(tmp_path, *scores, accepted=accepted),
        "settled": [{"key": "u", "parent_key": "p", "task": "single_generation", "phase": "synthesize"}],
    })  # fmt: skip
    assert "reopened_samples" not in reconcile(ledger, settings(tmp_path))


def test_a_verdict_that_does_not_flip_reopens_nothing(ledger, tmp_path):
    settled_unit(ledger, tmp_path, {**PASSING, "background_inliers": 0.5}, PASSING, accepted=1)
    assert "reopened_samples" not in reconcile(ledger, settings(tmp_path, "verification.min_identity=0.9"))
    assert len(ledger.tables.rows("settled")) == 1


def test_a_stricter_threshold_withdraws_the_sample_and_goes_on_from_its_attempt(ledger, tmp_path):
    settled_unit(ledger, tmp_path, {**PASSING, "background_inliers": 0.5}, PASSING, accepted=1)
    assert reconcile(ledger, settings(tmp_path, "verification.min_identity=0.99"))["reopened_samples"] == 1
    assert statuses(ledger, "samples")["s"] == ("removed", "identity_drift")
    assert ledger.tables.rows("settled") == []
    assert [row["attempt"] for row in ledger.tables.rows("attempts")] == [0]


def test_a_looser_threshold_goes_back_to_the_first_attempt_that_passes_now(ledger, tmp_path):
    settled_unit(ledger, tmp_path, {**PASSING, "background_inliers": 0.5}, PASSING, accepted=1)
    assert reconcile(ledger, settings(tmp_path, "verification.max_background_inliers=0.6"))["reopened_samples"] == 1
    assert ledger.tables.rows("attempts") == []
    assert ledger.tables.rows("settled") == []


def test_a_pair_refused_as_a_copy_gets_its_other_attempts_when_copies_are_allowed(ledger, tmp_path):
    copied = {**PASSING, "copy_ncc": 0.95, "identity": 0.1}
    settled_unit(ledger, tmp_path, copied, accepted=None)
    assert "reopened_samples" not in reconcile(ledger, settings(tmp_path, "verification.min_identity=0.05"))
    loose = ("verification.min_identity=0.7", "verification.max_copy_ncc=0.97")
    assert reconcile(ledger, settings(tmp_path, *loose))["reopened_samples"] == 1


def test_the_bookkeeping_of_pairs_that_mining_no_longer_gives_is_forgotten(ledger, tmp_path):
    settled_unit(ledger, tmp_path, PASSING, accepted=0)
    other = {"key": "q", "parent_key": "c", "clip_key": "c", "clip_key_b": "c"}
    ledger.tables.merge("pairs", [other], replace=[("c", "")])
    cascade(ledger)
    assert statuses(ledger, "samples")["s"] == ("removed", "parent_replaced")
    assert [ledger.tables.rows(name) for name in ("attempts", "settled")] == [[], []]
