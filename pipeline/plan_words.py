"""What `recast plan` found, for people."""

from rich.console import Console
from rich.table import Table

from pipeline.estimate import Interval
from pipeline.plan import PAIRS_PER_SOURCE, PHASES, Plan

_UNITS = ((86400.0, "days"), (3600.0, "h"), (60.0, "min"))


def show(plan: Plan, console: Console) -> None:
    found = plan.estimates
    title = f"{plan.num_sources:,} sources, {_time(found['video_hours'].mid * 3600)} of video, {plan.workers} workers"
    table = Table("", "estimate", "low", "high", title=title, title_justify="left")
    rows = [("wall time", found["wall_seconds"], _time), ("CPU-hours", found["cpu_hours"], _hours)]
    if found["gpu_hours"].high:
        rows.append(("GPU-hours", found["gpu_hours"], _hours))
    rows += [("disk for samples", found["bytes"], _bytes), ("samples", found["samples"], _count)]
    rows += [("pairs", found["pairs"], _count), ("clips kept", found["clips"], _count)]
    rows.append(("clips rejected", found["rejected_clips"], _count))
    rows += [(f"  {phase}", found[f"{phase}.wall_seconds"], _time) for phase in PHASES]
    for name, interval, words in rows:
        table.add_row(name, *(words(value) for value in _bounds(interval)))
    console.print(table)
    for line in rests_on(plan):
        console.print(line, highlight=False, markup=False)


def rests_on(plan: Plan) -> list[str]:
    """What the figures stand on, and what they do not know."""
    lines = [
        f"from {plan.num_sampled} sources built in {_time(plan.sample_seconds)} with {plan.sample_workers} workers "
        f"(up to {PAIRS_PER_SOURCE} pairs of each synthesised), and the lengths of {plan.num_probed}",
        "low, high: 90 % of such samples; that other work or another machine changes the pace is not in them",
    ]
    if plan.workers != plan.sample_workers:
        lines.append(f"{plan.workers} workers are taken to be as fast as the {plan.sample_workers} that were measured")
    if plan.num_sampled < plan.num_sources:
        lines.append("near-duplicates are seen only among the sampled sources: there may be more, and fewer samples")
    return lines


def _bounds(interval: Interval) -> tuple[float, float, float]:
    return interval.mid, interval.low, interval.high


def _time(seconds: float) -> str:
    for size, name in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {name}"
    return f"{seconds:,.0f} s"


def _hours(hours: float) -> str:
    return f"{hours:,.3g}" if hours < 100 else f"{hours:,.0f}"


def _bytes(count: float) -> str:
    for size, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if count >= size:
            return f"{count / size:,.1f} {name}"
    return f"{count / 1e3:,.0f} kB"


def _count(count: float) -> str:
    return f"{count:,.0f}"
