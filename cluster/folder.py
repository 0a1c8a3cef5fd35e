"""An output, on a local disk or under a prefix on S3: named files that appear whole or not at all.

The two kinds answer the same questions; `output_folder` picks one by the name. Names are relative, with `/`.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cluster import s3
from schemas.errors import BadInput, UserError
from schemas.reasons import Reason

SPOOL = ".spool"
"""Below a local output, so that what was made there can be renamed into place."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of an output. modified: seconds since 1970."""

    name: str
    size: int
    modified: float


class LocalFolder:
    """Raises what the file system raises."""

    is_local = True
    delta_options: dict[str, str] | None = None

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __str__(self) -> str:
        return str(self.path)

    @property
    def place(self) -> str:
        """Where it is, from any working directory."""
        return str(self.path.absolute())

    def address(self, name: str) -> str:
        """Where a file is, for people and for delta-rs."""
        return str(self.path / name)

    def check_writable(self) -> None:
        """Raises OSError, with the folder made where there was none."""
        self.path.mkdir(parents=True, exist_ok=True)
        probe = self.path / ".writable"
        probe.write_bytes(b"recast")
        probe.unlink()

    def exists(self, name: str) -> bool:
        """A file, or a folder with something in it."""
        return (self.path / name).exists()

    def open(self, name: str) -> BinaryIO:
        """Can seek. Raises FileNotFoundError."""
        return (self.path / name).open("rb")

    def read(self, name: str, start: int = 0, size: int = -1) -> bytes:
        """Raises FileNotFoundError."""
        with self.open(name) as file:
            file.seek(start)
            return file.read(size)

    def write(self, name: str, data: bytes) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            part.write_bytes(data)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def take(self, made: Path, name: str) -> None:
        """A file, or a folder of files, made in `scratch` gets its place. Durable once this returns."""
        final = self.path / name
        final.parent.mkdir(parents=True, exist_ok=True)
        os.replace(made, final)
        handle = os.open(final.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def scratch(self) -> Path:
        """A folder for files that are still being made. On the output's own disk, where renaming is all it takes."""
        path = self.path / SPOOL
        path.mkdir(parents=True, exist_ok=True)
        return path

    def clear_scratch(self) -> None:
        """For who holds the output's lock: nobody else may be making anything."""
        shutil.rmtree(self.path / SPOOL, ignore_errors=True)

    def delete(self, name: str) -> None:
        """A file or a folder; also where there is none."""
        path = self.path / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def touch(self, name: str) -> None:
        """Make it as young as if it had been written now."""
        os.utime(self.path / name)

    def files(self, folder: str) -> Iterator[File]:
        """Every file below a folder; those of one folder in order of name."""
        for place, folders, names in os.walk(self.path / folder):
            folders.sort()
            for name in sorted(names):
                path = Path(place) / name
                try:
                    found = path.stat()
                except FileNotFoundError:  # a run in progress moved it
                    continue
                yield File(path.relative_to(self.path).as_posix(), found.st_size, found.st_mtime)

    def clear_abandoned(self, older_than_seconds: float) -> None:
        """What dead runs left that is no file of the output."""


class S3Folder:
    """Raises FileNotFoundError, Unreachable, and UserError for what the user has to mend (cluster/s3_errors.py)."""

    is_local = False

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        if not s3.split(self.uri)[1]:
            raise UserError(f"{uri}: an output needs a prefix of its own, such as {self.uri}/dataset")
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def __str__(self) -> str:
        return self.uri

    @property
    def place(self) -> str:
        return self.uri

    @property
    def delta_options(self) -> dict[str, str]:
        return s3.delta_options()

    def address(self, name: str) -> str:
        return f"{self.uri}/{name}"

    def check_writable(self) -> None:
        s3.put(self.address(".writable"), b"recast")
        s3.delete([self.address(".writable")])

    def exists(self, name: str) -> bool:
        with _as_a_file():
            if s3.head(self.address(name)) is not None:
                return True
        return next(s3.list_objects(self.address(name) + "/"), None) is not None

    def open(self, name: str) -> BinaryIO:
        with _as_a_file():
            return s3.open_range(self.address(name))

    def read(self, name: str, start: int = 0, size: int = -1) -> bytes:
        with _as_a_file():
            return s3.read(self.address(name), start, None if size < 0 else start + size)

    def write(self, name: str, data: bytes) -> None:
        s3.put(self.address(name), data)

    def take(self, made: Path, name: str) -> None:
        for path in sorted(made.rglob("*")) if made.is_dir() else [made]:
            if path.is_file():
                below = "" if path == made else "/" + path.relative_to(made).as_posix()
                s3.upload(path, self.address(name) + below)
        if made.is_dir():
            shutil.rmtree(made)
        else:
            made.unlink()

    def scratch(self) -> Path:
        """On the disk of this machine, until this object goes."""
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="recast-")
        return Path(self._scratch.name)

    def clear_scratch(self) -> None:
        """What other machines have there is theirs."""

    def delete(self, name: str) -> None:
        s3.delete([self.address(name)])
        s3.delete(found.uri for found in s3.list_objects(self.address(name) + "/"))

    def touch(self, name: str) -> None:
        s3.touch(self.address(name))

    def files(self, folder: str) -> Iterator[File]:
        start = len(self.uri) + 1
        for found in s3.list_objects(self.address(folder) + "/"):
            yield File(found.uri[start:], found.size, found.modified.timestamp())

    def clear_abandoned(self, older_than_seconds: float) -> None:
        s3.abort_stale_uploads(self.uri + "/", older_than_seconds)


@contextmanager
def _as_a_file() -> Iterator[None]:
    """An output's object that is not there, or not for us, as the file system would say it."""
    try:
        yield
    except BadInput as bad:
        kind = FileNotFoundError if bad.reason is Reason.MISSING else PermissionError
        raise kind(bad.message) from None


Folder = LocalFolder | S3Folder


def output_folder(place: str | Path | Folder) -> Folder:
    """Raises UserError for a scheme that outputs cannot have."""
    text = str(place)
    if s3.is_s3(text):
        return S3Folder(text)
    if "://" in text:
        raise UserError(f"{text}: outputs are local folders or s3:// prefixes")
    return LocalFolder(text)
