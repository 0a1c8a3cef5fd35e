"""The Delta tables of an output: names, columns, types."""

import pyarrow as pa

VERSION = 4
"""Bumped with every change below; pipeline/migrations.py brings older outputs up to date."""

_COMMON = [
    ("key", pa.string()),
    ("parent_key", pa.string()),  # what the row was made from; rows are replaced by (parent_key, task)
    ("status", pa.string()),  # ok | rejected | failed | removed
    ("reason", pa.string()),  # a schemas.reasons.Reason, null when ok
    ("fingerprint", pa.string()),
    ("run_id", pa.string()),
    ("created_at", pa.timestamp("us", tz="UTC")),
]
_BOX = pa.list_(pa.float32())
_RLE = pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])
_SCORES = pa.map_(pa.string(), pa.float64())
_TEXTS = pa.map_(pa.string(), pa.string())  # language code -> text

SUBJECT = pa.struct(
    [
        ("identity", pa.string()),
        ("category", pa.string()),
        ("box_a", _BOX),
        ("box_b", _BOX),
        ("mask_a", _RLE),
        ("mask_b", _RLE),
        ("similarity", pa.float32()),
    ]
)

VIEW = pa.struct(
    [
        ("frame", pa.int64()),
        ("seconds", pa.float64()),
        ("score", pa.float32()),  # of the mask
        ("mask", _RLE),
        ("embedding", pa.binary()),  # float16, little-endian
    ]
)


def _table(*columns: tuple[str, pa.DataType]) -> pa.Schema:
    return pa.schema([*_COMMON, *columns])


