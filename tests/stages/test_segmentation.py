"""Posteriors, edges and the confidence of a mask."""

import numpy as np
import pytest
from synthetic_shot import Disc, frame_of

from stages import masks, segmentation

DISC = Disc((150, 120), (0, 0), 40)


def test_colours_learned_where_it_moves_find_it_where_it_does_not() -> None:
    first, (mask,) = frame_of(0, [DISC])
    second, (other,) = frame_of(0, [Disc((90, 100), (0, 0), 40)])
    evidence = [np.where(mask, 0.95, 0.02).astype(np.float32), np.full(mask.shape, 0.3, np.float32)]
    belief = segmentation.posterior([first, second], evidence, [np.ones_like(mask)] * 2)
    assert masks.iou(belief[0] > 0.5, mask) > 0.85
    assert masks.iou(belief[1] > 0.5, other) > 0.6


def test_nothing_is_found_outside_what_is_allowed() -> None:
    image, (mask,) = frame_of(0, [DISC])
    allowed = np.zeros_like(mask)
    allowed[:, :150] = True
    belief = segmentation.posterior([image], [mask.astype(np.float32)], [allowed])[0]
    assert not belief[:, 150:].any()
    assert not segmentation.refine(image, belief, allowed)[:, 152:].any()


def test_refining_snaps_a_sloppy_mask_to_the_edge() -> None:
    image, (mask,) = frame_of(0, [DISC])
    sloppy = masks.dilate(mask, 3)
    refined = segmentation.refine(image, sloppy.astype(np.float32), np.ones_like(mask))
    assert masks.iou(refined, mask) > max(masks.iou(sloppy, mask), 0.93)


def test_refining_is_repeatable() -> None:
    image, (mask,) = frame_of(0, [DISC])
    once, again = (segmentation.refine(image, mask.astype(np.float32) * 0.7, np.ones_like(mask)) for _ in range(2))
    assert np.array_equal(once, again)


def test_confidence_prefers_the_true_mask_to_wrong_ones() -> None:
    image, (mask,) = frame_of(0, [DISC])
    evidence = np.where(masks.dilate(mask, 2), 0.95, 0.05).astype(np.float32)

    def score(candidate: np.ndarray) -> float:
        return segmentation.confidence(segmentation.measure(image, candidate, evidence) | {"stable": 0.8})

    shifted = np.roll(mask, 60, axis=1)
    at_border = np.zeros_like(mask)
    at_border[:, -50:] = True
    assert score(mask) > 0.7
    assert score(shifted) < 0.5
    assert score(at_border) < 0.5


@pytest.mark.parametrize("name", ["stable", "motion"])
def test_confidence_grows_with_what_speaks_for_a_mask(name: str) -> None:
    evidence = {"stable": 0.6, "motion": 0.3, "colour": 0.5, "edges": 0.5, "border": 0.1}
    assert segmentation.confidence(evidence | {name: 0.9}) > segmentation.confidence(evidence)
    assert segmentation.confidence(evidence | {"border": 0.5}) < segmentation.confidence(evidence)


def test_an_empty_mask_has_no_confidence() -> None:
    image, (mask,) = frame_of(0, [DISC])
    nothing = segmentation.measure(image, np.zeros_like(mask), np.zeros(mask.shape, np.float32))
    assert segmentation.confidence(nothing | {"stable": 1.0}) == 0
