"""The version of each stage: part of every fingerprint, so a bump makes the rows of that stage, and of what consumed
them, pending again.

Bump VERSIONS by hand when a change alters what a stage gives for the same input; a refactoring needs no bump. A test
(tests/stages/test_versions.py) notices any change of the code that SOURCES names and asks which of the two it was.
"""

VERSIONS: dict[str, int] = {
    "curate": 2,
    "mine": 6,
    "link": 2,
    "synthesize": 5,
    "verify": 5,
    "caption": 2,
    "align": 3,
    "edit": 2,
    "edit_checks": 1,
}

_VLM = tuple(
    f"actors.models.{name}" for name in ("conversations", "answers", "vlm_transformers", "vlm_vllm", "vlm_endpoint")
)

SOURCES: dict[str, tuple[str, ...]] = {
    "curate": (
        *("media", "shots", "gradual", "scoring", "curation", "actors.quality", "actors.models.aesthetic"),
        *("actors.models.iqa", "pipeline.curate"),
    ),
    "mine": (
        *("media", "mining", "linking", "pairing", "foreground", "instances", "parts", "confidence", "descriptors"),
        *("actors.moving", "actors.detector", "actors.segmenter", "actors.embedder", "actors.vlm", "pipeline.mine"),
        *("actors.models.grounding_dino", "actors.models.sam2", "actors.models.identity", *_VLM),
    ),
    "link": ("media", "linking", "recurrence", "pairing", "pipeline.link"),
    "synthesize": (
        *("media", "generation", "manipulation", "compositing", "inpainting", "neighbours", "samples"),
        *("regions", "actors.image_editor", "actors.models.filling", "actors.models.fill_words"),
        *("actors.models.flux2_klein", "actors.models.flux_fill", "actors.models.qwen_image_edit"),
        "pipeline.synthesize",
    ),
    "verify": ("verification", "descriptors", "actors.embedder", "actors.vlm", "actors.models.identity", *_VLM),
    "caption": ("captions", "actors.vlm", *_VLM, "pipeline.caption"),
    "align": (
        *("media", "tracking", "naming", "track_repair", "standing", "ownership", "transport", "binding"),
        *("edit_prompts", "edit_grammar", "edit_selectors", "nouns", "instance_facts", "selection"),
        *("contact_sheet", "scraps"),
        *("actors.moving", "actors.detector", "actors.segmenter", "actors.depth", "actors.embedder", "actors.vlm"),
        *("actors.models.grounding_dino", "actors.models.sam2", "actors.models.depth_anything", *_VLM),
        *("actors.models.identity", "pipeline.align"),
    ),
    "edit": (
        *("media", "pictures", "retargeting", "edit_clip", "passes", "leakage", "camera", "encoding"),
        *("appearance", "retexture", "tracked_paste", "mosaic", "backdrops"),
        *("actors.video_generator", "actors.models.wan_vace", "actors.models.latent_frames", "pipeline.edit_video"),
    ),
    "edit_checks": ("edit_checks", "edit_verdict", "encoding"),
}
"""What a stage consists of: modules of `stages` by their name, with what these import from there; and `actors.x` and
`pipeline.x`, its roles and its step.
"""
