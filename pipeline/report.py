"""`recast report`: one HTML file that needs no network, also of an output that is empty or still being written.

The numbers are those of `recast status`; what is here besides: pictures, attempts, timings, and the sources.
"""

import json
import string
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cluster.folder import File, Folder, output_folder
from pipeline import report_numbers
from pipeline.compact import shard_files
from pipeline.report_edits import edits
from pipeline.report_gallery import gallery
from pipeline.report_markup import NOTHING, Html, joined, meaning, named, size, table, text
from pipeline.settings import SAVED
from pipeline.status import status
from pipeline.storage_errors import storage_errors
from pipeline.tables import Snapshot, now, read_tables

TEMPLATE = Path(__file__).with_name("report_template.html")
NUM_SOURCES = 200
_STATUS = Html('<span class="status-{status}">{status}</span>')


def write_report(out: str | Path) -> str:
    """Write OUT/report/index.html, whole or not at all, and return where it is.

    Raises UserError when OUT holds no Recast output or cannot be written to.
    """
    page = render(out)
    with storage_errors(out):
        output_folder(out).write("report/index.html", page.encode())
    return output_folder(out).address("report/index.html")


def render(out: str | Path) -> str:
    """The page of an output as text. Takes no lock and writes nothing."""
    tables, found = read_tables(out), status(out)
    return string.Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=text(tables.root.place),
        header=_header(tables, found),
        edits=edits(tables, out),
        funnel=report_numbers.funnel(tables, found),
        reasons=report_numbers.reasons(tables),
        gallery=gallery(tables) or NOTHING,
        attempts=report_numbers.attempts(tables),
        timings=report_numbers.timings(tables),
        sources=_sources(tables),
    )


# -- header -----------------------------------------------------------------------------------------------------------


def _header(tables: Snapshot, found: dict[str, Any]) -> Html:
    saved = _saved(tables.root)
    shards = list(shard_files(tables.root))
    models = saved.get("models", {})
    named = sorted(f"{role}: {model['model']}" for role, model in models.items() if model.get("model"))
    facts = {
        "profile": saved.get("profile", "unknown"),
        "models": ", ".join(named) or "none",
        "latest run": _latest(found["runs"]),
        "report written": now(),
        "samples": found["funnel"]["samples"].get("ok", 0),
        "shards": f"{len(shards):,} ({size(_num_bytes(shards))})",
        "tables": size(_num_bytes(tables.root.files("tables"))),
    }
    return Html("<dl>{facts}</dl>").fill(
        facts=joined(
            Html("<div><dt>{name}</dt><dd>{fact}</dd></div>").fill(name=name, fact=fact) for name, fact in facts.items()
        )
    )


def _latest(runs: list[dict[str, Any]]) -> str:
    if not runs:
        return "none"
    run = runs[0]
    ended = run["event"] in ("finished", "stopped")
    return f"{run['run_id']}, {run['event'] if ended else 'not finished: running, or cut off'}"


def _saved(out: Folder) -> dict[str, Any]:
    """recast.json; nothing when there is none yet, or none that can be read: the tables are worth showing anyway."""
    try:
        saved = json.loads(out.read(SAVED))
    except (OSError, ValueError):
        return {}
    return saved if isinstance(saved, dict) else {}


def _num_bytes(files: Iterable[File]) -> int:
    return sum(file.size for file in files)


def _sources(tables: Snapshot) -> Html:
    rows = tables.query(
        f"""with shown as (
                select * from sources order by status = 'ok', reason is null, uri, key limit {NUM_SOURCES}),
            clips_of as (
                select content_hash, count(*) filter (where status = 'ok') as kept, count(*) as found from clips
                where content_hash in (select content_hash from shown) group by 1),
            samples_of as (
                select content_hash, count(*) as made from samples
                where status = 'ok' and content_hash in (select content_hash from shown) group by 1)
            select s.*, c.kept, c.found, m.made from shown s
            left join clips_of c on c.content_hash = s.content_hash and s.duplicate_of is null
            left join samples_of m on m.content_hash = s.content_hash and s.duplicate_of is null
            order by s.status = 'ok', s.reason is null, s.uri, s.key"""
    ).to_pylist()
    lines = [
        [
            named(row["uri"]),
            _STATUS.fill(status=row["status"]),
            _why(row),
            _video(row),
            f"{row['kept']} of {row['found']}" if row["found"] else "",
            row["made"],
        ]
        for row in rows
    ]
    total = tables.count("sources")
    note = Html('<p class="note">{shown} of {total}, those with a problem first.</p>').fill(
        shown=len(rows), total=total
    )
    return joined([note, table(["source", "status", "reason", "video", "clips kept", "samples"], lines)])


def _why(row: dict[str, Any]) -> Html:
    message = row["message"]
    if not row["reason"] or not message:
        return joined([meaning(row["reason"]), message])
    return Html('{why}<div class="note">{message}</div>').fill(why=meaning(row["reason"]), message=message)


def _video(row: dict[str, Any]) -> str:
    if not row["width"]:
        return ""
    length = f", {row['duration_seconds']:.1f} s" if row["duration_seconds"] else ""
    return f"{row['width']} × {row['height']}, {row['fps'] or 0:.4g} fps{length}, {row['codec']}"
