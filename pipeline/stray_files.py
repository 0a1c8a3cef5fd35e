"""Files of edits that no row refers to: attempts that a crash cut off, and what was made anew under another name."""

from pipeline import edited_files, sheets, tracks_file
from pipeline.tables import Snapshot


def stray_files(tables: Snapshot) -> dict[str, float]:
    """Files, and folders of pictures, in the folders that edits are kept in, with the time of their newest part in
    seconds since 1970."""
    jobs = tables.query("SELECT key, name, tracks, preview FROM jobs").to_pylist()
    edits = tables.query("SELECT key, name, video FROM edits").to_pylist()
    kept = {path for row in jobs for path in (row["tracks"], row["preview"])} | {row["video"] for row in edits}
    kept |= {sheets.path_of(sheets.FAILED, row["name"], row["key"]) for row in jobs}
    kept |= {sheets.path_of(sheets.EDITED, row["name"], row["key"]) for row in edits}
    found: dict[str, float] = {}
    for folder in sorted({tracks_file.NAME, edited_files.VIDEOS, sheets.PREVIEWS, sheets.EDITED, sheets.FAILED}):
        for file in tables.root.files(folder):
            name = "/".join(file.name.split("/")[:2])  # of a folder of pictures, that folder
            if name not in kept:
                found[name] = max(found.get(name, 0.0), file.modified)
    return found
