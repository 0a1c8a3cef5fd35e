"""Mistakes in settings: told in one line before anything runs."""

import pytest

from pipeline.settings import resolve
from schemas.errors import UserError


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("curation_thresholds.min_sharpness=NaN", "curation_thresholds.min_sharpness"),
        ("verification.max_copy_ncc=Infinity", "verification.max_copy_ncc"),
        ("captions.languages=[]", "captions.languages"),
        ("synthesis.scale_range=[1.2,0.7]", "the smaller scale comes first"),
        ("synthesis.scale_range=[0,0.7]", "synthesis.scale_range.0"),
        ("profile=other", "--profile"),
    ],
)
def test_a_value_that_cannot_work_is_refused_in_one_line(tmp_path, assignment, told):
    with pytest.raises(UserError) as mistake:
        resolve(tmp_path, None, [assignment])
    assert told in str(mistake.value)
    assert "\n" not in str(mistake.value)


@pytest.mark.parametrize("text", ["null", "[1]", '{"chosen": 5}', "{", ""])
def test_a_broken_recast_json_is_the_users_to_mend(tmp_path, text):
    (tmp_path / "recast.json").write_text(text)
    with pytest.raises(UserError, match=r"recast\.json"):
        resolve(tmp_path, None, [])


def test_what_was_chosen_before_stays_chosen(tmp_path):
    (tmp_path / "recast.json").write_text('{"chosen": {"synthesis.scale_range": [0.9, 0.9]}}')
    assert resolve(tmp_path, None, []).config.synthesis.scale_range == (0.9, 0.9)
