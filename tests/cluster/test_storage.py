"""Where sources come from: whatever is named, every file is listed once, and no name is lost on the way to a table."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.sources import list_sources
from cluster.storage import category_of, content_hash, path_of, stamp_of, uri_of
from schemas.errors import BadInput, UserError
from schemas.reasons import Reason

NAMES = (
    "two  spaces .mp4",
    "ünï çødé 马.mp4",
    "a\nnewline.mp4",
    "a\rreturn.mp4",
    "-dash.mp4",
    "--out.mp4",
    "🎬.mp4",
    "100%25 #1?.mp4",
    "quote'\"back\\slash.mp4",
    "[brackets]*.mp4",
    os.fsdecode(b"not \xff\xfe utf-8.mp4"),
    "a" * 200 + ".mp4",
)


def listed(*arguments: object) -> list[str]:
    return [path_of(found.uri) for found in list_sources([str(argument) for argument in arguments])]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One file under each hostile name, among things that are no media."""
    root = tmp_path / "videos"
    (root / "below" / "deeper").mkdir(parents=True)
    for name in NAMES:
        (root / name).write_bytes(os.fsencode(name))
    (root / "below" / "deeper" / "UPPER.MOV").write_bytes(b"x")
    (root / "notes.txt").write_text("no video")
    (root / "noextension").write_bytes(b"x")
    (root / "a folder.mp4").mkdir()
    return root


def wanted(folder: Path) -> set[str]:
    return {str(folder / name) for name in NAMES} | {str(folder / "below" / "deeper" / "UPPER.MOV")}


def test_a_folder_gives_every_media_file_once_whatever_its_name(folder):
    found = listed(folder)
    assert sorted(found) == sorted(wanted(folder))
    assert all(content_hash(path) for path in found)


def test_every_uri_is_text_a_table_can_hold(folder):
    for found in list_sources([str(folder)]):
        assert pa.array([found.uri]).to_pylist() == [found.uri]


def test_a_file_is_taken_whatever_its_suffix(folder):
    assert listed(folder / "noextension") == [str(folder / "noextension")]


def test_a_relative_argument_becomes_absolute(folder, monkeypatch):
    monkeypatch.chdir(folder / "below")
    assert listed("../-dash.mp4") == [str(folder / "-dash.mp4")]
    monkeypatch.chdir(folder)
    assert listed("--out.mp4") == [str(folder / "--out.mp4")]


def test_a_name_that_looks_like_a_pattern_is_a_name_first(folder):
    assert listed(folder / "[brackets]*.mp4") == [str(folder / "[brackets]*.mp4")]


def test_globs_reach_below_and_skip_folders(folder):
    assert set(listed(folder / "*.mp4")) == {str(folder / name) for name in NAMES}
    assert listed(folder / "**" / "*.MOV") == [str(folder / "below" / "deeper" / "UPPER.MOV")]


def test_a_loop_of_links_ends_and_repeats_nothing(folder):
    (folder / "below" / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "again").symlink_to(folder / "below", target_is_directory=True)
    (folder / "self").symlink_to(folder / "self")
    found = listed(folder)
    assert len(found) == len(NAMES) + 1
    assert {os.path.realpath(path) for path in found} == wanted(folder)


@pytest.mark.parametrize("argument", ["{0}", "{0}/dangling.mp4", "{0}/*.mp4"])
def test_a_dangling_link_is_listed_and_ends_with_a_reason(tmp_path, argument):
    link = tmp_path / "dangling.mp4"
    link.symlink_to(tmp_path / "nowhere.mp4")
    [found] = list_sources([argument.format(tmp_path)])
    assert (found.uri, found.stamp) == (str(link), "")
    with pytest.raises(BadInput) as bad:
        content_hash(found.uri)
    assert bad.value.reason == Reason.MISSING


# -- lists


def test_a_text_list_has_comments_blank_lines_and_paths_relative_to_itself(folder, monkeypatch):
    monkeypatch.chdir("/")
    text = folder / "below" / "videos.txt"
    lines = [b"# a comment", b"", b"   ", b"../-dash.mp4", b"deeper/UPPER.MOV", os.fsencode(folder / "--out.mp4")]
    as_uri = (folder / "a\nnewline.mp4").as_uri()  # the only way such a name fits on a line
    lines += [b"../not \xff\xfe utf-8.mp4", b"../a\rreturn.mp4", as_uri.encode()]
    for ending, start in ((b"\n", b""), (b"\r\n", b"\xef\xbb\xbf")):
        text.write_bytes(start + ending.join(lines) + ending)
        assert [os.path.normpath(path) for path in listed(text)] == [
            str(folder / "-dash.mp4"),
            str(folder / "below" / "deeper" / "UPPER.MOV"),
            str(folder / "--out.mp4"),
            os.path.join(folder, os.fsdecode(b"not \xff\xfe utf-8.mp4")),
            str(folder / "a\rreturn.mp4"),
            str(folder / "a\nnewline.mp4"),
        ]


