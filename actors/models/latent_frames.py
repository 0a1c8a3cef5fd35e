"""Frames as video diffusion models count them: a first latent frame for one picture, then one for every four."""

import numpy as np

from schemas.video import Mask

STRIDE = 4  # pictures per latent frame, after the first


def padded_count(num_frames: int) -> int:
    """The next number of the form 4n + 1: what the models can take."""
    return num_frames + (1 - num_frames) % STRIDE


def latent_masks(frame_masks: list[Mask]) -> list[Mask]:
    """The masks of 4n + 1 frames as the model must get them, so that every latent frame is told of all it has to paint.

    A latent frame stands for four pictures, but pipelines shrink the masks in time by taking single ones, by nearest
    neighbour: the latent frame of pictures 1-4 of 81 reads the mask of picture 5. So the union over each group goes to
    its own pictures and to the one that is read. Raises ValueError when the number is not 4n + 1.
    """
    count = len(frame_masks)
    if count != padded_count(count):
        raise ValueError(f"{count} masks: their number must be 4n + 1")
    groups = [range(0, 1), *(range(start, start + STRIDE) for start in range(1, count, STRIDE))]
    told = [mask.copy() for mask in frame_masks]
    for group, read in zip(groups, read_frames(count), strict=True):
        union = np.logical_or.reduce([frame_masks[frame] for frame in group])
        for frame in {*group, read}:
            told[frame] |= union
    return told


def read_frames(num_frames: int) -> list[int]:
    """Which picture's mask each latent frame reads: the nearest to its centre when masks are shrunk in time."""
    num_latent = (num_frames - 1) // STRIDE + 1
    return [(2 * latent + 1) * num_frames // (2 * num_latent) for latent in range(num_latent)]
