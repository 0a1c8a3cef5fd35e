"""cluster/folder.py: a local output and one on S3 answer alike."""

import pytest

from cluster.folder import LocalFolder, S3Folder, output_folder
from schemas.errors import UserError


@pytest.fixture(params=["local", "s3"])
def out(request, tmp_path):
    if request.param == "local":
        return output_folder(tmp_path / "out")
    return output_folder(request.getfixturevalue("bucket") + "/deep/out")


def test_what_was_written_is_read_listed_and_deleted(out):
    out.check_writable()
    assert not out.exists("a/b.bin")
    out.write("a/b.bin", b"0123456789")
    out.write("a/b.bin", b"abcdefghij")
    out.write("a/deeper/c ü.bin", b"c")
    assert out.exists("a/b.bin")
    assert out.exists("a")
    assert (out.read("a/b.bin"), out.read("a/b.bin", 2, 3), out.read("a/b.bin", 8)) == (b"abcdefghij", b"cde", b"ij")
    with out.open("a/b.bin") as file:
        file.seek(-1, 2)
        assert file.read() == b"j"
    assert [(file.name, file.size) for file in out.files("a")] == [("a/b.bin", 10), ("a/deeper/c ü.bin", 1)]
    out.touch("a/b.bin")
    assert out.read("a/b.bin") == b"abcdefghij"
    out.delete("a/b.bin")
    out.delete("a/b.bin")
    out.delete("a")
    assert list(out.files("a")) == []


def test_what_was_made_gets_its_place(out):
    made = out.scratch() / "made"
    made.write_bytes(b"x" * 1000)
    out.take(made, "videos/x.mp4")
    folder = out.scratch() / "folder"
    folder.mkdir()
    for name in ("1.png", "2.png"):
        (folder / name).write_bytes(name.encode())
    out.take(folder, "videos/frames")
    assert not made.exists()
    assert not folder.exists()
    found = sorted((file.name, file.size) for file in out.files("videos"))
    assert found == [("videos/frames/1.png", 5), ("videos/frames/2.png", 5), ("videos/x.mp4", 1000)]


def test_what_is_not_there(out):
    for ask in (out.read, out.open):
        with pytest.raises(FileNotFoundError):
            ask("nothing")
    assert list(out.files("nothing")) == []


def test_which_kind_a_name_means(tmp_path):
    assert isinstance(output_folder(tmp_path), LocalFolder)
    assert isinstance(output_folder("s3://bucket/prefix/"), S3Folder)
    assert str(output_folder("s3://bucket/prefix/")) == "s3://bucket/prefix"
    for wrong in ("s3://bucket", "gs://bucket/prefix"):
        with pytest.raises(UserError):
            output_folder(wrong)
