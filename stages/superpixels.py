"""Superpixels of several frames of a clip in one graph: neighbours in the picture, along the flow, and by looks.

Beliefs spread over it as in random walks with priors (Grady, CVPR 2005); the links by looks between frames far apart
are those of non-local consensus voting (Faktor & Irani, BMVC 2014).
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import cg
from scipy.spatial import cKDTree
from skimage.segmentation import slic

from schemas.video import Image
from stages.motion import Flow, Map

Values = NDArray[np.float64]
"""(N,) or (N, C): one row per superpixel of all frames."""

_NUM_PER_FRAME = 700
_COMPACTNESS = 10.0
_NUM_SLIC_ROUNDS = 4
_NUM_ALIKE = 8  # links by looks, per superpixel
_ALIKE_WEIGHT = 0.5
_ALIKE_SCALE = 12.0  # levels of Lab
_LAB_WEIGHTS = (0.6, 1.4, 1.4)  # shade and light change, colours stay
_TEXTURE_WEIGHT = 0.7
_PLACE_WEIGHT = 60.0  # per frame width or height
_TIME_WEIGHT = 0.5  # per key
_DOUBT = 0.02  # weight of a prior of one half


class Superpixels:
    """SLIC (Achanta et al., PAMI 2012) of each image. Numbers run on through the frames: frame i has rows offsets[i]
    to offsets[i + 1].

    colour: (N, 3) mean Lab; place: (N, 2) centre as shares of width and height; area_px: (N,); frame: (N,).
    """

    def __init__(self, images: Sequence[Image]) -> None:
        self.labels = [_slic(image) for image in images]
        self.counts = [int(each.max()) + 1 for each in self.labels]
        self.offsets = np.concatenate([[0], np.cumsum(self.counts)])
        self.total = int(self.offsets[-1])
        self.frame = np.repeat(np.arange(len(images)), self.counts)
        self.area_px = np.concatenate(
            [np.bincount(each.ravel(), minlength=count) for each, count in zip(self.labels, self.counts, strict=True)]
        )
        lab = [cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32) for image in images]
        self.colour = self.mean(lab)
        self._texture = np.sqrt(np.maximum(self.mean([each**2 for each in lab]) - self.colour**2, 0))
        height, width = self.labels[0].shape
        rows, columns = np.mgrid[:height, :width].astype(np.float32)
        self.place = self.mean([np.stack([columns / width, rows / height], axis=2)] * len(images))

    def mean(self, maps: Sequence[NDArray[np.float32]]) -> Values:
        """Mean of (H, W) or (H, W, C) maps, one per frame, over each superpixel."""
        flat = [each.reshape(each.shape[0], each.shape[1], -1) for each in maps]
        columns = [
            np.concatenate(
                [
                    np.bincount(labels.ravel(), each[..., channel].ravel(), count)
                    for labels, each, count in zip(self.labels, flat, self.counts, strict=True)
                ]
            )
            for channel in range(flat[0].shape[2])
        ]
        means = np.stack(columns, axis=1) / np.maximum(self.area_px, 1)[:, None]
        return np.asarray(means[:, 0] if maps[0].ndim == 2 else means, dtype=np.float64)

    def paint(self, values: Values, number: int) -> Map:
        """(H, W) values of one frame."""
        own = values[self.offsets[number] : self.offsets[number + 1]]
        return np.asarray(own[self.labels[number]], dtype=np.float32)

    def link(self, forward: Sequence[Flow]) -> sparse.csr_matrix:
        """(N, N) symmetric weights. forward: flow from each frame to the next, one less than frames."""
        beside = self._beside()
        contrast = 1 / (2 * float(np.mean(self._differences(beside))) + 1e-9)
        beside.data = np.minimum(beside.data, 20) / 10 * np.exp(-2 * contrast * self._differences(beside))
        weights = beside.tocsr() + _ALIKE_WEIGHT * self._alike()
        if forward:
            along = self._along(forward)
            shared = along.data / np.minimum(self.area_px[along.row], self.area_px[along.col])
            along.data = np.where(shared > 0.1, shared, 0) * np.exp(-contrast * self._differences(along))
            weights = weights + along.tocsr() + along.tocsr().T
        return weights.tocsr()

    def _differences(self, links: sparse.coo_matrix) -> Values:
        return np.asarray(((self.colour[links.row] - self.colour[links.col]) ** 2).sum(axis=1), dtype=np.float64)

    def _counted(self, one: list[NDArray[np.int64]], other: list[NDArray[np.int64]], value: float) -> sparse.csr_matrix:
        rows, columns = np.concatenate(one), np.concatenate(other)
        links = sparse.coo_matrix((np.full(len(rows), value), (rows, columns)), (self.total, self.total))
        return links.tocsr()  # which sums duplicates, without the sort of all links that sum_duplicates makes

    def _beside(self) -> sparse.coo_matrix:
        """Symmetric; values are the lengths of the shared borders in pixels."""
        one: list[NDArray[np.int64]] = []
        other: list[NDArray[np.int64]] = []
        for labels, offset in zip(self.labels, self.offsets[:-1], strict=True):
            numbers = labels.astype(np.int64) + offset
            for first, second in ((numbers[:, :-1], numbers[:, 1:]), (numbers[:-1], numbers[1:])):
                differ = first != second
                one.append(first[differ])
                other.append(second[differ])
        found = self._counted(one, other, 1.0)
        return (found + found.T).tocoo()

    def _along(self, forward: Sequence[Flow]) -> sparse.coo_matrix:
        """From a frame to the next; values are the pixels shared."""
        height, width = self.labels[0].shape
        rows, columns = np.mgrid[:height:2, :width:2]
        one: list[NDArray[np.int64]] = []
        other: list[NDArray[np.int64]] = []
        for number, flow in enumerate(forward):
            there_x = np.rint(columns + flow[::2, ::2, 0]).astype(np.int64)
            there_y = np.rint(rows + flow[::2, ::2, 1]).astype(np.int64)
            seen = (there_x >= 0) & (there_x < width) & (there_y >= 0) & (there_y < height)
            one.append(self.labels[number][rows[seen], columns[seen]] + self.offsets[number])
            other.append(self.labels[number + 1][there_y[seen], there_x[seen]] + self.offsets[number + 1])
        return self._counted(one, other, 4.0).tocoo()

    def _alike(self) -> sparse.csr_matrix:
        looks = np.concatenate(
            [
                self.colour * _LAB_WEIGHTS,
                self._texture * _TEXTURE_WEIGHT,
                self.place * _PLACE_WEIGHT,
                self.frame[:, None] * _TIME_WEIGHT,
            ],
            axis=1,
        )
        num = min(_NUM_ALIKE + 1, self.total)
        distance, nearest = cKDTree(looks).query(looks, num)
        weight = np.exp(-(distance**2) / (2 * _ALIKE_SCALE**2))
        rows = np.repeat(np.arange(self.total), num)
        found = sparse.coo_matrix((weight.ravel(), (rows, nearest.ravel())), (self.total, self.total)).tocsr()
        found.setdiag(0)
        return (found + found.T) / 2


def _slic(image: Image) -> NDArray[np.int32]:
    found = slic(
        image.astype(np.float32) / 255,
        n_segments=_NUM_PER_FRAME,
        compactness=_COMPACTNESS,
        max_num_iter=_NUM_SLIC_ROUNDS,
        start_label=0,
    )
    return np.asarray(found, dtype=np.int32)


def walk(links: sparse.csr_matrix, prior: Values, strength: float) -> Values:
    """Where walkers on `links` that end by the way with the odds of `prior` (N,), in [0, 1], end up: (N,) in [0, 1].

    strength: of the priors against the links; a prior of one half has nearly none.
    """
    trust = strength * (_DOUBT + np.abs(2 * prior - 1))
    total = np.asarray(links.sum(axis=1)).ravel() + trust
    system = sparse.diags(total) - links
    found, _ = cg(system, trust * prior, x0=prior, maxiter=60, rtol=1e-3, M=sparse.diags(1 / total))
    return np.asarray(np.clip(found, 0, 1), dtype=np.float64)
