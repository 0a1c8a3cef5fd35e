"""Role `embedder`: is this the same individual?"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.video import Image, Mask
from stages import descriptors


class Embedder(Protocol):
    """(N, D) float32, rows of length 1, for N subjects given as image and mask; their cosine is the similarity."""

    def embed(self, subjects: Sequence[tuple[Image, Mask]]) -> NDArray[np.float32]: ...


class DescriptorEmbedder:
    """Colours and gradient directions on the mask: tells a dog from a dancer, not two people dressed alike."""

    def embed(self, subjects: Sequence[tuple[Image, Mask]]) -> NDArray[np.float32]:
        vectors = [descriptors.describe(image, mask) for image, mask in subjects]
        return np.stack(vectors) if vectors else np.zeros((0, descriptors.LENGTH), np.float32)
