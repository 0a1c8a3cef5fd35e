"""The preview shows which pixels change, into what, and leaves the others as they are."""

import numpy as np
import pytest
from PIL import Image as PillowImage

from schemas.edit import Turn
from schemas.tracks import InstanceTrack
from stages import media
from stages.binding import bind
from stages.contact_sheet import MAX_COLUMNS, TILE_SHORT_SIDE_PX, before_and_after, contact_sheet
from stages.edit_grammar import parse_prompts
from stages.instance_facts import measure

HEIGHT, WIDTH = 320, 480  # as large as a tile, so that pixels can be compared
LEFT, RIGHT = (slice(150, 250), slice(60, 160)), (slice(150, 250), slice(320, 420))


def track(name, where, num_frames=8):
    video = np.zeros((num_frames, HEIGHT, WIDTH), bool)
    video[(slice(None), *where)] = True
    here = np.ones(num_frames, np.float32)
    return InstanceTrack(name, "bear", video, here > 0, here, here / 2)


TRACKS = [track("bear 1", LEFT), track("bear 2", RIGHT)]
PICTURES = {at: np.full((HEIGHT, WIDTH, 3), 100, np.uint8) for at in (0, 3, 7)}


def sheet_of(prompt, pictures=PICTURES, tracks=TRACKS):
    (turn,) = parse_prompts([prompt])
    assert isinstance(turn, Turn)
    return contact_sheet(pictures, tracks, bind(turn.edits, measure(tracks, pictures)))


def inside(where, column=0):
    """The middle of an instance, in a tile of the first row."""
    rows, columns = where
    return (slice(rows.start + 20, rows.stop - 20), slice(columns.start + 20 + column, columns.stop - 20 + column))


def test_what_changes_is_tinted_and_what_stays_is_not():
    sheet = sheet_of("Left -> gorilla")
    assert (sheet[inside(LEFT)] != 100).any(axis=2).all()
    assert (sheet[inside(RIGHT)] == 100).all()
    assert (sheet[RIGHT] != 100).any()  # its outline
    assert (sheet[260:, :WIDTH][: HEIGHT - 260] == 100).all()


def test_two_targets_have_two_colours_and_an_addition_only_an_outline():
    sheet = sheet_of("Left -> gorilla; Right -> wolf")
    assert (sheet[inside(LEFT)][0, 0] != sheet[inside(RIGHT)][0, 0]).any()
    added = sheet_of("add a hat to the left bear")
    assert (added[inside(LEFT)] == 100).all()
    assert (added[LEFT] != 100).any()


def test_a_background_is_hatched_around_every_instance():
    sheet = sheet_of("background -> snow")
    assert 0.25 < (sheet[260:HEIGHT, :WIDTH] == 50).mean() < 0.42
    assert (sheet[inside(LEFT)] == 100).all()


@pytest.mark.parametrize(
    "prompt", ["bear 1 -> x; bear 2 -> y", "Left -> x", "all -> 大猩猩 é", f"all -> {'long ' * 100}"]
)
def test_a_line_per_edit_whatever_it_says(prompt):
    sheet = sheet_of(prompt)
    lines = 1 if prompt.startswith("all") else 2
    assert sheet.shape[0] - HEIGHT == 6 + 24 * lines + 4
    assert (sheet[HEIGHT + 6 :] > 150).any()


@pytest.mark.parametrize("shape", [(HEIGHT, WIDTH), (1080, 608), (64, 2000), (50, 40)])
def test_pictures_of_any_size_and_number(shape):
    pictures = {at: np.full((*shape, 3), 100, np.uint8) for at in range(5)}
    sheet = sheet_of("Left -> gorilla", pictures)
    tile_width = round(shape[1] * TILE_SHORT_SIDE_PX / min(shape))
    assert sheet.shape[1] == tile_width * MAX_COLUMNS + 6 * (MAX_COLUMNS - 1)


def test_no_picture_and_no_such_frame():
    for pictures in ({}, {8: PICTURES[0]}):
        with pytest.raises(ValueError, match="picture"):
            contact_sheet(pictures, TRACKS, [])


@pytest.mark.footage
def test_the_sheet_of_a_real_clip(footage):
    """Two subjects that cross: nouns and depth single them out, sides do not."""
    files = sorted((footage / "masks" / "comp_dog_dancer").glob("*.png"))
    labels = np.stack([np.array(PillowImage.open(path)) for path in files])
    tracks = []
    for number, category in ((1, "dog"), (2, "person")):
        video = labels == number
        seen = video.any(axis=(1, 2))
        tracks.append(
            InstanceTrack(
                f"{category} 1", category, video, seen, seen.astype(np.float32), number / 2 * seen.astype(np.float32)
            )
        )
    with (footage / "clips" / "comp_dog_dancer.mp4").open("rb") as file:
        pictures = {frame.index: frame.image for frame in media.decode(file) if frame.index % 20 == 0}
    sheet = sheet_of("nearest -> Ultraman; farthest -> polar bear", pictures, tracks)
    assert sheet.shape[0] > TILE_SHORT_SIDE_PX
    with pytest.raises(Exception, match="change sides"):
        sheet_of("Left -> Ultraman", pictures, tracks)


def test_an_edit_stands_below_its_source():
    dark, light = np.zeros((40, 60, 3), np.uint8), np.full((40, 60, 3), 200, np.uint8)
    sheet = before_and_after([dark, dark], [light, light])
    middle = len(sheet) // 2
    assert sheet[:middle, :50].max() == 0
    assert sheet[middle:, :50].min() == 200
    with pytest.raises(ValueError, match="1 frames before"):
        before_and_after([dark], [])
