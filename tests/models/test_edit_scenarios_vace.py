"""What people ask of `recast edit`, from alignment to the file, drawn by Wan VACE on a tiny checkpoint: random weights
draw noise, so what is drawn is not judged, only that it is drawn where it was asked for and nowhere else."""

import pytest
from scripted_edits import SCENARIOS, holds, play

from actors.models.wan_vace import WanVaceGenerator
from tests.models.checkpoints import wan_vace
from tests.models.hub import UNPINNED, publish

UNJUDGED = {
    "edit_thresholds__max_seam": 255,
    "edit_thresholds__max_flicker": 255,
    "edit_thresholds__max_warping_ratio": 1e9,
    "edit_thresholds__min_motion": -9,
    "edit_thresholds__min_sharpness": 0,
}


@pytest.fixture(scope="module")
def generator() -> WanVaceGenerator:
    model = publish("Wan-AI/Wan2.1-VACE-1.3B-diffusers", wan_vace.build)
    return WanVaceGenerator(model, UNPINNED, "float32", num_steps=1, max_frames=41)


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_was_asked_changes_and_nothing_else_does(name, generator, tmp_path):
    holds(play(SCENARIOS[name], tmp_path, generator, **UNJUDGED))
