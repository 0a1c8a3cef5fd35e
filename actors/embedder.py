"""Role `embedder`: is this the same individual?"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.video import Image, Mask


class Embedder(Protocol):
    """(N, D) float32, rows of length 1, for N subjects given as image and mask; their cosine is the similarity."""

    def embed(self, subjects: Sequence[tuple[Image, Mask]]) -> NDArray[np.float32]: ...
