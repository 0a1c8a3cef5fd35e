"""An object as a file that can seek: fetched by range, a few blocks ahead, and the last blocks of a process kept.

Demuxers read a header here, an index there, then pictures and sound by turns, and a step opens its source several
times. So blocks are shared by all readers of a process: a short clip is fetched once however often it is opened.
"""

import io
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

BLOCK_BYTES = 1 << 20
MAX_BLOCKS_AHEAD = 8
"""Of one request. A read where the last one ended doubles it, from one block; a jump starts at one again."""
MAX_BLOCKS_KEPT = 64
"""Of all readers of a process together: 64 MiB."""


class _Blocks:
    """The blocks read last, by object and number."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Hashable, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, identity: Hashable, number: int) -> bytes | None:
        with self._lock:
            if (identity, number) in self._kept:
                self._kept.move_to_end((identity, number))
            return self._kept.get((identity, number))

    def put(self, identity: Hashable, number: int, block: bytes) -> None:
        with self._lock:
            self._kept[identity, number] = block
            if len(self._kept) > MAX_BLOCKS_KEPT:
                self._kept.popitem(last=False)


_blocks = _Blocks()


class RangeReader(io.RawIOBase):
    """Read only. fetch: the bytes from start to stop (exclusive), or an error; identity: equal only for equal bytes."""

    def __init__(self, fetch: Callable[[int, int], bytes], size: int, identity: Hashable) -> None:
        self._fetch, self._size, self._identity = fetch, size, identity
        self._at = 0
        self._error: Exception | None = None  # is final: demuxers ask several times before they give up
        self._after, self._ahead = -1, 1  # the block after those fetched last, and how many they were

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError("a place before the start")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fills what it can of `buffer` from one block: as a file may, it can give less than was asked for."""
        if self._at >= self._size:
            return 0
        number, offset = divmod(self._at, BLOCK_BYTES)
        block = _blocks.get(self._identity, number)
        if block is None:
            block = self._load(number)
        part = memoryview(block)[offset : offset + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def _load(self, number: int) -> bytes:
        self._ahead = min(2 * self._ahead, MAX_BLOCKS_AHEAD) if number == self._after else 1
        stop = number + 1
        while stop < number + self._ahead and _blocks.get(self._identity, stop) is None:
            stop += 1
        start_byte, stop_byte = number * BLOCK_BYTES, min(stop * BLOCK_BYTES, self._size)
        if self._error is not None:
            raise self._error
        try:
            fetched = self._fetch(start_byte, stop_byte)
            if len(fetched) != stop_byte - start_byte:
                raise OSError(f"{len(fetched)} bytes came of {stop_byte - start_byte} asked for")
        except Exception as error:
            self._error = error
            raise
        for each in range(number, stop):
            begin = (each - number) * BLOCK_BYTES
            _blocks.put(self._identity, each, fetched[begin : begin + BLOCK_BYTES])
        self._after = -(-stop_byte // BLOCK_BYTES)
        return fetched[:BLOCK_BYTES]
