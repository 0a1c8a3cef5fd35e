"""What every detector holds to, and how Grounding DINO's phrases become tokens and back."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from synthetic_shot import Disc, shot, texture

from actors.models import grounding_dino
from actors.models.grounding_dino import prompts
from schemas.subject import Detection
from schemas.video import Footage, Image
from stages import masks
from tests.models.checkpoints.grounding_dino import WORDS, build, build_mm
from tests.models.roles import role
from tests.models.tokenizers import bert_tokenizer

GROUNDING = "models.grounding_dino:GroundingDetector"
REAL: dict[str, tuple[Any, ...]] = {
    "llmdet": (GROUNDING, "iSEE-Laboratory/llmdet_large", build_mm),
    "mm-grounding-dino": (GROUNDING, "openmmlab-community/mm_grounding_dino_large_all", build_mm),
    "grounding-dino": (GROUNDING, "IDEA-Research/grounding-dino-tiny", build),
}
PHRASES = ["dog", "red car"]


@pytest.fixture(scope="module", params=["embedded", *REAL])
def detector(request: pytest.FixtureRequest) -> Any:
    return role("detector", *REAL.get(request.param, ("detector:MotionDetector",)))


@pytest.fixture(scope="module", params=REAL)
def real(request: pytest.FixtureRequest) -> Any:
    return role("detector", *REAL[request.param])


@pytest.fixture(scope="module")
def footage() -> Footage:
    return shot([Disc((80, 110), (2.5, 0.4), 34)], num_frames=20, num_anchors=3)[0]


def picture(height_px: int, width_px: int, seed: int = 0) -> Image:
    layers = [128 + texture(height_px, width_px, seed + channel) for channel in range(3)]
    return np.clip(np.stack(layers, axis=-1), 0, 255).astype(np.uint8)


def still(*images: Image) -> Footage:
    numbers = list(range(len(images)))
    return Footage(list(images), numbers, [float(number) for number in numbers], numbers)


def test_every_anchor_has_boxes_of_the_phrases_best_first_within_the_frame(detector, footage):
    found = detector.detect(footage, PHRASES)
    assert len(found) == len(footage.anchors)
    assert any(found)
    for boxes, anchor in zip(found, footage.anchors, strict=True):
        height, width = footage.images[anchor].shape[:2]
        assert [each.score for each in boxes] == sorted((each.score for each in boxes), reverse=True)
        for each in boxes:
            assert each.phrase in PHRASES
            assert 0 <= each.score <= 1
            assert 0 <= each.box[0] < each.box[2] <= width
            assert 0 <= each.box[1] < each.box[3] <= height
            assert all(isinstance(number, float) for number in (*each.box, each.score))


def test_the_same_footage_has_the_same_boxes(detector, footage):
    assert detector.detect(footage, PHRASES) == detector.detect(footage, PHRASES)


def test_without_phrases_or_anchors_nothing_is_found(detector, footage):
    assert detector.detect(footage, []) == [[]] * len(footage.anchors)
    assert detector.detect(Footage([], [], [], []), PHRASES) == []


@pytest.mark.parametrize("size", [(97, 61), (61, 97), (33, 200), (240, 135)])
def test_odd_sizes(detector, size):
    (found,) = detector.detect(still(picture(*size)), ["person"])
    assert all(
        0 <= each.box[0] < each.box[2] <= size[1] and 0 <= each.box[1] < each.box[3] <= size[0] for each in found
    )


def test_a_batch_is_the_same_as_one_by_one(real, footage):
    together = real.detect(footage, PHRASES)
    for anchor, boxes in zip(footage.anchors, together, strict=True):
        (alone,) = real.detect(still(footage.images[anchor]), PHRASES)
        assert [each.phrase for each in alone] == [each.phrase for each in boxes]
        assert [each.score for each in alone] == pytest.approx([each.score for each in boxes], abs=1e-4)
        assert np.allclose([each.box for each in alone], [each.box for each in boxes], atol=0.1)


def test_other_pictures_have_other_boxes(real):
    one, other = real.detect(still(picture(120, 160), picture(120, 160, seed=7)), PHRASES)
    assert one != other


def test_answers_are_phrases_as_they_were_asked_however_odd(real):
    asked = ["St. Bernard?", "RED  car", "red car", "", "...", "dog", "犬", "chihuahua"]
    (found,) = real.detect(still(picture(120, 160)), asked)
    assert found
    assert {each.phrase for each in found} <= {"St. Bernard?", "RED  car", "dog", "犬", "chihuahua"}


def test_more_phrases_than_the_text_holds_are_all_asked(real):
    asked = [f"thing {number}" for number in range(40)]
    (found,) = real.detect(still(picture(120, 160)), asked)
    texts = prompts(asked, real._processor.tokenizer, real._model.config.max_text_len)
    assert len(texts) > 5
    assert [phrase for text in texts for phrase in text.tokens] == asked
    assert {each.phrase for each in found} <= set(asked)
    assert not {each.phrase for each in found} <= set(texts[0].tokens)


@pytest.mark.parametrize("max_tokens", [8, 16, 256])
def test_tokens_of_a_phrase_are_the_phrase_and_texts_fit(max_tokens):
    tokenizer = bert_tokenizer(WORDS)
    asked = ["dog", "Red Car", "red dog", "t-rex", "per"]
    texts = prompts(asked, tokenizer, max_tokens)
    assert [phrase for text in texts for phrase in text.tokens] == asked
    for text in texts:
        numbers = tokenizer(text.text)["input_ids"]
        assert len(numbers) <= max_tokens
        for phrase, places in text.tokens.items():
            assert tokenizer.decode([numbers[place] for place in places]).replace(" ", "") == (
                phrase.lower().replace(" ", "")
            )


def test_a_phrase_longer_than_the_text_is_cut_off_not_dropped():
    (text,) = prompts(["red " * 20], bert_tokenizer(WORDS), 8)
    assert list(text.tokens.values()) == [list(range(1, 7))]


def test_scores_are_means_over_the_tokens_and_near_copies_go(monkeypatch):
    """The model's part is written here: four queries for the prompt "dog. red car."."""
    detector = role("detector", *REAL["grounding-dino"])
    told = {1: "dog", 3: "red", 4: "car"}  # token -> word; 2 and 5 are full stops
    queries = [
        ({"dog": 0.9, "red": 0.9, "car": 0.2}, (0.5, 0.5, 0.5, 0.5)),
        ({"dog": 0.1, "red": 0.5, "car": 0.9}, (0.9, 0.9, 0.4, 0.4)),  # over the edge
        ({"dog": 0.1, "red": 0.9, "car": 0.6}, (0.5, 0.5, 0.5, 0.52)),  # the first one's place
        ({"dog": 0.2, "red": 0.4, "car": 0.1}, (0.2, 0.2, 0.1, 0.1)),  # never sure
    ]
    logits = torch.full((1, len(queries), 32), -torch.inf)
    for number, (scores, _) in enumerate(queries):
        for token, word in told.items():
            logits[0, number, token] = torch.logit(torch.tensor(scores[word]))
    answer = SimpleNamespace(logits=logits, pred_boxes=torch.tensor([[box for _, box in queries]]))
    stand_in = MagicMock(config=detector._model.config, return_value=answer)
    monkeypatch.setattr(detector, "_model", stand_in)
    (found,) = detector.detect(still(picture(100, 200)), PHRASES)
    assert [(each.phrase, round(each.score, 3)) for each in found] == [("dog", 0.9), ("red car", 0.7)]
    assert found[0].box == pytest.approx((50, 25, 150, 75))
    assert found[1].box == pytest.approx((140, 70, 200, 100))


def test_crossing_subjects_are_kept_and_one_subject_with_two_names_is_not():
    rider, horse = Detection((40, 0, 80, 90), "person", 0.8), Detection((20, 30, 110, 120), "horse", 0.7)
    assert grounding_dino.suppress([horse, rider]) == [rider, horse]
    puppy = Detection((21, 31, 110, 120), "puppy", 0.6)
    assert masks.box_iou(horse.box, puppy.box) > 0.9
    assert grounding_dino.suppress([puppy, horse]) == [horse]


def test_boxes_are_found_in_bfloat16_too():
    detector = role("detector", *REAL["llmdet"], dtype="bfloat16")
    assert any(detector.detect(still(picture(120, 160)), PHRASES))
