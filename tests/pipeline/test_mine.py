"""A clip in, pairs out: made-up shots through the whole step, and real ones against their annotation."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image as Pictures
from synthetic_shot import BLUE, FPS, HEIGHT_PX, RED, WIDTH_PX, Disc, frame_of

from actors.detector import MotionDetector
from actors.embedder import DescriptorEmbedder
from actors.segmenter import FlowSegmenter
from pipeline.mine import MineClip
from schemas.config import Config
from schemas.errors import BadInput
from schemas.questions import Answer, CategoriesAnswer, CropAnswer, Question, Unusable
from schemas.reasons import Reason
from schemas.tables import TABLES
from schemas.video import Image
from schemas.work import Outcome, Phase, Unit
from stages import masks, media, motion

TURNING = [Disc((70, 70), (3, 0.4), 24, 0.4, RED), Disc((250, 165), (-2.4, 0.2), 34, -0.1, BLUE)]
FILLED_BY_THE_LEDGER = {"parent_key", "status", "reason", "fingerprint", "run_id", "created_at"}


class RuledVlm:
    """Names the configured category and believes scores."""

    def __init__(self, believes: bool = True) -> None:
        self.believes = believes
        self.asked: list[Question] = []

    def ask(self, questions: Sequence[Question]) -> list[Answer | Unusable]:
        self.asked += questions
        return [self._answer(question.answer, question.facts) for question in questions]

    def _answer(self, answer: type[Answer], facts: dict[str, Any]) -> Answer | Unusable:
        if answer is CategoriesAnswer:
            return CategoriesAnswer(categories=[[facts["category"] or "subject"]])
        return CropAnswer(shows=self.believes and facts["score"] >= 0.5, score=facts["score"])


class MuteVlm:
    def ask(self, questions: Sequence[Question]) -> list[Answer | Unusable]:
        return [Unusable("no JSON") for _ in questions]


def _step(vlm: Any, **mining: Any) -> MineClip:
    roles = SimpleNamespace(
        vlm=vlm, detector=MotionDetector(), segmenter=FlowSegmenter(), embedder=DescriptorEmbedder()
    )
    return MineClip(roles, Config.model_validate({"mining": {"anchors_per_clip": 4, "max_alike": 1.0, **mining}}))


def _unit(path: str = "made-up", end_frame: int = 48, fps: float = FPS, **payload: Any) -> Unit:
    clip = {"path": path, "content_hash": "c", "source_uri": "made-up", "generation": 3, "start_frame": 0}
    clip |= {"end_frame": end_frame, "start_seconds": 0.0, "end_seconds": end_frame / fps, "fps": fps}
    return Unit(Phase.MINE, "clip", attempt=1, payload=clip | {"content_box": None, "category": ""} | payload)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads frames of the made-up shot, whatever the path: 'bars' has letterbox bars, 'still' nothing that moves."""

    class Decoded(NamedTuple):
        seconds: float
        image: Image

        def rgb(self, short_side_px: int | None = None) -> Image:
            return self.image if short_side_px is None else motion.shrink(self.image, short_side_px)

    def read(path: str, indices: Sequence[int], seconds: Sequence[float], take: Callable[..., Any]) -> list[Any]:
        discs = [] if path == "still" else TURNING
        images = [frame_of(index, discs)[0] for index in indices]
        if path == "bars":
            images = [np.pad(image, ((30, 30), (0, 0), (0, 0))) for image in images]
        return [take(index, Decoded(*each)) for index, *each in zip(indices, seconds, images, strict=True)]

    monkeypatch.setattr(media, "read_pictures", read)


@pytest.mark.usefixtures("made_up")
def test_rows_have_the_columns_of_the_table_and_masks_that_fit_the_truth() -> None:
    result = _step(RuledVlm())(_unit())
    assert (result.phase, result.key, result.attempt, result.outcome) == (Phase.MINE, "clip", 1, Outcome.DONE)
    rows = result.rows["pairs"]
    assert 1 <= len(rows) <= Config().mining.max_pairs_per_clip
    assert len({row["key"] for row in rows}) == len(rows)
    assert {len(row["subjects"]) for row in rows} == {1, 2}
    for row in rows:
        assert set(row) == set(TABLES["pairs"].names) - FILLED_BY_THE_LEDGER
        assert row["frame_a"] != row["frame_b"]
        for subject in row["subjects"]:
            for side in "ab":
                truth = frame_of(row[f"frame_{side}"], TURNING)[1]
                mask = masks.decode(subject[f"mask_{side}"])
                assert max(masks.iou(mask, each) for each in truth) > 0.8
                assert tuple(subject[f"box_{side}"]) == masks.box_of(mask)
    assert json.loads(json.dumps(rows)) == rows


@pytest.mark.usefixtures("made_up")
def test_subjects_of_a_pair_keep_their_identity() -> None:
    rows = _step(RuledVlm())(_unit(category="balloon")).rows["pairs"]
    several = next(row for row in rows if len(row["subjects"]) == 2)
    for subject in several["subjects"]:
        assert subject["category"] == "balloon"
        overlaps = [
            [
                masks.iou(masks.decode(subject[f"mask_{side}"]), each)
                for each in frame_of(several[f"frame_{side}"], TURNING)[1]
            ]
            for side in "ab"
        ]
        assert np.argmax(overlaps[0]) == np.argmax(overlaps[1])