TABLES: dict[str, pa.Schema] = {
    "sources": _table(
        ("uri", pa.string()),
        ("content_hash", pa.string()),
        ("stamp", pa.string()),  # size and mtime, or ETag: decides whether to look again
        ("category", pa.string()),  # what the JSON file beside the video calls its subjects
        ("duplicate_of", pa.string()),  # key of the source that is kept
        ("generation", pa.int64()),  # the wave this content was first curated in: who came earlier
        ("wave", pa.int64()),  # the wave it was curated in last
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("fps", pa.float64()),
        ("duration_seconds", pa.float64()),
        ("codec", pa.string()),
        ("num_frames", pa.int64()),  # decoded
        ("message", pa.string()),
    ),
    "clips": _table(
        ("content_hash", pa.string()),
        ("source_uri", pa.string()),
        ("generation", pa.int64()),
        ("start_frame", pa.int64()),
        ("end_frame", pa.int64()),
        ("start_seconds", pa.float64()),
        ("end_seconds", pa.float64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("scores", _SCORES),
        ("hashes", pa.list_(pa.string())),  # 64-bit perceptual hashes in hex, one per sampled frame
        ("content_box", pa.list_(pa.int32())),  # x0, y0, x1, y1 of the picture inside letterbox bars
        ("decision", pa.string()),  # fingerprint of the thresholds that set status and reason
    ),
    # Who is in a clip, with a few views of each: what subjects are recognised by in other shots of the same source.
    "subjects": _table(
        ("clip_key", pa.string()),
        ("content_hash", pa.string()),
        ("identity", pa.string()),  # unique within the clip
        ("category", pa.string()),
        ("views", pa.list_(VIEW)),
    ),
    "pairs": _table(
        ("clip_key", pa.string()),
        ("clip_key_b", pa.string()),
        ("content_hash", pa.string()),
        ("source_uri", pa.string()),
        ("generation", pa.int64()),
        ("frame_a", pa.int64()),
        ("frame_b", pa.int64()),
        ("seconds_a", pa.float64()),
        ("seconds_b", pa.float64()),
        ("subjects", pa.list_(SUBJECT)),
        ("diversity", pa.float32()),
    ),
    "samples": _table(
        ("pair_key", pa.string()),
        ("clip_key", pa.string()),
        ("content_hash", pa.string()),
        ("source_uri", pa.string()),
        ("task", pa.string()),
        ("num_references", pa.int32()),
        ("num_scene_subjects", pa.int32()),
        ("attempt", pa.int32()),
        ("seed", pa.int64()),
        ("caption_short", _TEXTS),
        ("caption_long", _TEXTS),
        ("instruction", _TEXTS),
        ("facts", pa.string()),  # JSON: the measured facts the captions were worded from
        ("verdict", _SCORES),
        ("caption_fingerprint", pa.string()),
        ("shard", pa.string()),  # path below the output
        ("members", pa.list_(pa.string())),
        ("member_sha256", pa.list_(pa.string())),
        ("profile", pa.string()),
    ),
    # One row per clip and what is to change in it: who is in it, and what each change is about.
    "jobs": _table(
        ("uri", pa.string()),
        ("stamp", pa.string()),  # of the source, as in `sources`
        ("content_hash", pa.string()),
        ("name", pa.string()),  # of everything made from it, unique in an output
        ("request", pa.string()),  # JSON: the turns, the seed
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("fps", pa.float64()),
        ("num_frames", pa.int64()),
        ("instances", pa.list_(pa.string())),  # their names, numbered from left to right
        ("bound", pa.string()),  # JSON: per turn and edit, the instances it is about
        ("tracks", pa.string()),  # path below the output: their masks
        ("preview", pa.string()),  # path below the output
        ("message", pa.string()),
    ),
    "edits": _table(
        ("content_hash", pa.string()),
        ("source_uri", pa.string()),
        ("name", pa.string()),
        ("attempt", pa.int32()),
        ("seed", pa.int64()),
        ("video", pa.string()),  # path below the output
        ("video_sha256", pa.string()),
        ("num_frames", pa.int64()),
        ("left_out", pa.list_(pa.string())),  # what of the source the video does not have, and why
        ("verdict", _SCORES),
        ("profile", pa.string()),
    ),
    "attempts": _table(
        ("pair_key", pa.string()),
        ("task", pa.string()),
        ("attempt", pa.int32()),
        ("seed", pa.int64()),
        ("rung", pa.int32()),
        ("parameters", pa.string()),  # JSON
        ("verdict", _SCORES),
        ("decision", pa.string()),  # fingerprint of the thresholds that set status and reasons
        ("reasons", pa.list_(pa.string())),
        ("seconds", _SCORES),  # wall seconds per step
    ),
    "rejects": _table(
        ("table", pa.string()),
        ("row_key", pa.string()),
        ("task", pa.string()),
        ("stage", pa.string()),
        ("message", pa.string()),
        ("num_attempts", pa.int32()),
    ),
    "settled": _table(
        ("phase", pa.string()),
        ("task", pa.string()),
        ("attempt", pa.int32()),
        ("outcome", pa.string()),
        ("num_children", pa.int32()),  # 0 is an answer too
        ("num_deliveries", pa.int32()),
        ("inputs", pa.string()),  # digest of the rows consumed, where key and fingerprint do not fix them
        ("seconds", _SCORES),  # wall seconds of a worker in the attempt that settled it, as in `attempts`
    ),
    # Units that took their worker process down, so that a restart does not give them their chances anew.
    "suspects": _table(
        ("phase", pa.string()),
        ("task", pa.string()),
        ("attempt", pa.int32()),
        ("num_deliveries", pa.int32()),
    ),
    # One row per takeover and per closed wave: the epochs that fence older committers, and the history of runs.
    "runs": _table(
        ("epoch", pa.int64()),
        ("event", pa.string()),  # started | wave_closed | progress | finished | stopped | compacted | retried
        ("generation", pa.int64()),
        ("detail", pa.string()),  # JSON
    ),
}

COMMIT_ORDER = (
    *("clips", "subjects", "pairs", "samples", "edits", "attempts", "rejects", "suspects"),
    *("sources", "jobs", "settled"),
)
"""Children first, `settled` last: only `settled` makes a unit done, so a crash in between repeats the unit.
`sources` and `jobs` next to it, since a new stamp says that the new bytes were seen to the end."""
