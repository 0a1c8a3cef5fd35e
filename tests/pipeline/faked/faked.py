"""Roles as models have them, without a model: `model` names a folder, where they note what is done with them."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from actors.embedder import DescriptorEmbedder
from actors.quality import MeasuredQuality
from actors.vlm import RulesVlm
from schemas.errors import UserError


class Noting:
    """Appends "event pid number" to `model`/notes when it is loaded, called or closed."""

    def __init__(self, model: str, revision: str, dtype: str, batch_size: int) -> None:
        self._notes = Path(model) / "notes"
        self.note("loaded", batch_size)

    def note(self, event: str, number: int) -> None:
        with open(self._notes, "a", encoding="utf-8") as notes:
            notes.write(f"{type(self).__name__}.{event} {os.getpid()} {number}\n")

    def close(self) -> None:
        self.note("closed", 0)


class Doubler(Noting):
    """Twice each number. 13 is poison, 66 fatal, "hang" never ends; a string is given back."""

    def score(self, items: Sequence[Any]) -> list[Any]:
        self.note("called", len(items))
        time.sleep(0.02)
        if 13 in items:
            raise ArithmeticError("thirteen")
        if 66 in items:
            os._exit(1)
        if "hang" in items:
            time.sleep(600)
        return [2 * item for item in items]


class Words(Noting, RulesVlm):
    def ask(self, questions: Any) -> Any:
        self.note("called", len(questions))
        return super().ask(questions)


class Vectors(Noting, DescriptorEmbedder):
    def embed(self, subjects: Any) -> Any:
        self.note("called", len(subjects))
        return super().embed(subjects)


class Marks(Noting, MeasuredQuality):
    def score(self, images: Any) -> Any:
        self.note("called", len(images))
        return super().score(images)


class Near(Noting):
    def nearness(self, images: Sequence[Any], masks: Any) -> list[Any]:
        self.note("called", len(images))
        largest = max(image.max() for image in images)
        return [(image / largest).astype(np.float32) for image in images]


class Absent(Noting):
    def __init__(self, model: str, revision: str, dtype: str) -> None:
        raise UserError(f"model {model} cannot be loaded: not in the cache")


class Broken(Noting):
    def __init__(self, model: str, revision: str, dtype: str) -> None:
        super().__init__(model, revision, dtype, 0)
        raise KeyError("layers.0.weight")


class Deadly(Noting):
    def __init__(self, model: str, revision: str, dtype: str) -> None:
        super().__init__(model, revision, dtype, 0)
        os._exit(1)
