"""Segmenter: SAM 2.1, boxes in, masks followed through the clip out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import Sam2VideoModel, Sam2VideoProcessor

from actors.models.batching import all_batched
from actors.models.loading import device, dtype_of, load_model, load_processor
from schemas.subject import Box, Detection, Track
from schemas.video import Footage, Image
from stages import masks

MAX_OBJECTS = 24  # of a clip: a crowd must not take a pass for every box that no track explains
_SAME = 0.5  # overlap of two boxes or masks of one phrase that show one thing
_IDENTICAL = 0.8  # and of two phrases: a rider is not the horse, a puppy is the dog


@dataclass(frozen=True, slots=True)
class _Clip:
    """Pictures in time order, and where among them the anchors are."""

    pictures: list[Image]
    places: dict[int, int]


class Sam2Segmenter:
    """Masks and tracks by SAM 2.1 (Ravi et al. 2024), from one Sam2VideoModel checkpoint of transformers.

    The detections of the anchor with the surest ones are the first objects: all boxes of one frame at once, followed
    through the passage both ways. Detections at other anchors that no track explains are the next ones, and so on, up
    to MAX_OBJECTS: so a subject may enter late. What is followed to the same place again fills the gaps of its track. A
    footage without a passage is segmented picture by picture.

    Anchors are read at full size, other frames as small as the passage is. A score is the probability that the object
    is there times the IoU the model predicts for its mask, so it is lower than what the masks' IoU turns out to be.

    batch_size: objects followed at once. More follow in another pass, so memory is bounded, whatever is detected.
    """

    def __init__(self, model: str, revision: str, dtype: str, batch_size: int = 8) -> None:
        self._model = load_model(Sam2VideoModel, model, revision, dtype)
        self._processor = load_processor(Sam2VideoProcessor, model, revision)
        self._dtype, self._batch_size = dtype_of(dtype), batch_size
        config = self._model.config
        self._reach = max(config.num_maskmem, config.max_object_pointers_in_encoder)  # frames it remembers
        self._ious: list[Tensor] = []
        self._model.mask_decoder.register_forward_hook(self._note_iou)  # the tracker does not hand them out
        self._follow(_Clip([np.zeros((64, 64, 3), np.uint8)] * 2, {0: 0}), 0, [Detection((8, 8, 56, 56), "subject", 1)])

    def segment(self, footage: Footage, detections: Sequence[Sequence[Detection]]) -> list[Track]:
        """One track per instance, bool masks of the anchors' sizes that overlap nowhere.

        Raises BadInput when one object alone does not fit into memory.
        """
        found = {anchor: list(boxes) for anchor, boxes in zip(footage.anchors, detections, strict=True)}
        tracks = [
            track
            for clip in _clips(footage)
            for track in self._tracks(clip, {anchor: found[anchor] for anchor in clip.places})
        ]
        masks.separate_tracks(tracks)
        return [track for track in tracks if track.masks]

    def _tracks(self, clip: _Clip, waiting: dict[int, list[Detection]]) -> list[Track]:
        tracks: list[Track] = []
        while any(waiting.values()) and len(tracks) < MAX_OBJECTS:
            anchor = max(waiting, key=lambda anchor: (sum(each.score for each in waiting[anchor]), -anchor))
            boxes = waiting.pop(anchor)[: MAX_OBJECTS - len(tracks)]
            for fresh in all_batched(partial(self._follow, clip, anchor), boxes, self._batch_size):
                _join(tracks, fresh)
            waiting = {
                at: [each for each in boxes if not any(_explains(track, at, each) for track in tracks)]
                for at, boxes in waiting.items()
            }
        return tracks

    @torch.inference_mode()
    def _follow(self, clip: _Clip, anchor: int, objects: list[Detection]) -> list[Track]:
        """A track per object that has its box at the anchor, from there to the end of the clip and to its start."""
        session = self._processor.init_video_session(inference_device=device(), dtype=self._dtype)
        session.processed_frames = _Prepared(clip.pictures, self._prepare)
        start = clip.places[anchor]
        self._processor.add_inputs_to_inference_session(
            session,
            frame_idx=start,
            obj_ids=list(range(len(objects))),  # all at once: a later call would overwrite who is new
            input_boxes=[[list(each.box) for each in objects]],
            original_size=clip.pictures[start].shape[:2],
        )
        tracks = [Track(each.phrase) for each in objects]
        anchor_at = {place: at for at, place in clip.places.items()}
        for number, step in _order(start, len(clip.pictures)):
            self._ious.clear()
            seen = self._model(session, frame_idx=number, reverse=step < 0)
            if number in anchor_at:
                self._take(tracks, anchor_at[number], seen, clip.pictures[number])
            self._forget(session, start, number, step)
        return tracks

    def _take(self, tracks: Sequence[Track], anchor: int, seen: Any, picture: Image) -> None:
        size = picture.shape[:2]
        (full,) = self._processor.post_process_masks([seen.pred_masks.float()], [size])
        there = seen.object_score_logits.float().sigmoid().flatten()
        scores = (there * torch.stack(self._ious)).tolist()
        for track, mask, score in zip(tracks, full[:, 0].cpu().numpy(), scores, strict=True):
            if mask.any():
                track.masks[anchor], track.scores[anchor] = mask, score

    def _prepare(self, picture: Image) -> Tensor:
        pixels = self._processor.image_processor(picture, return_tensors="pt", device=device())["pixel_values"]
        prepared: Tensor = pixels[0].to(device(), self._dtype)
        return prepared

    def _note_iou(self, _decoder: Any, _arguments: Any, decoded: tuple[Tensor, ...]) -> None:
        """Called once per object and frame. Of several masks the tracker takes the one with the highest IoU."""
        self._ious.append(decoded[1].float().max())

    def _forget(self, session: Any, start: int, number: int, step: int) -> None:
        """Drops what the tracker keeps of a frame and will not read again; it would keep every frame's."""
        gone = number - step * self._reach
        for outputs in session.output_dict_per_obj.values():
            for kept in outputs.values():
                if number in kept:
                    del kept[number]["high_res_masks"]  # two thirds of it
            if step < 0 or gone > start + self._reach:  # the way back begins with what followed the start
                outputs["non_cond_frame_outputs"].pop(gone, None)


