"""Progress on stderr: a live line per phase on a terminal, a plain line every so often otherwise."""

import time
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from schemas.work import Phase

PLAIN_SECONDS = 10.0
_NAMES = {
    Phase.CURATE: "curate videos",
    Phase.MINE: "mine subjects",
    Phase.LINK: "link shots",
    Phase.SYNTHESIZE: "make samples",
    Phase.CAPTION: "word again",
    Phase.ALIGN: "find targets",
    Phase.EDIT: "edit videos",
}


class Progress:
    """`show` takes what the ledger reports; rates are over this run's time in the phase."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=4, transient=False) if console.is_terminal else None
        self._began: dict[Phase, float] = {}
        self._printed = 0.0
        self._lines: dict[Phase, list[str]] = {}

    def __enter__(self) -> "Progress":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()
        elif self._lines:
            self._print()

    def say(self, text: str) -> None:
        self._console.print(f"recast: {text}", highlight=False, markup=False)

    def show(self, phase: Phase, progress: dict[str, Any]) -> None:
        found = progress.get("phases", {}).get(str(phase), {})
        now = time.monotonic()
        self._began.setdefault(phase, now)
        self._lines[phase] = [_NAMES[phase], *_cells(found, now - self._began[phase])]
        if self._live:
            self._live.update(self._table())
        elif now - self._printed > PLAIN_SECONDS:
            self._print()

    def _table(self) -> Table:
        table = Table(box=None, show_header=False, pad_edge=False)
        for cells in self._lines.values():
            table.add_row(*cells)
        return table

    def _print(self) -> None:
        self._printed = time.monotonic()
        self.say("   ".join(list(self._lines.values())[-1]))


def _cells(found: dict[str, Any], seconds: float) -> list[str]:
    outcomes = found.get("outcomes", {})
    settled = sum(outcomes.values())
    rate = settled / seconds if seconds > 1 else 0.0
    dropped = ", ".join(f"{count} {kind}" for kind, count in sorted(outcomes.items()) if kind != "done")
    retried = found.get("retried", 0)
    return [
        f"{settled} done",
        f"{found.get('leased', 0)} in work",
        f"{found.get('queued', 0)}{'' if found.get('planned') else '+'} waiting",
        f"{rate:.1f}/s",
        f"{retried} sent back" if retried else "",
        dropped,
    ]
