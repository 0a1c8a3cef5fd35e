"""Demo clips: what is written is what the truth says."""

import itertools
import json

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.demo import make_demo_videos
from pipeline.demo_scenes import CLIPS


def decoded(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def labels_of(folder, entry, index):
    picture = Image.open(folder / entry["masks"] / f"{index:05d}.png")
    assert picture.mode == "P"
    return np.array(picture)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    return folder, make_demo_videos(folder, names={"montage", "planet_square"})


def test_demo_json_is_what_was_returned_and_clips_have_the_told_geometry(demo):
    folder, entries = demo
    assert json.loads((folder / "demo.json").read_text()) == entries
    for entry in entries:
        frames = decoded(folder / entry["name"])
        assert len(frames) == entry["frames"]
        assert frames[0].shape == (entry["height"], entry["width"], 3)
        assert len(list((folder / entry["masks"]).glob("*.png"))) == entry["frames"]
        with av.open(str(folder / entry["name"])) as container:
            assert container.streams.video[0].codec_context.name == "h264"


def test_the_picture_changes_at_the_cuts_and_nowhere_else(demo):
    folder, entries = demo
    frames = [
        cv2.resize(frame, (16, 9), interpolation=cv2.INTER_AREA).astype(float)
        for frame in decoded(folder / "montage.mp4")
    ]
    changes = np.array([np.abs(b - a).mean() for a, b in itertools.pairwise(frames)])
    cuts = entries[0]["cuts"]
    assert sorted(np.argsort(changes)[-len(cuts) :] + 1) == cuts
    assert changes[[cut - 1 for cut in cuts]].min() > 2 * np.delete(changes, [cut - 1 for cut in cuts]).max()


def test_masks_hold_the_objects_of_their_shot(demo):
    folder, entries = demo
    for entry in entries:
        boxes = json.loads((folder / entry["masks"] / "boxes.json").read_text())
        assert set(boxes["objects"]) == set(entry["objects"])
        for shot in entry["shots"]:
            for index in (shot["frames"][0], shot["frames"][1] - 1):
                labels = labels_of(folder, entry, index)
                assert labels.shape == (entry["height"], entry["width"])
                assert set(np.unique(labels)) - {0} == set(shot["objects"])
                for number, box in boxes["frames"][f"{index:05d}"].items():
                    assert box["area"] == (labels == int(number)).sum()


def test_the_mask_lies_on_the_subject(demo):
    """The planet is red and the sky is not."""
    folder, entries = demo
    for index, frame in list(enumerate(decoded(folder / "planet_square.mp4")))[::20]:
        on_planet = labels_of(folder, entries[1], index) == 1
        red = (frame[..., 0].astype(int) - frame[..., 2]) > 50
        assert (on_planet & red).sum() / (on_planet | red).sum() > 0.9


def test_the_seed_decides_the_bytes(demo, tmp_path):
    folder, _ = demo
    make_demo_videos(tmp_path / "same", names={"planet_square"})
    make_demo_videos(tmp_path / "other", seed=1, names={"planet_square"})
    first = (folder / "planet_square.mp4").read_bytes()
    assert (tmp_path / "same" / "planet_square.mp4").read_bytes() == first
    assert (tmp_path / "other" / "planet_square.mp4").read_bytes() != first


def test_the_set_holds_what_the_stages_need():
    sizes = {clip.size for clip in CLIPS}
    assert sizes == {(640, 360), (480, 480)}
    assert any(len(clip.shots) > 1 for clip in CLIPS)
    assert any(len(shot.actors) == 2 for clip in CLIPS for shot in clip.shots)
    assert all(3 <= sum(shot.seconds for shot in clip.shots) <= 6 for clip in CLIPS)
