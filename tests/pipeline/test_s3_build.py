"""`recast build` from S3: the same samples as from files, nothing read again, and nothing lost by what S3 does."""

import json
import shutil

import pytest
from faulty_s3 import Answer, Cut, FaultyS3, serving

from cluster import s3
from pipeline.tables import read_tables

pytestmark = pytest.mark.ray
VIDEOS = "/films/videos/"
FEW = ("--json", "--set", "mining.max_pairs_per_clip=2")


def samples_of(out) -> dict[str, list[str]]:
    rows = read_tables(out).query("select key, member_sha256 from samples where status = 'ok'").to_pylist()
    return {row["key"]: row["member_sha256"] for row in rows}


def rows_of(out) -> dict[str, tuple[str, str | None]]:
    rows = read_tables(out).query("select uri, status, reason from sources").to_pylist()
    return {row["uri"].rsplit("/", 1)[-1]: (row["status"], row["reason"]) for row in rows}


def counts(done) -> dict[str, dict[str, int]]:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["this_run"]["counts"]


@pytest.fixture(scope="module")
def videos(demo_videos, tmp_path_factory):
    """Two of the demo's: a source and one that lends it backgrounds."""
    folder = tmp_path_factory.mktemp("few")
    for video in sorted(demo_videos.iterdir())[:2]:
        shutil.copy(video, folder)
    return folder


@pytest.fixture
def server(videos):
    with serving() as running:
        for video in sorted(videos.iterdir()):
            s3.upload(video, f"s3://films/videos/{video.name}")
        running.forget()
        yield running


def test_a_build_from_s3_gives_the_same_samples_and_a_rebuild_reads_nothing(server: FaultyS3, tmp_path, recast, videos):
    out, names = tmp_path / "out", sorted(video.name for video in videos.iterdir())
    lines = [f"s3://films/videos/{name}" for name in names]
    (tmp_path / "list.txt").write_text("\n".join([*lines, "s3://films/videos/gone.mp4"]))
    server.fail(Cut(30_000), 4, "GET", VIDEOS)
    server.fail(Answer(503, "SlowDown"), 12, "GET", VIDEOS)
    server.fail(Answer(403, "AccessDenied"), 10_000, "GET", f"{VIDEOS}denied")
    s3.put("s3://films/videos/denied.mp4", b"x")

    first = counts(recast("build", "s3://films/videos", tmp_path / "list.txt", "--out", out, *FEW))
    assert first["curate"] == {"done": len(names), "rejected": 2}
    counts(recast("build", videos, "--out", tmp_path / "local", *FEW))
    assert samples_of(out) == samples_of(tmp_path / "local") != {}
    assert rows_of(out) == {name: ("ok", None) for name in names} | {
        "gone.mp4": ("rejected", "missing"),
        "denied.mp4": ("rejected", "unreadable"),
    }

    server.heal()
    s3.delete(["s3://films/videos/denied.mp4"])
    server.forget()
    (tmp_path / "list.txt").write_text("\n".join(lines))
    assert counts(recast("build", tmp_path / "list.txt", "--out", out, "--json")) == {}
    assert counts(recast("build", "s3://films/videos/", "--out", out, "--json")) == {}
    assert server.of("GET", VIDEOS) == []  # listings are GETs of the bucket
    assert len(server.requests) < 10

    s3.upload(videos / names[1], f"s3://films/videos/{names[0]}")
    again = counts(recast("build", tmp_path / "list.txt", "--out", out, "--json"))
    assert again["curate"] == {"done": 1}
    assert rows_of(out)[names[0]] == ("rejected", "exact_duplicate")


def test_credentials_that_expire_in_the_middle_end_the_run_and_cost_nothing(server, tmp_path, recast):
    out = tmp_path / "out"
    server.fail(Answer(400, "ExpiredToken"), 100_000, "", VIDEOS)
    option = ("--endpoint-url", server.url)
    done = recast(*option, "build", "s3://films/videos/", "--out", out, "--json", AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert done.returncode == 2, done.stderr
    assert "expired" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert all(status == "ok" for status, _ in rows_of(out).values())
    removed = recast("build", "s3://nosuch/", "--out", out, "--sync", "--yes")
    assert removed.returncode == 2
    assert all(status == "ok" for status, _ in rows_of(out).values())
