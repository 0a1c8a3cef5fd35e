"""The stamps that listing left out. A list of a million objects is not asked after one by one: of those that are new
their curation asks, and of those an output knows it is asked here, before the run, whether they changed."""

import itertools
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.folder import output_folder
from cluster.s3_stamps import stamps_of
from pipeline.tables import Snapshot, read_tables

ROWS_AT_ONCE = 50_000


def fill(listing: Path, out: str | Path, table: str) -> int:
    """Completes a listing (a Parquet with key, uri and stamp) for the rows that `table` of the output holds already.
    Returns how many were asked for. Memory does not grow with them.

    Raises UserError when S3 refuses to say, Unreachable.
    """
    if not output_folder(out).exists("tables"):
        return 0
    tables = read_tables(out)
    source = _parquet(listing)
    unasked = f"{source} l semi join {table} t on t.key = l.key where l.stamp is null"
    count = int(tables.query(f"select count(*) as n from (select l.key from {unasked})")["n"][0].as_py())
    if count:
        filled = listing.with_name(f"stamps-{listing.name}")
        _write_stamps(tables, f"select distinct l.uri from {unasked} order by l.uri", filled)
        stamped = "l.* replace (coalesce(l.stamp, f.stamp) as stamp)"
        sql = f"select {stamped} from {source} l left join {_parquet(filled)} f using (uri)"
        whole = listing.with_name(f"whole-{listing.name}")
        with pq.ParquetWriter(whole, pq.read_schema(listing)) as writer:
            for batch in tables.query_batches(sql, ROWS_AT_ONCE):
                writer.write_batch(batch)
        whole.replace(listing)
    return count


def _parquet(path: Path) -> str:
    return "read_parquet('" + str(path).replace("'", "''") + "')"


def _write_stamps(tables: Snapshot, sql: str, path: Path) -> None:
    schema = pa.schema([("uri", pa.string()), ("stamp", pa.string())])
    stamped = stamps_of(uri for batch in tables.query_batches(sql) for uri in batch.column(0).to_pylist())
    with pq.ParquetWriter(path, schema) as writer:
        while chunk := list(itertools.islice(stamped, ROWS_AT_ONCE)):
            uris, stamps = zip(*chunk, strict=True)
            writer.write_table(pa.table({"uri": uris, "stamp": stamps}, schema))
