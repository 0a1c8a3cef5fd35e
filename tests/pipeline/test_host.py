"""Builds that go on after something changed or broke: what is done again, what stays, what goes. No Ray, no video."""

import pytest
from synthetic_build import Build, abandon, build_over_made_up_files, in_key_order, leases

from pipeline import failpoints
from pipeline.host import SessionLost
from schemas.keys import digest
from schemas.work import Outcome, Phase, Result

CHILDREN = ("clips", "pairs", "samples")


@pytest.fixture
def build(tmp_path, monkeypatch):
    return build_over_made_up_files(tmp_path, monkeypatch)


def uris(rows):
    return [row["source_uri"] for row in rows]


def alive(build: Build) -> dict[str, dict[str, int]]:
    return {table: build.living(table) for table in CHILDREN}


# -- replaced, touched, unreachable files


@pytest.mark.parametrize("nth", [1, 2, 3, 4])
def test_a_crash_while_replaced_content_is_committed_loses_nothing(build, nth):
    """nth: after clips, rejects (emptied), sources or settled."""
    build.write(a="old")
    build.run()
    build.write(a="new")
    host = build.begin()
    host.open_wave(None)
    with failpoints.armed("between_table_commits", nth), pytest.raises(failpoints.Crash):
        build.curate_only(host)
    with pytest.raises(failpoints.Crash):
        host.pulse()
    abandon(host)
    build.run()
    assert list(build.living("clips")) == [digest("new")]
    assert list(build.living("pairs")) == [digest("new")]
    assert build.rows("sources")[0]["content_hash"] == digest("new")
    assert sorted(row["status"] for row in build.rows("samples")) == ["ok", "ok", "removed", "removed"]


def test_a_known_source_that_cannot_be_listed_now_is_left_alone(build):
    build.write(a="footage")
    build.run()
    before = alive(build)
    del build.disk.files["/a"]  # still named by a list file
    host = build.begin()
    host.open_wave(None)
    assert list(leases(host)) == []
    abandon(host)
    build.run()
    assert alive(build) == before
    assert build.verdicts("sources", "uri") == {"/a": ("ok", None)}


def test_a_source_that_was_never_there_says_so_and_is_taken_up_when_it_comes(build):
    build.sources = ["/a"]
    build.run()
    assert build.verdicts("sources", "uri") == {"/a": ("rejected", "missing")}
    build.write(a="footage")
    build.run()
    assert build.verdicts("sources", "uri") == {"/a": ("ok", None)}
    assert build.living("samples")


def test_a_known_source_that_vanishes_between_listing_and_reading_is_left_alone(build):
    build.write(a="footage")
    build.run()
    before = alive(build)
    build.write(a="footage")
    host = build.begin()
    del build.disk.files["/a"]
    host.open_wave(None)
    build.finish_wave(host)
    abandon(host)
    assert alive(build) == before
    build.write(a="other footage")
    build.run()
    assert list(build.living("clips")) == [digest("other footage")]


def test_what_cannot_be_reached_stays_pending_and_its_old_rows_stay(build):
    build.write(a="footage")
    build.run()
    before = alive(build)
    other = "mining.min_diversity=0.1"
    host = build.begin(other)
    host.open_wave(None)
    build.curate(host)
    host.open_phase(Phase.MINE)
    (unit,) = leases(host)
    host.deliver([Result(Phase.MINE, unit.key, outcome=Outcome.UNAVAILABLE)])
    assert host.lease(1) == []
    assert host.pulse()["over"]  # nothing waits for the mount
    host.cascade()
    host.close("finished", {})
    assert alive(build) == before
    build.mined.clear()
    build.run(other)
    assert uris(build.mined) == ["/a"]


def test_a_phase_whose_every_unit_is_out_is_not_over(build):
    build.write(a="footage")
    host = build.begin()
    host.open_wave(None)
    assert len(list(leases(host))) == 1  # a source that polls is faster than the driver
    assert not host.pulse()["over"]
    abandon(host)


def test_a_phase_with_nothing_to_do_is_over_before_anyone_asks_for_work(build):
    build.write(a="footage")
    build.run()
    host = build.begin()
    host.open_phase(Phase.MINE)
    assert host.pulse()["over"]
    abandon(host)


