"""Every trap has its planted fault: a clean draft passes all checks, the fault fails the check made for it."""

import copy
from dataclasses import replace

import cv2
import numpy as np
import pytest
from synthetic_draft import draft, embed, reference, shape, texture

from schemas.config import VerificationThresholds
from schemas.questions import Unusable, VerdictAnswer
from schemas.reasons import Reason
from schemas.sample import Check, Draft, Task, Verdict
from stages import facts, instructions, masks, verification

THRESHOLDS = VerificationThresholds()
LANGUAGES = ("en", "zh")


def words(made: Draft) -> dict[str, str]:
    measured = facts.measure_facts(made)
    return {language: instructions.word_instruction(measured, language) for language in LANGUAGES}


def judge(made: Draft, stored=None, instruction=None) -> Verdict:
    return verification.verify(made, embed, stored, THRESHOLDS, instruction or words(made))


def with_reference(made: Draft, **changes) -> Draft:
    faulty = copy.copy(made)
    faulty.references = [replace(made.references[0], **changes), *made.references[1:]]
    return faulty


def around_subject(made: Draft, background) -> np.ndarray:
    first = made.references[0]
    height, width = first.mask.shape
    return np.where(first.mask[..., None], first.image, cv2.resize(background, (width, height)))


@pytest.mark.parametrize(("num_subjects", "base"), [(1, ""), (2, ""), (1, "replace"), (1, "add"), (2, "replace")])
def test_a_clean_draft_passes_and_keeps_every_score(num_subjects, base):
    verdict = judge(draft(num_subjects, base))
    assert verdict.passed, [(check.name, check.score) for check in verdict.checks if not check.passed]
    assert ("base_copy" in verdict.scores) == bool(base)
    assert {"copy_ncc", "binding", "lossy_share", "handedness", "background_inliers"} <= verdict.scores.keys()


def test_scores_are_the_same_every_time():
    assert judge(draft(1, "replace")).scores == judge(draft(1, "replace")).scores


def test_background_of_the_output_leaks():
    made = draft()
    place = np.roll(texture(1, (130, 150, 170)), 15, axis=1)
    assert Reason.BACKGROUND_LEAK in judge(with_reference(made, image=around_subject(made, place))).reasons


def test_background_of_the_source_leaks_through_the_warp():
    made = draft()
    first = made.references[0]
    size = first.mask.shape[::-1]
    leaked = cv2.warpPerspective(first.source, np.array(first.warp), size, borderMode=cv2.BORDER_REFLECT)
    assert Reason.BACKGROUND_LEAK in judge(with_reference(made, image=around_subject(made, leaked))).reasons


def test_a_sliver_of_the_source_beside_the_subject_is_a_leak():
    made = draft()
    first = made.references[0]
    again = cv2.warpPerspective(first.source, np.array(first.warp), first.mask.shape[::-1], flags=cv2.INTER_LINEAR)
    x0, y0, x1, y1 = (int(side) for side in masks.box_of(first.mask))
    sliver = masks.mask_of((x0, (y0 + y1) / 2, x1 + 30, y1), *first.mask.shape) & ~first.mask
    faulty = judge(with_reference(made, image=np.where(sliver[..., None], again, first.image)))
    assert faulty.scores["rim_leak"] > THRESHOLDS.max_rim_leak
    assert judge(made).scores["rim_leak"] == 0


def test_a_mask_that_took_still_background_along_is_a_leak():
    made = draft()
    first = made.references[0]
    rim = first.source_mask & ~masks.erode(first.source_mask, 4)
    loose = with_reference(made, still=rim)
    assert Reason.MASK_LEAK in judge(loose).reasons


def test_reference_of_somebody_else():
    made = draft()
    other = reference(texture(5, (60, 200, 200)), shape(200, 150, 160), seed=3)
    made.references = [other]
    assert judge(made).scores["target_identity"] < THRESHOLDS.min_target_identity


def test_copy_of_the_output_whatever_its_scale_and_turn():
    made = draft()
    made.references = [reference(made.output, made.output_masks[0], seed=4)]
    assert Reason.COPY_PASTE in judge(made).reasons


def test_mirrored_pixels_under_an_honest_looking_warp():
    first = draft().references[0]
    flipped = {"image": first.image[:, ::-1].copy(), "mask": first.mask[:, ::-1].copy()}
    assert Reason.MIRRORED in judge(with_reference(draft(), **flipped)).reasons


def test_mirroring_warp():
    first = draft().references[0]
    width = first.mask.shape[1]
    flip = np.array([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1.0]])
    flipped = {"image": first.image[:, ::-1].copy(), "mask": first.mask[:, ::-1].copy()}
    verdict = judge(with_reference(draft(), **flipped, warp=(flip @ np.array(first.warp)).tolist()))
    assert verdict.scores["handedness"] == -1
    assert Reason.MIRRORED in verdict.reasons


