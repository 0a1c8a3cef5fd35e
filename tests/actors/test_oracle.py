"""The oracle answers with the truth, and errs exactly where it is told to."""

import numpy as np
import pytest
from PIL import Image

from actors.oracle import A_WRONG_WORD, OracleSegmenter, _category_of, oracle_profile, truth_of
from actors.profiles import Roles
from pipeline.demo import make_demo_videos
from schemas.errors import UserError
from schemas.questions import CategoriesAnswer, ClipAnswer, CropAnswer, Question, VerdictAnswer
from schemas.video import Footage
from stages import masks, media

ANCHORS = [10, 40, 110]
PHRASES = ["person", "cup"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    make_demo_videos(folder, names={"launch_two_subjects", "planet_square"})
    return folder


def footage_of(folder, name="launch_two_subjects.mp4", indices=ANCHORS):
    with (folder / name).open("rb") as file:
        frames = [frame for frame in media.decode(file) if frame.index in indices]
    return Footage(
        [f.image for f in frames], [f.index for f in frames], [f.seconds for f in frames], list(range(len(frames)))
    )


@pytest.fixture(scope="module")
def footage(demo):
    return footage_of(demo)


def labels_of(folder, index):
    return np.array(Image.open(folder / "masks" / "launch_two_subjects" / f"{index:05d}.png"))


def segmented(demo, footage, **noise):
    roles = Roles(oracle_profile(demo, **noise))
    return roles.segmenter.segment(footage, roles.detector.detect(footage, PHRASES))


def test_without_noise_the_masks_are_the_truth(demo, footage):
    tracks = {track.category: track for track in segmented(demo, footage)}
    assert set(tracks) == {"cup", "person"}
    for position, index in enumerate(ANCHORS):
        labels = labels_of(demo, index)
        assert (tracks["cup"].masks[position] == (labels == 1)).all()
        assert (tracks["person"].masks[position] == (labels == 2)).all()


def test_only_what_is_asked_for_is_detected(demo, footage):
    detector = Roles(oracle_profile(demo)).detector
    assert [[d.phrase for d in found] for found in detector.detect(footage, ["bikes", "people"])] == [["people"]] * 3
    assert [len(found) for found in detector.detect(footage, ["subject"])] == [2, 2, 2]
    assert detector.detect(footage, ["teapot"]) == [[], [], []]


def test_unknown_footage_holds_nothing(demo):
    rng = np.random.default_rng(0)
    strange = Footage([rng.integers(0, 255, (360, 640, 3), np.uint8)], [0], [0.0], [0])
    roles = Roles(oracle_profile(demo))
    assert roles.detector.detect(strange, PHRASES) == [[]]
    assert roles.segmenter.segment(strange, [[]]) == []
    assert roles.vlm.ask([Question(CategoriesAnswer, "?", strange.images)]) == [CategoriesAnswer(categories=[[]])]


@pytest.mark.parametrize(("noise", "gains", "loses"), [({"leak": 0.3}, True, False), ({"holes": 0.3}, False, True)])
def test_leaks_add_and_holes_take_away(demo, footage, noise, gains, loses):
    for clean, noisy in zip(segmented(demo, footage), segmented(demo, footage, **noise), strict=True):
        for position, mask in clean.masks.items():
            assert (noisy.masks[position] & ~mask).any() == gains
            assert (mask & ~noisy.masks[position]).any() == loses
            assert masks.iou(mask, noisy.masks[position]) > 0.4


@pytest.mark.parametrize("noise", [{"leak": 0.5}, {"leak": 0.4, "holes": 0.2, "swap": 0.5}])
def test_noisy_masks_never_overlap_and_repeat_exactly(demo, footage, noise):
    first, second = segmented(demo, footage, **noise), segmented(demo, footage, **noise)
    for a, b in zip(first, second, strict=True):
        assert all((a.masks[position] == b.masks[position]).all() for position in a.masks)
    for position in range(len(ANCHORS)):
        assert sum(track.masks[position].astype(int) for track in first if position in track.masks).max() == 1


def test_noise_of_a_frame_does_not_depend_on_its_company(demo, footage):
    alone = footage_of(demo, indices=[40])
    for together, single in zip(segmented(demo, footage, leak=0.4), segmented(demo, alone, leak=0.4), strict=True):
        assert (together.masks[1] == single.masks[0]).all()


def test_dropout_and_swap(demo, footage):
    assert segmented(demo, footage, dropout=1.0) == []
    clean, swapped = segmented(demo, footage), segmented(demo, footage, swap=1.0)
    assert (swapped[0].masks[0] == clean[1].masks[0]).all()
    assert (swapped[1].masks[0] == clean[0].masks[0]).all()


def test_the_higher_number_is_nearer(demo, footage):
    (nearness,) = Roles(oracle_profile(demo)).depth.nearness(footage.images[1:2], [[]])
    labels = labels_of(demo, 40)
    assert nearness.dtype == np.float32
    assert nearness[labels == 2].min() > nearness[labels == 1].max() > nearness[labels == 0].max()


def test_an_identity_is_told_from_any_view_and_from_strangers(demo, footage):
    planet = footage_of(demo, "planet_square.mp4", [5, 60])
    bike, person = segmented(demo, footage)
    embedder = Roles(oracle_profile(demo)).embedder
    red = truth_of(str(demo)).masks("planet_square", 5)[1], truth_of(str(demo)).masks("planet_square", 60)[1]
    sky = np.zeros((360, 640), np.bool_)
    sky[:120, 100:300] = True
    subjects = [(footage.images[at], track.masks[at]) for track in (bike, person) for at in range(3)]
    subjects += [(planet.images[0], red[0]), (planet.images[1], red[1]), (footage.images[0], sky)]
    rows = embedder.embed(subjects)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    similar = rows @ rows.T > 0.8
    who = np.array([0, 0, 0, 1, 1, 1, 2, 2, 3])
    assert (similar == (who[:, None] == who)).all()
    assert embedder.embed([]).shape[0] == 0


def test_a_swapped_embedding_is_nobody(demo, footage):
    (bike, _), embedder = segmented(demo, footage), Roles(oracle_profile(demo, swap=1.0)).embedder
    rows = embedder.embed([(footage.images[at], bike.masks[at]) for at in range(3)])
    assert (rows @ rows.T)[~np.eye(3, dtype=bool)].max() < 0.6


def test_vlm_names_what_is_there_and_is_wrong_when_told(demo, footage):
    questions = [
        Question(CategoriesAnswer, "?", footage.images[:1]),
        Question(CropAnswer, "?", [footage.images[0][:50, :50]]),
        Question(VerdictAnswer, "?", []),
    ]
    right, wrong = Roles(oracle_profile(demo)).vlm, Roles(oracle_profile(demo, wrong=1.0)).vlm
    categories, crop, verdict = right.ask(questions)
    assert categories.categories == [["cup", "person"]]
    assert crop.shows
    assert verdict.identity == 1
    categories, crop, verdict = wrong.ask(questions)
    assert categories.categories == [[A_WRONG_WORD]]
    assert not crop.shows
    assert verdict.identity == 0


def test_vlm_counts_what_is_in_a_clip(demo, footage):
    (clip,) = Roles(oracle_profile(demo)).vlm.ask([Question(ClipAnswer, "?", footage.images)])
    assert dict(zip(clip.nouns, clip.counts, strict=True)) == {"cup": 1, "person": 1}
    (wrong,) = Roles(oracle_profile(demo, wrong=1.0)).vlm.ask([Question(ClipAnswer, "?", footage.images)])
    assert wrong.nouns == [A_WRONG_WORD]


def test_some_wrong_answers_are_the_same_ones_in_any_order(demo):
    vlm = Roles(oracle_profile(demo, wrong=0.3)).vlm
    questions = [Question(CropAnswer, "?", [], seed=seed) for seed in range(60)]
    answers = [answer.shows for answer in vlm.ask(questions)]
    assert 5 < answers.count(False) < 35
    assert [answer.shows for answer in vlm.ask(questions[::-1])] == answers[::-1]


def test_truth_must_exist_and_noise_must_be_known(tmp_path):
    with pytest.raises(UserError, match="truth"):
        OracleSegmenter("")
    with pytest.raises(UserError, match="masks/"):
        OracleSegmenter(str(tmp_path))
    with pytest.raises(UserError, match="leek"):
        oracle_profile(tmp_path, leek=0.1)


def test_annotations_become_nouns():
    assert _category_of("dog (background clip)") == "dog"
    assert _category_of("girl, blue top") == "girl"
    assert _category_of("UNION of rider+horse") == "subject"
