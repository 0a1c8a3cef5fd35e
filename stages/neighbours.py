"""Reading the frames around one: what they show behind a subject makes its clean plate (stages/plates.py)."""

from collections.abc import Callable, Sequence

import av

from schemas.errors import BadInput
from schemas.sample import Neighbours
from schemas.video import Image
from stages import media

TOLERANCE_SECONDS = 1e-4


def read_neighbours(
    source: media.VideoSource,
    seconds: float,
    offsets_seconds: Sequence[float],
    take: Callable[[Image], Image] = lambda picture: picture,
) -> Neighbours:
    """What `take` makes of the first frames at or after `seconds` -+ each offset, nearest first.

    One seek and one decoding of the span. What cannot be read is left out: a plate is a help, not a condition.
    """
    times = sorted({seconds + sign * offset for offset in offsets_seconds for sign in (-1, 1)})
    times = [time for time in times if time >= 0]
    found: dict[float, Image] = {}
    try:
        with media.open_video(source) as container:
            for decoded in media.Reading(container).from_seconds(times[0]):
                due = [time for time in times if time not in found and decoded.seconds >= time - TOLERANCE_SECONDS]
                if due and abs(decoded.seconds - seconds) > TOLERANCE_SECONDS:
                    found[due[-1]] = take(decoded.rgb())
                    times = [time for time in times if time in found or time not in due]
                if len(found) == len(times):
                    break
    except (BadInput, av.FFmpegError):
        pass
    before = [found[time] for time in sorted(found, reverse=True) if time < seconds]
    return Neighbours(before, [found[time] for time in sorted(found) if time > seconds])
