"""S3 through boto3: the client every process has one of, and the plain operations on objects.

Endpoint, profile, region and credentials come from the environment, as every AWS tool takes them: AWS_ENDPOINT_URL_S3,
AWS_ENDPOINT_URL, AWS_PROFILE, AWS_REGION; RECAST_S3_ANONYMOUS=1 signs nothing. All operations raise what
`s3_errors.asked` does.
"""

import io
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from cluster.s3_errors import PATIENCE_SECONDS, ConditionLost, asked, code_of
from cluster.s3_reader import RangeReader
from schemas.errors import BadInput, Unreachable, UserError
from schemas.reasons import Reason

SCHEME = "s3://"
ANONYMOUS = "RECAST_S3_ANONYMOUS"
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
SETTINGS = (*ENDPOINTS, "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", ANONYMOUS)
"""What workers on other machines must be told. None is a secret: those every machine has of its own."""

DEFAULT_REGION = "us-east-1"
MULTIPART_BYTES = 64 << 20
MAX_CONNECTIONS = 32
ATTEMPTS = 6
"""Of a request by boto3, before `asked` makes it anew."""
_DELETED_AT_ONCE = 1000
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_READ_BY_DELTA = frozenset({"env", "iam-role", "container-role", "assume-role-with-web-identity"})


@dataclass(frozen=True, slots=True)
class Object:
    """An object as S3 describes it. `version` is None in a listing, and where the bucket keeps no versions."""

    uri: str
    size: int
    etag: str
    modified: datetime
    version: str | None = None

    @property
    def stamp(self) -> str:
        """Changes whenever the bytes may have; the same from a listing as from `head`."""
        return f"{self.size}:{self.etag}"


def configure(endpoint_url: str | None = None, profile: str | None = None, anonymous: bool = False) -> None:
    """Into the environment of this process and of those it starts; what is not given stays as it is there. Raises
    UserError for an endpoint with a password in it, also for one that was there: it is written where all can read."""
    wanted = {ENDPOINTS[0]: endpoint_url, "AWS_PROFILE": profile, ANONYMOUS: "1" if anonymous else None}
    os.environ.update({name: value for name, value in wanted.items() if value})
    if any("@" in urlsplit(os.environ.get(name, "")).netloc for name in ENDPOINTS):
        raise UserError(
            "an endpoint url cannot have a password in it: credentials belong in AWS_ACCESS_KEY_ID and the like"
        )


def settings() -> dict[str, str]:
    """Of the environment, for workers elsewhere."""
    return {name: os.environ[name] for name in SETTINGS if name in os.environ}


def is_s3(uri: str) -> bool:
    return uri[: len(SCHEME)].lower() == SCHEME


def split(uri: str) -> tuple[str, str]:
    """Bucket and key ("" for the bucket itself). Raises UserError, without repeating it, for what is no such uri."""
    bucket, _, key = uri[len(SCHEME) :].partition("/")
    if not is_s3(uri) or not _BUCKET.fullmatch(bucket):  # key:secret@bucket is nothing to repeat
        raise UserError("an S3 uri is s3://bucket/key; credentials belong in the environment, not in a uri")
    return bucket, key


def client() -> Any:
    """The client of this process; another one when the settings in the environment change."""
    return _client(os.getpid(), *(os.environ.get(name) for name in SETTINGS))


@lru_cache(maxsize=4)
def _client(*_settings: Any) -> Any:
    from botocore import UNSIGNED
    from botocore.config import Config

    signing: dict[str, Any] = {"signature_version": UNSIGNED} if is_anonymous() else {}
    config = Config(
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},  # `asked` goes on from there
        connect_timeout=10,
        read_timeout=30,
        max_pool_connections=MAX_CONNECTIONS,
        tcp_keepalive=True,
        # Other makers' S3 does not know the checksums that AWS began to send with every request.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        **signing,
    )
    session = _session()
    return session.client("s3", endpoint_url=endpoint(), region_name=_region(session), config=config)


def _session() -> Any:
    import boto3

    # Named, a profile goes before keys in the environment: whoever names one means it.
    return asked(SCHEME, partial(boto3.session.Session, profile_name=os.environ.get("AWS_PROFILE")))


def is_anonymous() -> bool:
    return os.environ.get(ANONYMOUS, "") not in ("", "0")