def test_subject_that_grew_in_synthesis():
    first = draft().references[0]
    x0, y0, x1, y1 = masks.box_of(first.mask)
    grow = cv2.getRotationMatrix2D(((x0 + x1) / 2, (y0 + y1) / 2), 0, 1.3)
    size = first.mask.shape[::-1]
    grown = cv2.warpAffine(first.image, grow, size)
    grown_mask = cv2.warpAffine(first.mask.astype(np.uint8), grow, size) > 0
    image = np.where((grown_mask & ~first.mask)[..., None], grown, first.image)
    assert Reason.OBJECT_EXPANSION in judge(with_reference(draft(), image=image)).reasons


def test_subject_that_was_painted_over_at_the_edge():
    first = draft().references[0]
    lost = first.mask & ~masks.erode(first.mask, 9)
    image = np.where(lost[..., None], texture(900, (90, 130, 90), first.mask.shape), first.image)
    reasons = judge(with_reference(draft(), image=image)).reasons
    assert {Reason.OBJECT_EXPANSION, Reason.IDENTITY_DRIFT} <= set(reasons)


def test_one_touched_pixel_is_identity_drift():
    image = draft().references[0].image.copy()
    row, column = np.argwhere(draft().references[0].mask)[100]
    image[row, column, 0] ^= 1
    assert judge(with_reference(draft(), image=image)).reasons == [Reason.IDENTITY_DRIFT]


def test_another_individual_under_the_mask():
    first = draft().references[0]
    source = np.where(first.source_mask[..., None], texture(50, (60, 200, 200)), first.source)
    assert judge(with_reference(draft(), source=source)).scores["identity"] < THRESHOLDS.min_identity


def test_second_copy_of_the_subject_in_the_reference():
    first = draft().references[0]
    height, width = first.mask.shape
    x0, y0, x1, y1 = (int(side) for side in masks.box_of(first.mask))
    wide = np.concatenate([first.image, texture(77, (90, 130, 90), (height, width))], axis=1)
    wide[y0:y1, width + x0 : width + x1][first.mask[y0:y1, x0:x1]] = first.image[first.mask]
    mask = np.concatenate([first.mask, np.zeros_like(first.mask)], axis=1)
    assert Reason.TWO_SUBJECTS in judge(with_reference(draft(), image=wide, mask=mask)).reasons


def test_mask_that_takes_in_the_neighbour():
    made = draft(2)
    both = made.references[0].source_mask | made.references[1].source_mask
    assert Reason.TWO_SUBJECTS in judge(with_reference(made, source_mask=both)).reasons
    apart = shape(70, 100, 60) | shape(260, 100, 90)
    assert Reason.TWO_SUBJECTS in judge(with_reference(draft(), mask=apart, image=texture(5))).reasons


def test_swapped_references():
    made = draft(2)
    instruction = words(made)
    made.output_masks = made.output_masks[::-1]
    verdict = judge(made, instruction=instruction)
    assert Reason.SWAPPED_REFERENCES in verdict.reasons
    assert verdict.scores["binding_margin"] < 0


def test_reference_that_fits_a_bystander_better():
    made = draft(2, "replace")
    made.references = [replace(draft(2).references[1])]
    assert Reason.SWAPPED_REFERENCES in judge(made).reasons


def test_base_that_was_not_changed():
    made = draft(1, "replace")
    made.base = replace(made.base, image=made.output.copy())
    failed = {check.name for check in judge(made).checks if not check.passed}
    assert {"base_untouched", "base_copy", "base_identity", "base_silhouette"} <= failed


def test_subject_moved_to_another_place_of_the_base():
    made = draft(1, "add")
    x0, y0, x1, y1 = (int(side) for side in masks.box_of(made.output_masks[0]))
    subject = made.output_masks[0][y0:y1, x0:x1]
    image = made.base.image.copy()
    image[y0:y1, 250 : 250 + x1 - x0][subject] = made.output[y0:y1, x0:x1][subject]
    made.base = replace(made.base, image=image)
    assert Reason.SUBJECT_IN_BASE in judge(made).reasons


def test_same_individual_in_another_pose_in_the_base():
    made = draft(1, "add")
    first = made.references[0]
    inside = masks.mask_of(made.base.box, *made.output.shape[:2])
    again = first.source_mask & inside
    made.base = replace(made.base, image=np.where(again[..., None], first.source, made.base.image))
    assert set(judge(made).reasons) == {Reason.SUBJECT_IN_BASE}


