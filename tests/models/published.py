"""A tiny checkpoint for every model that the shipped profiles name, under its id and pinned revision.

So profiles run as they are, on the CPU, within the time a test has: whoever pins another model names its family here.
"""

import shutil
from collections.abc import Callable, Collection, Iterator
from functools import cache
from pathlib import Path

from actors.profiles import load_profile, shipped_profiles
from cluster.weights import Weights
from pipeline.models import weights_of
from schemas.config import RoleConfig
from tests.models import hub
from tests.models.checkpoints import depth_anything, flux2_klein, grounding_dino, qwen3_vl, sam2, wan_vace
from tests.models.checkpoints import vision_transformers as vision

Build = Callable[[Path], None]

FAMILIES: dict[str, Build] = {
    "openai/clip-vit-large-patch14": vision.build_clip,
    "chaofengc/IQA-PyTorch-Weights": vision.build_head,
    "Qwen/Qwen3-VL-2B-Instruct": qwen3_vl.build_terse,
    "Qwen/Qwen3-VL-4B-Instruct": qwen3_vl.build_terse,
    "Qwen/Qwen3-VL-8B-Instruct": qwen3_vl.build_terse,
    "IDEA-Research/grounding-dino-tiny": grounding_dino.build,
    "iSEE-Laboratory/llmdet_large": grounding_dino.build_mm,
    "facebook/sam2.1-hiera-tiny": sam2.build_bright,
    "facebook/sam2.1-hiera-small": sam2.build_bright,
    "facebook/sam2.1-hiera-large": sam2.build_bright,
    "depth-anything/Depth-Anything-V2-Small-hf": depth_anything.build,
    "facebook/dinov2-base": vision.build_dinov2,
    "facebook/dinov2-large": vision.build_dinov2,
    "black-forest-labs/FLUX.2-klein-4B": flux2_klein.build,
    "Wan-AI/Wan2.1-VACE-1.3B-diffusers": wan_vace.build,
    "Wan-AI/Wan2.1-VACE-14B-diffusers": wan_vace.build,
}
TRANSFORMERS_VLM = "models.vlm_transformers:TransformersVlm"


def roles_with_models(profiles: Collection[str] = ()) -> Iterator[tuple[str, str, RoleConfig]]:
    """(profile, role name, role) for every role of these profiles, or of all shipped ones, that loads something."""
    for name in profiles or shipped_profiles():
        yield from ((name, role, config) for role, config in load_profile(name).roles.items() if weights_of(config))


def publish_all(profiles: Collection[str] = ()) -> None:
    """Everything those profiles load, in the cache of tests/models/hub.py."""
    for _, _, role in roles_with_models(profiles):
        for weights in weights_of(role):
            publish(weights)


def publish(weights: Weights) -> None:
    """One model at its revision. Raises KeyError for one whose family FAMILIES does not name."""
    build = FAMILIES[weights.model]
    hub.publish(weights.model, lambda folder: _copy(build, folder), weights.revision)


def in_ci(role: RoleConfig) -> RoleConfig:
    """The role where vLLM is not installed: the same model at the same revision by transformers."""
    if role.implementation != "models.vlm_vllm:VllmVlm":
        return role
    return role.model_copy(update={"implementation": TRANSFORMERS_VLM})


def _copy(build: Build, folder: Path) -> None:
    shutil.copytree(_built(build), folder, dirs_exist_ok=True)


@cache
def _built(build: Build) -> Path:
    """Ids of one family share what is built once."""
    folder = hub.CACHE / "built" / f"{build.__module__}.{build.__name__}"
    if not folder.is_dir():
        folder.mkdir(parents=True)
        build(folder)
    return folder