def endpoint() -> str | None:
    """The endpoint the environment names; None for AWS's own, or the one of the profile."""
    return next((value for name in ENDPOINTS if (value := os.environ.get(name))), None)


def _region(session: Any) -> str:
    return os.environ.get("AWS_REGION") or session.region_name or DEFAULT_REGION


def head(uri: str) -> Object | None:
    """None when there is no such object."""
    bucket, key = split(uri)
    try:
        found = asked(uri, lambda: _head(bucket, key))
    except BadInput as bad:
        if bad.reason is Reason.MISSING:
            return None
        raise
    return Object(uri, found["ContentLength"], found["ETag"].strip('"'), found["LastModified"], found.get("VersionId"))


def _head(bucket: str, key: str) -> Any:
    try:
        return client().head_object(Bucket=bucket, Key=key)
    except Exception as error:
        if code_of(error) in ("400", "403"):  # an answer to HEAD has no body: only GET tells denied from expired
            client().get_object(Bucket=bucket, Key=key, Range="bytes=0-0")["Body"].close()
        raise


def list_objects(prefix_uri: str, after: str = "") -> Iterator[Object]:
    """Every object whose key begins so, in the order of keys, a page of 1000 at a time; only keys that sort
    behind `after`. Raises UserError when the bucket may not be listed: that must not look like an empty one."""
    bucket, prefix = split(prefix_uri)
    token: dict[str, str] = {"StartAfter": after} if after else {}
    while True:
        page = _page(prefix_uri, {"Bucket": bucket, "Prefix": prefix, **token})
        for found in page.get("Contents", ()):
            etag = found["ETag"].strip('"')
            yield Object(f"{SCHEME}{bucket}/{found['Key']}", found["Size"], etag, found["LastModified"])
        if not page.get("IsTruncated"):
            return
        token = {"ContinuationToken": page["NextContinuationToken"]}


def _page(uri: str, request: dict[str, str]) -> Any:
    try:
        return asked(uri, lambda: client().list_objects_v2(**request))
    except BadInput as bad:
        raise UserError(f"{uri} cannot be listed: {bad.message}") from None


