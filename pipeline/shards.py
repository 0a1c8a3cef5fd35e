"""Shards: which samples share one, and random access to their members."""

import tarfile
from collections import OrderedDict
from collections.abc import Iterable

from cluster.folder import Folder

OPEN_SHARDS = 256  # whose member lists are kept in memory


def kind_of(task: str, members: Iterable[str]) -> str:
    """What samples of one shard have in common, and the shard's name begins with: task and number of inputs.

    Equal kinds mean equal member types, which `datasets` asks of the samples of a tar.
    """
    return f"{task}.{sum('.input_' in name for name in members)}"


class ShardReader:
    """Members of shards by name, wherever they are; the lists of the last OPEN_SHARDS shards are remembered."""

    def __init__(self, out: Folder) -> None:
        self._out = out
        self._indices: OrderedDict[str, dict[str, tuple[int, int]]] = OrderedDict()

    def index(self, shard: str) -> dict[str, tuple[int, int]]:
        """Member name -> (offset, size), in the order of the tar. Raises OSError or tarfile.TarError."""
        if shard not in self._indices:
            with self._out.open(shard) as file, tarfile.open(fileobj=file, mode="r:") as tar:
                self._indices[shard] = {member.name: (member.offset_data, member.size) for member in tar}
            while len(self._indices) > OPEN_SHARDS:
                self._indices.popitem(last=False)
        self._indices.move_to_end(shard)
        return self._indices[shard]

    def read(self, shard: str, member: str) -> bytes:
        """Raises KeyError for a member that is not there, OSError or tarfile.TarError for a shard that is not."""
        offset, size = self.index(shard)[member]
        return self._out.read(shard, offset, size)

    def read_all(self, shard: str, members: list[str]) -> dict[str, bytes]:
        """The named members, in this order."""
        return {member: self.read(shard, member) for member in members}
