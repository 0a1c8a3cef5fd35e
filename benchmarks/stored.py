"""What a finished dataset holds and what it was made from, read without anything that made it.

Tables with deltalake, shards with tarfile, masks with pycocotools, video with PyAV.
"""

import hashlib
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from deltalake import DeltaTable
from numpy.typing import NDArray
from pycocotools import mask as coco
from truth import Mask

Image = NDArray[np.uint8]
Claim = Callable[[str, bool, str], None]
"""Is told what a dataset says of itself: the claim, whether it holds, and where."""


def rows(out: Path, name: str) -> list[dict[str, Any]]:
    """The accepted rows of a table."""
    folder = out / "tables" / name
    if not folder.is_dir():
        return []
    every = DeltaTable(str(folder)).to_pyarrow_table().to_pylist(maps_as_pydicts="strict")
    return [row for row in every if row["status"] == "ok"]


def decoded(code: dict[str, Any]) -> Mask:
    """(H, W) mask of a run-length code as the tables have it."""
    raw = coco.decode({"size": list(code["size"]), "counts": code["counts"].encode("ascii")})
    return np.ascontiguousarray(raw).astype(np.bool_)


class Shards:
    """The members of samples, from their tars."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._open: dict[str, tarfile.TarFile] = {}

    def of(self, row: dict[str, Any], claim: Claim) -> dict[str, bytes] | None:
        """By name without the key; None when one is missing or not what its row says."""
        shard = row["shard"]
        if shard not in self._open:
            self._open[shard] = tarfile.open(self._out / shard)  # noqa: SIM115 - read throughout
        stored = {}
        is_sound = True
        for name, known in zip(row["members"], row["member_sha256"], strict=True):
            try:
                data = self._open[shard].extractfile(name)
            except KeyError:
                data = None
            claim("every member is in its shard", data is not None, name)
            if data is None:
                return None
            stored[name.removeprefix(row["key"] + ".")] = content = data.read()
            is_same = hashlib.sha256(content).hexdigest() == known
            claim("a member's bytes have the hash of its row", is_same, name)
            is_sound &= is_same
        return stored if is_sound else None


def picture(data: bytes) -> Image:
    """(H, W, 3) RGB of a PNG."""
    bgr = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(bgr[..., ::-1])


def mask_of(data: bytes) -> Mask:
    """(H, W) mask of a PNG."""
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8) > 127


def frames_of(pairs: Iterable[dict[str, Any]]) -> dict[tuple[str, int], Image]:
    """The frames of all pairs whose sources are plain files: upright, square pixels."""
    wanted: dict[str, set[int]] = {}
    for pair in pairs:
        wanted.setdefault(pair["source_uri"], set()).update((pair["frame_a"], pair["frame_b"]))
    return {(uri, index): image for uri, some in wanted.items() for index, image in _decode(uri, some)}


def _decode(uri: str, wanted: set[int]) -> Iterator[tuple[int, Image]]:
    with av.open(uri) as container:
        stream = container.streams.video[0]
        if stream.sample_aspect_ratio not in (None, 0, 1):
            return  # needs what the dataset's own reader does; its pixels are not compared
        for index, frame in enumerate(container.decode(stream)):
            if index > max(wanted):
                return
            if index in wanted:
                if frame.rotation:
                    return
                yield index, frame.to_ndarray(format="rgb24")
