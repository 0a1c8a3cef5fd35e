"""What every quality role holds to, and what the aesthetic head and pyiqa are read like."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from schemas.errors import UserError
from schemas.video import Image
from tests.models.checkpoints.vision_transformers import HEAD_FILE, build_clip, build_head
from tests.models.hub import publish
from tests.models.roles import role

CLIP = ("models.aesthetic:ClipAesthetic", "openai/clip-vit-large-patch14", build_clip)
PYIQA = "models.iqa:PyiqaQuality"


def quality_of(name: str) -> Any:
    if name == "embedded":
        return role("quality", "quality:MeasuredQuality")
    if name == "clip-aesthetic":
        publish("chaofengc/IQA-PyTorch-Weights", build_head)
        return role("quality", *CLIP)
    pytest.importorskip("pyiqa", reason="the extra `iqa` is not installed")
    return role("quality", PYIQA, options={"metric": name})


@pytest.fixture(scope="module", params=["embedded", "clip-aesthetic", "piqe", "entropy"])
def quality(request: pytest.FixtureRequest) -> Any:
    return quality_of(request.param)


@pytest.fixture(scope="module")
def pictures() -> list[Image]:
    """Coarse colours with fine grain."""
    rng = np.random.default_rng(0)
    coarse = [rng.integers(40, 216, (12, 16, 3), np.uint8) for _ in range(5)]
    smooth = [cv2.resize(each, (320, 240), interpolation=cv2.INTER_CUBIC) for each in coarse]
    grain = [rng.normal(0, 4 + number, (240, 320, 1)) for number in range(5)]
    return [np.clip(one + other, 0, 255).astype(np.uint8) for one, other in zip(smooth, grain, strict=True)]


def test_one_answer_per_picture_between_0_and_1_with_what_is_measured(quality, pictures):
    scores = quality.score(pictures)
    assert len(scores) == len(pictures)
    names = {"quality", *(f"quality_{name}" for name in ("sharpness", "exposure", "contrast", "colourfulness"))}
    for each in scores:
        assert each.keys() == names
        assert all(isinstance(value, float) and 0 <= value <= 1 for value in each.values())
    assert len({each["quality"] for each in scores}) == len(pictures)


def test_the_same_pictures_have_the_same_scores(quality, pictures):
    assert quality.score(pictures) == quality.score(pictures)


def test_no_pictures(quality):
    assert quality.score([]) == []


def test_a_batch_is_the_same_as_one_by_one(quality, pictures):
    for together, alone in zip(quality.score(pictures), [quality.score([each])[0] for each in pictures], strict=True):
        assert together == pytest.approx(alone, abs=1e-5)


@pytest.mark.parametrize("size", [(97, 61), (61, 97), (48, 200)])
def test_odd_sizes(quality, size):
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    (scores,) = quality.score([image])
    assert all(0 <= value <= 1 for value in scores.values())


def head(folder: Path, **weights: Any) -> Path:
    build_head(folder)
    loaded = torch.load(folder / HEAD_FILE, weights_only=True)
    torch.save(loaded | weights, folder / HEAD_FILE)
    return folder


@pytest.mark.parametrize(("rating", "quality"), [(1.0, 0.0), (5.5, 0.5), (10.0, 1.0), (-3.0, 0.0), (12.0, 1.0)])
def test_ratings_from_1_to_10_become_0_to_1(tmp_path, pictures, rating, quality):
    weights = {"layers.7.weight": torch.zeros(1, 4), "layers.7.bias": torch.tensor([rating])}
    folder = head(tmp_path, **weights)
    rated = role("quality", *CLIP, options={"head": str(folder)})
    assert rated.score(pictures[:1])[0]["quality"] == pytest.approx(quality, abs=1e-6)


def test_the_head_is_given_the_projected_embedding_at_length_one(tmp_path, pictures):
    """Against CLIPModel, whose get_image_features the predictor was fitted to (normalised)."""
    from transformers import AutoImageProcessor, CLIPModel

    folder = head(tmp_path)
    weights = torch.load(folder / HEAD_FILE, weights_only=True)
    model = CLIPModel.from_pretrained(CLIP[1]).eval()
    pixels = AutoImageProcessor.from_pretrained(CLIP[1])(pictures, return_tensors="pt")
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(model.get_image_features(**pixels).pooler_output, dim=-1)
        for number in (0, 2, 4, 6, 7):
            expected = expected @ weights[f"layers.{number}.weight"].T + weights[f"layers.{number}.bias"]
    rated = role("quality", *CLIP, options={"head": str(folder)}).score(pictures)
    assert [each["quality"] for each in rated] == pytest.approx(((expected[:, 0] - 1) / 9).tolist(), abs=1e-5)


def test_a_head_that_does_not_fit_is_one_line(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        role("quality", *CLIP, options={"head": str(tmp_path)})
    build_head(tmp_path, (24, 32, 16, 8, 4, 1))
    with pytest.raises(UserError, match="embeddings of 24, not of 16"):
        role("quality", *CLIP, options={"head": str(tmp_path)})
    torch.save({"weight": torch.zeros(1)}, tmp_path / HEAD_FILE)
    with pytest.raises(UserError, match="is not a head"):
        role("quality", *CLIP, options={"head": str(tmp_path)})
    with pytest.raises(UserError, match="cannot be loaded"):
        role("quality", *CLIP, options={"head": "nobody/has-this"})


def test_a_head_with_code_in_it_is_not_run(tmp_path):
    torch.save({"layers.0.weight": Path("anything that is not a tensor")}, tmp_path / HEAD_FILE)
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        role("quality", *CLIP, options={"head": str(tmp_path)})


@pytest.mark.parametrize(
    ("metric", "words"),
    [("nonsense", "it has "), ("psnr", "rates no single picture"), ("topiq_nr", "cannot be loaded")],
)
def test_metrics_that_cannot_be_used_are_one_line(metric, words):
    pytest.importorskip("pyiqa", reason="the extra `iqa` is not installed")
    with pytest.raises(UserError, match=words) as raised:
        role("quality", PYIQA, options={"metric": metric})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("metric", ["piqe", "entropy"])
def test_pyiqa_says_that_blocks_and_flatness_are_worse(metric, pictures):
    quality = quality_of(metric)
    squeezed = cv2.imdecode(cv2.imencode(".jpg", pictures[0], [cv2.IMWRITE_JPEG_QUALITY, 3])[1], cv2.IMREAD_COLOR)
    worse = squeezed if metric == "piqe" else pictures[0] // 8 + 110
    good, bad = (each["quality"] for each in quality.score([pictures[0], worse]))
    assert bad < good


def test_ranges_are_read_as_pyiqa_writes_them():
    pytest.importorskip("pyiqa", reason="the extra `iqa` is not installed")
    from actors.models.iqa import _range

    assert _range("piqe", "0, 100", lower_better=True) == (100, 0)
    assert _range("liqe", "1, 5", lower_better=False) == (1, 5)
    assert _range("nrqm", "~0, ~10", lower_better=False) == (0, 10)
    assert _range("cnniqa", "~-1, ~0.1", lower_better=False) == (-1, 0.1)
    for open_ended in ("0, ~", "quality: 0, 1; rank: 0, 2"):
        with pytest.raises(UserError, match="no bounded range"):
            _range("any", open_ended, lower_better=False)
