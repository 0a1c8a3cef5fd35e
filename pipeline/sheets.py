"""Pictures of an output to browse: what each edit is about, and each edited video below its source."""

import cv2

from cluster.folder import Folder
from schemas.video import Image

REFERENCES = "references"
"""The folder of pictures that targets are drawn after, where a model made them."""

PREVIEWS, EDITED, FAILED = "previews", "videos", "failed"
"""Folders below an output: what was bound; edits that passed, beside their videos; edits that did not."""


def write(out: Folder, folder: str, name: str, key: str, sheet: Image) -> str:
    """A PNG, whole or not at all; one of the same job is replaced. Its path below the output. Raises OSError."""
    path = path_of(folder, name, key)
    _, content = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    out.write(path, content.tobytes())
    return path


def remove(out: Folder, folder: str, name: str, key: str) -> None:
    out.delete(path_of(folder, name, key))


def path_of(folder: str, name: str, key: str) -> str:
    """Below the output. The key tells jobs of one name apart, as it does for videos."""
    return f"{folder}/{name}-{key[:6]}.png"
