"""Stored bytes: lossless, in a fixed order, a function of draft and words alone."""

import json

import numpy as np
import pytest
from synthetic_scene import donor, scene

from actors.image_editor import DonorEditor
from schemas.config import SynthesisConfig
from schemas.sample import Captions, Draft
from stages import samples
from stages.generation import draft_generation
from stages.manipulation import draft_manipulation

WORDS = Captions({"en": "short", "zh": "短"}, {"en": "long", "zh": "长"}, {"en": "do it", "zh": "做"})
OTHER_WORDS = Captions({"en": "brief"}, {"en": "wordy"}, {"en": "do this"})
FACTS = {"count": 1, "provenance": {"content_hash": "own-source", "frame_a": 3, "frame_b": 40}}


@pytest.fixture(scope="module", params=["generation", "multi", "manipulation"])
def draft(request) -> Draft:
    make = draft_manipulation if request.param == "manipulation" else draft_generation
    pair = scene(2 if request.param == "multi" else 1)
    return make(pair, "abc", 1, [donor("one")], SynthesisConfig(), DonorEditor().fill)


def test_what_is_decoded_is_what_was_drafted(draft):
    members = samples.encode_members(draft, WORDS, FACTS)
    pictures, stored_masks = samples.decode_members(members), samples.decode_masks(members)
    expected = {f"input_{number}": image for number, image in enumerate(draft.inputs)} | {"output": draft.output}
    assert list(pictures) == list(expected)
    assert all(np.array_equal(pictures[name], image) for name, image in expected.items())
    for number, reference in enumerate(draft.references):
        assert np.array_equal(stored_masks[f"mask_{number}"], reference.mask)
        assert np.array_equal(stored_masks[f"output_mask_{number}"], draft.output_masks[number])
        offset = number + (draft.base is not None)
        assert pictures[f"input_{offset}"].shape[:2] == stored_masks[f"mask_{number}"].shape


def test_members_come_in_a_fixed_order_with_the_record_last(draft):
    names = list(samples.encode_members(draft, WORDS, FACTS))
    assert names[0] == "abc.input_0.png"
    assert names[len(draft.inputs)] == "abc.output.png"
    assert names[-1] == "abc.json"
    assert {name.split(".")[0] for name in names} == {"abc"}


def test_the_same_draft_gives_the_same_bytes(draft):
    first, again = (samples.encode_members(draft, WORDS, FACTS) for _ in range(2))
    assert first == again


def test_the_record_says_how_inputs_map_to_references(draft):
    record = samples.record_of(samples.encode_members(draft, WORDS, FACTS))
    roles = [role["role"] for role in record["inputs"]]
    assert roles == ["base"] * (draft.base is not None) + ["reference"] * len(draft.references)
    assert [role["index"] for role in record["inputs"]] == list(range(len(draft.inputs)))
    assert record["num_references"] == len(draft.references)
    assert record["identities"] == [reference.identity for reference in draft.references]
    assert record["provenance"] == FACTS["provenance"]
    assert record["facts"] == {"count": 1}
    assert record["instruction"]["zh"] == "做"
    assert [role["origin"] for role in record["inputs"] if role["role"] == "reference"] == ["one"] * len(
        draft.references
    )


def test_new_words_change_nothing_else(draft):
    members = samples.encode_members(draft, WORDS, FACTS)
    renewed = samples.with_captions(members["abc.json"], OTHER_WORDS)
    assert renewed == samples.encode_members(draft, OTHER_WORDS, FACTS)["abc.json"]
    assert renewed != members["abc.json"]


@pytest.mark.parametrize("facts", [{"source_uri": "x"}, {"provenance": {"path": "x"}}, {"created_at": 1}])
def test_facts_about_the_run_are_refused(draft, facts):
    with pytest.raises(ValueError, match="must not depend"):
        samples.encode_members(draft, WORDS, facts)


def test_missing_surplus_and_damaged_members_are_noticed(draft):
    members = samples.encode_members(draft, WORDS, FACTS)
    with pytest.raises(ValueError, match="missing or surplus"):
        samples.decode_members({name: data for name, data in members.items() if not name.endswith("mask_0.png")})
    with pytest.raises(ValueError, match="missing or surplus"):
        samples.decode_members(members | {"abc.input_9.png": b""})
    with pytest.raises(ValueError, match="damaged"):
        samples.decode_members(members | {"abc.output.png": b"no picture"})
    with pytest.raises(ValueError, match="JSON members"):
        samples.decode_members({})


def test_facts_of_a_row_leave_provenance_out():
    assert samples.facts_of(json.dumps(FACTS)) == {"count": 1}
