"""The instances of a clip in one file, so that edits need not find them again: packed masks, no pickles."""

import os
import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from schemas.tracks import InstanceTrack

NAME = "tracks"
"""The folder below an output."""


def write(path: Path, tracks: list[InstanceTrack]) -> None:
    """Appears whole or not at all; equal tracks give equal bytes. Raises ValueError without tracks."""
    masks = np.stack([track.masks for track in tracks])
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            np.savez_compressed(
                file,
                names=np.array([track.name for track in tracks]),
                categories=np.array([track.category for track in tracks]),
                shape=np.array(masks.shape),
                masks=np.packbits(masks, axis=-1),
                seen=np.stack([track.seen for track in tracks]),
                scores=np.stack([track.scores for track in tracks]),
                nearness=np.stack([track.nearness for track in tracks]),
            )
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read(path: Path) -> list[InstanceTrack]:
    """Raises OSError when there is no such file, ValueError when it is not one of ours."""
    try:
        return _read(path)
    except (BadZipFile, EOFError, KeyError, zlib.error) as error:
        raise ValueError(f"{path} is no file of tracks: {error}") from error


def _read(path: Path) -> list[InstanceTrack]:
    with np.load(path, allow_pickle=False) as found:
        width = int(found["shape"][-1])
        masks = np.unpackbits(found["masks"], axis=-1, count=width).astype(np.bool_)
        return [
            InstanceTrack(str(name), str(category), *arrays)
            for name, category, *arrays in zip(
                *(found[name] for name in ("names", "categories")),
                masks,
                *(found[name] for name in ("seen", "scores", "nearness")),
                strict=True,
            )
        ]
