"""Drafts of manipulation: one box of the output regenerated, the rest untouched, honest about what stands there."""

import numpy as np
import pytest
from synthetic_scene import donor, figure, painted, scene

from actors.image_editor import DonorEditor
from schemas.config import SynthesisConfig
from schemas.errors import BadInput
from schemas.fill import Filled
from schemas.reasons import Reason
from schemas.sample import Draft, Task
from stages import masks
from stages.manipulation import draft_manipulation


def draft(pair=None, attempt: int = 0, donors=None, fill=None, key: str = "k") -> Draft:
    lent = [donor("one"), donor("two", seed=10)] if donors is None else donors
    return draft_manipulation(pair or scene(), key, attempt, lent, SynthesisConfig(), fill or DonorEditor().fill)


@pytest.mark.parametrize("num_subjects", [1, 2])
@pytest.mark.parametrize("attempt", [0, 1, 2])
def test_everything_outside_the_box_is_bit_exact_and_the_subject_is_gone(num_subjects, attempt):
    made = draft(scene(num_subjects), attempt)
    assert made.base is not None
    box = masks.mask_of(made.base.box, *made.output.shape[:2])
    assert np.array_equal(made.base.image[~box], made.output[~box])
    subject = made.output_masks[0]
    assert not (masks.dilate(subject, 5) & ~box).any()
    assert (made.base.image != made.output).any(axis=2)[subject].mean() > 0.9
    assert made.base.operation == "replace"
    assert made.base.replacement == "person"
    assert len(made.inputs) == 2


def test_one_subject_of_several_is_changed_and_the_others_stay():
    pair = scene(2)
    targets = set()
    for attempt in range(6):
        made = draft(pair, attempt)
        assert made.task is Task.MULTI_MANIPULATION
        position = pair.identities.index(made.references[0].identity)
        targets.add(position)
        assert np.array_equal(made.output_masks[0], pair.masks_b[position])
        other = pair.masks_b[1 - position]
        assert np.array_equal(made.base.image[other], made.output[other])
    assert targets == {0, 1}


def test_without_a_fitting_donor_the_box_is_emptied_and_it_is_an_add_sample():
    made = draft(donors=[donor("one", category="car")])
    assert made.base is not None
    assert (made.base.operation, made.base.replacement) == ("add", "")
    inside = made.base.image[made.output_masks[0]].astype(int)
    assert ((inside[:, 0] > 150) & (inside[:, 1] < 100)).mean() < 0.02


def test_subjects_that_touch_cannot_be_changed_alone():
    pair = scene(2)
    pair.masks_b[1] = figure(130, 215, 120) & ~pair.masks_b[0]
    pair.image_b = painted(pair.image_b, pair.masks_b[1], (60, 70, 190))
    with pytest.raises(BadInput) as caught:
        draft(pair)
    assert caught.value.reason is Reason.NO_ROOM


def test_a_neighbour_that_reaches_into_the_box_keeps_its_pixels():
    pair = scene(2)
    neighbour = masks.mask_of((123, 150, 170, 215), 240, 360)
    pair.masks_b[1] = neighbour
    pair.image_b = painted(pair.image_b, neighbour, (60, 70, 190))
    reached = 0
    for attempt in range(6):
        made = draft(pair, attempt)
        if made.references[0].identity == "subject-0":
            box = masks.mask_of(made.base.box, 240, 360)
            reached += bool((box & neighbour).any())
            assert np.array_equal(made.base.image[neighbour], made.output[neighbour])
    assert reached


def test_a_subject_that_fills_the_frame_leaves_no_base():
    pair = scene()
    pair.masks_b[0] = masks.mask_of((20, 10, 340, 230), 240, 360)
    with pytest.raises(BadInput) as caught:
        draft(pair)
    assert caught.value.reason is Reason.NO_ROOM


def test_an_attempt_repeats_exactly():
    assert np.array_equal(draft().base.image, draft().base.image)
    assert not np.array_equal(draft().base.image, draft(attempt=1).base.image)


def test_donors_of_the_same_source_never_reach_the_editor():
    def watchful(requests):
        assert all(lent.origin == "one" for request in requests for lent in request.donors)
        return DonorEditor().fill(requests)

    draft(donors=[donor("own-source"), donor("one")], fill=watchful)


def test_a_replacement_without_a_mask_is_a_bug_of_the_editor():
    def forgetful(requests):
        return [Filled(request.image, "model") for request in requests]

    with pytest.raises(ValueError, match="where the new one is"):
        draft(fill=forgetful)
