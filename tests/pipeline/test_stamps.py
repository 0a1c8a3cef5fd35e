"""Sources that are listed without a stamp: new ones are taken without asking, known ones are asked after once."""

import pytest
import synthetic_build
from synthetic_build import Build, abandon, build_over_made_up_files, in_key_order

from cluster.sources import Listed
from pipeline import curate, reconcile, stamps
from schemas.errors import BadInput, Unreachable
from schemas.reasons import Reason

NAMES = in_key_order("/a", "/b", "/c", "/d")


class Late(Build):
    """Whose files are all listed without a stamp, as objects in a list are; `asked` are those S3 was asked for."""

    asked: list[str]


@pytest.fixture
def build(tmp_path, monkeypatch) -> Late:
    made = build_over_made_up_files(tmp_path, monkeypatch)
    made.asked = []
    write_listing = synthetic_build.write_listing

    def stamp_of(uri):
        return made.disk.listed(uri).stamp

    def stamps_of(uris):
        for uri in uris:
            made.asked.append(uri)
            yield uri, stamp_of(uri)

    def listing_of(listed, path):
        write_listing((Listed(each.uri, None) for each in listed), path)
        stamps.fill(path, made.out, "sources")

    monkeypatch.setattr(synthetic_build, "write_listing", listing_of)
    monkeypatch.setattr(stamps, "stamps_of", stamps_of)
    for module in (curate, reconcile):
        monkeypatch.setattr(module, "stamp_of", stamp_of)
    made.write(**{name.strip("/"): f"film {name}" for name in NAMES})
    return made


def test_new_sources_are_not_asked_after_and_known_ones_once(build: Late):
    build.run()
    assert build.asked == []
    assert sorted(build.disk.decoded) == sorted(NAMES)
    build.disk.decoded.clear()
    build.write(e="film e")
    build.run()
    assert build.asked == sorted(NAMES)
    assert build.disk.decoded == ["/e"]


def test_a_changed_source_is_taken_anew_and_a_missing_one_costs_nothing(build):
    build.run()
    build.disk.decoded.clear()
    build.write(b="another film")
    del build.disk.files["/c"]
    build.run()
    assert build.disk.decoded == ["/b"]
    assert build.verdicts("sources", "uri") == dict.fromkeys(NAMES, ("ok", None))


def test_what_is_settled_in_this_run_is_not_read_again_after_a_restart(build, monkeypatch):
    read, content_hash = [], curate.content_hash
    monkeypatch.setattr(curate, "content_hash", lambda path: read.append(path) or content_hash(path))
    host = build.begin("engine.wave_size=2")
    assert host.open_wave(None)
    build.finish_wave(host)
    listing = host._listing_path
    abandon(host)
    again = synthetic_build.LedgerHost(
        str(build.out), host._settings, "again", str(listing), 0, 1, synthetic_build.Planner
    )
    again.take_over()
    while again.open_wave(None):
        build.finish_wave(again)
    abandon(again)
    assert sorted(read) == sorted(NAMES)


def test_a_source_that_killed_its_process_is_not_tried_by_every_run(build):
    build.write(a="bug")
    build.run()
    assert build.verdicts("sources", "uri")["/a"] == ("failed", "internal_error")
    build.disk.decoded.clear()
    build.run()
    assert build.disk.decoded == []


def test_what_could_not_be_read_is_looked_at_again_once_it_can(build, monkeypatch):
    content_hash = curate.content_hash

    def denied(path):
        if path == "/a":
            raise BadInput(Reason.UNREADABLE)
        return content_hash(path)

    monkeypatch.setattr(curate, "content_hash", denied)
    build.run()
    assert build.verdicts("sources", "uri")["/a"] == ("rejected", "unreadable")
    monkeypatch.setattr(curate, "content_hash", content_hash)
    build.run()
    assert build.verdicts("sources", "uri")["/a"] == ("ok", None)


def test_storage_that_is_down_rejects_nothing_and_the_next_run_goes_on(build, monkeypatch):
    content_hash = curate.content_hash

    def down(path):
        if path in NAMES[:2]:
            raise Unreachable("s3://films cannot be reached")
        return content_hash(path)

    monkeypatch.setattr(curate, "content_hash", down)
    build.run()
    assert build.verdicts("sources", "uri") == dict.fromkeys(NAMES[2:], ("ok", None))
    monkeypatch.setattr(curate, "content_hash", content_hash)
    build.run()
    assert build.verdicts("sources", "uri") == dict.fromkeys(NAMES, ("ok", None))
    assert sorted(build.disk.decoded) == sorted(NAMES)
