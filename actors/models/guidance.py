"""Approximate classifier-free guidance: what the prompt changes is asked at every n-th step, and kept in between.

Guidance takes two passes per step, with the prompt and with the negative one, and goes on along their difference. From
one step to the next the difference changes little (FasterCache, arXiv 2410.19355, keeps it in a similar way), so
between the steps that ask, the second pass is the first one less the difference of before. Both passes are whole ones,
VACE's hints included, so nothing of VACE is added twice as by caches of blocks.
"""

from typing import Any

import torch


class KeptGuidance:
    """Stands in for the `forward` of a transformer that a pipeline calls twice per step, with the prompt first.

    every: 1 asks at every step and changes nothing. The steps of a generation are counted from `begin`.
    """

    def __init__(self, transformer: Any, every: int) -> None:
        self._forward, self._every = transformer.forward, every
        transformer.forward = self
        self.begin()

    def begin(self) -> None:
        self._step = -1
        self._moment: Any = None
        self._prompted = self._difference = torch.empty(0)

    def __call__(self, *arguments: Any, timestep: Any, **named: Any) -> Any:
        if timestep is not self._moment:  # the same tensor in both passes of a step
            self._moment, self._step = timestep, self._step + 1
            given = self._forward(*arguments, timestep=timestep, **named)
            self._prompted = given[0]
        elif self._step % self._every == 0:
            given = self._forward(*arguments, timestep=timestep, **named)
            self._difference = self._prompted - given[0]
        else:
            given = (self._prompted - self._difference,)
        return given
