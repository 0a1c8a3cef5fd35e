"""Which calls were being served when their process died, and how often: a file that outlives the process."""

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path


class Suspects:
    """deaths: of a call's process while it was served, by the call's id."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._served: Counter[str] = Counter()
        self.deaths: Counter[str] = Counter()
        with contextlib.suppress(OSError, ValueError):
            self.deaths.update(json.loads(path.read_text("utf-8")))

    @contextlib.contextmanager
    def serving(self, ids: Sequence[str]) -> Iterator[None]:
        with self._lock:
            self._served.update(ids)
            self._write()
        try:
            yield
        finally:
            with self._lock:
                for each in ids:
                    self.deaths.pop(each, None)
                    self._served.pop(each, None)
                self._write()

    def forget(self) -> None:
        self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        """As it is to be read if this process dies now."""
        deaths = self.deaths + self._served
        if not deaths:
            self.forget()
            return
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(deaths), "utf-8")
        fresh.replace(self._path)
