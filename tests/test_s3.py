"""S3 as it misbehaves: what passes is waited for, what does not is said in one line, and no byte is wrong."""

import io
import random
import socket
import time
from types import SimpleNamespace

import deltalake
import pyarrow as pa
import pytest
from faulty_s3 import Answer, Cut, FaultyS3, serving

from cluster import s3, s3_errors, s3_reader
from cluster.s3_errors import ConditionLost
from schemas.errors import BadInput, Unreachable, UserError
from schemas.reasons import Reason

CONTENT = random.Random(1).randbytes((5 << 20) + 123)
FILM = "s3://films/a folder/ü#?&+.mp4"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(s3_errors, "_FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(s3_errors, "_LONGEST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(s3_reader, "_blocks", s3_reader._Blocks())
    monkeypatch.setattr(s3, "ATTEMPTS", 1)
    with serving() as running:
        yield running


def test_what_is_put_is_there(server: FaultyS3):
    etag = s3.put(FILM, CONTENT)
    found = s3.head(FILM)
    assert found is not None
    assert (found.uri, found.size, found.etag) == (FILM, len(CONTENT), etag)
    assert s3.read(FILM) == CONTENT
    assert [each.stamp for each in s3.list_objects("s3://films/a folder/")] == [found.stamp]
    s3.delete([FILM, "s3://films/never was"])
    assert s3.head(FILM) is None


@pytest.mark.parametrize(
    "fault",
    [Answer(500, "InternalError"), Answer(503, "SlowDown"), Answer(503, "ServiceUnavailable"), Cut(), Cut(70_000)],
    ids=str,
)
def test_trouble_that_passes_is_waited_for(server, fault):
    s3.put(FILM, CONTENT)
    server.fail(fault, 7)
    assert s3.read(FILM) == CONTENT
    server.fail(fault, 7)
    s3.put("s3://films/b", b"b")
    server.fail(fault, 7)
    assert [each.size for each in s3.list_objects("s3://films/")] == [len(CONTENT), 1]
    server.fail(fault, 7)
    s3.delete(["s3://films/b"])
    assert s3.head("s3://films/b") is None


def test_an_upload_in_parts_survives_and_leaves_none_behind(server, tmp_path, monkeypatch):
    monkeypatch.setattr(s3, "MULTIPART_BYTES", 20 << 20)
    (tmp_path / "shard.tar").write_bytes(CONTENT * 5)
    for path in ("/films/shard.tar?uploads", "/films/shard.tar?uploadId"):
        server.fail(Cut(), 1, path=path)
        server.fail(Answer(503, "SlowDown"), 1, path=path)
        s3.upload(tmp_path / "shard.tar", "s3://films/shard.tar")
        assert s3.read("s3://films/shard.tar") == CONTENT * 5
    s3.client().create_multipart_upload(Bucket="films", Key="left")
    assert s3.abort_stale_uploads("s3://films/", older_than_seconds=100 * 365 * 86_400) == 0  # moto: all began in 2010
    assert s3.abort_stale_uploads("s3://films/l", older_than_seconds=3600) == 1
    assert "Uploads" not in s3.client().list_multipart_uploads(Bucket="films", Prefix="l")


def test_trouble_that_lasts_is_no_bad_data(server, monkeypatch):
    s3.put(FILM, CONTENT)
    opened = s3.open_range(FILM)
    monkeypatch.setattr(s3_errors, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(s3_errors, "PATIENCE_WHILE_DOWN_SECONDS", 0.05)
    server.fail(Cut(), 10_000)
    for ask in (lambda: s3.read(FILM), lambda: opened.read(10), lambda: s3.head(FILM)):
        with pytest.raises(Unreachable, match="a folder"):
            ask()
    monkeypatch.setattr(s3_errors, "PATIENCE_WHILE_DOWN_SECONDS", 0.0)
    server.forget()
    with pytest.raises(Unreachable):
        s3.read(FILM)
    assert len(server.requests) == 1  # known to be down: one look
    server.heal()
    assert s3.read(FILM) == CONTENT
    monkeypatch.setattr(s3_errors, "PATIENCE_SECONDS", 60.0)
    server.fail(Cut(), 9)
    assert s3.read(FILM) == CONTENT  # as patient as before


def test_a_server_that_refuses_connections_is_waited_for(server, monkeypatch):
    s3.put(FILM, CONTENT)
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = free.getsockname()[1]
    pauses = []

    def comes_back(seconds):
        pauses.append(seconds)
        if len(pauses) == 5:
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)

    # Of this module alone: other threads of the process may sleep as well, in loops that would spin.
    monkeypatch.setattr(s3_errors, "time", SimpleNamespace(sleep=comes_back, monotonic=time.monotonic))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed}")
    assert s3.read(FILM) == CONTENT
    assert len(pauses) == 5
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://user:password@127.0.0.1:{closed}")
    monkeypatch.setattr(s3_errors, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(Unreachable) as down:
        s3.read(FILM)
    assert "password" not in str(down.value)


def test_a_condition_is_lost_to_others_and_not_to_a_repetition(server):
    first = s3.put("s3://films/lock", b"mine", if_none_match=True)
    with pytest.raises(ConditionLost):
        s3.put("s3://films/lock", b"other", if_none_match=True)
    second = s3.put("s3://films/lock", b"mine 2", if_match=first)
    with pytest.raises(ConditionLost):
        s3.put("s3://films/lock", b"other", if_match=first)
    assert s3.put("s3://films/lock", b"mine 2", if_match=first) == second
    with pytest.raises(ConditionLost):
        s3.put("s3://films/nothing", b"mine", if_match=first)


def test_a_write_whose_answer_was_lost_is_won(server):
    server.fail(Cut(0), 1, "PUT")
    assert s3.put("s3://films/lock", b"mine", if_none_match=True) == s3.head("s3://films/lock").etag


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (400, "ExpiredToken", "expired"),
        (403, "InvalidAccessKeyId", "does not accept the credentials"),
        (403, "SignatureDoesNotMatch", "does not accept the credentials"),
        (403, "RequestTimeTooSkewed", "clock"),
    ],
)
def test_credentials_that_do_not_hold_are_the_users_to_mend(server, status, code, said):
    s3.put(FILM, CONTENT)
    opened = s3.open_range(FILM)
    server.fail(Answer(status, code), 10_000)
    asked = [lambda: s3.head(FILM), lambda: s3.read(FILM), lambda: opened.read(1), lambda: s3.put(FILM, b"")]
    for ask in [*asked, lambda: list(s3.list_objects("s3://films/"))]:
        with pytest.raises(UserError, match=said) as raised:
            ask()
        assert "\n" not in str(raised.value)
        assert "testing" not in str(raised.value)
        assert "s3://films/" in str(raised.value)


