"""The instances of a clip in one file, so that edits need not find them again: packed masks, no pickles."""

import io
import zlib
from zipfile import BadZipFile

import numpy as np

from cluster.folder import Folder
from schemas.tracks import InstanceTrack

NAME = "tracks"
"""The folder below an output."""


def write(out: Folder, name: str, tracks: list[InstanceTrack]) -> None:
    """Appears whole or not at all; equal tracks give equal bytes. Raises ValueError without tracks."""
    masks = np.stack([track.masks for track in tracks])
    file = io.BytesIO()
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
    out.write(name, file.getvalue())


def read(out: Folder, name: str) -> list[InstanceTrack]:
    """Raises OSError when there is no such file, ValueError when it is not one of ours."""
    try:
        return _read(out.read(name))
    except (BadZipFile, EOFError, KeyError, zlib.error) as error:
        raise ValueError(f"{name} is no file of tracks: {error}") from error


def _read(content: bytes) -> list[InstanceTrack]:
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        width, packed = int(found["shape"][-1]), found["masks"]
        if not 0 <= 8 * packed.shape[-1] - width < 8:  # or unpacking would fill up to any width
            raise ValueError(f"masks of {packed.shape[-1]} bytes a row are not {width} pixels wide")
        masks = np.unpackbits(packed, axis=-1, count=width).astype(np.bool_)
        return [
            InstanceTrack(str(name), str(category), *arrays)
            for name, category, *arrays in zip(
                *(found[name] for name in ("names", "categories")),
                masks,
                *(found[name] for name in ("seen", "scores", "nearness")),
                strict=True,
            )
        ]
