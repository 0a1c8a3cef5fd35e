"""Drafts of generation: exact subjects on foreign backgrounds, one reference each, the same for the same attempt."""

import numpy as np
import pytest
from synthetic_scene import donor, scene

from actors.image_editor import DonorEditor
from schemas.config import SynthesisConfig
from schemas.errors import BadInput
from schemas.fill import Fill, Filled
from schemas.reasons import Reason
from schemas.sample import Draft, Task
from stages import augmentation
from stages.generation import draft_generation

CONFIG = SynthesisConfig()


def draft(num_subjects: int = 1, attempt: int = 0, key: str = "k", fill=None, config=CONFIG, donors=None) -> Draft:
    lent = [donor("one"), donor("two", seed=10)] if donors is None else donors
    return draft_generation(scene(num_subjects), key, attempt, lent, config, fill or DonorEditor().fill)


@pytest.mark.parametrize("attempt", [0, 1, 2, 3])
def test_the_subject_is_the_source_warped_once(attempt):
    reference = draft(attempt=attempt).references[0]
    size = (reference.mask.shape[1], reference.mask.shape[0])
    again = augmentation.warp_image(reference.source, np.asarray(reference.warp), size)
    assert reference.mask.any()
    assert np.array_equal(reference.image[reference.mask], again[reference.mask])
    assert reference.origin in {"one", "two"}


def test_an_editor_that_paints_over_the_subject_cannot_change_it():
    def careless(requests):
        assert all(request.fill is Fill.OUTPAINT for request in requests)
        return [Filled(np.full_like(request.image, 255), "model") for request in requests]

    reference = draft(fill=careless).references[0]
    assert (reference.image[~reference.mask] == 255).all()
    assert (reference.image[reference.mask] != 255).any(axis=1).mean() > 0.9


def test_the_editor_never_sees_the_background_of_the_source():
    def curious(requests):
        assert all((request.image[request.region] == 127).all() for request in requests)
        return DonorEditor().fill(requests)

    draft(fill=curious)


def test_every_subject_gets_its_own_reference():
    made = draft(2)
    assert made.task is Task.MULTI_GENERATION
    assert [reference.identity for reference in made.references] == ["subject-0", "subject-1"]
    assert made.base is None
    assert len(made.output_masks) == len(made.scene_masks) == 2
    red, blue = (reference.image[reference.mask].mean(axis=0) for reference in made.references)
    assert red[0] > red[2]
    assert blue[2] > blue[0]


def test_an_attempt_repeats_exactly_and_the_next_one_differs():
    first, again, other = draft(), draft(), draft(attempt=1)
    assert np.array_equal(first.references[0].image, again.references[0].image)
    assert first.references[0].warp == again.references[0].warp
    assert first.references[0].warp != other.references[0].warp
    assert first.seed != other.seed
    assert (first.rung, other.rung, draft(attempt=7).rung) == (0, 1, 2)
    assert draft(key="other").references[0].warp != first.references[0].warp


def test_donors_of_the_same_source_are_refused():
    with pytest.raises(BadInput) as caught:
        draft(donors=[donor("own-source")])
    assert caught.value.reason is Reason.NO_DONOR
    assert draft(donors=[donor("own-source"), donor("two")]).references[0].origin == "two"


def test_the_output_is_scaled_down_to_the_longest_side():
    made = draft(config=SynthesisConfig(max_side_px=300))
    assert made.output.shape == (200, 300, 3)
    assert made.output_masks[0].shape == (200, 300)
    assert np.array_equal(draft().output, scene().image_b)


def test_an_editor_of_the_wrong_size_or_number_is_a_bug():
    with pytest.raises(ValueError, match="returned"):
        draft(fill=lambda requests: [Filled(np.zeros((8, 8, 3), np.uint8), "") for _ in requests])
    with pytest.raises(ValueError, match="answers"):
        draft(fill=lambda requests: [])