def read(uri: str, start: int = 0, stop: int | None = None) -> bytes:
    """The bytes from start to stop (exclusive) of an object, all of a small one by default, in one request."""
    if stop is not None and stop <= start:
        return b""
    bucket, key = split(uri)
    part = {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"} if start or stop is not None else {}
    return asked(uri, partial(_body, {"Bucket": bucket, "Key": key, **part}))


def download(uri: str, path: Path) -> None:
    """An object as a local file, whole or not at all."""
    from boto3.exceptions import RetriesExceededError

    bucket, key = split(uri)

    def fetch() -> None:
        try:
            client().download_file(bucket, key, str(path))
        except RetriesExceededError as error:  # of the transfer: it waits for nothing between its attempts
            raise error.last_exception from None

    asked(uri, fetch)


def _body(wanted: dict[str, str]) -> bytes:
    return bytes(client().get_object(**wanted)["Body"].read())


def open_range(uri: str) -> BinaryIO:
    """The object as a file that can seek, of which only what is read is fetched. Raises BadInput(MISSING | UNREADABLE)
    when opened; when read also Unreachable, also for an object that was replaced since it was opened."""
    bucket, key = split(uri)
    found = head(uri)
    if found is None:
        raise BadInput(Reason.MISSING, "no such object")

    def fetch(start: int, stop: int) -> bytes:
        wanted = {"Bucket": bucket, "Key": key, "Range": f"bytes={start}-{stop - 1}", "IfMatch": f'"{found.etag}"'}
        try:
            return asked(uri, partial(_body, wanted))
        except ConditionLost:
            raise Unreachable(f"{uri} was replaced while it was read") from None

    return io.BufferedReader(RangeReader(fetch, found.size, (uri, found.etag)))


def put(uri: str, data: bytes, if_match: str | None = None, if_none_match: bool = False) -> str:
    """Writes an object in one request and returns its ETag. if_match: only over the object with that ETag;
    if_none_match: only where there is none. Raises ConditionLost, unless what is there are these very bytes: then a
    repeated request met its own work. So give what competes for a name bytes of its own. Raises UserError when it may
    not be written."""
    bucket, key = split(uri)
    wanted: dict[str, Any] = {"Bucket": bucket, "Key": key, "Body": data}
    if if_match is not None:
        wanted["IfMatch"] = f'"{if_match}"'
    if if_none_match:
        wanted["IfNoneMatch"] = "*"
    try:
        return str(_written(uri, lambda: client().put_object(**wanted))["ETag"].strip('"'))
    except ConditionLost:
        found = head(uri)
        if found is None or found.size != len(data) or read(uri) != data:
            raise
        return found.etag


def upload(local_path: str | Path, uri: str) -> None:
    """Copies a file there, in parts when it is large; nothing shows under the name before it is whole."""
    from boto3.s3.transfer import TransferConfig

    bucket, key = split(uri)
    parts = TransferConfig(multipart_threshold=MULTIPART_BYTES, multipart_chunksize=MULTIPART_BYTES // 4)

    def send() -> None:
        with open(local_path, "rb") as file:
            client().upload_fileobj(file, bucket, key, Config=parts)

    _written(uri, send)


def touch(uri: str) -> None:
    """The same bytes with a new time of modification; they do not travel."""
    bucket, key = split(uri)
    source = {"Bucket": bucket, "Key": key}
    _written(uri, partial(client().copy, source, bucket, key, ExtraArgs={"MetadataDirective": "REPLACE"}))


def delete(uris: Iterable[str]) -> None:
    """Removes objects, a thousand per request; those that are not there count as removed."""
    for bucket, group in groupby(map(split, uris), key=lambda each: each[0]):
        while keys := [{"Key": key} for _, key in islice(group, _DELETED_AT_ONCE)]:
            wanted = {"Bucket": bucket, "Delete": {"Objects": keys, "Quiet": True}}
            _written(f"{SCHEME}{bucket}/", partial(_delete, wanted))


def _delete(wanted: dict[str, Any]) -> None:
    from botocore.exceptions import ClientError

    for error in client().delete_objects(**wanted).get("Errors", ()):
        raise ClientError({"Error": error}, "DeleteObjects")  # as if it were of the whole request


def abort_stale_uploads(prefix_uri: str, older_than_seconds: float) -> int:
    """Gives up uploads in parts that were begun so long ago and never finished: they cost, and are not listed."""
    bucket, prefix = split(prefix_uri)
    before = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
    pages = client().get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix)
    begun = _written(prefix_uri, lambda: [each for page in pages for each in page.get("Uploads", ())])
    stale = [each for each in begun if each["Initiated"] < before]
    for each in stale:
        wanted = {"Bucket": bucket, "Key": each["Key"], "UploadId": each["UploadId"]}
        _written(prefix_uri, partial(client().abort_multipart_upload, **wanted))
    return len(stale)


def _written(uri: str, call: Callable[[], Any]) -> Any:
    try:
        return asked(uri, call)
    except BadInput as bad:
        if bad.reason is Reason.MISSING:  # the object that a condition named, or an upload that is gone
            raise ConditionLost(f"{uri} is no longer there") from None
        raise UserError(f"{uri} cannot be written: S3 denies access; the credentials need put and delete") from None


def delta_options() -> dict[str, str]:
    """`storage_options` for delta-rs: the same endpoint, region and credentials as `client`.

    Those of a profile are given as they are now, and last as long as the profile's provider says: open tables anew with
    fresh options before that. Those of a machine, a pod or the environment delta-rs finds and renews itself.
    """
    session = _session()
    options = {"aws_region": _region(session), "conditional_put": "etag"}
    options |= {"max_retries": "10", "retry_timeout": f"{PATIENCE_SECONDS:.0f}s"}
    if url := asked(SCHEME, client).meta.endpoint_url if endpoint() or session.profile_name != "default" else None:
        options |= {"aws_endpoint_url": url, "aws_allow_http": str(url.startswith("http://")).lower()}
    if is_anonymous():
        return options | {"aws_skip_signature": "true"}
    found = asked(SCHEME, session.get_credentials)
    if found is not None and found.method not in _READ_BY_DELTA:
        frozen = asked(SCHEME, found.get_frozen_credentials)
        options |= {"aws_access_key_id": frozen.access_key, "aws_secret_access_key": frozen.secret_key}
        options |= {"aws_session_token": frozen.token} if frozen.token else {}
    return options
