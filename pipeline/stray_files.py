"""Files of edits that no row refers to: attempts that a crash cut off, and what was made anew under another name."""

from collections.abc import Iterator
from pathlib import Path

from pipeline import edited_files, sheets, tracks_file
from pipeline.tables import Snapshot


def stray_files(out: Path, tables: Snapshot) -> Iterator[Path]:
    """Files, and folders of pictures, in the folders that edits are kept in."""
    jobs = tables.query("SELECT key, name, tracks, preview FROM jobs").to_pylist()
    edits = tables.query("SELECT key, name, video FROM edits").to_pylist()
    kept = {path for row in jobs for path in (row["tracks"], row["preview"])} | {row["video"] for row in edits}
    kept |= {sheets.path_of(sheets.FAILED, row["name"], row["key"]) for row in jobs}
    kept |= {sheets.path_of(sheets.EDITED, row["name"], row["key"]) for row in edits}
    for folder in sorted({tracks_file.NAME, edited_files.VIDEOS, sheets.PREVIEWS, sheets.EDITED, sheets.FAILED}):
        for path in sorted((out / folder).glob("*")):
            if str(path.relative_to(out)) not in kept:
                yield path
