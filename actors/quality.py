"""Role `quality`: how good is this frame?"""

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from schemas.video import Image
from stages.scoring import percentile_of_bytes


class Quality(Protocol):
    """Scores frames; every score in [0, 1], higher is better. `quality` is the one thresholds read."""

    def score(self, images: Sequence[Image]) -> list[dict[str, float]]: ...


class MeasuredQuality:
    """The embedded answer: sharpness, exposure, colourfulness and contrast of the picture, no model.

    `quality` is their weighted geometric mean, so that one very bad property is not made up for by the others. It
    knows nothing of beauty. Pictures are scaled to one size first: the scores do not depend on the resolution.
    """

    SHORT_SIDE_PX = 240
    WEIGHTS = (("sharpness", 0.4), ("exposure", 0.25), ("contrast", 0.25), ("colourfulness", 0.1))

    def score(self, images: Sequence[Image]) -> list[dict[str, float]]:
        return [self._score(image) for image in images]

    def _score(self, image: Image) -> dict[str, float]:
        scale = self.SHORT_SIDE_PX / min(image.shape[:2])
        if scale < 1:
            image = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        steepest = percentile_of_bytes(cv2.convertScaleAbs(cv2.Laplacian(gray, cv2.CV_16S)), 99)
        clipped = 1 - cv2.countNonZero(cv2.inRange(gray, 5, 250)) / gray.size
        mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(gray))
        brightness = mean / 255
        scores = {
            "sharpness": min(1.0, steepest / 100),
            "exposure": (1 - clipped) * (1 - abs(2 * brightness - 1) ** 2),
            "contrast": min(1.0, deviation / 64),
            "colourfulness": min(1.0, _colourfulness(image) / 60),
        }
        logs = sum(weight * np.log(max(scores[name], 0.01)) for name, weight in self.WEIGHTS)
        return {"quality": float(np.exp(logs)), **{f"quality_{name}": value for name, value in scores.items()}}


def _colourfulness(image: Image) -> float:
    """Hasler and Suesstrunk, Measuring colourfulness in natural images (2003), equation 2; 0 (grey) to about 110."""
    red, green, blue = (channel.astype(np.int16) for channel in cv2.split(image))
    opponents = cv2.merge([red - green, (red + green) // 2 - blue])
    mean, deviation = cv2.meanStdDev(opponents)
    return float(np.linalg.norm(deviation) + 0.3 * np.linalg.norm(mean))
