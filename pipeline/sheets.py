"""Pictures of an output to browse: what each edit is about, and each edited video below its source."""

import os
from pathlib import Path

import cv2

from schemas.video import Image

REFERENCES = "references"
"""The folder of pictures that targets are drawn after, where a model made them."""

PREVIEWS, EDITED, FAILED = "previews", "videos", "failed"
"""Folders below an output: what was bound; edits that passed, beside their videos; edits that did not."""


def write(out: Path, folder: str, name: str, key: str, sheet: Image) -> str:
    """A PNG, whole or not at all; one of the same job is replaced. Its path below the output. Raises OSError."""
    path = out / path_of(folder, name, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    _, content = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content.tobytes())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return str(path.relative_to(out))


def found(out: Path, folder: str, name: str, key: str) -> str | None:
    """Its path below the output, when there is one."""
    path = path_of(folder, name, key)
    return path if (out / path).is_file() else None


def remove(out: Path, folder: str, name: str, key: str) -> None:
    (out / path_of(folder, name, key)).unlink(missing_ok=True)


def path_of(folder: str, name: str, key: str) -> str:
    """Below the output. The key tells jobs of one name apart, as it does for videos."""
    return f"{folder}/{name}-{key[:6]}.png"
