"""What every embedder holds to, and that only the subject is seen."""

from typing import Any

import cv2
import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from synthetic_shot import BLUE, RED, Disc, frame_of

from actors.embedder import cropped
from actors.models.identity import alone
from schemas.errors import UserError
from schemas.video import Image, Mask
from stages import masks
from tests.models.checkpoints.vision_transformers import build_dinov2, build_dinov3, build_siglip
from tests.models.roles import role

DINO, SIGLIP = "models.identity:DinoEmbedder", "models.identity:SiglipEmbedder"
REAL: dict[str, tuple[Any, ...]] = {
    "dinov2-base": (DINO, "facebook/dinov2-base", build_dinov2),
    "dinov2-small": (DINO, "facebook/dinov2-small", build_dinov2),
    "dinov3": (DINO, "facebook/dinov3-vits16-pretrain-lvd1689m", build_dinov3),
    "siglip2": (SIGLIP, "google/siglip2-base-patch16-224", build_siglip),
}
TWO = [Disc((70, 70), (2.2, 0.3), 28, colour=RED), Disc((250, 170), (-2.2, 0.2), 30, colour=BLUE)]


@pytest.fixture(scope="module", params=["embedded", *REAL])
def embedder(request: pytest.FixtureRequest) -> Any:
    return role("embedder", *REAL.get(request.param, ("embedder:DescriptorEmbedder",)))


@pytest.fixture(scope="module", params=REAL)
def real(request: pytest.FixtureRequest) -> Any:
    return role("embedder", *REAL[request.param])


@pytest.fixture(scope="module")
def subjects() -> list[tuple[Image, Mask]]:
    shown = [frame_of(number, TWO) for number in (0, 20)]
    return [(image, found[disc]) for disc in range(2) for image, found in shown]


def test_rows_are_of_length_one_and_an_individual_is_most_like_itself(embedder, subjects):
    vectors = embedder.embed(subjects)
    assert vectors.dtype == np.float32
    assert vectors.shape[0] == len(subjects)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    alike = vectors @ vectors.T
    assert min(alike[0, 1], alike[2, 3]) > alike[:2, 2:].max()


def test_the_same_subjects_have_the_same_rows(embedder, subjects):
    assert (embedder.embed(subjects) == embedder.embed(subjects)).all()


def test_no_subjects_have_no_rows_of_the_usual_length(embedder, subjects):
    none = embedder.embed([])
    assert none.dtype == np.float32
    assert none.shape == (0, embedder.embed(subjects[:1]).shape[1])


def test_an_empty_mask_has_no_appearance(embedder, subjects):
    image, mask = subjects[0]
    with pytest.raises(ValueError, match="empty mask"):
        embedder.embed([(image, np.zeros_like(mask))])


@pytest.mark.parametrize("size", [(97, 61), (61, 97), (5, 300), (1, 1)])
def test_odd_sizes(embedder, size):
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    (vector,) = embedder.embed([(image, np.ones(size, np.bool_))])
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_a_batch_is_the_same_as_one_by_one(embedder, subjects):
    apart = np.concatenate([embedder.embed([each]) for each in subjects])
    assert np.allclose(embedder.embed(subjects), apart, atol=1e-5)


def test_the_background_and_the_place_are_not_seen(real, subjects):
    image, mask = subjects[0]
    other = np.where(mask[..., None], image, 255 - image).astype(np.uint8)
    moved, moved_mask = np.roll(image, (40, 90), (0, 1)), np.roll(mask, (40, 90), (0, 1))
    assert masks.area_px(moved_mask) == masks.area_px(mask)
    vectors = real.embed([(image, mask), (other, mask), (moved, moved_mask)])
    assert np.allclose(vectors, vectors[0], atol=1e-5)


def test_the_whole_subject_is_shown_in_its_own_proportions():
    image = np.full((300, 100, 3), 200, np.uint8)
    mask: Mask = np.zeros((300, 100), np.bool_)
    mask[20:280, 30:80] = True
    shown = alone(image, mask, 224, np.array([124, 116, 104], np.uint8))
    assert shown.shape == (224, 224, 3)
    assert (shown[0, 0] == [124, 116, 104]).all()
    box = masks.box_of(cv2.inRange(shown, (190, 190, 190), (210, 210, 210)) > 0)
    assert box is not None
    width, height = box[2] - box[0], box[3] - box[1]
    assert width / height == pytest.approx(50 / 260, abs=0.02)
    assert height == pytest.approx(224 / 1.1, abs=3)


def test_crops_reach_the_model_uncropped_and_the_background_is_zero(real, subjects, monkeypatch):
    given = []
    model = real._model
    monkeypatch.setattr(real, "_model", lambda pixel_values: given.append(pixel_values) or model(pixel_values))
    real.embed(subjects[:1])
    side = real._side_px
    assert given[0].shape == (1, 3, side, side)
    assert float(given[0][0, :, :2, :2].abs().max()) < 0.02  # half a level, over a deviation of 0.22


def test_bfloat16(subjects):
    one, other = (
        role("embedder", *REAL["dinov2-base"], dtype=dtype).embed(subjects) for dtype in ("float32", "bfloat16")
    )
    assert other.dtype == np.float32
    assert np.allclose((one * other).sum(axis=1), 1, atol=0.01)


def test_a_checkpoint_that_lacks_weights_is_refused_and_says_which(tmp_path):
    build_dinov2(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    lost = {name for name in weights if name.startswith("encoder.layer.0.attention")}
    save_file({name: weights[name] for name in weights.keys() - lost}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=rf"lacks the weights encoder\.layer\.0\..* and {len(lost) - 3} more"):
        role("embedder", DINO, str(tmp_path))


def test_what_lies_beside_the_box_of_a_mask_changes_nothing(real, subjects):
    """So subjects travel to their model without it."""
    assert np.array_equal(real.embed(cropped(subjects)), real.embed(subjects))


def test_computing_what_was_prepared_by_several_calls_is_embedding_them(real, subjects):
    prepared = [*real.prepare(subjects[:1]), *real.prepare(subjects[1:])]
    assert real.compute(prepared) == pytest.approx(real.embed(subjects), abs=1e-5)
