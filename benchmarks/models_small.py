"""Tiny checkpoints of the same families, to try the benchmark out where there is no GPU."""

from tests.models.checkpoints import (
    depth_anything,
    flux2_klein,
    grounding_dino,
    qwen3_vl,
    sam2,
    vision_transformers,
    wan_vace,
)

BUILDERS = {
    "quality": vision_transformers.build_clip,
    "vlm": qwen3_vl.build,
    "detector": grounding_dino.build_mm,
    "segmenter": sam2.build,
    "depth": depth_anything.build,
    "embedder": vision_transformers.build_dinov2,
    "image_editor": flux2_klein.build,
    "video_generator": wan_vace.build,
}
