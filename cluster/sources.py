"""Where sources come from: files, folders, globs, list files and Parquet, here or on S3, as (uri, stamp). No video is
read. Everything streams: a million sources take no more memory than one.
"""

import glob
import io
import os
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.utils import glob_translate

from cluster import s3
from cluster.storage import joined_stamp, path_of, sidecar_of, stamp_of, uri_of
from schemas.errors import BadInput, UserError

MEDIA_SUFFIXES = frozenset(
    ".3g2 .3gp .asf .avi .divx .f4v .flv .gif .m2t .m2ts .m2v .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .ogv .rm .rmvb "
    ".ts .vob .webm .wmv .y4m .aac .flac .m4a .mka .mp3 .oga .ogg .opus .wav".split()
)
"""What counts as a source inside a folder. Audio containers count: they end as a row with a reason, not unseen."""

LIST_SUFFIXES = frozenset({".txt", ".lst", ".list"})

MAX_LINE_CHARACTERS = 32_768
"""Of a list: a file of another kind must not be read into memory as one line."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A source as listed. The stamp changes whenever the bytes may have changed; "": not there; None: not asked for,
    since asking S3 for each of a million objects takes longer than anybody waits (pipeline/stamps.py)."""

    uri: str
    stamp: str | None


def list_sources(arguments: list[str]) -> Iterator[Listed]:
    """Every source the arguments name, unsorted, each folder walked once even through symlink loops.

    Raises UserError for an argument that names nothing, and for a folder or a bucket that cannot be listed.
    """
    for argument in arguments:
        found = False
        for listed in _in_s3(path_of(argument)) if s3.is_s3(argument) else _expand(argument):
            found = True
            yield listed
        if not found:
            raise UserError(
                f"no videos in {argument!r}: give a file, a folder of videos, a glob, a .txt list or a Parquet"
            )


# -- on this machine


def _expand(argument: str) -> Iterator[Listed]:
    path = path_of(argument)
    if os.path.isfile(path) and (entries := _entries(path)) is not None:
        yield from map(_as_listed, entries)
    else:
        yield from map(_local, _files(argument, path))


def _local(path: str) -> Listed:
    return Listed(uri_of(path), stamp_of(path))


def _as_listed(path: str) -> Listed:
    """An entry of a list."""
    return Listed(path, None) if s3.is_s3(path) else _local(path)


def _files(argument: str, path: str) -> Iterator[str]:
    if os.path.isdir(path):
        yield from _walk(path)
    elif os.path.isfile(path):
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
            if _is_media(name):
                yield os.path.join(parent, name)


def _unlistable(error: OSError) -> None:
    """A folder that cannot be listed must not look like an empty one: --sync would remove what is in it."""
    raise UserError(f"cannot list {error.filename!r}: {error.strerror}") from None


# -- on S3


def _in_s3(uri: str) -> Iterator[Listed]:
    """What one uri names: an object, a list, a pattern, or everything below a prefix."""
    try:
        found = None if uri.endswith("/") else s3.head(uri)
    except BadInput:
        if _is_media(uri):
            yield Listed(uri, "")  # denied: a row with a reason
            return
        found = None  # what is below it may still be listed
    if found is not None and (entries := _entries(uri)) is not None:
        yield from map(_as_listed, entries)
    elif found is not None:
        yield Listed(uri, stamp_of(uri))
    elif glob.has_magic(uri):
        yield from _matching(uri)
    else:
        below = s3.list_objects(uri if uri.endswith("/") else f"{uri}/")
        yield from _with_sidecars(below, _is_media)


def _matching(pattern: str) -> Iterator[Listed]:
    """As with files: * stays within a folder, ** crosses folders, and a pattern may name what is no media."""
    plain = pattern[: re.search(r"[*?[]", pattern).start()]  # type: ignore[union-attr]
    wanted = re.compile(glob_translate(pattern))
    yield from _with_sidecars(s3.list_objects(plain), lambda uri: bool(wanted.match(uri)) and not uri.endswith("/"))


