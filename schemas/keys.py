"""Keys name things, fingerprints name how they were made, seeds drive every random choice: all are pure hashes."""

import hashlib
import json
from typing import Any

KEY_BYTES = 16


def digest(*parts: Any) -> str:
    """32 hex characters of BLAKE2b over the canonical JSON of `parts`: the same on any machine, in any order of work.

    Raises TypeError for parts JSON cannot hold.
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).hexdigest()


def seed_of(key: str, attempt: int, *purpose: str) -> int:
    """The seed of one random choice, in [0, 2**63): a function of the row and its attempt, never a global generator."""
    return int(digest("seed", key, attempt, *purpose)[:16], 16) >> 1


def source_key(uri: str) -> str:
    return digest("source", uri)


def clip_key(content_hash: str, start_frame: int, end_frame: int) -> str:
    return digest("clip", content_hash, start_frame, end_frame)


def pair_key(clip: str, clip_b: str, frame_a: int, frame_b: int, boxes: list[list[float]]) -> str:
    return digest("pair", clip, clip_b, frame_a, frame_b, [[round(v) for v in box] for box in boxes])


def sample_key(pair: str, task: str) -> str:
    return digest("sample", pair, task)
