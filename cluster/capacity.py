"""What a cluster can hold, watched over: a pool of actors that no longer fits waits for ever, and says nothing."""

import time
from collections.abc import Callable, Mapping

REPLACEMENT_SECONDS = 30.0
"""That a lost node has to come back, or another in its place, before the run goes on without it."""


class Capacity:
    """Tells when CPUs or GPUs that a run was laid out for are gone for good.

    Ray restarts the actors of a dead node elsewhere when there is room. Where there is none (pools take what there is)
    their tasks wait in silence (ray#44687), so the run has to be laid out anew.

    totals: what the living nodes have together, such as ray.cluster_resources. clock: monotonic seconds.
    """

    def __init__(self, totals: Callable[[], Mapping[str, float]], clock: Callable[[], float] = time.monotonic) -> None:
        self._totals, self._clock = totals, clock
        self._before = self._read()
        self._short_since: float | None = None

    def is_lost(self) -> bool:
        """Whether less than there was has been left for REPLACEMENT_SECONDS: call it every so often."""
        here = self._read()
        if all(here[kind] >= amount for kind, amount in self._before.items()):
            self._before, self._short_since = here, None
            return False
        if self._short_since is None:
            self._short_since = self._clock()
        return self._clock() - self._short_since >= REPLACEMENT_SECONDS

    def _read(self) -> dict[str, float]:
        totals = self._totals()
        return {kind: totals.get(kind, 0.0) for kind in ("CPU", "GPU")}
