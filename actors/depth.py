"""Role `depth`: who is in front?"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.video import Image, Mask


class Depth(Protocol):
    """Nearness in [0, 1] per pixel ((H, W) float32, 1 = nearest), comparable between the frames of one call.

    `masks` are the known instances per frame: implementations that order instances rather than pixels need them.
    """

    def nearness(self, images: Sequence[Image], masks: Sequence[Sequence[Mask]]) -> list[NDArray[np.float32]]: ...
