"""The resolved settings of a run: defaults, then the profile's, then recast.json of the output, then --set."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, field_validator


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CurationConfig(_Section):
    """Stage i, what is measured. A change here decodes again."""

    analysis_short_side_px: int = Field(240, ge=64)  # frames are measured at this size
    cut_threshold: float = Field(2.0, gt=0)  # PySceneDetect AdaptiveDetector's adaptive_threshold
    min_cut_difference: float = Field(15.0, ge=0)  # its min_content_val: mean HSV difference, 0..255
    black_level: float = Field(0.025, gt=0, lt=1)  # mean RGB below it is a fade to black
    min_shot_frames: int = Field(6, ge=2)  # shorter shots are not split off
    frames_per_clip: int = Field(6, ge=2)  # frames per shot that quality and hashes are taken from
    max_frame_px: int = Field(8192 * 4320, gt=0)  # width x height bound: decompression bombs


class CurationThresholds(_Section):
    """Stage i, what is kept. A change here decides again from the stored scores and decodes nothing."""

    min_short_side_px: int = 240  # of the picture inside black bars
    min_seconds: float = 0.8
    min_brightness: float = 0.06  # mean luma, 0..1
    max_brightness: float = 0.95
    min_contrast: float = 0.03  # standard deviation of luma
    min_sharpness: float = 0.06  # of the sharpest parts, 0..1
    max_noise: float = 0.04  # standard deviation in the calmest places, of full scale
    max_chroma_noise: float = 0.008
    max_blockiness: float = 1.0  # steps across the 8-pixel grid over steps elsewhere, minus 1
    min_motion: float = 0.02  # range of the most changing cells, 0..1
    max_still_share: float = 0.98  # of frames like the one before
    max_text: float = 0.010  # share of the picture; fences behind a slow camera reach 0.0055, captions 0.022
    min_quality: float = 0.2
    max_hash_distance: int = Field(6, ge=0, le=64)  # bits between perceptual hashes of near-duplicates


class MiningConfig(_Section):
    """Stage ii."""

    anchors_per_clip: int = Field(10, ge=2)  # K frames masks are made for
    min_anchor_share: float = Field(0.2, gt=0, le=1)  # m of K: category and identity consensus
    max_pairs_per_clip: int = Field(12, ge=1)
    max_subjects_per_pair: int = Field(3, ge=1)
    min_similarity: float = Field(0.89, ge=-1, le=1)  # of two views of one track: less is a mask gone wrong
    min_mask_score: float = Field(0.8, ge=0, le=1)  # probability that a mask is right
    min_area_share: float = Field(0.005, gt=0, lt=1)  # of the frame
    max_area_share: float = Field(0.60, gt=0, le=1)
    max_border_share: float = Field(0.20, ge=0, le=1)  # of the outline on the frame's border: cut off
    min_diversity: float = Field(0.08, ge=0, le=1)
    max_alike: float = Field(0.87, ge=0, le=1)  # correlation after alignment; verification refuses from 0.90 on
    diversity_weight: float = Field(0.5, ge=0, le=1)  # lambda of max marginal relevance
    category: str = ""  # names every subject when nothing else can


class LinkingConfig(_Section):
    """Stage ii, where no track connects: an interrupted track, or another shot of the same source."""

    min_similarity: float = Field(0.90, ge=-1, le=1)  # identity gate
    margin: float = Field(0.03, ge=0, le=1)  # by which the best match must beat every look-alike


class SynthesisConfig(_Section):
    """Stage iii."""

    max_side_px: int = Field(1024, ge=64)  # output frames are scaled down to this
    erosion: float = Field(0.02, ge=0, le=0.2)  # of the subject's equivalent radius, irregular
    scale_range: tuple[PositiveFloat, PositiveFloat] = (0.7, 1.2)
    max_rotation_degrees: float = Field(12.0, ge=0, le=45)
    max_perspective: float = Field(0.06, ge=0, le=0.2)  # change of the projective weight over the half span
    box_margin: float = Field(0.12, ge=0)  # dilation of the manipulated box, of its size
    max_attempts: int = Field(3, ge=1)

    @field_validator("scale_range")
    @classmethod
    def _ordered(cls, given: tuple[float, float]) -> tuple[float, float]:
        if given[0] > given[1]:
            raise ValueError("the smaller scale comes first")
        return given


class VerificationThresholds(_Section):
    """Stage iv, what passes. Scores are kept with every attempt."""

    max_background_inliers: float = 0.010  # share of background features of the reference found in the output
    max_background_blocks: float = 0.02  # share of its textured background blocks found in the output
    max_rim_leak: float = 0.006  # share of the reference's surroundings that frame A shows there too
    max_mask_leak: float = 0.015  # share of the reference's subject that frames around A show in place, as background
    max_copy_ncc: float = 0.875  # after the best similarity transform
    min_handedness: float = 0.0  # correlation with the source, straight minus mirrored
    min_area_ratio: float = 0.80
    max_area_ratio: float = 1.25
    max_shared_mask: float = 0.08  # share of another subject inside the reference's mask
    max_second_subject: float = 0.88  # likeness of anything beside the subject to a known one
    min_identity: float = 0.70  # of reference and source
    min_target_identity: float = 0.80  # of reference and output; as mining asks of the pair
    max_base_untouched: float = 0.10  # share of the removed subject's pixels that the base still has
    max_base_copy: float = 0.90  # correlation of anything in the base with the removed subject
    max_base_identity: float = 0.90  # similarity of anything in the base to the removed subject
    max_base_silhouette: float = 0.08  # agreement of base and output along the removed outline
    max_base_seam: float = 0.35  # share of the box's border where the base has a new step
    max_base_step: float = 25.0  # grey levels, over a stretch of the box's border
    min_binding_margin: float = 0.02
    min_vlm_score: float = 0.5


class EditThresholds(_Section):
    """Which edits pass. Scores are kept with every attempt."""

    min_background_psnr: float = 39.0  # dB of the worst frame, outside the feather; 42 on average leaves 39.95 in some
    min_background_ssim: float = 0.97
    max_background_blocks: float = 0.0008  # share of 16-pixel blocks outside that changed visibly, worst frame
    max_seam: float = 6.0  # grey levels by which steps across the feather's edge grew
    max_flicker: float = 3.0  # grey levels by which colour swings more than in the source
    max_warping_ratio: float = 1.8  # of the source's warping error
    min_motion: float = 0.5  # share of the source's motion that the edit shows
    min_sharpness: float = 0.4  # of the source's
    max_untouched: float = 0.5  # share of the region that looks as before
    min_count_share: float = 0.9  # of frames in which as many subjects are found as in the source
    min_target_identity: float = 0.8  # cosine; by colours and gradients 0.7 is another subject, 0.97 the same
    min_vlm_score: float = 0.5


class EditConfig(_Section):
    """`recast edit`: who is looked for and how what changes is generated."""

    max_frames: int = Field(900, ge=1)  # of a clip: its masks are held at working size
    working_short_side_px: int = Field(480, ge=64)  # of the masks
    anchor_every: int = Field(2, ge=1)  # frames from one that is segmented to the next; those between are filled in
    overlap_frames: int = Field(9, ge=0)  # that neighbouring windows of the generator share
    sizing: Literal["fast", "sharp"] = "fast"  # what the generator sees: source pixels, or enlarged to its native size
    native_pixels: int = Field(832 * 480, ge=4096)  # of `sharp`
    draw_references: bool = False  # of targets without one, by the image editor
    control: Literal["none", "depth"] = "none"  # what is shown under the mask of what is replaced
    joint: bool = False  # all targets in one pass: quicker, and they may be drawn on each other
    format: Literal["h264", "prores", "ffv1", "png"] = "h264"
    max_attempts: int = Field(2, ge=1)


class CaptionConfig(_Section):
    languages: tuple[Literal["en", "zh"], ...] = Field(("en", "zh"), min_length=1)
    style: str = "plain"  # changes the wording, and so the caption fingerprint


class EngineConfig(_Section):
    """How work flows; never part of a fingerprint."""

    wave_size: int = Field(256, ge=1)  # sources per wave: what the near-duplicate barrier waits for
    micro_batch: int = Field(8, ge=1)  # units per lease, at most
    credit: int = Field(16, ge=1)  # leased, not yet delivered units per worker: one micro-batch in work, one to follow
    max_deliveries: int = Field(3, ge=1)
    row_timeout_seconds: float = Field(600.0, gt=0)  # a row that runs longer is shot with its process
    stall_seconds: float = Field(1800.0, gt=0)  # no unit settled for so long: the phase is aborted
    commit_seconds: float = Field(5.0, ge=0)
    commit_rows: int = Field(5000, ge=1)
    commits_per_compaction: int = Field(100, ge=1)
    shard_mb: int = Field(512, ge=1)
    seal_seconds: float = Field(60.0, ge=0)
    unsealed_mb: int = Field(1024, ge=1)  # bytes a writer holds before put blocks
    num_writers: int = Field(1, ge=1)
    num_workers: int = Field(0, ge=0)  # per phase; 0: one per free CPU
    object_store_mb: int = Field(512, ge=80)
    max_failed_share: float = Field(0.0, ge=0, le=1)  # failed and poisoned units over all, before exit 1


class Config(_Section):
    profile: str = "embedded"
    curation: CurationConfig = CurationConfig()
    curation_thresholds: CurationThresholds = CurationThresholds()
    mining: MiningConfig = MiningConfig()
    linking: LinkingConfig = LinkingConfig()
    synthesis: SynthesisConfig = SynthesisConfig()
    verification: VerificationThresholds = VerificationThresholds()
    captions: CaptionConfig = CaptionConfig()
    editing: EditConfig = EditConfig()
    edit_thresholds: EditThresholds = EditThresholds()
    engine: EngineConfig = EngineConfig()


class RoleConfig(_Section):
    """One role of a profile: which class answers it, with which weights, on what."""

    implementation: str  # "module:Class" below actors, e.g. "detector:MotionDetector"
    model: str = ""  # hub id or local path; "" = nothing to load
    revision: str = ""
    dtype: str = ""
    gpu_memory_gb: float = Field(0.0, ge=0)
    batch_size: int = Field(1, ge=1)
    replicas: int = Field(1, ge=1)
    options: dict[str, Any] = {}


class Profile(_Section):
    """A profile file: roles, and any settings it changes (same sections as Config)."""

    name: str
    roles: dict[str, RoleConfig]
    settings: dict[str, Any] = {}
