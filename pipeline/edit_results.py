"""What came of the jobs of an output: one entry each, read from its tables."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from rich.console import Console

from cluster.folder import Folder, output_folder
from pipeline import sheets
from pipeline.edit_rows import JOB, TURNS
from pipeline.tables import read_tables
from schemas.reasons import Reason
from stages.edit_grammar import print_edit

MAX_SHOWN = 40
"""Jobs that are listed for people; --json lists all."""


def results(out: str | Path, keys: Collection[str] | None = None) -> list[dict[str, Any]]:
    """JSON values per job, by name: name, uri, status (aligned | edited | rejected | failed), reason, message, edits
    (each with the instances it is about), preview, video and sheet (paths below the output; the sheet shows the edit
    below its source, also one that failed), verdict. keys: only these."""
    sql = """
        select j.key, j.name, j.uri, j.request, j.bound, j.instances, j.status as aligned, j.reason as why_not,
            j.message, j.preview, e.video, e.verdict, t.outcome, t.reason, r.message as complaint
        from jobs j
        left join edits e on e.key = j.key and e.status = 'ok' and e.content_hash = j.content_hash
        left join settled t on t.phase = 'edit' and t.parent_key = j.key and t.inputs = j.content_hash
        left join rejects r on r.parent_key = j.key and r.task = t.task and r.status <> 'removed'
        where j.status <> 'removed' order by j.name, j.key
    """
    tables = read_tables(out)
    rows = tables.query(sql).to_pylist()
    wanted = None if keys is None else set(keys)
    pictures = {file.name for folder in (sheets.EDITED, sheets.FAILED) for file in tables.root.files(folder)}
    return [_entry(row, pictures) for row in rows if wanted is None or row["key"] in wanted]


def _entry(row: dict[str, Any], pictures: set[str]) -> dict[str, Any]:
    entry = {name: row[name] for name in ("name", "uri", "preview", "video")}
    entry["verdict"] = dict(row["verdict"]) if row["verdict"] else None
    entry["edits"] = _edits(row)
    sheet = sheets.path_of(sheets.EDITED if row["video"] else sheets.FAILED, row["name"], row["key"])
    entry["sheet"] = sheet if sheet in pictures else None
    if row["aligned"] != "ok":
        return {**entry, "status": row["aligned"], "reason": row["why_not"], "message": row["message"]}
    if row["outcome"] is None:
        return {**entry, "status": "aligned", "reason": None, "message": None}
    status = "edited" if row["outcome"] == "done" else "failed"
    return {**entry, "status": status, "reason": row["reason"], "message": row["complaint"]}


def _edits(row: dict[str, Any]) -> list[dict[str, Any]]:
    if row["bound"] is None:
        return [{"edit": print_edit(edit)} for turn in JOB.validate_json(row["request"]).turns for edit in turn.edits]
    return [
        {"edit": print_edit(each.edit), "instances": [row["instances"][at] for at in each.instances]}
        for turn in TURNS.validate_json(row["bound"])
        for each in turn
    ]


def show(found: list[dict[str, Any]], out: str | Path, console: Console) -> None:
    """The same for people: two lines each, never cut, so that a path can be copied from any terminal."""
    for entry in found[:MAX_SHOWN]:
        changes = "; ".join(map(_told, entry["edits"]))
        for line in (f"{entry['name']}: {changes}", f"    {_outcome(entry, output_folder(out))}"):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    if len(found) > MAX_SHOWN:
        console.print(f"and {len(found) - MAX_SHOWN} more: --json lists all", highlight=False)


def _told(edit: dict[str, Any]) -> str:
    instances = edit.get("instances")
    return f"{edit['edit']}" + (f" ({', '.join(instances)})" if instances else "")


def _outcome(entry: dict[str, Any], out: Folder) -> str:
    if entry["video"]:
        return out.address(entry["video"])
    picture = entry["sheet"] or entry["preview"]
    look = out.address(picture) if picture else ""
    if entry["status"] == "aligned":
        return look or "not edited yet"
    meaning = Reason(entry["reason"]).meaning if entry["reason"] else ""
    told = f"{entry['status']}: {entry['message'] or meaning} ({entry['reason']})"
    return f"{told}; see {look}" if look else told
