"""Quality: any no-reference metric of pyiqa, by name. pyiqa is for noncommercial use: the extra `iqa`."""

import re
from collections.abc import Sequence

import pyiqa
import torch

from actors.models.batching import all_batched
from actors.models.loading import device, named
from actors.quality import MeasuredQuality
from schemas.errors import UserError
from schemas.video import Image

_RANGE = re.compile(r"~?(-?[\d.]+), ~?(-?[\d.]+)")  # how pyiqa writes it; "~" where it is not a bound but usual


class PyiqaQuality:
    """`quality` is a metric of pyiqa (Chen and Mo 2022), its usual range mapped to 0..1, 1 = best. Sharpness and the
    like are those of MeasuredQuality.

    Pictures are rated one by one, since not every metric takes several. Metrics with weights fetch them as pyiqa does.
    Raises UserError for a metric that is unknown, needs a reference or cannot be fetched, or has no bounded range.
    """

    def __init__(self, metric: str) -> None:
        known = pyiqa.list_models(metric_mode="NR")
        if metric not in known:
            raise UserError(f"pyiqa rates no single picture by {metric!r}; it has {', '.join(known)}")
        self._metric = named(metric, pyiqa.create_metric)(metric, device=device())
        self._worst, self._best = _range(metric, str(self._metric.score_range), bool(self._metric.lower_better))
        self._measured = MeasuredQuality()

    def score(self, images: Sequence[Image]) -> list[dict[str, float]]:
        """Scores in [0, 1] per picture. Raises BadInput when one does not fit into memory."""
        rated = all_batched(self._rate, images, batch_size=1)
        measured = self._measured.score(images)
        return [{**scores, "quality": rating} for scores, rating in zip(measured, rated, strict=True)]

    @torch.inference_mode()
    def _rate(self, images: list[Image]) -> list[float]:
        pixels = (torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255 for image in images)
        ratings = [float(self._metric(each)) for each in pixels]
        return [max(0.0, min((each - self._worst) / (self._best - self._worst), 1.0)) for each in ratings]


def _range(metric: str, written: str, lower_better: bool) -> tuple[float, float]:
    found = _RANGE.fullmatch(written)
    if found is None:
        raise UserError(f"pyiqa's {metric} has no bounded range ({written}), so it makes no score between 0 and 1")
    low, high = (float(end) for end in found.groups())
    return (high, low) if lower_better else (low, high)
