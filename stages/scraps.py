"""What is found where nothing but motion tells instances apart: a leg that moves alone for a while is nobody."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from schemas.tracks import InstanceTrack

BRIEF = 1 / 3  # of the clip's frames
SLIGHT = 0.1  # of the pixels, over all frames, of the instance that has most


def without_scraps(tracks: Sequence[InstanceTrack]) -> list[InstanceTrack]:
    """Those that are not both brief and slight, in the same order, numbered anew per category.

    Only for detectors that know no nouns: one that does vouches for who passes by.
    """
    sizes = [int(track.masks.sum()) for track in tracks]
    most = max(sizes, default=0)
    kept, count = [], Counter[str]()
    for track, size in zip(tracks, sizes, strict=True):
        shown = float(track.masks.any(axis=(1, 2)).mean())
        if shown < BRIEF and size < SLIGHT * most:
            continue
        count[track.category] += 1
        kept.append(replace(track, name=f"{track.category} {count[track.category]}"))
    return kept
