"""Role `video_generator`: regenerate the masked part of a video."""

from typing import Protocol

import numpy as np

from schemas.edit import Action
from schemas.fill import Surroundings, VideoFillRequest, View
from schemas.keys import seed_of
from schemas.video import Image
from stages import backdrops, compositing, mosaic, retexture, tracked_paste
from stages.appearance import look_of

SHADOW = 0.35
"""That subjects throw on a new background, at most: without it they float."""


class VideoGenerator(Protocol):
    """One video per call: as many frames as asked, of the same size, every pixel outside its frame's mask bit-exact.

    A mask is the last word on what changes; feathering is up to the caller, who has the original. Raises ValueError for
    more than `max_frames` frames (longer videos come in windows) and for frames, masks and controls that do not fit.
    uses_surroundings: whether requests should come with them.
    """

    max_frames: int
    uses_surroundings: bool

    def generate(self, request: VideoFillRequest) -> list[Image]: ...


class RehearsalGenerator:
    """Draws edits without a model: the embedded profile's generator, to rehearse a run with.

    REPLACE, ADD: the first reference carried along the track, or without one the colours and textures that the words
    name, shading kept. REMOVE: the place as other frames show it, filled by patches where none does. BACKGROUND: the
    first reference, or a place drawn from the words, moving with the camera.
    """

    uses_surroundings = True

    def __init__(self, max_frames: int = 81) -> None:
        self.max_frames = max_frames

    def generate(self, request: VideoFillRequest) -> list[Image]:
        """As many frames as asked, regenerated under their masks. See the protocol for what it raises."""
        _check(request, self.max_frames)
        if not any(mask.any() for mask in request.masks):
            return list(request.frames)
        if request.action is Action.BACKGROUND:
            drawn = _backdrop(request)
        elif request.action is Action.REMOVE:
            drawn = _emptied(request)
        elif request.references:
            subjects = request.subjects or request.masks
            drawn = tracked_paste.carry(request.references[0], request.frames, _emptied(request), subjects)
        else:
            look = look_of(request.target or request.prompt)
            drawn = retexture.retexture(request.frames, request.subjects or request.masks, look)
        return [
            np.where(mask[..., None], new, frame)
            for frame, mask, new in zip(request.frames, request.masks, drawn, strict=True)
        ]


def _check(request: VideoFillRequest, max_frames: int) -> None:
    count = len(request.frames)
    if not 1 <= count <= max_frames:
        raise ValueError(f"{count} frames: this generator takes 1 to {max_frames} at a time")
    others = [given for given in (request.controls, request.subjects) if given is not None]
    if any(len(given) != count for given in (request.masks, *others)):
        raise ValueError(f"{count} frames, but not as many masks, controls or subjects")
    arrays = [array for given in (request.frames, request.masks, *others) for array in given]
    if len({array.shape[:2] for array in arrays}) > 1:
        raise ValueError("frames, masks, controls and subjects must be of one size")


def _emptied(request: VideoFillRequest) -> list[Image]:
    """The frames with the place behind the masks."""
    known = _surroundings(request)
    # The seed goes by the words, not by the window: windows must fill alike what none of them sees.
    place = mosaic.background_of(request.frames, request.masks, known, seed_of(request.target, 0, "place"))
    seen = [place.seen_in(number, frame.shape) for number, frame in enumerate(request.frames)]
    return mosaic.in_the_light_of(request.frames, request.masks, seen)


def _backdrop(request: VideoFillRequest) -> list[Image]:
    known = _surroundings(request)
    frame_px = request.frames[0].shape[:2]
    plane_px = known.views[0].image.shape[:2]
    if request.references:
        picture = request.references[0]
    else:
        picture = backdrops.backdrop_of(request.target or request.prompt, *plane_px)
    behind = backdrops.behind(picture, known.to_plane, frame_px, plane_px)
    subjects = request.subjects or [~mask for mask in request.masks]
    return [compositing.contact_shadow(*each, SHADOW) for each in zip(behind, subjects, strict=True)]


def _surroundings(request: VideoFillRequest) -> Surroundings:
    """Those of the request; without them the camera stands still, and its own frames are all there is to see."""
    if request.surroundings is not None:
        return request.surroundings
    still = [np.eye(3) for _ in request.frames]
    subjects = request.masks if request.action is not Action.BACKGROUND else [~mask for mask in request.masks]
    return Surroundings(still, [View(*each) for each in zip(request.frames, subjects, still, strict=True)])