class _Prepared:
    """Pictures as the tracker reads them, each prepared when it is asked for: 12 MB instead of 1.5 GB for a passage."""

    def __init__(self, pictures: Sequence[Image], prepare: Any) -> None:
        self._pictures, self._prepare = pictures, prepare

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, number: int) -> Tensor:
        prepared: Tensor = self._prepare(self._pictures[number])
        return prepared


def _clips(footage: Footage) -> list[_Clip]:
    """The passage with its anchors at full size; without one, every anchor as a clip of one picture."""
    if len(footage.passage.images) < 2:
        return [_Clip([footage.images[anchor]], {anchor: 0}) for anchor in footage.anchors]
    places = {anchor: footage.passage.indices.index(footage.indices[anchor]) for anchor in footage.anchors}
    pictures = list(footage.passage.images)
    for anchor, place in places.items():
        pictures[place] = footage.images[anchor]
    return [_Clip(pictures, places)]


def _order(start: int, count: int) -> Iterator[tuple[int, int]]:
    """Frame numbers from `start` to the end, then from before `start` to the first, each with its direction."""
    yield from ((number, 1) for number in range(start, count))
    yield from ((number, -1) for number in range(start - 1, -1, -1))


def _explains(track: Track, anchor: int, detection: Detection) -> bool:
    box: Box | None = masks.box_of(track.masks[anchor]) if anchor in track.masks else None
    return box is not None and masks.box_iou(box, detection.box) >= _least(track.category, detection.phrase)


def _join(tracks: list[Track], fresh: Track) -> None:
    """Adds a track, or what it knows more than the one that it agrees with wherever both are seen."""
    for known in tracks:
        shared = known.masks.keys() & fresh.masks.keys()
        overlaps = [masks.iou(known.masks[at], fresh.masks[at]) for at in shared]
        if overlaps and np.mean(overlaps) >= _least(known.category, fresh.category):
            for at in fresh.masks.keys() - shared:
                known.masks[at], known.scores[at] = fresh.masks[at], fresh.scores[at]
            return
    tracks.append(fresh)


def _least(phrase: str, other: str) -> float:
    return _SAME if phrase == other else _IDENTICAL
