"""Role `depth`: who is in front?"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.video import Image, Mask
from stages import masks


class Depth(Protocol):
    """Nearness in [0, 1] per pixel ((H, W) float32, 1 = nearest), comparable between the frames of one call.

    `masks` are the known instances per frame: implementations that order instances rather than pixels need them.
    """

    def nearness(self, images: Sequence[Image], masks: Sequence[Sequence[Mask]]) -> list[NDArray[np.float32]]: ...


class GroundContactDepth:
    """What touches the ground lower in the picture is nearer: true for subjects on one plane seen from above.

    The ground itself rises from 0 at the top of the picture to 1 at the bottom; an instance has the nearness of the
    ground at its lowest row, all over.
    """

    def nearness(self, images: Sequence[Image], masks: Sequence[Sequence[Mask]]) -> list[NDArray[np.float32]]:
        return [_ground_contact(image, instances) for image, instances in zip(images, masks, strict=True)]


def _ground_contact(image: Image, instances: Sequence[Mask]) -> NDArray[np.float32]:
    height, width = image.shape[:2]
    ground = (np.arange(height, dtype=np.float32) + 1) / height
    nearness = np.repeat(ground[:, None], width, axis=1)
    boxes = [masks.box_of(instance) for instance in instances]
    feet = sorted((box[3], number) for number, box in enumerate(boxes) if box is not None)
    for bottom, number in feet:
        nearness[instances[number]] = bottom / height
    return nearness
