"""Where sources come from: files, folders, globs, list files and Parquet, as (uri, stamp) without reading any video.

A local uri is its absolute path; a path that is not valid UTF-8 becomes a percent-encoded `file://` uri, since tables
hold text. Nothing here opens a video.
"""

import glob
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import BadInput, UserError
from schemas.reasons import Reason

MEDIA_SUFFIXES = frozenset(
    ".3g2 .3gp .asf .avi .divx .f4v .flv .gif .m2t .m2ts .m2v .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .ogv .rm .rmvb "
    ".ts .vob .webm .wmv .y4m .aac .flac .m4a .mka .mp3 .oga .ogg .opus .wav".split()
)
"""What counts as a source inside a folder. Audio containers count: they end as a row with a reason, not unseen."""

_MAX_SIDECAR_BYTES = 1 << 20
_MAX_CATEGORY_LENGTH = 80

LIST_SUFFIXES = frozenset({".txt", ".lst", ".list"})


@dataclass(frozen=True, slots=True)
class Listed:
    """A source as listed. The stamp changes whenever the bytes may have changed."""

    uri: str
    stamp: str


def uri_of(path: str) -> str:
    path = os.path.abspath(path)
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return "file://" + quote_from_bytes(os.fsencode(path))
    return path


def path_of(uri: str) -> str:
    """The local path of a uri. Raises UserError for schemes that are not built in."""
    if uri.startswith("file://"):
        return os.fsdecode(unquote_to_bytes(uri.removeprefix("file://")))
    if scheme := re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", uri):
        raise UserError(f"cannot read {uri}: only local files are supported so far, not {scheme.group()}")
    return uri


def stamp_of(path: str) -> str:
    """Size and mtime, of the sidecar too: cheap to ask for, and different whenever the bytes may be. "" for a file that
    is not there."""
    stamp = _stamp(path)
    beside = _stamp(sidecar_of(path)) if stamp else ""
    return f"{stamp}+{beside}" if beside else stamp


def _stamp(path: str) -> str:
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError: a NUL, from a list
        return ""
    return f"{status.st_size}:{status.st_mtime_ns}"


def sidecar_of(path: str) -> str:
    """The JSON file that may lie beside a video: film.json beside film.mp4."""
    return os.path.splitext(path)[0] + ".json"


def category_of(path: str) -> str:
    """What the video's sidecar calls its subjects: `{"category": "dog"}`; "" without one, or where it says nothing.

    Raises BadInput(BAD_SIDECAR) for a sidecar that is no JSON object, or whose category is not a short text.
    """
    try:
        with open(sidecar_of(path), "rb") as file:
            found = json.loads(file.read(_MAX_SIDECAR_BYTES))
    except (FileNotFoundError, IsADirectoryError):
        return ""
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(Reason.BAD_SIDECAR, f"{os.path.basename(sidecar_of(path))}: {error}") from None
    category = found.get("category", "") if isinstance(found, dict) else None
    if not isinstance(category, str) or len(category) > _MAX_CATEGORY_LENGTH:
        raise BadInput(Reason.BAD_SIDECAR, f'{os.path.basename(sidecar_of(path))} is not like {{"category": "dog"}}')
    return " ".join(category.split())


def content_hash(path: str) -> str:
    """BLAKE2b of the bytes, 32 hex characters. Raises BadInput(MISSING | UNREADABLE)."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe or a device may never end
            raise BadInput(Reason.UNREADABLE, "not a regular file")
        with open(path, "rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except FileNotFoundError:
        raise BadInput(Reason.MISSING) from None
    except OSError as error:
        raise BadInput(Reason.UNREADABLE, f"the file cannot be read: {error.strerror}") from None
    except ValueError:  # a NUL, from a list
        raise BadInput(Reason.MISSING, "not a name a file can have") from None


def list_sources(arguments: list[str]) -> Iterator[Listed]:
    """Every source the arguments name, unsorted, each folder walked once even through symlink loops.

    Raises UserError for an argument that names nothing.
    """
    for argument in arguments:
        found = False
        for path in _expand(argument):
            found = True
            yield Listed(uri_of(path), stamp_of(path))
        if not found:
            raise UserError(
                f"no videos in {argument!r}: give a file, a folder of videos, a glob, a .txt list or a Parquet"
            )


def _expand(argument: str) -> Iterator[str]:
    path = path_of(argument)
    if os.path.isdir(path):
        yield from _walk(path)
    elif os.path.isfile(path):
        suffix = Path(path).suffix.lower()
        if suffix in LIST_SUFFIXES:
            yield from _listed_in_text(path)
        elif suffix == ".parquet":
            yield from _listed_in_parquet(path)
        else:
            yield path
    elif glob.has_magic(argument):
        yield from (match for match in sorted(glob.glob(argument, recursive=True)) if not os.path.isdir(match))
    elif os.path.lexists(path):
        yield path  # a dangling link, a socket: a row with a reason
    else:
        raise UserError(f"no such file or folder: {argument!r}")


def _walk(folder: str) -> Iterator[str]:
    seen: set[tuple[int, int]] = set()
    for parent, folders, files in os.walk(folder, onerror=_unlistable, followlinks=True):
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders.sort()
        for name in sorted(files):
            if Path(name).suffix.lower() in MEDIA_SUFFIXES:
                yield os.path.join(parent, name)


def _unlistable(error: OSError) -> None:
    """A folder that cannot be listed must not look like an empty one: --sync would remove what is in it."""
    raise UserError(f"cannot list {error.filename!r}: {error.strerror}") from None


def _listed_in_text(path: str) -> Iterator[str]:
    base = os.path.dirname(os.path.abspath(path))
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="\n") as lines:
            for line in lines:
                entry = line.rstrip("\r\n")
                if entry.strip() and not entry.startswith("#"):
                    yield os.path.join(base, path_of(entry))
    except OSError as error:
        raise UserError(f"cannot read the list {path!r}: {error.strerror}") from None


def _listed_in_parquet(path: str) -> Iterator[str]:
    try:
        file = pq.ParquetFile(path)
    except Exception as error:
        raise UserError(f"cannot read {path!r} as Parquet: {error}") from None
    if "uri" not in file.schema_arrow.names:
        raise UserError(f"{path!r} has no column 'uri' (it has {', '.join(file.schema_arrow.names)})")
    kind = file.schema_arrow.field("uri").type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise UserError(f"the column 'uri' of {path!r} holds {kind}, not text")
    for batch in file.iter_batches(columns=["uri"], batch_size=10_000):
        yield from (path_of(uri) for uri in batch.column(0).to_pylist() if uri)
