"""A value as it travels between processes: its pickle, and beside it the memory of its arrays, which Ray then neither
pickles nor copies more than once."""

import pickle
from typing import Any

import numpy as np
from numpy.typing import NDArray

Packed = tuple[bytes, list[NDArray[np.uint8]]]


def pack(value: Any) -> Packed:
    """The arrays share memory with `value`."""
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return pickled, [np.frombuffer(buffer.raw(), np.uint8) for buffer in buffers]


def unpack(packed: Packed) -> Any:
    """The value, its arrays writable. Empties `packed`: what Ray hands over is read-only and holds its object store."""
    pickled, arrays = packed
    buffers = [np.array(array) for array in arrays]  # numpy copies without Python's lock
    arrays.clear()
    return pickle.loads(pickled, buffers=buffers)
