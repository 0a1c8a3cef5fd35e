"""Instances through a whole clip, frame by frame: what an edit is bound to, retargets and pastes back by."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MaskVideo = NDArray[np.bool_]
"""(T, H, W) bool, a mask per frame; T frames of the clip in time order."""


@dataclass(slots=True)
class InstanceTrack:
    """One instance through T frames. Masks of different instances never overlap within a frame.

    masks: (T, H, W), empty where it is not in the picture. seen: (T,) bool, True where it was found, False where its
    mask was filled in or it is absent. scores: (T,) float32 in [0, 1], how sure the mask is, 0 where not seen.
    nearness: (T,) float32 in [0, 1], 1 = nearest, comparable between the instances of a clip.
    """

    name: str  # "bear 1": numbered from left to right in the first frame that shows them
    category: str
    masks: MaskVideo
    seen: NDArray[np.bool_]
    scores: NDArray[np.float32]
    nearness: NDArray[np.float32]
