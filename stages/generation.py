"""Stage iii, generation: one reference image per subject of frame A; the output is frame B (OpenSubject, stage 3)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from schemas.config import SynthesisConfig
from schemas.errors import BadInput
from schemas.fill import Donor, Fill, Filled, FillRequest
from schemas.keys import seed_of
from schemas.reasons import Reason
from schemas.sample import Draft, Mode, Reference, Scene, Task
from schemas.video import Image, Mask
from stages import augmentation, cutout, masks, plates

FillMany = Callable[[Sequence[FillRequest]], list[Filled | BadInput]]
"""One answer per request, in order: the image editor's method."""

MAX_RUNG = 2
NEUTRAL = 127  # what an editor sees where it has to paint


@dataclass(slots=True)
class PlannedReference:
    """A reference before its background exists: the placed subject and what is asked of the editor."""

    reference: Reference  # image: the subject on neutral grey
    placement: augmentation.Placement
    request: FillRequest

    def finish(self, filled: Filled) -> Reference:
        """The reference with the filled background. The subject's pixels are put back whatever the editor did."""
        if filled.image.shape != self.reference.image.shape:
            raise ValueError(f"the editor returned {filled.image.shape}, asked was {self.reference.image.shape}")
        subject = self.reference.image[self.reference.mask]
        self.reference.image = filled.image.copy()
        self.reference.image[self.reference.mask] = subject
        self.reference.origin = filled.origin
        return self.reference


def draft_generation(
    scene: Scene, key: str, attempt: int, donors: list[Donor], config: SynthesisConfig, fill: FillMany
) -> Draft:
    """Drafts a generation sample of a pair: every subject of A on a new background, B as the output.

    `attempt` (from 0) drives every random choice and the rung. Raises BadInput: SUBJECT_TOO_SMALL, NO_ROOM, NO_DONOR or
    what the editor reports.
    """
    output, output_masks = scaled_output(scene, config)
    usable = other_sources(donors, scene)
    plans = [
        plan_reference(scene, position, key, attempt, usable, config, output)
        for position in range(len(scene.identities))
    ]
    answers = answered(fill([plan.request for plan in plans]), len(plans))
    references = [plan.finish(filled) for plan, filled in zip(plans, answers, strict=True)]
    return Draft(
        key=key,
        task=Task.of(Mode.GENERATION, len(references), len(scene.identities)),
        attempt=attempt,
        seed=seed_of(key, attempt),
        rung=rung_of(attempt),
        output=output,
        output_masks=output_masks,
        references=references,
        scene_masks=output_masks,
        strangers=subjects_of(usable, {reference.origin for reference in references}),
        parameters={"references": [parameters_of(plan) for plan in plans]},
    )


def plan_reference(
    scene: Scene,
    position: int,
    key: str,
    attempt: int,
    donors: list[Donor],
    config: SynthesisConfig,
    output: Image,
) -> PlannedReference:
    """Cuts subject `position` out of frame A, places it on a canvas and words the outpainting request."""
    identity, category, rung = scene.identities[position], scene.categories[position], rung_of(attempt)
    cut = cutout.cut_out(scene.masks_a[position], config.erosion, seed_of(key, attempt, "erosion", identity))
    size = (output.shape[1], output.shape[0])
    placement = augmentation.place(cut.mask, size, config, seed_of(key, attempt, "place", identity), rung)
    pixels, mask = augmentation.warp_subject(scene.image_a, cut.mask, placement)
    image = np.where(mask[..., None], pixels, np.uint8(NEUTRAL))
    reference = Reference(
        image=image,
        mask=mask,
        source=scene.image_a,
        source_mask=scene.masks_a[position],
        warp=placement.warp.tolist(),
        identity=identity,
        category=category,
        origin="",
        still=_still_a(scene),
    )
    request = FillRequest(
        image=image,
        region=~mask,
        fill=Fill.OUTPAINT,
        prompt=f"a photograph of one {category}, complete, at a new place, natural light, nothing else in focus",
        seed=seed_of(key, attempt, "background", identity),
        rung=rung,
        category=category,
        donors=donors,
    )
    return PlannedReference(reference, placement, request)


def scaled_output(scene: Scene, config: SynthesisConfig) -> tuple[Image, list[Mask]]:
    """Frame B and its subjects' masks, scaled down so that the long side is at most max_side_px.

    Raises BadInput(SUBJECT_TOO_SMALL) when a mask is empty at that size.
    """
    output = within(scene.image_b, config.max_side_px)
    scaled = [masks.resize(mask, *output.shape[:2]) for mask in scene.masks_b]
    if not all(mask.any() for mask in scaled):
        raise BadInput(Reason.SUBJECT_TOO_SMALL, "a subject vanishes at the output's size")
    return output, scaled


def within(image: Image, max_side_px: int) -> Image:
    """The picture, scaled down when its long side is longer than that."""
    factor = max_side_px / max(image.shape[:2])
    if factor >= 1:
        return image
    size = (max(round(image.shape[1] * factor), 1), max(round(image.shape[0] * factor), 1))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def other_sources(donors: list[Donor], scene: Scene) -> list[Donor]:
    """Donors of the pair's own source are refused: they would teach copying the background."""
    return [donor for donor in donors if donor.origin != scene.content_hash]


def subjects_of(donors: list[Donor], origins: set[str]) -> list[tuple[Image, Mask]]:
    """What of the donors that were borrowed from must not be seen in a background."""
    borrowed = [donor for donor in donors if donor.origin in origins]
    known = ((donor.image, mask) for donor in borrowed for mask in (donor.mask, donor.others))
    return [(image, mask) for image, mask in known if mask is not None and mask.any()]


def _still_a(scene: Scene) -> Mask:
    """Made once: every task of the pair asks for it."""
    if scene.still_a is None:
        scene.still_a = plates.still_ground(scene.image_a, np.logical_or.reduce(scene.masks_a), scene.near_a)
    return scene.still_a


def rung_of(attempt: int) -> int:
    return min(attempt, MAX_RUNG)


def answered(answers: list[Filled | BadInput], num_requests: int) -> list[Filled]:
    """The editor's answers; raises the first BadInput among them, ValueError when their number is wrong."""
    if len(answers) != num_requests:
        raise ValueError(f"the editor gave {len(answers)} answers to {num_requests} requests")
    filled = []
    for answer in answers:
        if isinstance(answer, BadInput):
            raise answer
        filled.append(answer)
    return filled


def parameters_of(plan: PlannedReference) -> dict[str, object]:
    """JSON values for the attempt's row."""
    placement = plan.placement
    return {
        "identity": plan.reference.identity,
        "canvas": [placement.width_px, placement.height_px],
        "scale": round(placement.scale, 4),
        "rotation_degrees": round(placement.rotation_degrees, 2),
        "origin": plan.reference.origin,
    }
