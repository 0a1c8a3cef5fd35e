"""Sources on S3: whatever names them, each is listed once with the stamp its bytes have, and no listing hides one."""

import io
import random
import string

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from faulty_s3 import Answer, FaultyS3, serving
from hypothesis import example, given
from hypothesis import strategies as st

from cluster import s3, s3_errors, s3_stamps, sources
from cluster.s3_stamps import stamps_of
from cluster.sources import Listed, list_sources
from cluster.storage import category_of, content_hash, path_of, sidecar_of, stamp_of, uri_of
from schemas.errors import BadInput, UserError
from schemas.reasons import Reason

KEYS = ("a.mp4", "b.avi", "deep/er/c.mkv", "deep/d.MOV", "deep/e #1?.mp4", "ünï 马.webm")
BESIDE = ("a.json", "b.json", "deep/notes.txt", "deep/", "deep/er/c.srt", "other.json")


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(s3_errors, "_FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(s3, "ATTEMPTS", 1)
    with serving() as running:
        for key in KEYS:
            s3.put(f"s3://films/videos/{key}", key.encode())
        for key in BESIDE:
            s3.put(f"s3://films/videos/{key}", b'{"category": "dog"}')
        running.forget()
        yield running


def uri(key: str) -> str:
    return f"s3://films/videos/{key}"


def listed(*arguments: str) -> dict[str, str | None]:
    found = list(list_sources(list(arguments)))
    assert len({each.uri for each in found}) == len(found)
    return {each.uri: each.stamp for each in found}


@pytest.mark.parametrize("argument", ["s3://films", "s3://films/", "s3://films/videos", "S3://films/videos/"])
def test_a_prefix_gives_every_media_object_with_the_stamp_of_its_sidecar(server: FaultyS3, argument):
    found = listed(argument)
    asked = server.count("HEAD")
    assert found == {uri(key): stamp_of(uri(key)) for key in KEYS}
    assert asked <= 1  # whether the argument itself is an object; none for what is below
    assert ["+" in (found[uri(key)] or "") for key in KEYS] == [True, True, False, False, False, False]


def test_a_prefix_is_a_folder_and_not_the_start_of_a_name(server):
    s3.put("s3://films/videos2/x.mp4", b"x")
    assert uri("../videos2/x.mp4") not in listed("s3://films/videos")
    assert len(listed("s3://films/videos")) == len(KEYS)


def test_an_object_is_taken_whatever_its_suffix(server):
    assert listed(uri("deep/er/c.srt")) == {uri("deep/er/c.srt"): stamp_of(uri("deep/er/c.srt"))}


def test_a_pattern_works_as_it_does_on_files(server):
    assert set(listed(uri("*.mp4"))) == {uri("a.mp4")}
    assert set(listed(uri("**/*.mp4"))) == {uri("a.mp4"), uri("deep/e #1?.mp4")}
    assert set(listed(uri("deep/*.[mM]*"))) == {uri("deep/d.MOV"), uri("deep/e #1?.mp4")}
    assert set(listed("s3://films/v*/[ab].*")) == {uri(key) for key in ("a.mp4", "a.json", "b.avi", "b.json")}
    assert set(listed(uri("deep/e #1?.mp4"))) == {uri("deep/e #1?.mp4")}  # a name first
    assert listed(uri("*.mp4"))[uri("a.mp4")] == stamp_of(uri("a.mp4"))


LINES = (
    "# mixed\n\ns3://films/videos/a.mp4\nS3://films/gone.mp4\r\nfile:///videos/local.mp4\n/videos/other.mp4\nc d.mp4\n"
)


def test_a_list_mixes_places_and_asks_nobody(server, tmp_path):
    (tmp_path / "list.txt").write_text(LINES)
    found = listed(str(tmp_path / "list.txt"))
    assert found == {
        uri("a.mp4"): None,
        "s3://films/gone.mp4": None,
        "/videos/local.mp4": "",
        "/videos/other.mp4": "",
        str(tmp_path / "c d.mp4"): "",
    }
    assert server.requests == []


def test_a_list_on_s3_is_relative_to_itself(server):
    s3.put(uri("lists/all.txt"), b"\xef\xbb\xbf../b.avi\n" + LINES.encode())
    assert set(listed(uri("lists/all.txt"))) == {
        uri("b.avi"),
        uri("a.mp4"),
        "s3://films/gone.mp4",
        "/videos/local.mp4",
        "/videos/other.mp4",
        uri("lists/c d.mp4"),
    }


def test_parquet_on_s3_or_of_s3(server, tmp_path):
    buffer = io.BytesIO()
    pq.write_table(pa.table({"uri": [uri("a.mp4"), None, "b.avi", "/videos/other.mp4"]}), buffer)
    s3.put(uri("list.parquet"), buffer.getvalue())
    assert listed(uri("list.parquet")) == {uri("a.mp4"): None, uri("b.avi"): None, "/videos/other.mp4": ""}
    (tmp_path / "list.parquet").write_bytes(buffer.getvalue())
    here = listed(str(tmp_path / "list.parquet"))
    assert set(here) == {uri("a.mp4"), str(tmp_path / "b.avi"), "/videos/other.mp4"}


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("s3://films/nothing", "no videos in"),
        ("s3://films/videos/*.wmv", "no videos in"),
        ("s3://nosuch/x", "no such bucket"),
        ("s3://AKIA:secret@films/x", "s3://bucket/key"),
        ("s3://", "s3://bucket/key"),
    ],
)
def test_an_argument_that_names_nothing(server, argument, says):
    with pytest.raises(UserError, match=says) as raised:
        listed(argument)
    assert "secret" not in str(raised.value)


