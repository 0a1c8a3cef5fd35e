"""The donor editor: only the region changes, replacements stand inside it, and it says when it cannot."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic_scene import background, donor, figure, scene

from actors.image_editor import DonorEditor
from schemas.errors import BadInput
from schemas.fill import Donor, Fill, Filled, FillRequest
from schemas.reasons import Reason
from stages import masks


def request(fill: Fill, **changes) -> FillRequest:
    pair = scene()
    mask = pair.masks_b[0]
    region = ~mask if fill is Fill.OUTPAINT else masks.mask_of((60, 95, 150, 222), *mask.shape)
    image = pair.image_b
    asked = FillRequest(image, region, fill, "", seed=5, category="person", donors=[donor()], avoid=mask)
    return replace(asked, **changes)


def filled(asked: FillRequest) -> Filled:
    (answer,) = DonorEditor().fill([asked])
    assert isinstance(answer, Filled), answer
    return answer


@pytest.mark.parametrize("fill", list(Fill))
@pytest.mark.parametrize("rung", [0, 1, 2])
def test_pixels_outside_the_region_come_back_bit_exact(fill, rung):
    asked = request(fill, rung=rung)
    answer = filled(asked)
    assert np.array_equal(answer.image[~asked.region], asked.image[~asked.region])
    changed = (answer.image != asked.image).any(axis=2)[asked.region]
    assert changed.mean() > 0.9


@pytest.mark.parametrize("fill", list(Fill))
def test_the_same_seed_repeats_every_pixel(fill):
    assert np.array_equal(filled(request(fill)).image, filled(request(fill)).image)


def test_an_outpainted_background_is_the_donors_without_its_subject():
    answer = filled(request(Fill.OUTPAINT))
    assert answer.origin == "other-source"
    around = answer.image[~masks.dilate(scene().masks_b[0], 12)].astype(int)
    assert (around[:, 1] > around[:, 2] + 5).mean() > 0.95  # green places everywhere
    yellow = (around[:, 0] > 150) & (around[:, 1] > 150) & (around[:, 2] < 90)
    assert not yellow.any()


def test_a_replacement_stands_whole_inside_the_box_where_the_old_one_stood():
    asked = request(Fill.REPLACE)
    answer = filled(asked)
    assert answer.replacement == "person"
    assert answer.replacement_mask is not None
    assert answer.replacement_mask.any()
    assert not (answer.replacement_mask & ~asked.region).any()
    old, new = masks.box_of(scene().masks_b[0]), masks.box_of(answer.replacement_mask)
    assert new[3] == pytest.approx(old[3], abs=3)
    assert new[3] - new[1] == pytest.approx(old[3] - old[1], rel=0.15)


def test_removal_leaves_nothing_of_the_old_subject():
    asked = request(Fill.REMOVE)
    answer = filled(asked)
    inside = answer.image[asked.region].astype(int)
    red = (inside[:, 0] > 150) & (inside[:, 1] < 100)
    assert red.mean() < 0.01
    assert answer.replacement_mask is None


def test_other_subjects_are_not_copied_into_the_hole():
    pair = scene(2)
    both = pair.masks_b[0] | pair.masks_b[1]
    asked = request(Fill.REMOVE, image=pair.image_b, avoid=both)
    inside = filled(asked).image[asked.region].astype(int)
    blue = (inside[:, 2] > 150) & (inside[:, 0] < 100)
    assert not blue.any()


def test_without_donors_it_says_so_and_answers_the_others():
    answers = DonorEditor().fill(
        [request(Fill.OUTPAINT, donors=[]), request(Fill.REPLACE, donors=[]), request(Fill.REMOVE, donors=[])]
    )
    assert [answer.reason for answer in answers[:2]] == [Reason.NO_DONOR] * 2
    assert isinstance(answers[2], Filled)


@pytest.mark.parametrize(
    "unfit",
    [
        replace(donor(), category="car"),
        replace(donor(), mask=None),
        replace(donor(), mask=figure(70, 215, 40)),
        replace(donor(), mask=masks.mask_of((0, 0, 150, 240), 240, 360)),
    ],
    ids=["other category", "no subject", "too small", "cut by its frame"],
)
def test_an_unfit_subject_replaces_nothing(unfit):
    (answer,) = DonorEditor().fill([request(Fill.REPLACE, donors=[unfit])])
    assert isinstance(answer, BadInput)
    assert answer.reason is Reason.NO_DONOR


def test_what_nobody_named_has_no_other_of_its_category():
    unnamed = Donor(donor().image, donor().mask, "subject", "other-source")
    (answer,) = DonorEditor().fill([request(Fill.REPLACE, category="subject", donors=[donor(), unnamed])])
    assert isinstance(answer, BadInput)
    assert answer.reason is Reason.NO_DONOR


def test_a_donor_filled_by_its_subject_lends_no_background():
    crowded = Donor(background(2, (9, 9, 9), (9, 9, 9)), np.ones((240, 360), bool), "person", "x")
    (answer,) = DonorEditor().fill([request(Fill.OUTPAINT, donors=[crowded])])
    assert isinstance(answer, BadInput)


def test_a_donor_nobody_segmented_is_the_last_resort():
    unknown = Donor(background(2, (90, 90, 200), (60, 60, 220)), None, "subject", "unknown")
    for seed in range(5):
        assert filled(request(Fill.OUTPAINT, seed=seed, donors=[unknown, donor()])).origin == "other-source"
    assert filled(request(Fill.OUTPAINT, donors=[unknown])).origin == "unknown"