@pytest.mark.usefixtures("made_up")
def test_the_same_clip_gives_the_same_rows() -> None:
    assert _step(RuledVlm())(_unit()).rows == _step(RuledVlm())(_unit()).rows


@pytest.mark.usefixtures("made_up")
def test_letterbox_bars_are_left_out_and_masks_are_placed_in_the_full_frame() -> None:
    barred = _step(RuledVlm())(_unit("bars", content_box=[0, 30, WIDTH_PX, 30 + HEIGHT_PX])).rows["pairs"]
    assert barred
    for row in barred:
        for subject in row["subjects"]:
            mask = masks.decode(subject["mask_a"])
            assert mask.shape == (HEIGHT_PX + 60, WIDTH_PX)
            assert tuple(subject["box_a"]) == masks.box_of(mask)
            assert max(masks.iou(mask[30:-30], truth) for truth in frame_of(row["frame_a"], TURNING)[1]) > 0.8


@pytest.mark.usefixtures("made_up")
def test_which_views_of_a_subject_are_kept_does_not_depend_on_letterbox_bars() -> None:
    tight = {"min_area_share": 0.043}  # of the picture; the larger disc has less than that of a frame with bars
    plain = _step(RuledVlm(), **tight)(_unit()).rows["subjects"]
    barred = _step(RuledVlm(), **tight)(_unit("bars", content_box=[0, 30, WIDTH_PX, 30 + HEIGHT_PX])).rows["subjects"]
    assert plain
    assert [_frames(row) for row in barred] == [_frames(row) for row in plain]
    for row in barred:
        assert all(view["mask"]["size"] == [HEIGHT_PX + 60, WIDTH_PX] for view in row["views"])


def _frames(subject: dict[str, Any]) -> tuple[str, list[int]]:
    return subject["identity"], [view["frame"] for view in subject["views"]]


@pytest.mark.usefixtures("made_up")
def test_the_vlm_is_shown_every_anchor_and_every_crop() -> None:
    vlm = RuledVlm()
    _step(vlm)(_unit())
    named = [question for question in vlm.asked if question.answer is CategoriesAnswer]
    assert len(named) == 4
    assert not any("owner" in question.prompt for question in named)
    crops = [question for question in vlm.asked if question.answer is CropAnswer]
    assert len(crops) >= 8
    assert all(0 <= question.facts["score"] <= 1 and question.images[0].size for question in crops)
    assert all("took for a person, an animal, a vehicle or an object;" in question.prompt for question in crops)


@pytest.mark.usefixtures("made_up")
def test_the_vlm_is_told_what_the_owner_calls_the_subject() -> None:
    told = RuledVlm()
    _step(told)(_unit(category="toy {0}"))
    assert "its subject is: toy {0}. Use that name for what it fits" in told.asked[0].prompt
    assert any('took for "toy {0}";' in question.prompt for question in told.asked)


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize(
    ("vlm", "path", "mining", "reason"),
    [
        (RuledVlm(), "still", {}, Reason.NO_SUBJECT),
        (RuledVlm(believes=False), "made-up", {}, Reason.NO_SUBJECT),
        (MuteVlm(), "made-up", {}, Reason.VLM_UNUSABLE),
    ],
)
def test_clips_without_a_pair_say_why(vlm: Any, path: str, mining: dict[str, Any], reason: Reason) -> None:
    with pytest.raises(BadInput) as caught:
        _step(vlm, **mining)(_unit(path))
    assert caught.value.reason is reason


@pytest.mark.usefixtures("made_up")
def test_a_clip_without_a_pair_is_rejected_but_its_subjects_are_kept_for_other_shots() -> None:
    result = _step(RuledVlm(), min_diversity=1.0)(_unit())
    assert (result.outcome, result.reason) == (Outcome.REJECTED, Reason.NO_PAIR)
    assert not result.rows["pairs"]
    assert result.rows["subjects"]
    for row in result.rows["subjects"]:
        assert set(row) == set(TABLES["subjects"].names) - FILLED_BY_THE_LEDGER
        assert 1 <= len(row["views"]) <= 4


@pytest.mark.footage
def test_masks_of_pairs_from_a_real_clip_agree_with_their_annotation(footage: Path) -> None:
    unit = _unit(str(footage / "clips" / "davis_dog.mp4"), 60)
    rows = _step(RuledVlm())(unit).rows["pairs"]
    found = [
        masks.iou(
            masks.decode(subject[f"mask_{side}"]), _annotated(footage / "masks" / "davis_dog", row[f"frame_{side}"])
        )
        for row in rows
        for subject in row["subjects"]
        for side in "ab"
    ]
    assert np.mean(found) > 0.7
    assert min(found) > 0.5


def _annotated(folder: Path, number: int) -> np.ndarray:
    return np.array(Pictures.open(folder / f"{number:05d}.png")) > 0
