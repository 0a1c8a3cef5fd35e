"""Encoded samples into WebDataset tars: spooled, sealed, and only then told to the ledger.

A tar's member bytes depend on the samples alone (headers are zeroed). A tar no committed row names is garbage that
`recast compact` removes, so a crash at any point here costs work, never correctness.
"""

import hashlib
import io
import os
import tarfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from cluster.folder import Folder, output_folder
from pipeline import failpoints
from pipeline.shards import kind_of
from pipeline.storage_errors import storage_errors
from schemas.config import EngineConfig
from schemas.work import Result


class Tar:
    """An open tar file that is written member by member and appears under its final name whole, or not at all."""

    def __init__(self, spool: Path) -> None:
        self.path = spool
        self.num_bytes = 0
        with storage_errors(spool.parent):
            spool.parent.mkdir(parents=True, exist_ok=True)
            self._file = spool.open("wb")
        self._tar = tarfile.open(fileobj=self._file, mode="w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115

    def add(self, name: str, data: bytes) -> None:
        """Owner, group and time of a member are zero, its mode 0644. Raises UserError when the disk is full."""
        info = tarfile.TarInfo(name)
        info.size = len(data)
        with self._or_discard():
            self._tar.addfile(info, io.BytesIO(data))
        self.num_bytes += len(data)

    def finish(self) -> None:
        """End the tar and make its bytes durable, still under the spool's name."""
        if self._file.closed:
            return
        with self._or_discard():
            self._tar.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def seal(self, out: Folder, name: str) -> None:
        """Finish, then give the tar its final name."""
        self.finish()
        failpoints.hit("before_upload")
        with self._or_discard():
            out.take(self.path, name)
        failpoints.hit("after_upload")

    def discard(self) -> None:
        with suppress(OSError):
            self._file.close()
        self.path.unlink(missing_ok=True)

    @contextmanager
    def _or_discard(self) -> Iterator[None]:
        """Removes the spool on a storage error, and turns the error into the user's words."""
        with storage_errors(self.path.parent.parent):
            try:
                yield
            except OSError:
                self.discard()
                raise


@dataclass(slots=True)
class _Open:
    """A tar that is being filled with samples of one kind, since when, and the results it holds."""

    tar: Tar
    since: float
    results: dict[tuple[str, int], Result] = field(default_factory=dict)


class ShardWriter:
    """One writer of one run. `sealed` is called with the results of a tar, without their bytes, once it is in place.

    A tar holds samples of one kind (task and number of inputs). At most shard_mb per tar and unsealed_mb in all are
    held: `put` seals, and so blocks, when they are reached. Raises UserError when the disk is full or read-only.
    """

    def __init__(
        self,
        out: str | Path,
        name: str,
        config: EngineConfig,
        epoch: int,
        sealed: Callable[[list[Result]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._out = output_folder(out)
        self._config = config
        self._epoch = epoch
        self._sealed = sealed
        self._clock = clock
        self._open: dict[str, _Open] = {}
        self.num_bytes_sealed = 0

    def put(self, results: Iterable[Result]) -> None:
        """Append the members of each result; a result that is in an open tar already (a replay) is skipped."""
        for result in results:
            kind = _kind(result)
            identity = (result.id, result.attempt)
            if kind not in self._open:
                tar = Tar(self._out.scratch() / f"{self._epoch}-{self.name}-{uuid.uuid4().hex}.tar")
                self._open[kind] = _Open(tar, self._clock())
            shard = self._open[kind]
            if identity in shard.results:
                continue
            for name, data in result.members.items():
                shard.tar.add(name, data)
            shard.results[identity] = _described(result)
            failpoints.hit("spool_written")
            if shard.tar.num_bytes >= self._config.shard_mb * 1_000_000:
                self._seal(kind)
            elif sum(each.tar.num_bytes for each in self._open.values()) >= self._config.unsealed_mb * 1_000_000:
                self.seal()
        self.tick()

    def tick(self) -> None:
        """Seal what is old enough: call it often."""
        for kind in list(self._open):
            if self._clock() - self._open[kind].since >= self._config.seal_seconds:
                self._seal(kind)

    def seal(self) -> None:
        """Seal what there is: nothing more is coming for now."""
        for kind in list(self._open):
            self._seal(kind)

    def _seal(self, kind: str) -> None:
        full = self._open.pop(kind)
        shard = f"shards/{kind}-{self._epoch}-{uuid.uuid4().hex}.tar"
        full.tar.seal(self._out, shard)
        self.num_bytes_sealed += full.tar.num_bytes
        results = list(full.results.values())
        for result in results:
            for row in result.rows.get("samples", [])[:1]:
                row["shard"] = shard
        self._sealed(results)

    @property
    def num_unsealed(self) -> int:
        return sum(len(shard.results) for shard in self._open.values())


def _kind(result: Result) -> str:
    """A caption unit has no task of its own; its sample has."""
    rows = result.rows.get("samples", [{}])
    return kind_of(rows[0].get("task", result.task), result.members)


def _described(result: Result) -> Result:
    """The result without its bytes, its sample row saying which members it has."""
    rows = dict(result.rows)
    for row in rows.get("samples", [])[:1]:
        members = {
            "members": list(result.members),
            "member_sha256": [hashlib.sha256(data).hexdigest() for data in result.members.values()],
        }
        rows["samples"] = [row | members]
    return replace(result, rows=rows, members={})