def test_the_first_line_of_a_list_with_a_byte_order_mark_is_a_path(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfone.mp4\n")
    assert listed(tmp_path / "list.txt") == [str(tmp_path / "one.mp4")]


def test_what_a_list_names_but_is_not_there_is_a_source_with_a_reason(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"gone.mp4\nnul\0inside.mp4\n" + b"x" * 300 + b".mp4\n")
    found = list(list_sources([str(tmp_path / "list.txt")]))
    assert [item.stamp for item in found] == ["", "", ""]
    for item, reason in zip(found, (Reason.MISSING, Reason.MISSING, Reason.UNREADABLE), strict=True):
        with pytest.raises(BadInput) as bad:
            content_hash(path_of(item.uri))
        assert bad.value.reason == reason


def test_parquet_gives_its_uri_column_and_skips_nulls(folder, tmp_path):
    uris = [uri_of(os.path.join(folder, name)) for name in NAMES]
    pq.write_table(pa.table({"uri": [*uris, None, ""], "more": range(len(NAMES) + 2)}), tmp_path / "list.parquet")
    assert listed(tmp_path / "list.parquet") == [os.path.join(folder, name) for name in NAMES]


@pytest.mark.parametrize(
    ("columns", "says"), [({"path": ["a.mp4"]}, "no column 'uri' .it has path"), ({"uri": [1, 2]}, "int64, not text")]
)
def test_parquet_without_texts_in_a_uri_column(tmp_path, columns, says):
    pq.write_table(pa.table(columns), tmp_path / "list.parquet")
    with pytest.raises(UserError, match=says):
        listed(tmp_path / "list.parquet")


def test_what_is_no_parquet(tmp_path):
    (tmp_path / "list.parquet").write_bytes(b"PAR1 or not")
    with pytest.raises(UserError, match="as Parquet"):
        listed(tmp_path / "list.parquet")


# -- mistakes


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("{0}/nowhere", "no such file or folder"),
        ("{0}/empty", "no videos in"),
        ("{0}/*.mp4", "no videos in"),
        ("{0}/empty.txt", "no videos in"),
        ("https://user:secret@bucket/clip.mp4", "sources are local files or objects on S3"),
        ("{0}/remote.txt", "remote.txt, line 1: cannot read gs://..."),
    ],
)
def test_an_argument_that_names_nothing(tmp_path, argument, says):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.txt").write_text("# nothing\n")
    (tmp_path / "remote.txt").write_text("gs://bucket/clip.mp4\n")
    with pytest.raises(UserError, match=says):
        listed(argument.format(tmp_path))


def test_a_good_argument_does_not_hide_an_empty_one(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty"):
        listed(folder, tmp_path / "empty")


def test_a_folder_that_cannot_be_listed_is_not_an_empty_one(folder, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("deeper"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=r"cannot list .*deeper.*Permission denied"):
        listed(folder)


# -- reading


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "loop"])
def test_what_cannot_be_read_to_an_end_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "video.mp4"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero" if kind == "device" else path)
    with pytest.raises(BadInput) as bad:
        content_hash(str(path))
    assert bad.value.reason == Reason.UNREADABLE


def test_an_error_while_reading_is_bad_input(tmp_path, monkeypatch):
    (tmp_path / "video.mp4").write_bytes(b"x")

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("hashlib.file_digest", fail)
    with pytest.raises(BadInput, match="Input/output error") as bad:
        content_hash(str(tmp_path / "video.mp4"))
    assert bad.value.reason == Reason.UNREADABLE


def test_the_stamp_changes_with_the_bytes_and_the_hash_only_with_them(tmp_path):
    path = tmp_path / "video.mp4"
    path.write_bytes(b"one")
    stamp, content = stamp_of(str(path)), content_hash(str(path))
    os.utime(path, ns=(0, 1))
    touched = stamp_of(str(path))
    path.write_bytes(b"two")
    assert len({stamp, touched, stamp_of(str(path))}) == 3
    assert content_hash(str(path)) != content
    path.write_bytes(b"one")
    assert content_hash(str(path)) == content


def test_what_is_no_regular_file_has_no_stamp(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    assert stamp_of(str(tmp_path / "pipe.mp4")) == stamp_of(str(tmp_path)) == stamp_of(str(tmp_path / "none.mp4")) == ""


def test_a_sidecar_names_the_category_and_changes_the_stamp(tmp_path):
    video, sidecar = tmp_path / "film.mp4", tmp_path / "film.json"
    video.write_bytes(b"one")
    stamp = stamp_of(str(video))
    assert category_of(str(video)) == ""
    sidecar.write_text('{"category": " guide  dog ", "licence": "own"}')
    assert category_of(str(video)) == "guide dog"
    assert stamp_of(str(video)) != stamp
    sidecar.write_text('{"licence": "own"}')
    assert category_of(str(video)) == ""


LONG = '{"category": "' + 200 * "x" + '"}'


@pytest.mark.parametrize("text", ["", "dog", '["dog"]', '{"category": ["dog"]}', 100_000 * "[", LONG])
def test_a_sidecar_that_makes_no_sense_says_so(tmp_path, text):
    (tmp_path / "film.json").write_text(text)
    with pytest.raises(BadInput, match=r"film\.json") as bad:
        category_of(str(tmp_path / "film.mp4"))
    assert bad.value.reason is Reason.BAD_SIDECAR


# -- names


@given(st.binary(min_size=1, max_size=60).filter(lambda name: b"\0" not in name))
def test_any_name_survives_the_way_through_a_table(name):
    path = os.path.abspath(os.path.join("/videos", os.fsdecode(name)))
    assert path_of(uri_of(path)) == path
    uri_of(path).encode("utf-8")


@given(st.binary(min_size=1), st.binary(min_size=1))
def test_two_paths_never_share_a_uri(one, other):
    paths = {os.path.abspath(os.path.join("/videos", os.fsdecode(name))) for name in (one, other)}
    assert len({uri_of(path) for path in paths}) == len(paths)