def test_a_line_that_names_nothing_is_found_by_its_number(server, tmp_path):
    for line in (b"s3://AKIA:secret@films/x", b"https://u:secret@host/x", b"s3://films/\xff.mp4"):
        (tmp_path / "list.txt").write_bytes(b"# one\n" + line)
        with pytest.raises(UserError, match=r"list\.txt, line 2") as raised:
            listed(str(tmp_path / "list.txt"))
        assert "secret" not in str(raised.value)


@pytest.mark.parametrize("argument", ["s3://films", "s3://films/videos/*.mp4"])
def test_a_bucket_that_cannot_be_listed_is_not_an_empty_one(server, argument):
    server.fail(Answer(403, "AccessDenied"), 100, "GET", "/films?list-type")
    with pytest.raises(UserError, match="cannot be listed"):
        listed(argument)


def test_a_listing_that_breaks_in_the_middle_goes_on_or_ends_in_an_error(server, monkeypatch):
    for number in range(1100):
        s3.client().put_object(Bucket="films", Key=f"many/{number:04d}.mp4", Body=b"")
    server.fail(Answer(503, "SlowDown"), 5, "GET", "/films?list-type=2&prefix=many%2F&continuation")
    assert len(listed("s3://films/many")) == 1100
    server.fail(Answer(403, "AccessDenied"), 5, "GET", "/films?list-type=2&prefix=many%2F&continuation")
    with pytest.raises(UserError, match="cannot be listed"):
        listed("s3://films/many")


# -- reading


def test_what_happens_to_an_object_after_it_was_listed_is_a_reason(server):
    [found] = list_sources([uri("a.mp4")])
    assert content_hash(path_of(found.uri)) == content_hash(uri("a.mp4"))
    server.fail(Answer(403, "AccessDenied"), 2, "", "/films/videos/a.mp4")
    with pytest.raises(BadInput) as bad:
        content_hash(found.uri)
    assert bad.value.reason is Reason.UNREADABLE
    s3.delete([uri("a.mp4")])
    with pytest.raises(BadInput) as bad:
        content_hash(found.uri)
    assert bad.value.reason is Reason.MISSING
    assert stamp_of(found.uri) == ""


