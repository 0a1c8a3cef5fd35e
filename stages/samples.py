"""A sample's bytes: lossless PNG members in a fixed order, KEY.json last. They depend on draft and words alone."""

import json
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.sample import Captions, Draft
from schemas.video import Image, Mask
from stages import masks

VERSION = 1
PNG_COMPRESSION = 3

PROVENANCE = (
    "content_hash",
    "pair_key",
    "clip_key",
    "clip_key_b",
    "frame_a",
    "frame_b",
    "seconds_a",
    "seconds_b",
    "profile",
)
"""Facts that say where the pixels come from."""

FORBIDDEN_FACTS = frozenset({"uri", "source_uri", "path", "shard", "run_id", "created_at", "host"})
"""What would make a member's bytes depend on when, where or how often it was made."""


@dataclass(frozen=True, slots=True)
class StoredSample:
    """What stored members hold. masks[i]: the subject in reference i; output_masks[i]: the same one in the output."""

    key: str
    record: dict[str, Any]  # KEY.json
    inputs: list[Image]
    output: Image
    masks: list[Mask]
    output_masks: list[Mask]


def encode_members(draft: Draft, captions: Captions, facts: dict[str, Any]) -> dict[str, bytes]:
    """File name -> bytes: inputs, output, masks, output masks (8-bit, 0 or 255), KEY.json last.

    facts: JSON values. Those named in PROVENANCE are stored as such, the others as facts; raises ValueError for those
    in FORBIDDEN_FACTS, and for facts JSON cannot hold.
    """
    forbidden = FORBIDDEN_FACTS & facts.keys()
    if forbidden:
        raise ValueError(f"facts a member must not depend on: {', '.join(sorted(forbidden))}")
    members = {f"{draft.key}.input_{index}.png": _png(image) for index, image in enumerate(draft.inputs)}
    members[f"{draft.key}.output.png"] = _png(draft.output)
    for index, reference in enumerate(draft.references):
        members[f"{draft.key}.mask_{index}.png"] = _png(_grey(reference.mask))
    for index, mask in enumerate(draft.output_masks):
        members[f"{draft.key}.output_mask_{index}.png"] = _png(_grey(mask))
    members[f"{draft.key}.json"] = _json(_record(draft, facts) | _words(captions))
    return members


def decode_members(members: dict[str, bytes]) -> StoredSample:
    """Reads what `encode_members` wrote; member order does not matter.

    Raises ValueError when a member is missing, surplus or damaged.
    """
    names = [name for name in members if name.endswith(".json")]
    if len(names) != 1:
        raise ValueError(f"{len(names)} JSON members, expected one")
    key = names[0].removesuffix(".json")
    record = json.loads(members[names[0]])
    num_references = record["num_references"]
    pictures = [f"input_{index}" for index in range(len(record["inputs"]))] + ["output"]
    greys = [f"{name}_{index}" for name in ("mask", "output_mask") for index in range(num_references)]
    expected = {f"{key}.{name}.png" for name in (*pictures, *greys)} | {names[0]}
    if expected != members.keys():
        raise ValueError(f"missing or surplus members: {', '.join(sorted(expected ^ members.keys()))}")
    images = [_picture(members[f"{key}.{name}.png"]) for name in pictures]
    subject_masks = [_mask(members[f"{key}.{name}.png"]) for name in greys]
    return StoredSample(
        key, record, images[:-1], images[-1], subject_masks[:num_references], subject_masks[num_references:]
    )


def with_captions(record: bytes, captions: Captions) -> bytes:
    """KEY.json with new words; everything else byte for byte as a first encoding with these words would write it."""
    return _json(json.loads(record) | _words(captions))


def _record(draft: Draft, facts: dict[str, Any]) -> dict[str, Any]:
    references = draft.references
    roles: list[dict[str, Any]] = []
    if draft.base is not None:
        roles.append({"role": "base", "operation": draft.base.operation, "origin": draft.base.origin})
        roles[0] |= {"box": [int(side) for side in draft.base.box], "replacement": draft.base.replacement}
    for reference in references:
        roles.append({"role": "reference", "identity": reference.identity, "category": reference.category})
        roles[-1] |= {"origin": reference.origin, "box": _box(reference.mask), "warp": reference.warp}
    return {
        "version": VERSION,
        "key": draft.key,
        "task": draft.task.value,
        "num_references": len(references),
        "num_scene_subjects": len(draft.scene_masks),
        "identities": [reference.identity for reference in references],
        "categories": [reference.category for reference in references],
        "boxes": [_box(mask) for mask in draft.output_masks],
        "inputs": [{"index": index} | role for index, role in enumerate(roles)],
        "attempt": draft.attempt,
        "seed": draft.seed,
        "provenance": {name: facts[name] for name in PROVENANCE if name in facts},
        "facts": {name: value for name, value in facts.items() if name not in PROVENANCE},
    }


def _words(captions: Captions) -> dict[str, Any]:
    return {"caption_short": captions.short, "caption_long": captions.long, "instruction": captions.instruction}


def _box(mask: Mask) -> list[int]:
    return [int(side) for side in masks.box_of(mask) or ()]


def _json(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def _grey(mask: Mask) -> NDArray[np.uint8]:
    return mask.astype(np.uint8) * np.uint8(255)


def _png(image: NDArray[np.uint8]) -> bytes:
    pixels = image[..., ::-1] if image.ndim == 3 else image
    done, buffer = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION])
    if not done:
        raise ValueError(f"a picture of shape {image.shape} cannot be encoded")
    return bytes(buffer)


def _picture(data: bytes) -> Image:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError("a picture member is damaged")
    return np.ascontiguousarray(pixels[..., ::-1], dtype=np.uint8)


def _mask(data: bytes) -> Mask:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise ValueError("a mask member is damaged")
    return np.asarray(pixels >= 128, dtype=np.bool_)