@pytest.mark.parametrize("leftover", ["rim", "ghost"])
def test_traces_of_the_subject_in_the_base(leftover):
    made = draft(1, "add")
    subject = made.output_masks[0]
    if leftover == "rim":
        rim = masks.dilate(subject, 4) & ~masks.erode(subject, 3)
        image = np.where(rim[..., None], made.output, made.base.image)
    else:
        image = cv2.addWeighted(made.base.image, 0.4, made.output, 0.6, 0)
    made.base = replace(made.base, image=image)
    failed = {check.name for check in judge(made).checks if not check.passed}
    assert "base_silhouette" in failed


def test_box_that_ends_in_a_seam():
    made = draft(1, "add")
    inside = masks.mask_of(made.base.box, *made.output.shape[:2])
    darker = (made.base.image * 0.5).astype(np.uint8)
    made.base = replace(made.base, image=np.where(inside[..., None], darker, made.base.image))
    assert [check.name for check in judge(made).checks if not check.passed] == ["base_seam", "base_step"]


def test_instruction_for_another_box():
    made = draft(2, "replace")
    assert "left" in words(made)["en"]
    wrong = {language: text.replace("left", "right").replace("左", "右") for language, text in words(made).items()}
    assert judge(made, instruction=wrong).reasons == [Reason.WRONG_BINDING]


def test_an_emptied_box_is_no_replacement():
    made = draft(1, "add")
    assert judge(made, instruction=words(draft(1, "replace"))).reasons == [Reason.WRONG_BINDING]


@pytest.mark.parametrize("name", ["output", "input_0", "input_1"])
def test_lossy_store(name):
    made = draft(1, "replace")
    stored = verification.members_of(made)
    assert judge(made, stored).passed
    encoded = cv2.imencode(".jpg", stored[name], [cv2.IMWRITE_JPEG_QUALITY, 98])[1]
    stored[name] = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert judge(made, stored).reasons == [Reason.LOSSY_BYTES]
    del stored[name]
    assert judge(made, stored).scores["lossy_share"] == 1


def test_draft_whose_base_differs_outside_its_box():
    made = draft(1, "replace")
    made.base.image[-1, -1] ^= 1
    assert judge(made).reasons == [Reason.LOSSY_BYTES]


def test_vlm_verdict():
    good = VerdictAnswer(identity=0.9, quality=0.8, consistency=1, why="fine")
    assert verification.vlm_check(good, THRESHOLDS).passed
    assert verification.vlm_check(good.model_copy(update={"quality": 0.1}), THRESHOLDS).reason is Reason.VLM_REJECTED
    unusable = verification.vlm_check(Unusable("no JSON"), THRESHOLDS)
    assert (unusable.passed, unusable.reason) == (False, Reason.VLM_UNUSABLE)


def test_a_draft_without_references_is_a_bug():
    made = draft()
    made.references, made.output_masks = [], []
    with pytest.raises(ValueError, match="references"):
        verification.verify(made, embed, None, THRESHOLDS, {"en": "x"})


def test_a_model_is_told_which_picture_is_which():
    generated = verification.verdict_question(draft(2, "", ("dog", "cat")), [])
    assert generated.names == ["Image 1", "Image 2", "Output"]
    assert "Image 1 is the reference of a dog. Image 2 is the reference of a cat." in generated.prompt
    edited = verification.verdict_question(draft(1, "replace", ("dog",)), [])
    assert edited.names == ["Image 1", "Image 2", "Output"]
    assert "Image 1 is the picture to be edited. Image 2 is the reference of a dog." in edited.prompt
    assert "is left in image 1" in edited.prompt
    assert "is left in image 1" not in generated.prompt


def test_another_attempt_cannot_mend_a_pair_but_may_take_another_of_several_subjects() -> None:
    assert verification.lies_in_the_pair("copy_paste", Task.SINGLE_MANIPULATION)
    assert verification.lies_in_the_pair(Reason.MASK_LEAK, "multi_generation")
    assert not verification.lies_in_the_pair("copy_paste", Task.MULTI_MANIPULATION)
    assert not verification.lies_in_the_pair(Reason.SUBJECT_IN_BASE, "single_manipulation")


def test_a_reason_that_several_checks_give_is_named_once():
    checks = [Check(name, 1.0, 0.5, False, Reason.SUBJECT_IN_BASE) for name in ("base_seam", "base_step")]
    assert Verdict([*checks, Check("copy_ncc", 1.0, 0.5, False, Reason.COPY_PASTE)]).reasons == [
        Reason.SUBJECT_IN_BASE,
        Reason.COPY_PASTE,
    ]