def test_no_credentials_and_no_need_of_them(server, monkeypatch):
    s3.put(FILM, CONTENT)
    s3.client().put_object_acl(Bucket="films", Key=s3.split(FILM)[1], ACL="public-read")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")  # another client
    with pytest.raises(UserError, match="no S3 credentials"):
        s3.read(FILM)
    monkeypatch.setenv("RECAST_S3_ANONYMOUS", "1")
    assert s3.read(FILM) == CONTENT
    assert s3.delta_options()["aws_skip_signature"] == "true"


def test_one_object_denied_is_a_row_and_a_listing_denied_is_not(server):
    s3.put(FILM, CONTENT)
    server.fail(Answer(403, "AccessDenied"), 10_000)
    with pytest.raises(BadInput) as denied:
        s3.open_range(FILM)
    assert denied.value.reason is Reason.UNREADABLE
    with pytest.raises(UserError, match="cannot be listed"):
        list(s3.list_objects("s3://films/"))
    with pytest.raises(UserError, match="cannot be written"):
        s3.put(FILM, b"")


def test_what_is_not_there(server):
    with pytest.raises(BadInput) as missing:
        s3.read("s3://films/none.mp4")
    assert missing.value.reason is Reason.MISSING
    with pytest.raises(UserError, match="no such bucket"):
        list(s3.list_objects("s3://nosuch/"))
    for uri in ("s3:///x", "s3://", "s3://AKIA:secret@bucket/x", "/local"):
        with pytest.raises(UserError, match="s3://bucket/key") as raised:
            s3.split(uri)
        assert "secret" not in str(raised.value)


