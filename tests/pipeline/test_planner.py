"""What is planned: which sources make a wave, which attempt comes next, who lends to whom. No Ray, no video."""

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from synthetic_build import Build, abandon, build_over_made_up_files, in_key_order, leases, work

from pipeline import failpoints
from pipeline.planner import NUM_DONORS, Planner, choose_donors, write_listing
from pipeline.retry import retry
from pipeline.settings import resolve
from schemas.keys import digest, source_key
from schemas.reasons import Reason
from schemas.work import Outcome, Phase, Result

NAMES = in_key_order(*(f"/s{number}" for number in range(6)))


@pytest.fixture
def build(tmp_path, monkeypatch) -> Build:
    return build_over_made_up_files(tmp_path, monkeypatch)


def write_all(build, names=NAMES, **other):
    build.write(**{name.strip("/"): other.get(name.strip("/"), f"film {name}") for name in names})


def next_wave(build, host) -> list[str]:
    """The sources of the next wave, which is then worked through."""
    before = set(build.verdicts("sources", "uri"))
    assert host.open_wave(None)
    build.finish_wave(host)
    return sorted(set(build.verdicts("sources", "uri")) - before, key=source_key)


# -- waves


def test_sources_come_in_key_order_a_wave_at_a_time_and_then_no_more(build):
    write_all(build)
    host = build.begin("engine.wave_size=4")
    assert [next_wave(build, host), next_wave(build, host)] == [NAMES[:4], NAMES[4:]]
    assert not host.open_wave(None)
    abandon(host)
    assert {row["uri"]: (row["wave"], row["generation"]) for row in build.rows("sources")} == {
        name: (number // 4, number // 4) for number, name in enumerate(NAMES)
    }


def test_a_run_with_nothing_new_opens_one_empty_wave_for_the_later_phases(build):
    write_all(build, NAMES[:2])
    build.run()
    host = build.begin()
    assert host.open_wave(None)
    assert host.lease(9) == []
    assert host.pulse()["over"]
    assert not host.open_wave(None)
    abandon(host)


def test_a_limit_takes_the_first_by_key_and_the_next_run_the_rest(build):
    write_all(build)
    host = build.begin()
    host.open_wave(2)
    build.finish_wave(host)
    abandon(host)
    assert sorted(build.verdicts("sources", "uri"), key=source_key) == NAMES[:2]
    rest = next_wave(build, host := build.begin())
    assert rest == NAMES[2:]
    abandon(host)


@pytest.mark.parametrize("dead", [None, 0, 1])
@pytest.mark.parametrize("decided", [False, True], ids=["in_curation", "after_decisions"])
def test_a_wave_cut_short_is_filled_up_to_the_same_members(build, dead, decided):
    """dead: which of its sources is a dead letter."""
    bug = {} if dead is None else {NAMES[dead].strip("/"): "a bug"}
    write_all(build, **bug)
    host = build.begin("engine.wave_size=3", "engine.commit_rows=1")
    host.open_wave(None)
    step = build.curation_of(host)
    for unit in host.lease(2):
        host.start(Phase.CURATE, [(unit.id, unit.attempt, unit.num_deliveries)])
        host.deliver([step(unit)])
    if decided:
        host.reconcile()
    abandon(host)
    host = build.begin("engine.wave_size=3")
    next_wave(build, host)
    assert sorted(build.verdicts("sources", "uri"), key=source_key) == NAMES[:3]
    assert {row["wave"] for row in build.rows("sources")} == {0}
    assert next_wave(build, host) == NAMES[3:]
    abandon(host)


def test_a_wave_that_was_whole_when_the_run_broke_gets_nobody_else(build):
    write_all(build)
    host = build.begin("engine.wave_size=3")
    host.open_wave(None)
    build.curate(host)
    abandon(host)
    host = build.begin("engine.wave_size=3")
    assert next_wave(build, host) == []
    assert {uri for uri, count in build.living("samples").items() if count} == set(NAMES[:3])
    assert next_wave(build, host) == NAMES[3:]
    abandon(host)


def test_touched_sources_of_an_earlier_wave_fill_a_wave_but_keep_their_precedence(build):
    write_all(build, NAMES[:2])
    build.run()
    write_all(build, NAMES[:4])
    build.run("engine.wave_size=4")
    found = {row["uri"]: (row["wave"], row["generation"]) for row in build.rows("sources")}
    assert found == {NAMES[0]: (1, 0), NAMES[1]: (1, 0), NAMES[2]: (1, 1), NAMES[3]: (1, 1)}


def test_a_source_listed_twice_is_planned_once(build):
    write_all(build, NAMES[:1])
    build.sources *= 2
    host = build.begin()
    host.open_wave(None)
    assert len(list(leases(host))) == 1
    abandon(host)


def test_the_listing_counts_what_it_holds(build, tmp_path):
    write_all(build)
    assert write_listing(map(build.disk.listed, NAMES), tmp_path / "listing.parquet") == len(NAMES)


# -- attempts


def synthesis_of(build, host) -> dict[str, int]:
    """Opens synthesis. Task -> the attempt it is at."""
    host.open_wave(None)
    host.open_phase(Phase.SYNTHESIZE)
    return {unit.task: unit.attempt for unit in leases(host)}


def end_with(outcome):
    def step(unit):
        reason = Reason.IDENTITY_DRIFT if outcome in (Outcome.RETRY, Outcome.REJECTED) else None
        return Result(unit.phase, unit.key, unit.task, unit.attempt, outcome, reason)

    return step


@pytest.fixture
def mined(build) -> Build:
    """One source, mined, nothing synthesised."""
    write_all(build, NAMES[:1])
    host = build.begin()
    host.open_wave(None)
    build.finish_wave(host, until=Phase.MINE)
    abandon(host)
    return build


def test_after_a_rejected_attempt_comes_the_next_one(mined):
    host = mined.begin("engine.commit_rows=1")
    host.open_wave(None)
    host.open_phase(Phase.SYNTHESIZE)
    first = host.lease(1)[0]
    host.start(Phase.SYNTHESIZE, [(first.id, first.attempt, 0)])
    host.deliver([end_with(Outcome.RETRY)(first)])
    abandon(host)
    attempts = synthesis_of(mined, host := mined.begin())
    assert attempts == {"single_generation": 1, "single_manipulation": 0}
    abandon(host)


@pytest.mark.parametrize("outcome", [Outcome.DONE, Outcome.RETRY, Outcome.FAILED])
def test_an_attempt_that_was_the_last_is_repeated_when_settling_it_was_cut_short(mined, outcome):
    """`attempts` is committed before `settled`: only a rejected attempt moves its unit on."""
    host = mined.begin("synthesis.max_attempts=1", "engine.commit_rows=1000")
    host.open_wave(None)
    host.open_phase(Phase.SYNTHESIZE)
    work_until_commit_is_cut_short(host, end_with(outcome))
    abandon(host)
    assert {row["attempt"] for row in mined.rows("attempts")} == {0}
    attempts = synthesis_of(mined, host := mined.begin("synthesis.max_attempts=1"))
    assert attempts == {"single_generation": 0, "single_manipulation": 0}
    abandon(host)


def work_until_commit_is_cut_short(host, step):
    with failpoints.armed("before_settled"), pytest.raises(failpoints.Crash):
        work(host, step)


def test_dead_letters_are_not_planned_until_they_are_retried_and_then_go_on_counting(mined):
    host = mined.begin("synthesis.max_attempts=2")
    host.open_wave(None)
    host.open_phase(Phase.SYNTHESIZE)
    work(host, end_with(Outcome.RETRY))
    host.close("finished", {})
    attempts = synthesis_of(mined, host := mined.begin("synthesis.max_attempts=2"))
    assert attempts == {}
    abandon(host)
    assert retry(mined.out, resolve(mined.out, "embedded", []), "retry") == 2
    attempts = synthesis_of(mined, host := mined.begin("synthesis.max_attempts=2"))
    assert attempts == {"single_generation": 2, "single_manipulation": 2}
    abandon(host)


def test_another_synthesis_fingerprint_begins_with_the_first_attempt(mined):
    host = mined.begin("synthesis.max_attempts=2")
    host.open_wave(None)
    host.open_phase(Phase.SYNTHESIZE)
    work(host, end_with(Outcome.RETRY))
    host.close("finished", {})
    attempts = synthesis_of(mined, host := mined.begin("synthesis.erosion=0.03"))
    assert attempts == {"single_generation": 0, "single_manipulation": 0}
    abandon(host)


def test_another_name_for_its_subjects_begins_with_the_first_attempt_also_after_a_crash(mined):
    at_most_two, at_once = "synthesis.max_attempts=2", "engine.commit_rows=1"
    host = mined.begin(at_most_two)
    host.open_wave(None)
    host.open_phase(Phase.SYNTHESIZE)
    work(host, end_with(Outcome.RETRY))
    host.close("finished", {})
    mined.disk.write(NAMES[0], f"film {NAMES[0]}")
    mined.disk.categories[NAMES[0]] = "dog"
    host = mined.begin(at_most_two, at_once)
    host.open_wave(None)
    mined.finish_wave(host, until=Phase.MINE)
    host.open_phase(Phase.SYNTHESIZE)
    units = host.lease(2)
    assert [unit.attempt for unit in units] == [0, 0]
    host.start(Phase.SYNTHESIZE, [(unit.id, unit.attempt, 0) for unit in units])
    host.deliver(map(end_with(Outcome.RETRY), units))
    abandon(host)  # between its first two attempts
    host = mined.begin(at_most_two, at_once)
    host.open_wave(None)
    host.open_phase(Phase.SYNTHESIZE)
    work(host, end_with(Outcome.RETRY))
    host.close("finished", {})
    assert sorted(row["attempt"] for row in mined.rows("attempts")) == [0, 0, 1, 1]
    assert {row["attempt"] for row in mined.rows("settled") if row["phase"] == "synthesize"} == {1}


# -- donors


def test_samples_borrow_from_their_wave_and_earlier_ones_only(build):
    write_all(build)
    build.run("engine.wave_size=2")
    expected = {name: set(NAMES[: number // 2 * 2 + 2]) - {name} for number, name in enumerate(NAMES)}
    assert lenders(build) == expected
    build.synthesized.clear()
    build.run("synthesis.erosion=0.03")  # everything is known by now
    assert lenders(build) == expected


def test_pairs_come_a_generation_at_a_time_so_that_each_catalogue_is_made_once_and_dropped(build, monkeypatch):
    write_all(build)
    build.run("engine.wave_size=2")
    build.synthesized.clear()
    made = []
    catalogue_of = Planner._donors
    monkeypatch.setattr(Planner, "_donors", lambda self, number: made.append(number) or catalogue_of(self, number))
    build.run("synthesis.erosion=0.03")
    assert [unit.payload["generation"] for unit in build.synthesized] == [0] * 4 + [1] * 4 + [2] * 4
    assert made == [0, 1, 2]


def lenders(build) -> dict[str, set[str]]:
    return {
        unit.payload["source_uri"]: {donor["source_uri"] for donor in unit.payload["donors"]}
        for unit in build.synthesized
    }


def test_an_interrupted_build_lends_as_an_undisturbed_one(build, tmp_path, monkeypatch):
    write_all(build)
    build.run("engine.wave_size=4")
    undisturbed = donors_of(build)
    other = build_over_made_up_files(tmp_path / "other", monkeypatch)
    write_all(other)
    host = other.begin("engine.wave_size=4")
    host.open_wave(None)
    units = host.lease(2)
    host.start(Phase.CURATE, [(unit.id, unit.attempt, 0) for unit in units])
    host.deliver(map(other.curation_of(host), units))
    host.reconcile()  # commits them
    abandon(host)
    other.run("engine.wave_size=4")
    assert donors_of(other) == undisturbed


def donors_of(build) -> dict[tuple[str, str], list[str]]:
    return {(unit.key, unit.task): [donor["key"] for donor in unit.payload["donors"]] for unit in build.synthesized}


def donor(number: int, has_subject: bool, content: int):
    masks = ["mask"] if has_subject else []
    return {"key": f"clip{number}", "content_hash": f"content{content}", "masks": masks}


CATALOGUES = st.lists(st.tuples(st.booleans(), st.integers(0, 14)), max_size=30).map(
    lambda rows: [donor(number, *row) for number, row in enumerate(rows)]
)


@given(CATALOGUES, st.integers(0, 14), st.text("abcdef", min_size=1, max_size=4))
@example([], 0, "a")
@example([donor(0, True, 0)], 0, "a")
def test_donors_are_distinct_others_as_many_as_there_are_known_subjects_first(catalogue, own, pair):
    chosen = choose_donors(pair, f"content{own}", catalogue)
    lent = [one["content_hash"] for one in chosen]
    others = {one["content_hash"] for one in catalogue} - {f"content{own}"}
    assert len(set(lent)) == len(lent) == min(NUM_DONORS, len(others))
    assert set(lent) <= others
    has_subject = [bool(one["masks"]) for one in chosen]
    assert has_subject == sorted(has_subject, reverse=True)
    known = {one["content_hash"] for one in catalogue if one["masks"]} - {f"content{own}"}
    assert sum(has_subject) == min(NUM_DONORS, len(known))
    assert choose_donors(pair, f"content{own}", list(catalogue)) == chosen


def test_pairs_do_not_all_borrow_from_the_same():
    catalogue = [donor(number, True, number) for number in range(14)]
    first = {choose_donors(digest(number), "own", catalogue)[0]["key"] for number in range(200)}
    assert len(first) == 14


def test_donors_do_not_depend_on_the_order_of_stored_rows(build):
    write_all(build, NAMES[:4])
    build.found = ["p", "q"]
    build.run()
    before = donors_of(build)
    host = build.begin("synthesis.erosion=0.03")
    for table in ("clips", "pairs"):
        rows = build.rows(table)
        random.Random(0).shuffle(rows)
        host._ledger.tables.merge(table, [], replace=[(row["parent_key"], "") for row in rows])
        assert host._ledger.tables.rows(table) == []
        host._ledger.put({table: rows})
    abandon(host)
    build.synthesized.clear()
    build.run("synthesis.erosion=0.03")
    assert donors_of(build) == before
    assert len(before) == 16


def test_another_name_for_its_subjects_mines_a_source_again_and_makes_its_samples_again_but_decodes_nothing(build):
    build.write(a="film", b="other film")
    build.run()
    mined, made, decoded = len(build.mined), len(build.synthesized), list(build.disk.decoded)
    build.disk.write("/a", "film")
    build.disk.categories["/a"] = "dog"
    build.run()
    assert [payload["category"] for payload in build.mined[mined:]] == ["dog"]
    assert build.disk.decoded == decoded
    assert len(build.synthesized) == made + 2
    build.run()
    assert len(build.mined) == mined + 1
