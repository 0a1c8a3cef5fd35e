"""The part of the report that shows edits: each clip's frames above what became of them, and what was asked."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline.edit_results import results
from pipeline.report_markup import Html, joined, meaning, named
from pipeline.tables import Snapshot

MAX_SHOWN = 200

_SECTION = Html('<section id="edits"><h2>Edits</h2>{note}{edits}</section>')
_NOTE = Html('<p class="note">{shown} of {total} clips, those with a problem first. Source above, result below.</p>')
_EDIT = Html("<h3>{name}</h3><p>{changes}</p><p>{outcome}</p>{picture}")
_PICTURE = Html('<a href="{link}"><img src="{link}" alt="" loading="lazy" style="max-width:100%"></a>')
_VIDEO = Html('<a href="{link}">{name}</a>')


def edits(tables: Snapshot, out: str | Path) -> Html:
    """Nothing for an output that was not edited."""
    if not tables.count("jobs"):
        return Html("")
    found = sorted(results(out), key=lambda entry: entry["status"] == "edited")
    note = _NOTE.fill(shown=min(len(found), MAX_SHOWN), total=len(found))
    return _SECTION.fill(note=note, edits=joined(_edit(entry) for entry in found[:MAX_SHOWN]))


def _edit(entry: dict[str, Any]) -> Html:
    changes = [
        each["edit"] + (f" ({', '.join(each['instances'])})" if each.get("instances") else "")
        for each in entry["edits"]
    ]
    picture = entry["sheet"] or entry["preview"]
    return _EDIT.fill(
        name=named(entry["name"]),
        changes="; ".join(changes),
        outcome=_outcome(entry),
        picture=_PICTURE.fill(link=_link(picture)) if picture else "",
    )


def _outcome(entry: dict[str, Any]) -> Html:
    if entry["video"]:
        return _VIDEO.fill(link=_link(entry["video"]), name=entry["video"])
    if not entry["reason"]:
        return Html("not edited yet")
    return joined([f"{entry['status']}: ", entry["message"] or "", " ", meaning(entry["reason"])])


def _link(path: str) -> str:
    """From the report's own folder."""
    return "../" + quote(path)
