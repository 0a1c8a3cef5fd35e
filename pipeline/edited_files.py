"""The videos of an output: under a name of their own while they are judged, in place once they passed."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2

from cluster.folder import Folder
from schemas.video import Image
from stages import media

VIDEOS = "videos"
"""The folder below an output."""


def part(out: Folder, key: str, attempt: int) -> Path:
    """Where an attempt is written, without suffix: on this machine."""
    return out.scratch() / f"{key}-{attempt}"


def accept(out: Folder, written: Path, name: str, key: str) -> tuple[str, str]:
    """Give an attempt its place. Its path below the output, and its sha256 (of a folder: that of its files').

    The key tells jobs of one name apart that were asked for by different runs.
    """
    final = f"{VIDEOS}/{name}-{key[:6]}{written.suffix if written.is_file() else ''}"
    if written.is_dir():
        out.delete(final)  # an earlier one may have more pictures
    out.take(written, final)
    return final, sha256(out, final)


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sha256(out: Folder, name: str) -> str:
    """Of a file's bytes; of a folder, of the names and digests of its files in order. Raises OSError."""
    inside = list(out.files(name))
    if inside:
        total = hashlib.sha256()
        for file in inside:
            total.update(f"{file.name.rpartition('/')[2]}\n{sha256(out, file.name)}\n".encode())
        return total.hexdigest()
    with out.open(name) as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def frames(path: Path) -> Iterator[Image]:
    """The pictures of an edited video, or of a folder of them, upright."""
    if path.is_dir():
        for file in sorted(path.glob("*.png")):
            yield cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
    else:
        yield from (frame.image for frame in media.decode(str(path)))
