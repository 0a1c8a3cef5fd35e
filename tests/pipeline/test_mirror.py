"""The data files of tables in a bucket, as this machine holds them."""

import errno
from pathlib import Path

import pytest

from cluster import s3
from cluster.folder import output_folder
from pipeline.mirror import Mirror
from schemas.errors import UserError


@pytest.fixture
def mirror(bucket):
    for name in ("a.parquet", "b c.parquet"):
        s3.put(f"{bucket}/out/tables/samples/{name}", name.encode())
    return Mirror(output_folder(f"{bucket}/out"))


def uris(bucket, *names):
    return [f"{bucket}/out/tables/samples/{name}" for name in names]


def test_a_file_is_fetched_once_and_goes_when_its_table_lost_it(mirror, bucket, monkeypatch):
    first, second = mirror.files("samples", uris(bucket, "a.parquet", "b%20c.parquet"), prune=True)
    assert (Path(first).read_bytes(), Path(second).read_bytes()) == (b"a.parquet", b"b c.parquet")
    fetched = []
    monkeypatch.setattr(s3, "download", lambda uri, path: fetched.append(uri))
    assert mirror.files("samples", uris(bucket, "a.parquet"), prune=False) == [first]
    assert Path(second).exists()  # somebody may still read it
    assert mirror.files("samples", uris(bucket, "a.parquet"), prune=True) == [first]
    assert not Path(second).exists()
    assert fetched == []


def test_its_folder_goes_when_it_is_closed(mirror, bucket):
    (path,) = mirror.files("samples", uris(bucket, "a.parquet"), prune=True)
    mirror.close()
    assert not Path(path).parent.parent.exists()


def test_a_full_disk_here_is_one_line(mirror, bucket, monkeypatch):
    def full(uri, path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(s3, "download", full)
    with pytest.raises(UserError, match=r"^no space left on the disk of \S*recast-tables"):
        mirror.files("samples", uris(bucket, "a.parquet"), prune=True)
