"""A sample's bytes: lossless PNG members in a fixed order, KEY.json last. They depend on draft and words alone."""

import hashlib
import json
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.sample import Captions, Draft
from schemas.video import Image, Mask
from stages import masks

VERSION = 1
PNG_COMPRESSION = 1
"""Of zlib. Half the time of level 3 for 4 % more bytes (1.2 MP frames: 0.07 s, 1.8 MB)."""

PROVENANCE = "provenance"
"""The one fact that is not about what can be seen: content hashes and frame numbers the pixels come from."""

FORBIDDEN_FACTS = frozenset({"uri", "source_uri", "path", "shard", "run_id", "created_at", "host"})
"""What would make a member's bytes depend on when, where or how often it was made."""


def encode_members(draft: Draft, captions: Captions, facts: dict[str, Any]) -> dict[str, bytes]:
    """File name -> bytes: inputs, output, masks, output masks (8-bit, 0 or 255), KEY.json last.

    facts: JSON values, PROVENANCE among them. Raises ValueError for those in FORBIDDEN_FACTS and for what JSON cannot
    hold.
    """
    forbidden = FORBIDDEN_FACTS & (facts.keys() | facts.get(PROVENANCE, {}).keys())
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


def decode_members(members: dict[str, bytes]) -> dict[str, Image]:
    """The pictures of stored members by short name, in order: "input_0", ..., "output".

    Raises ValueError when a member is missing, surplus or damaged.
    """
    key, record = _key_of(members), record_of(members)
    pictures = [*_numbered("input", len(record["inputs"])), "output"]
    expected = {f"{key}.{name}.png" for name in (*pictures, *_mask_names(record))} | {f"{key}.json"}
    if expected != members.keys():
        raise ValueError(f"missing or surplus members: {', '.join(sorted(expected ^ members.keys()))}")
    return {name: _picture(members[f"{key}.{name}.png"]) for name in pictures}


def decode_masks(members: dict[str, bytes]) -> dict[str, Mask]:
    """The masks of stored members by short name: "mask_0" (subject in reference 0), ..., "output_mask_0", ..."""
    key = _key_of(members)
    return {name: _mask(members[f"{key}.{name}.png"]) for name in _mask_names(record_of(members))}


def record_of(members: dict[str, bytes]) -> dict[str, Any]:
    """What KEY.json says."""
    record: dict[str, Any] = json.loads(members[f"{_key_of(members)}.json"])
    return record


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def facts_of(text: str) -> dict[str, Any]:
    """The measured facts of a `samples` row, without where the pixels come from."""
    facts = json.loads(text)
    return {name: value for name, value in facts.items() if name != PROVENANCE}


def _key_of(members: dict[str, bytes]) -> str:
    names = [name for name in members if name.endswith(".json")]
    if len(names) != 1:
        raise ValueError(f"{len(names)} JSON members, expected one")
    return names[0].removesuffix(".json")


def _numbered(name: str, number: int) -> list[str]:
    return [f"{name}_{index}" for index in range(number)]


def _mask_names(record: dict[str, Any]) -> list[str]:
    return [name for kind in ("mask", "output_mask") for name in _numbered(kind, record["num_references"])]


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
        PROVENANCE: facts.get(PROVENANCE, {}),
        "facts": {name: value for name, value in facts.items() if name != PROVENANCE},
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
