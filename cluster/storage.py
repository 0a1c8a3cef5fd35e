"""What a source is, wherever it lies: its uri and stamp, its bytes, its sidecar. The only place that knows schemes.

A local uri is its absolute path; a path that is not valid UTF-8 becomes a percent-encoded `file://` uri, since tables
hold text. An object's uri is s3://bucket/key, the key as it is. Where steps are given a "path", it is a local path, or
the uri of an object. Nothing here opens a video.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import BinaryIO
from urllib.parse import quote_from_bytes, unquote_to_bytes

from cluster import s3
from schemas.errors import BadInput, UserError
from schemas.reasons import Reason

_MAX_SIDECAR_BYTES = 1 << 20
_MAX_CATEGORY_LENGTH = 80


def uri_of(path: str) -> str:
    if s3.is_s3(path):
        return path
    path = os.path.abspath(path)
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return "file://" + quote_from_bytes(os.fsencode(path))
    return path


def path_of(uri: str) -> str:
    """The local path of a uri; an object's uri as it is. Raises UserError for schemes that are not built in."""
    if s3.is_s3(uri):
        bucket, key = s3.split(uri)
        return f"{s3.SCHEME}{bucket}/{key}"
    if uri.startswith("file://"):
        return os.fsdecode(unquote_to_bytes(uri.removeprefix("file://")))
    if scheme := re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", uri):  # what follows may hold a password
        raise UserError(f"cannot read {scheme.group()}...: sources are local files or objects on S3 (s3://bucket/key)")
    return uri


def video_at(path: str) -> str | Callable[[], BinaryIO]:
    """What stages.media opens: a local path, or a function that opens the object, by range, as often as is needed."""
    return partial(s3.open_range, path) if s3.is_s3(path) else path


def stamp_of(path: str) -> str:
    """Size and mtime, or ETag; of the sidecar too: cheap to ask for, and different whenever the bytes may be. "" for
    what is not there, is no regular file, or may not be read."""
    stamp = _stamp(path)
    return joined_stamp(stamp, _stamp(sidecar_of(path)) if stamp else "")


def joined_stamp(stamp: str, beside: str) -> str:
    """Of a video and its sidecar."""
    return f"{stamp}+{beside}" if beside else stamp


def _stamp(path: str) -> str:
    try:
        if s3.is_s3(path):
            found = s3.head(path)
            return found.stamp if found else ""
        status = os.stat(path)
    except (OSError, ValueError, BadInput):  # ValueError: a NUL, from a list
        return ""
    return f"{status.st_size}:{status.st_mtime_ns}" if stat.S_ISREG(status.st_mode) else ""


def sidecar_of(path: str) -> str:
    """The JSON file that may lie beside a video: film.json beside film.mp4."""
    return os.path.splitext(path)[0] + ".json"


def category_of(path: str) -> str:
    """What the video's sidecar calls its subjects: `{"category": "dog"}`; "" without one, or where it says nothing.

    Raises BadInput(BAD_SIDECAR) for a sidecar that is no JSON object, or whose category is not a short text.
    """
    try:
        with _opened(sidecar_of(path)) as file:
            found = json.loads(file.read(_MAX_SIDECAR_BYTES))
    except (FileNotFoundError, IsADirectoryError):
        return ""
    except BadInput:  # S3 says "denied" of what is not there to those who may not list
        return ""
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(Reason.BAD_SIDECAR, f"{os.path.basename(sidecar_of(path))}: {error}") from None
    category = found.get("category", "") if isinstance(found, dict) else None
    if not isinstance(category, str) or len(category) > _MAX_CATEGORY_LENGTH:
        raise BadInput(Reason.BAD_SIDECAR, f'{os.path.basename(sidecar_of(path))} is not like {{"category": "dog"}}')
    return " ".join(category.split())


def content_hash(path: str) -> str:
    """BLAKE2b of the bytes, 32 hex characters. Raises BadInput(MISSING | UNREADABLE), and of S3 Unreachable."""
    try:
        if not s3.is_s3(path) and not stat.S_ISREG(os.stat(path).st_mode):  # a pipe or a device may never end
            raise BadInput(Reason.UNREADABLE, "not a regular file")
        with _opened(path) as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except FileNotFoundError:
        raise BadInput(Reason.MISSING) from None
    except OSError as error:
        raise BadInput(Reason.UNREADABLE, f"the file cannot be read: {error.strerror}") from None
    except ValueError:  # a NUL, from a list
        raise BadInput(Reason.MISSING, "not a name a file can have") from None


def read_file(path: str) -> bytes:
    """All of a small file. Raises BadInput(MISSING | UNREADABLE)."""
    try:
        with _opened(path) as file:
            return file.read()
    except FileNotFoundError:
        raise BadInput(Reason.MISSING) from None
    except OSError as error:
        raise BadInput(Reason.UNREADABLE, f"the file cannot be read: {error.strerror}") from None


def _opened(path: str) -> AbstractContextManager[BinaryIO]:
    return s3.open_range(path) if s3.is_s3(path) else open(path, "rb")