def test_the_stamp_follows_object_and_sidecar(server):
    first = stamp_of(uri("a.mp4"))
    s3.put(uri("a.json"), b'{"category": "cat"}')
    second = stamp_of(uri("a.mp4"))
    s3.put(uri("a.mp4"), b"other bytes")
    assert len({first, second, stamp_of(uri("a.mp4"))}) == 3
    assert category_of(uri("a.mp4")) == "cat"
    assert category_of(uri("deep/d.MOV")) == ""
    s3.put(uri("b.json"), b"[")
    with pytest.raises(BadInput) as bad:
        category_of(uri("b.avi"))
    assert bad.value.reason is Reason.BAD_SIDECAR


def test_whoever_may_not_list_hears_denied_of_a_sidecar_that_is_not_there(server):
    server.fail(Answer(403, "AccessDenied"), 100, "", "/films/videos/a.json")
    assert category_of(uri("a.mp4")) == ""
    assert stamp_of(uri("a.mp4")) == s3.head(uri("a.mp4")).stamp


def test_a_uri_of_an_object_is_its_path():
    assert path_of("S3://films/a b.mp4") == uri_of("s3://films/a b.mp4") == "s3://films/a b.mp4"


# -- many stamps at once


def test_stamps_of_known_objects_come_from_few_listings(server):
    known = sorted([*(uri(key) for key in KEYS), uri("gone.mp4"), "s3://films/zzz/gone.mp4"])
    assert dict(stamps_of(known)) == {each: stamp_of(each) for each in known}
    server.forget()
    list(stamps_of(known))
    assert len(server.requests) == 1


def test_stamps_without_the_right_to_list(server):
    known = sorted(uri(key) for key in KEYS)
    wanted = dict(stamps_of(known))
    server.fail(Answer(403, "AccessDenied"), 100, "GET", "/films?list-type")
    assert dict(stamps_of(known)) == wanted


def test_credentials_that_end_while_stamps_are_asked_for_end_the_run(server):
    server.fail(Answer(400, "ExpiredToken"), 1000)
    with pytest.raises(UserError, match="expired"):
        list(stamps_of([uri("a.mp4")]))


NAMES = st.text(string.ascii_lowercase[:3] + "/.~-é", min_size=1, max_size=4).map(lambda name: f"s3://b/{name}")


@example({"s3://b/aa", "s3://b/é", "s3://b/a"}, {"s3://b/é", "s3://b/a"}, 1)
@given(st.sets(NAMES, max_size=30), st.sets(NAMES, max_size=12), st.integers(1, 4))
def test_stamps_are_right_however_names_lie(there, wanted, page):
    objects = [s3.Object(name, 1, str(number), None) for number, name in enumerate(sorted(there))]

    def list_objects(prefix, after=""):
        return (each for each in objects if each.uri.removeprefix(prefix) > after)

    def head(name):
        return next((each for each in objects if each.uri == name), None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3, "list_objects", list_objects)
        patch.setattr(s3, "head", head)
        patch.setattr(s3_stamps, "PAGE", page)
        patch.setattr(s3_stamps, "CHUNK", 3)
        assert dict(stamps_of(sorted(wanted))) == {each: stamp_of(each) for each in wanted}


STEMS = st.text("ab.", min_size=1, max_size=3)


@given(st.sets(st.tuples(STEMS, st.sampled_from([".mp4", ".avi", ".json", ".srt"])), max_size=20))
def test_every_object_is_listed_with_its_sidecar_wherever_that_lies(names):
    there = sorted({f"s3://b/{stem}{suffix}" for stem, suffix in names})
    objects = {name: s3.Object(name, 1, f"{random.Random(name).random()}", None) for name in there}
    found = list(sources._with_sidecars(iter(objects.values()), sources._is_media))
    wanted = [name for name in there if sources._is_media(name)]
    beside = {name: objects.get(sidecar_of(name)) for name in wanted}
    expected = {
        Listed(name, objects[name].stamp + (f"+{side.stamp}" if (side := beside[name]) else "")) for name in wanted
    }
    assert set(found) == expected
    assert len(found) == len(wanted)