def _with_sidecars(objects: Iterable[s3.Object], wanted: Callable[[str], bool]) -> Iterator[Listed]:
    """The wanted objects, each with the stamp of its sidecar, which the same listing holds: a little before it or, for
    a suffix before .json, a little after it, in the order of uris."""
    sidecars: dict[str, str] = {}
    waiting: list[s3.Object] = []  # for a sidecar that may still come

    def listed(found: s3.Object) -> Listed:
        return Listed(found.uri, joined_stamp(found.stamp, sidecars.get(sidecar_of(found.uri), "")))

    for found in objects:
        if found.uri.endswith(".json"):
            stems = [each for each in sidecars if found.uri.startswith(each.removesuffix("json"))]
            sidecars = {each: sidecars[each] for each in stems} | {found.uri: found.stamp}
        ready = [each for each in waiting if sidecar_of(each.uri) <= found.uri]
        waiting = [each for each in waiting if sidecar_of(each.uri) > found.uri]
        yield from map(listed, ready)
        if wanted(found.uri):
            if found.uri < sidecar_of(found.uri):
                waiting.append(found)
            else:
                yield listed(found)
    yield from map(listed, waiting)


def _is_media(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in MEDIA_SUFFIXES


# -- lists


def _entries(path: str) -> Iterator[str] | None:
    """The paths that a list names, a local file or an object; None for what is no list by its name."""
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in LIST_SUFFIXES:
        return _in_text(path)
    return uris_in_parquet(path) if suffix == ".parquet" else None


def _open_list(path: str) -> BinaryIO:
    try:
        return s3.open_range(path) if s3.is_s3(path) else open(path, "rb")
    except OSError as error:
        raise UserError(f"cannot read the list {path!r}: {error.strerror}") from None
    except BadInput as bad:
        raise UserError(f"cannot read the list {path!r}: {bad.message}") from None


def _in_text(path: str) -> Iterator[str]:
    base = posixpath.dirname(path if s3.is_s3(path) else os.path.abspath(path))
    with _open_list(path) as file:
        lines = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="\n")
        try:
            for number, line in enumerate(iter(lambda: lines.readline(MAX_LINE_CHARACTERS + 1), ""), 1):
                if len(line) > MAX_LINE_CHARACTERS:
                    raise UserError(f"{path}, line {number}: more than {MAX_LINE_CHARACTERS} characters: is it a list?")
                entry = line.rstrip("\r\n")
                if entry.strip() and not entry.startswith("#"):
                    yield _beside(base, entry, f"{path}, line {number}")
        except OSError as error:
            raise UserError(f"cannot read the list {path!r}: {error.strerror}") from None


def _beside(base: str, entry: str, where: str) -> str:
    """The path of an entry; one that is relative is so to its list."""
    try:
        path = path_of(entry)
        if s3.is_s3(path):
            path.encode()
    except UnicodeEncodeError:
        raise UserError(f"{where}: the name of an object is UTF-8") from None
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    if s3.is_s3(path):
        return path
    if s3.is_s3(base) and not os.path.isabs(path):  # an object's name has no dots to go up by
        return s3.SCHEME + posixpath.normpath(f"{base.removeprefix(s3.SCHEME)}/{path}")
    return os.path.join(base, path)


def uris_in_parquet(path: str) -> Iterator[str]:
    """Its column `uri`, without nulls; relative ones are so to the file. Raises UserError where there is none."""
    base = posixpath.dirname(path if s3.is_s3(path) else os.path.abspath(path))
    with _open_list(path) as opened:
        try:
            file = pq.ParquetFile(opened)
        except pa.ArrowException as error:
            raise UserError(f"cannot read {path!r} as Parquet: {error}") from None
        if "uri" not in file.schema_arrow.names:
            raise UserError(f"{path!r} has no column 'uri' (it has {', '.join(file.schema_arrow.names)})")
        kind = file.schema_arrow.field("uri").type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise UserError(f"the column 'uri' of {path!r} holds {kind}, not text")
        for batch in file.iter_batches(columns=["uri"], batch_size=10_000):
            yield from (_beside(base, uri, path) for uri in batch.column(0).to_pylist() if uri)
