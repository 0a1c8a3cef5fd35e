"""Made-up shots: what moves is found, colours carry it over pauses, beliefs spread along links."""

import numpy as np
import pytest
from scipy import sparse
from synthetic_shot import BLUE, RED, Disc, frame_of

from stages import foreground, masks
from stages.superpixels import Superpixels, walk

ONE = Disc((60, 120), (3, 0), 30)


def _images(discs: list[Disc], num_frames: int = 14) -> list[np.ndarray]:
    return [frame_of(number, discs)[0] for number in range(num_frames)]


def test_what_moves_is_found_in_every_frame() -> None:
    found = foreground.find(_images([ONE]), {3})
    assert found.keys == list(range(14))
    for number, belief in enumerate(found.belief):
        (truth,) = frame_of(number, [ONE])[1]
        assert masks.iou(belief > 0.5, truth) > 0.75


def test_nothing_is_found_where_only_the_camera_moves() -> None:
    assert max((belief > 0.5).mean() for belief in foreground.find(_images([]), set()).belief) < 0.01


def test_long_passages_are_thinned_but_keep_what_is_wanted() -> None:
    images = _images([ONE], 4) * 16
    keys = foreground.find(images, {33}).keys
    assert len(keys) == 33
    assert 33 in keys


def test_a_single_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="two frames"):
        foreground.find(_images([ONE], 1), {0})


def test_colours_speak_for_what_has_them() -> None:
    image, (red, blue) = frame_of(0, [Disc((80, 120), (0, 0), colour=RED), Disc((230, 120), (0, 0), colour=BLUE)])
    pixels = Superpixels([image, image])
    ratio = foreground.Colours(pixels).ratio(pixels.mean([red.astype(np.float32)] * 2))
    painted = pixels.paint(ratio, 1)
    assert painted[masks.erode(red, 8)].mean() > 1
    assert painted[masks.erode(blue, 8)].mean() < -1


def test_means_and_painting_are_inverse_and_links_symmetric() -> None:
    image, _ = frame_of(0, [ONE])
    pixels = Superpixels([image, image])
    values = np.random.default_rng(0).random(pixels.total)
    painted = [pixels.paint(values, number) for number in range(2)]
    assert pixels.mean(painted) == pytest.approx(values, abs=1e-6)
    links = pixels.link([np.zeros((*image.shape[:2], 2), np.float32)])
    assert abs(links - links.T).max() < 1e-12
    assert links.diagonal() == pytest.approx(0)
    assert links[: pixels.counts[0], pixels.counts[0] :].sum() > pixels.counts[0] / 2


def test_walkers_carry_a_belief_to_their_neighbours_and_stop_at_gaps() -> None:
    weights = np.array([1.0, 1.0, 0.0, 1.0])
    links = sparse.diags([weights, weights], [1, -1]).tocsr()
    found = walk(links, np.array([1.0, 0.5, 0.5, 0.5, 0.0]), 1.0)
    assert found[0] > found[2] > 0.8
    assert found[3] < 0.2
