"""Role `embedder`: is this the same individual?"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.video import Image, Mask
from stages import descriptors, masks


class Embedder(Protocol):
    """(N, D) float32, rows of length 1, for N subjects given as image and mask; their cosine is the similarity. What
    lies beside the box of a mask changes nothing."""

    def embed(self, subjects: Sequence[tuple[Image, Mask]]) -> NDArray[np.float32]: ...


class DescriptorEmbedder:
    """Colours and gradient directions on the mask: tells a dog from a dancer, not two people dressed alike."""

    def embed(self, subjects: Sequence[tuple[Image, Mask]]) -> NDArray[np.float32]:
        vectors = [descriptors.describe(image, mask) for image, mask in subjects]
        return np.stack(vectors) if vectors else np.zeros((0, descriptors.LENGTH), np.float32)


def cropped(subjects: Sequence[tuple[Image, Mask]]) -> list[tuple[Image, Mask]]:
    """The subjects without what lies beside the boxes of their masks: a tenth to send."""
    return [_cropped(image, mask) for image, mask in subjects]


def _cropped(image: Image, mask: Mask) -> tuple[Image, Mask]:
    box = masks.box_of(mask)
    if box is None:
        return image, mask
    x0, y0, x1, y1 = (int(side) for side in box)
    return np.ascontiguousarray(image[y0:y1, x0:x1]), np.ascontiguousarray(mask[y0:y1, x0:x1])
