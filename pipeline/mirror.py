"""A local mirror of the data files of tables on S3: they never change, so each is fetched once, and DuckDB reads them.

(DuckDB's own way to S3 is an extension that it downloads when it is first used: closed clusters cannot.)
"""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote

from cluster import s3
from cluster.folder import S3Folder
from pipeline.storage_errors import storage_errors

FETCHES = 8  # at once


class Mirror:
    """Holds the files of the versions it was last asked for, in a temporary folder that goes with this object."""

    def __init__(self, root: S3Folder) -> None:
        self._root = root
        self._folder = tempfile.TemporaryDirectory(prefix="recast-tables-")

    def files(self, table: str, uris: list[str], prune: bool) -> list[str]:
        """Local paths of a table's files. prune: delete those it no longer has.

        Raises Unreachable, UserError for a full disk here, BadInput(MISSING) for one that was vacuumed away.
        """
        with storage_errors(self._folder.name):
            return self._files(table, uris, prune)

    def close(self) -> None:
        """Where a process may be killed, its temporary folders go only when they are told to."""
        self._folder.cleanup()

    def _files(self, table: str, uris: list[str], prune: bool) -> list[str]:
        place = Path(self._folder.name) / table
        place.mkdir(exist_ok=True)
        local = {uri: place / unquote(uri).rpartition("/")[2] for uri in uris}
        for path in set(place.iterdir()) - set(local.values()) if prune else ():
            path.unlink()
        missing = [(uri, path) for uri, path in local.items() if not path.exists()]
        with ThreadPoolExecutor(FETCHES) as pool:
            list(pool.map(lambda each: s3.download(unquote(each[0]), each[1]), missing))
        return [str(path) for path in local.values()]