def test_a_touched_file_with_equal_bytes_decodes_nothing_and_keeps_its_damage(build):
    build.write(a="footage, damaged")
    build.run()
    before, decoded = alive(build), list(build.disk.decoded)
    assert build.verdicts("sources", "uri") == {"/a": ("ok", "decode_error")}
    num_samples = len(build.synthesized)
    build.write(a="footage, damaged")
    build.run()
    (row,) = build.rows("sources")
    assert (row["status"], row["reason"], row["message"]) == ("ok", "decode_error", "ends early")
    assert (row["stamp"], row["codec"], row["num_frames"]) == ("2", "h264", 90)
    assert (alive(build), build.disk.decoded, len(build.synthesized)) == (before, decoded, num_samples)


def test_a_touched_file_that_is_no_video_stays_rejected(build):
    build.write(a="broken")
    build.run()
    build.write(a="broken")
    build.run()
    assert build.verdicts("sources", "uri") == {"/a": ("rejected", "no_video_stream")}


def test_a_dead_source_whose_file_was_fixed_is_looked_at_again_even_by_a_second_run(build):
    first, *_, last = in_key_order("/a", "/b", "/c")
    build.write(**{last.strip("/"): "bug"})
    build.run()
    assert build.verdicts("sources", "uri") == {last: ("failed", "internal_error")}
    build.write(**{first.strip("/"): "one", last.strip("/"): "mended"})
    host = build.begin("engine.wave_size=1")
    host.open_wave(None)
    build.curate(host)  # the first wave does not hold it; its decisions must not vouch for the new bytes
    abandon(host)
    assert build.verdicts("sources", "uri")[last] == ("failed", "internal_error")
    build.run("engine.wave_size=1")
    assert build.verdicts("sources", "uri") == {first: ("ok", None), last: ("ok", None)}
    assert build.rows("rejects") == []
    decoded = len(build.disk.decoded)
    build.run()
    assert len(build.disk.decoded) == decoded


def test_a_dead_source_that_did_not_change_is_not_tried_again(build):
    build.write(a="bug")
    build.run()
    build.run()
    assert build.disk.decoded == ["/a"]


# -- changed settings


def test_samples_of_pairs_that_mining_no_longer_finds_go_at_once(build):
    build.write(a="footage")
    build.run()
    old = {row["key"] for row in build.rows("samples")}
    build.found = ["q"]
    build.run("mining.min_diversity=0.1")
    found = {row["key"]: (row["status"], row["reason"]) for row in build.rows("samples")}
    assert {found[key] for key in old} == {("removed", "parent_replaced")}
    assert {found[key] for key in found.keys() - old} == {("ok", None)}
    assert {row["parent_key"] for row in build.rows("attempts")} == {row["key"] for row in build.rows("pairs")}
    host = build.begin("mining.min_diversity=0.1")
    assert host.stale() == {}
    abandon(host)


def test_a_pair_that_is_found_again_later_gets_its_samples_again(build):
    build.write(a="footage")
    build.run()
    before = alive(build)
    build.found = []
    build.run("mining.min_diversity=0.1")
    assert alive(build)["samples"] == {}
    build.found = ["p"]
    build.run()
    assert alive(build) == before


def test_a_source_rejected_under_new_curation_drops_its_clips_until_it_is_accepted_again(build):
    build.write(a="footage")
    build.run()
    before = alive(build)
    build.run("curation.max_frame_px=1000")
    assert build.verdicts("sources", "uri") == {"/a": ("rejected", "too_large")}
    assert alive(build) == {table: {} for table in CHILDREN}
    build.run()
    assert alive(build) == before


def test_copies_rejected_under_new_curation_in_different_waves_drop_their_clips_too(build):
    build.write(a="film", b="film")
    build.run()
    build.mined.clear()
    build.run("engine.wave_size=1", "curation.max_frame_px=1000")
    too_large = ("rejected", "too_large")
    assert build.verdicts("sources", "uri") == {"/a": too_large, "/b": too_large}
    assert alive(build) == {table: {} for table in CHILDREN}
    assert build.mined == []


