"""Why a row was dropped: one enum for every table, each code with the sentence a person reads."""

from enum import StrEnum


class Reason(StrEnum):
    """Reason codes. `Reason.X.meaning` is the sentence shown in reports."""

    meaning: str

    def __new__(cls, code: str, meaning: str) -> "Reason":
        member = str.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    # sources
    UNREADABLE = "unreadable", "the file cannot be opened as a video"
    EMPTY_FILE = "empty_file", "the file is empty"
    NO_VIDEO_STREAM = "no_video_stream", "the file has no video stream"
    NOT_A_VIDEO = "not_a_video", "the file is a still image or cover art, not a video"
    NO_DECODABLE_FRAMES = "no_decodable_frames", "the header is readable but no frame can be decoded"
    DECODE_ERROR = "decode_error", "the stream is damaged and ends early"
    TOO_LARGE = "too_large", "the frame size is beyond the configured bound"
    BAD_SIDECAR = "bad_sidecar", "the JSON file beside the video cannot be read; it was left out of account"
    BAD_MASKS = "bad_masks", "the masks given with a video are not as many, or not of the size, of its frames"
    MISSING = "missing", "the source is no longer there"
    EXACT_DUPLICATE = "exact_duplicate", "byte for byte the same as another source"
    NEAR_DUPLICATE = "near_duplicate", "the same footage as another source, re-encoded or resized"
    # clips
    TOO_SHORT = "too_short", "the shot is shorter than the configured minimum"
    LOW_RESOLUTION = "low_resolution", "the short side is below the configured minimum"
    UNDEREXPOSED = "underexposed", "the picture is too dark"
    OVEREXPOSED = "overexposed", "the picture is burnt out"
    NO_CONTENT = "no_content", "the picture is one flat colour"
    BLURRED = "blurred", "the picture is out of focus or motion-blurred"
    NOISY = "noisy", "the picture is noise or compression blocks"
    STATIC = "static", "nothing moves: pairs from it would be duplicates"
    BURNT_IN_TEXT = "burnt_in_text", "text or a logo is burnt into the picture"
    LOW_QUALITY = "low_quality", "the quality score is below the configured minimum"
    # mining
    NO_SUBJECT = "no_subject", "no subject was found in enough frames"
    NO_PAIR = "no_pair", "no two frames show the same subject differently enough"
    # synthesis
    NO_DONOR = "no_donor", "no other source can lend a background or a replacement subject"
    NO_ROOM = "no_room", "the subject fills the frame; nothing is left to synthesise"
    SUBJECT_TOO_SMALL = "subject_too_small", "the subject is too small in the reference"
    # edits
    TARGET_ABSENT = "target_absent", "nothing in the clip answers what the edit asks for"
    TARGET_COUNT = "target_count", "the clip shows more or fewer of what the edit asks for than it says"
    TARGET_AMBIGUOUS = "target_ambiguous", "several readings of the edit fit the clip, or two edits want one subject"
    TARGET_UNNAMED = "target_unnamed", "nothing in this profile can tell what the clip's subjects are called"
    # models
    OUT_OF_MEMORY = "out_of_memory", "the model runs out of memory on this input alone"
    MODEL_FAILED = "model_failed", "the model raises an error on this input, and not on others"
    # verification
    BACKGROUND_LEAK = "background_leak", "the reference shows the background of the output"
    MASK_LEAK = "mask_leak", "the subject's mask took background of the source along"
    COPY_PASTE = "copy_paste", "the reference subject is a copy of the output's"
    MIRRORED = "mirrored", "the reference subject is mirrored"
    IDENTITY_DRIFT = "identity_drift", "the reference subject no longer looks like the source's"
    OBJECT_EXPANSION = "object_expansion", "the reference subject grew or shrank in synthesis"
    TWO_SUBJECTS = "two_subjects", "the reference shows more than its one subject"
    SUBJECT_IN_BASE = "subject_in_base", "the base image still shows the subject"
    WRONG_BINDING = "wrong_binding", "the instruction does not single out the edited box"
    SWAPPED_REFERENCES = "swapped_references", "a reference matches another subject better than its own"
    LOSSY_BYTES = "lossy_bytes", "pixels that must be untouched differ in the stored bytes"
    VLM_REJECTED = "vlm_rejected", "the vision-language model judged the sample unfit"
    VLM_UNUSABLE = "vlm_unusable", "the vision-language model gave no usable answer"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted", "no attempt passed verification"
    # editing
    TOO_LONG = "too_long", "the clip has more frames than are edited at once"
    NO_CONTAINER = "no_container", "no container holds the edited video with all of the source's sound"
    FRAMES_LOST = "frames_lost", "the edited video has another number of frames than its source"
    BACKGROUND_CHANGED = "background_changed", "what was not to be edited changed"
    SEAM = "seam", "the edge of the edited region shows"
    FLICKER = "flicker", "the edited region flickers more than the source"
    UNSTEADY = "unsteady", "the edited region does not follow the motion of the source"
    FROZEN = "frozen", "the edited region stands still where the source moves"
    UNSHARP = "unsharp", "the edited region is blurred"
    UNEDITED = "unedited", "the edited region still looks as the source does"
    WRONG_COUNT = "wrong_count", "another number of subjects than in the source is found"
    TARGET_MISSED = "target_missed", "the edited subject does not look like its target"
    # lineage
    PARENT_REJECTED = "parent_rejected", "what it was made from is no longer accepted"
    PARENT_REPLACED = "parent_replaced", "what it was made from was replaced"
    REOPENED = "reopened", "another attempt passes under the present thresholds; it is being made"
    # infrastructure
    POISON = "poison", "it killed or hung its worker process each time it was tried"
    INTERNAL_ERROR = "internal_error", "a bug in Recast; the message names the stage and the error"
