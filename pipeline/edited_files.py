"""The videos of an output: under a name of their own while they are judged, in place once they passed."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2

from schemas.video import Image
from stages import media

VIDEOS = "videos"
"""The folder below an output."""


def part(out: Path, key: str, attempt: int) -> Path:
    """Where an attempt is written, without suffix."""
    folder = out / VIDEOS
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f".{key}-{attempt}"


def accept(out: Path, written: Path, name: str, key: str) -> tuple[str, str]:
    """Give an attempt its place. Its path below the output, and its sha256 (of a folder: that of its files').

    The key tells jobs of one name apart that were asked for by different runs.
    """
    final = out / VIDEOS / f"{name}-{key[:6]}{written.suffix if written.is_file() else ''}"
    remove(final)
    os.replace(written, final)
    return str(final.relative_to(out)), sha256(final)


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Of a file's bytes; of a folder, of the names and digests of its files in order. Raises OSError."""
    total = hashlib.sha256()
    if path.is_dir():
        for file in sorted(path.iterdir()):
            total.update(f"{file.name}\n{sha256(file)}\n".encode())
        return total.hexdigest()
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def frames(path: Path) -> Iterator[Image]:
    """The pictures of an edited video, or of a folder of them, upright."""
    if path.is_dir():
        for file in sorted(path.glob("*.png")):
            yield cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
    else:
        yield from (frame.image for frame in media.decode(str(path)))
