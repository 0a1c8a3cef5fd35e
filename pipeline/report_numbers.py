"""The report's numbers: the funnel, why rows were dropped, the attempts, and where the time went."""

import json
from typing import Any

from pipeline.report_markup import Html, bar, joined, meaning, named, part, share, table
from pipeline.tables import Row, Snapshot

NUM_ATTEMPTS = 50
_FUNNEL = ("sources", "clips", "pairs", "samples")
_FUNNEL_NOTE = Html(
    '<p class="note">Share: kept of found. Led further: kept rows from which the next step kept something, of kept.</p>'
)
_GAVE = {
    "sources": "select count(*) as n from sources p where status = 'ok' and exists ("
    "select 1 from clips c where c.status = 'ok' and c.content_hash = p.content_hash)",
    "clips": "select count(*) as n from clips p where status = 'ok' and exists ("
    "select 1 from pairs c where c.status = 'ok' and c.clip_key = p.key)",
    "pairs": "select count(*) as n from pairs p where status = 'ok' and exists ("
    "select 1 from samples c where c.status = 'ok' and c.pair_key = p.key)",
}


def _rows(tables: Snapshot, sql: str) -> list[Row]:
    rows: list[Row] = tables.query(sql).to_pylist()
    return rows


# -- funnel and reasons -----------------------------------------------------------------------------------------------


def funnel(tables: Snapshot, found: dict[str, Any]) -> Html:
    undecided = _rows(tables, "select count(*) as n from clips where status = 'rejected' and reason is null")[0]["n"]
    lines = []
    for name in _FUNNEL:
        counts = dict(found["funnel"][name])
        total, kept = sum(counts.values()), counts.pop("ok", 0)
        if name == "clips" and undecided and "rejected" in counts:
            counts = {"not decided yet": undecided, **counts, "rejected": max(counts["rejected"] - undecided, 0)}
        others = ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)
        lines.append([name, total, kept, share(kept, total), bar(kept, total), _gave(tables, name, kept), others])
    funnel = table(["", "found", "kept", "share", "", "led further", "not kept"], lines)
    return joined([funnel, _FUNNEL_NOTE, _tasks(found["tasks"]), _settled(found["settled"])])


def _gave(tables: Snapshot, name: str, kept: int) -> str:
    if name not in _GAVE:
        return ""
    led = _rows(tables, _GAVE[name])[0]["n"]
    return f"{led:,} ({share(led, kept)})"


def _tasks(tasks: dict[str, int]) -> Html:
    total = sum(tasks.values())
    lines = [
        [task.replace("_", " "), count, share(count, total), bar(count, total, "plain")]
        for task, count in tasks.items()
    ]
    return part("Samples by task", table(["task", "samples", "share", ""], lines))


def _settled(settled: dict[str, dict[str, int]]) -> Html:
    order = {phase: position for position, phase in enumerate(("curate", "mine", "link", "synthesize", "caption"))}
    lines = [
        [phase, sum(ends.values()), ", ".join(f"{count:,} {end}" for end, count in ends.items())]
        for phase, ends in sorted(settled.items(), key=lambda item: order.get(item[0], len(order)))
    ]
    return part("Units of work done", table(["phase", "settled", "how they ended"], lines))


_DROPPED = {
    "Sources": "select reason, count(*) as n from sources where status <> 'ok' group by 1",
    "Sources used with a flaw": "select reason, count(*) as n from sources where status = 'ok' group by 1",
    "Clips": "select reason, count(*) as n from clips where status <> 'ok' group by 1",
    "Mining": "select reason, count(*) as n from settled where phase = 'mine' and status <> 'ok' group by 1",
    "Pairs": "select reason, count(*) as n from pairs where status <> 'ok' group by 1",
    "Attempts": "select reason, count(*) as n from (select unnest(reasons) as reason from attempts) group by 1",
    "Samples": "select reason, count(*) as n from samples where status <> 'ok' group by 1",
}


def reasons(tables: Snapshot) -> Html:
    """Shares are of all reasons of that stage; one attempt may fail several checks."""
    parts = []
    for name, counts in _DROPPED.items():
        rows = _rows(tables, f"select * from ({counts}) where reason is not null order by n desc, reason")
        total = sum(row["n"] for row in rows)
        lines = [
            [meaning(row["reason"]), row["n"], share(row["n"], total), bar(row["n"], total, "drop")] for row in rows
        ]
        if lines:
            parts.append(part(name, table(["reason", "count", "share", ""], lines)))
    return joined(parts) or Html('<p class="none">Nothing was dropped.</p>')


# -- attempts ---------------------------------------------------------------------------------------------------------