def test_a_wave_mines_only_clips_of_the_present_curation(build):
    first, second = in_key_order("/a", "/b")
    build.write(a="one", b="two")
    build.run("engine.wave_size=1")
    build.mined.clear()
    changed = ("engine.wave_size=1", "curation.frames_per_clip=5")
    host = build.begin(*changed)
    host.open_wave(None)
    build.finish_wave(host)
    assert uris(build.mined) == [first]
    host.open_wave(None)
    build.finish_wave(host)
    assert uris(build.mined) == [first, second]
    assert not host.open_wave(None)
    abandon(host)


# -- duplicates


def test_a_copy_of_an_old_file_does_not_cost_it_its_precedence(build):
    build.write(old="film")
    build.run()
    build.write(newer="film|smaller")
    build.run()
    clips = {"/old": ("ok", None), "/newer": ("rejected", "near_duplicate")}
    assert build.verdicts("clips") == clips
    build.write(copy="film")
    build.run()
    assert build.verdicts("clips") == clips
    assert build.verdicts("sources", "uri")["/copy"] == ("rejected", "exact_duplicate")
    build.write(old="film")  # touched
    build.run()
    assert build.verdicts("clips") == clips


def test_when_the_owner_of_a_content_goes_what_is_made_next_comes_from_the_other_copy(build):
    build.write(a="film", b="film")
    build.run()
    (owner,) = build.verdicts("clips")
    num_decoded, before = len(build.disk.decoded), alive(build)["pairs"]
    build.sources.remove(owner)
    del build.disk.files[owner]
    build.synthesized.clear()
    build.run("synthesis.erosion=0.03", sync=True)
    (other,) = build.sources
    assert build.verdicts("sources", "uri") == {owner: ("removed", "missing"), other: ("ok", None)}
    assert build.verdicts("clips") == {other: ("ok", None)}
    assert {unit.payload["path"] for unit in build.synthesized} == {other}
    assert (len(build.disk.decoded), alive(build)["pairs"]) == (num_decoded, before)
    assert {(row["source_uri"], row["status"]) for row in build.rows("samples")} == {(other, "ok")}


def test_copies_of_a_file_that_is_no_video_all_say_why_and_stay_so_when_one_goes(build):
    build.write(a="broken", b="broken")
    build.run()
    no_video = ("rejected", "no_video_stream")
    assert build.verdicts("sources", "uri") == {"/a": no_video, "/b": no_video}
    build.sources.remove("/a")
    build.run(sync=True)
    assert build.verdicts("sources", "uri") == {"/a": ("removed", "missing"), "/b": no_video}


# -- the lease protocol


def test_a_source_that_begins_twice_ends_the_session(build):
    build.write(a="film")
    host = build.begin()
    host.open_wave(None)
    host.source_begins()
    host.pulse()
    host.source_begins()
    with pytest.raises(SessionLost):
        host.pulse()
    assert host.lease(1) is None
    abandon(host)


def test_one_source_serves_all_phases_and_waves_and_ends_when_told(build):
    build.write(a="film", b="other film")
    host = build.begin("engine.wave_size=1")
    host.source_begins()
    assert host.lease(1) == []  # nothing is open yet
    for _ in range(2):
        host.open_wave(None)
        assert not host.pulse()["over"]
        build.finish_wave(host)
        assert host.lease(1) == []
        assert host.pulse()["over"]
    host.finish()
    assert host.lease(1) is None
    abandon(host)


@pytest.mark.parametrize("num_workers", [1, 3])
def test_the_credit_window_is_of_all_workers_together(build, num_workers):
    build.write(**{f"s{number}": f"film {number}" for number in range(20)})
    host = build.begin("engine.credit=4", num_workers=num_workers)
    host.open_wave(None)
    taken = 0
    while units := host.lease(3):
        taken += len(units)
    assert taken == 4 * num_workers
    assert host.pulse()["phases"]["curate"]["leased"] == taken
    abandon(host)


def test_what_goes_wrong_is_kept_for_the_driver_and_nothing_more_is_handed_out(build):
    build.write(a="film")
    host = build.begin()
    host.open_wave(None)
    host.fail("no such model", is_mistake=True)
    assert host.lease(1) is None
    assert host.start(Phase.CURATE, [("x", 0)]) == [False]
    with pytest.raises(Exception, match="no such model"):
        host.pulse()
    abandon(host)
