"""Stage iii, manipulation: the base is frame B with one subject's box regenerated, the reference comes from frame A."""

from dataclasses import dataclass, replace

import numpy as np

from schemas.config import SynthesisConfig
from schemas.errors import BadInput
from schemas.fill import Donor, Fill, Filled, FillRequest
from schemas.keys import seed_of
from schemas.reasons import Reason
from schemas.sample import Base, Draft, Mode, Plate, Scene, Task
from schemas.subject import Box
from schemas.video import Image, Mask
from stages import masks, plates
from stages.generation import (
    FillMany,
    answered,
    other_sources,
    parameters_of,
    plan_reference,
    rung_of,
    scaled_output,
    subjects_of,
)

MIN_MARGIN_PX = 8.0
SHADOW_MARGIN = 0.5  # more of the margin below the subject, where its shadow lies
MARGIN_PER_RUNG = 0.5
MAX_BOX_SHARE = 0.72  # of the frame: beyond it nothing of the base would be left
MAX_OTHERS_SHARE = 0.30  # of the box, that other subjects may take up
OTHERS_MARGIN_PX = 3.0


@dataclass(frozen=True, slots=True)
class _Target:
    """The subject that is edited, and where."""

    position: int
    box: Box
    region: Mask  # the box without other subjects
    others: Mask


def draft_manipulation(
    scene: Scene, key: str, attempt: int, donors: list[Donor], config: SynthesisConfig, fill: FillMany
) -> Draft:
    """Drafts a manipulation sample of a pair: base (B with one box regenerated) and a reference of that subject from A.

    The editor is asked for another subject of the category first. When it has none (NO_DONOR) the box is emptied and
    the sample is an "add" sample. Everything outside the box stays bit-exact. Raises BadInput: NO_ROOM when no subject
    has a box of its own, SUBJECT_TOO_SMALL, NO_DONOR or what the editor reports.
    """
    output, output_masks = scaled_output(scene, config)
    usable = other_sources(donors, scene)
    target = _choose(output_masks, key, attempt, config)
    plan = plan_reference(scene, target.position, key, attempt, usable, config, output)
    request = FillRequest(
        image=output,
        region=target.region,
        fill=Fill.REPLACE,
        prompt=f"another {scene.categories[target.position]}, clearly a different individual, same place and light",
        seed=seed_of(key, attempt, "base"),
        rung=rung_of(attempt),
        category=scene.categories[target.position],
        donors=usable,
        avoid=target.others | output_masks[target.position],
        # A subject that hardly moves is all that its neighbours show: a retry fills without them.
        plate=_plate_of_b(scene, output, output_masks) if rung_of(attempt) == 0 else None,
    )
    base_answer, reference_answer = _two(fill([request, plan.request]))
    operation = "replace"
    if isinstance(base_answer, BadInput) and base_answer.reason is Reason.NO_DONOR:
        operation = "add"
        prompt = "the empty place, background only"
        base_answer = fill([replace(request, fill=Fill.REMOVE, prompt=prompt)])[0]
    emptied, background = answered([base_answer, reference_answer], 2)
    reference = plan.finish(background)
    return Draft(
        key=key,
        task=Task.of(Mode.MANIPULATION, 1, len(scene.identities)),
        attempt=attempt,
        seed=seed_of(key, attempt),
        rung=rung_of(attempt),
        output=output,
        output_masks=[output_masks[target.position]],
        references=[reference],
        base=_base(output, target, emptied, operation),
        scene_masks=output_masks,
        strangers=subjects_of(usable, {reference.origin, emptied.origin}),
        parameters={"references": [parameters_of(plan)], "operation": operation, "box": list(target.box)},
    )


def _plate_of_b(scene: Scene, output: Image, output_masks: list[Mask]) -> Plate:
    """What stands behind the subjects of the output, as far as the frames around B show it."""
    everyone: Mask = np.logical_or.reduce(output_masks)
    plate = plates.clean_plate(output, everyone, scene.near_b)
    return plates.without_still_parts(plate, output, everyone)


def _two(answers: list[Filled | BadInput]) -> tuple[Filled | BadInput, Filled | BadInput]:
    if len(answers) != 2:
        raise ValueError(f"the editor gave {len(answers)} answers to 2 requests")
    return answers[0], answers[1]


def _base(output: Image, target: _Target, filled: Filled, operation: str) -> Base:
    """The base image: the editor's pixels inside the region, the output's bit for bit everywhere else."""
    if filled.image.shape != output.shape:
        raise ValueError(f"the editor returned {filled.image.shape}, asked was {output.shape}")
    if operation == "replace" and (filled.replacement_mask is None or not filled.replacement_mask.any()):
        raise ValueError("the editor replaced a subject but does not say where the new one is")
    image = np.where(target.region[..., None], filled.image, output)
    replacement = filled.replacement if operation == "replace" else ""
    return Base(image, target.box, operation, replacement, filled.origin)


def _choose(subject_masks: list[Mask], key: str, attempt: int, config: SynthesisConfig) -> _Target:
    """The first subject, in an order drawn per attempt, whose box can be regenerated without touching another."""
    order = np.random.default_rng(seed_of(key, attempt, "target")).permutation(len(subject_masks))
    refusal = BadInput(Reason.NO_SUBJECT, "the scene has no subject")
    for position in order:
        try:
            return _target(subject_masks, int(position), config.box_margin * (1 + MARGIN_PER_RUNG * rung_of(attempt)))
        except BadInput as error:
            refusal = error
    raise refusal


def _target(subject_masks: list[Mask], position: int, margin: float) -> _Target:
    """Raises BadInput(NO_ROOM) when the box takes the whole frame or another subject stands in it."""
    mask = subject_masks[position]
    height, width = mask.shape
    box = _dilated_box(mask, margin)
    inside = masks.mask_of(box, height, width)
    if masks.area_px(inside) > MAX_BOX_SHARE * mask.size:
        raise BadInput(Reason.NO_ROOM, "the subject's box takes up the frame; no base would be left")
    others = np.zeros_like(mask)
    for other in range(len(subject_masks)):
        if other != position:
            others |= masks.dilate(subject_masks[other], OTHERS_MARGIN_PX)
    if (others & masks.dilate(mask, OTHERS_MARGIN_PX)).any():
        raise BadInput(Reason.NO_ROOM, "the subject touches another one: its box cannot be regenerated alone")
    if masks.area_px(others & inside) > MAX_OTHERS_SHARE * masks.area_px(inside):
        raise BadInput(Reason.NO_ROOM, "another subject takes up too much of the subject's box")
    return _Target(position, box, np.asarray(inside & ~others, dtype=np.bool_), others)


def _dilated_box(mask: Mask, margin: float) -> Box:
    """Whole pixels. Dilated so far that the box says nothing of the silhouette, and down over the shadow."""
    box = masks.box_of(mask)
    assert box is not None, "output masks are never empty"
    height, width = mask.shape
    dx = max(margin * (box[2] - box[0]), MIN_MARGIN_PX)
    dy = max(margin * (box[3] - box[1]), MIN_MARGIN_PX)
    x0, y0 = max(round(box[0] - dx), 0), max(round(box[1] - dy), 0)
    x1, y1 = min(round(box[2] + dx), width), min(round(box[3] + (1 + SHADOW_MARGIN) * dy), height)
    return float(x0), float(y0), float(x1), float(y1)
