"""Both kinds of draft on real frames with true masks: what must be exact is exact in the stored bytes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from actors.image_editor import DonorEditor
from schemas.config import SynthesisConfig
from schemas.fill import Donor
from schemas.sample import Captions, Draft, Scene
from schemas.video import Image, Mask
from stages import augmentation, masks, media, samples
from stages.generation import draft_generation
from stages.manipulation import draft_manipulation

pytestmark = pytest.mark.footage
FPS = 24.0


def frame(footage: Path, clip: str, index: int) -> tuple[Image, Mask]:
    (read,) = media.read_frames(str(footage / "clips" / f"{clip}.mp4"), [index], [index / FPS])
    labels = np.asarray(Picture.open(footage / "masks" / clip / f"{index:05d}.png"))
    return read.image, labels > 0


@pytest.fixture(scope="module", params=[draft_generation, draft_manipulation], ids=["generation", "manipulation"])
def draft(request, footage: Path) -> Draft:
    (image_a, mask_a), (image_b, mask_b) = (frame(footage, "davis_camel", index) for index in (10, 60))
    scene = Scene(image_a, image_b, [mask_a], [mask_b], ["one"], ["animal"], "camel")
    clips = [("davis_dog", 30), ("davis_horsejump-high", 20), ("davis_parkour", 60)]
    donors = [Donor(*frame(footage, clip, index), "animal", clip) for clip, index in clips]
    return request.param(scene, "key", 0, donors, SynthesisConfig(), DonorEditor().fill)


def test_the_stored_subject_is_the_source_warped_once(draft):
    members = samples.encode_members(draft, Captions({}, {}, {}), {})
    reference = draft.references[0]
    stored = samples.decode_members(members)[f"input_{len(draft.inputs) - 1}"]
    mask = samples.decode_masks(members)["mask_0"]
    again = augmentation.warp_image(reference.source, np.asarray(reference.warp), mask.shape[::-1])
    assert mask.mean() > 0.05
    assert np.array_equal(stored[mask], again[mask])
    silhouette = np.repeat(reference.source_mask[..., None], 3, axis=2).astype(np.uint8) * np.uint8(255)
    whole = augmentation.warp_image(silhouette, np.asarray(reference.warp), mask.shape[::-1])[..., 0] >= 128
    assert 0.8 * whole.sum() < mask.sum() < whole.sum()


def test_the_stored_base_equals_the_stored_output_outside_the_box(draft):
    if draft.base is None:
        assert draft.output.shape == (480, 854, 3)
        return
    stored = samples.decode_members(samples.encode_members(draft, Captions({}, {}, {}), {}))
    outside = ~masks.mask_of(draft.base.box, *draft.output.shape[:2])
    assert outside.mean() > 0.3
    assert np.array_equal(stored["input_0"][outside], stored["output"][outside])
    assert draft.base.operation == "replace"