def attempts(tables: Snapshot) -> Html:
    tries = _rows(
        tables,
        """select attempt + 1 as nth, count(*) as n, count(*) filter (where status = 'ok') as passed,
               count(*) filter (where status = 'rejected') as again, count(*) filter (where status = 'failed') as last
           from attempts group by 1 order by 1""",
    )
    lines = [
        [f"attempt {row['nth']}", row["n"], row["passed"], share(row["passed"], row["n"]), row["again"], row["last"]]
        for row in tries
    ]
    headings = ["", "made", "passed", "share", "tried again", "given up"]
    return joined([
        table(headings, lines),
        part("Scores of attempts", _scores(tables)),
        part(f"Attempts that did not pass (first {NUM_ATTEMPTS})", _sent_back(tables)),
        part(f"Dead letters (first {NUM_ATTEMPTS})", _dead_letters(tables)),
    ])  # fmt: skip


def _scores(tables: Snapshot) -> Html:
    """How each check's score spreads: where a threshold could go."""
    quantiles = "quantile_cont(score, [0.1, 0.5, 0.9]) filter (where status {} 'ok')"
    rows = _rows(
        tables,
        f"""select name, {quantiles.format("=")} as passed, {quantiles.format("<>")} as others from (
                select status, entry.key as name, entry.value as score from (
                    select status, unnest(map_entries(verdict)) as entry from attempts))
            where isfinite(score) group by 1 order by 1""",
    )
    lines = [[row["name"], *(row["passed"] or [""] * 3), *(row["others"] or [""] * 3)] for row in rows]
    headings = ["score", "passed: 10 %", "median", "90 %", "did not pass: 10 %", "median", "90 %"]
    return table(headings, lines)


def _sent_back(tables: Snapshot) -> Html:
    rows = _rows(
        tables,
        f"""select pair_key, task, attempt, rung, status, coalesce(reasons, [reason]) as reasons from attempts
            where status <> 'ok' order by pair_key, task, attempt limit {NUM_ATTEMPTS}""",
    )
    lines = [
        [
            Html("<code>{key}</code>").fill(key=str(row["pair_key"])[:12]),
            (row["task"] or "").replace("_", " "),
            str(row["attempt"] + 1),
            str(row["rung"] if row["rung"] is not None else ""),
            "tried again" if row["status"] == "rejected" else "given up",
            joined(Html("<div>{why}</div>").fill(why=meaning(code)) for code in row["reasons"] if code),
        ]
        for row in rows
    ]
    return table(["pair", "task", "attempt", "rung", "then", "reasons"], lines)


def _dead_letters(tables: Snapshot) -> Html:
    rows = _rows(
        tables,
        f"""select "table", row_key, task, stage, reason, message, num_attempts from rejects where status <> 'removed'
            order by stage, row_key, task, key limit {NUM_ATTEMPTS}""",
    )
    lines = [
        [
            Html("{table} <code>{key}</code>").fill(table=row["table"], key=str(row["row_key"])[:12]),
            (row["task"] or "").replace("_", " "),
            row["stage"],
            meaning(row["reason"]),
            named(row["message"]),
            row["num_attempts"],
        ]
        for row in rows
    ]
    return table(["row", "task", "stage", "reason", "message", "attempts"], lines)


# -- timings ----------------------------------------------------------------------------------------------


def timings(tables: Snapshot) -> Html:
    steps = _rows(
        tables,
        """select lap.key as step, count(*) as n, sum(lap.value) as total, avg(lap.value) as mean,
               quantile_cont(lap.value, 0.95) as slow
           from (select unnest(map_entries(seconds)) as lap from attempts) group by 1 order by total desc, step""",
    )
    longest = max((row["total"] for row in steps), default=0.0)
    lines = [
        [row["step"], row["n"], row["total"], row["mean"], row["slow"], bar(row["total"], longest, "plain")]
        for row in steps
    ]
    headings = ["step of an attempt", "times", "seconds in all", "mean", "95 % below", ""]
    return joined([table(headings, lines), part("Runs (latest first)", _runs(tables))])


def _runs(tables: Snapshot) -> Html:
    rows = _rows(
        tables,
        """select run_id, event, created_at, detail from runs where event not in ('wave_closed', 'progress')
           order by epoch desc, created_at desc, event limit 20""",
    )
    lines = []
    for row in rows:
        seconds = _seconds(row["detail"])
        total = seconds.pop("total", None)
        spent = ", ".join(f"{part} {value:.1f}" for part, value in seconds.items())
        lines.append([named(row["run_id"]), row["event"], row["created_at"], total, spent])
    return table(["run", "event", "when", "seconds", "of which"], lines)


def _seconds(detail: str | None) -> dict[str, float]:
    found = json.loads(detail or "{}").get("seconds") or {}
    return {part: float(value) for part, value in found.items()}