def test_an_object_reads_as_a_file_does_wherever_the_connection_breaks(server):
    s3.put(FILM, CONTENT)
    opened, local, moves = s3.open_range(FILM), io.BytesIO(CONTENT), random.Random(2)
    for number in range(300):
        if number % 20 == 0:
            server.fail(Cut(moves.randrange(1 << 20)), 2, "GET")
        offset, size = moves.randrange(len(CONTENT) + 10), moves.randrange(300_000)
        assert opened.seek(offset) == local.seek(offset)
        part = opened.read(size)
        assert part == local.read(len(part))
        assert part or size == 0 or offset >= len(CONTENT)
    opened.seek(0)
    assert opened.read() == CONTENT


def test_reading_on_takes_few_requests_and_reading_again_takes_none(server):
    s3.put(FILM, CONTENT)
    with s3.open_range(FILM) as opened:
        while opened.read(1000):
            pass
    assert server.count("GET") == 3  # 1, 2 and then the last of 4 MiB
    with s3.open_range(FILM) as again:
        assert again.read() == CONTENT
    assert server.count("GET") == 3


def test_an_object_replaced_while_it_is_read_gives_no_mixture(server):
    s3.put(FILM, CONTENT)
    opened = s3.open_range(FILM)
    opened.read(10)
    s3.put(FILM, CONTENT[::-1])
    opened.seek(-10, io.SEEK_END)
    with pytest.raises(Unreachable, match="replaced"):
        opened.read(10)
    assert s3.open_range(FILM).read() == CONTENT[::-1]


def test_options_of_the_command_line_go_before_the_environment_and_to_workers(server, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_PROFILE", "")
    s3.configure()
    assert s3.endpoint() == "http://127.0.0.1:9"
    s3.configure(server.url, anonymous=True)
    assert s3.endpoint() == server.url
    assert s3.is_anonymous()
    told = s3.settings()
    assert {told["AWS_ENDPOINT_URL_S3"], told["RECAST_S3_ANONYMOUS"]} == {server.url, "1"}
    assert not any("KEY" in name or "TOKEN" in name or "testing" in value for name, value in told.items())


def test_an_endpoint_with_a_password_is_refused_and_not_repeated(monkeypatch):
    for name in s3.ENDPOINTS:
        monkeypatch.setenv(name, "")
    for options in [{"endpoint_url": "http://me:secret@host:9000"}, {}]:  # then it is in the environment
        with pytest.raises(UserError, match="password") as refused:
            s3.configure(**options)
        assert "secret" not in str(refused.value)


def test_a_download_that_breaks_off_is_taken_up_again(server, tmp_path):
    s3.put(FILM, CONTENT)
    server.fail(Cut(10), 12, "GET")  # more often than one transfer tries by itself
    s3.download(FILM, tmp_path / "film")
    assert (tmp_path / "film").read_bytes() == CONTENT


def test_delta_works_with_the_same_settings_and_names_no_secret_of_the_environment(server):
    options = s3.delta_options()
    deltalake.write_deltalake("s3://films/table", pa.table({"a": [1]}), storage_options=options)
    server.fail(Answer(503, "SlowDown"), 2)
    assert deltalake.DeltaTable("s3://films/table", storage_options=options).to_pyarrow_table().num_rows == 1
    assert not any("secret" in value for value in options.values())


def test_delta_is_given_what_a_profile_holds(server, tmp_path, monkeypatch):
    (tmp_path / "credentials").write_text("[night]\naws_access_key_id = n\naws_secret_access_key = nn\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "night")
    s3.put(FILM, b"x")
    assert s3.delta_options()["aws_access_key_id"] == "n"
    monkeypatch.setenv("AWS_PROFILE", "day")
    with pytest.raises(UserError, match="profile"):
        s3.put(FILM, b"x")
