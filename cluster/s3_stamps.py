"""The stamps of objects that are known by name, many at a time: by listing, since a page of a listing answers for a
thousand objects what a request each would, at the price of one.

A listing is entered at the first name that is wanted, and left for the next one where its page ends: names that lie
close together cost a request per thousand, and scattered ones no more than asking for each.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, islice

from cluster import s3
from cluster.storage import joined_stamp, sidecar_of, stamp_of
from schemas.errors import UserError

PAGE = 1000
CHUNK = 4000
NUM_THREADS = 8


def stamps_of(uris: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each uri with what `storage.stamp_of` says of it. uris: sorted; they are read a few chunks ahead.

    Raises UserError for credentials and buckets that are wrong, Unreachable.
    """
    waiting = iter(uris)
    with ThreadPoolExecutor(NUM_THREADS) as threads:
        while chunks := list(islice(iter(lambda: list(islice(waiting, CHUNK)), []), NUM_THREADS)):
            for chunk, stamps in zip(chunks, threads.map(_stamps, chunks), strict=True):
                yield from zip(chunk, stamps, strict=True)


def _stamps(uris: Sequence[str]) -> list[str]:
    try:
        found: dict[str, str] = {}
        for bucket, part in groupby(sorted({*uris, *map(sidecar_of, uris)}), key=lambda uri: s3.split(uri)[0]):
            found |= _listed(f"{s3.SCHEME}{bucket}/", list(part))
    except UserError:  # who may read objects need not be allowed to list them
        return [stamp_of(uri) for uri in uris]
    return [joined_stamp(stamp, found.get(sidecar_of(uri), "")) if (stamp := found.get(uri)) else "" for uri in uris]


def _listed(root: str, wanted: list[str]) -> dict[str, str]:
    """Stamps of those that are there. wanted: sorted, of one bucket."""
    found: dict[str, str] = {}
    names, at = set(wanted), 0
    while at < len(wanted):
        page = list(islice(s3.list_objects(root, _just_before(wanted[at].removeprefix(root))), PAGE))
        found |= {each.uri: each.stamp for each in page if each.uri in names}
        if len(page) < PAGE:
            return found
        reached = bisect_right(wanted, page[-1].uri)
        if reached <= at:  # too many names lie before it
            found |= {each.uri: each.stamp for each in [s3.head(wanted[at])] if each}
        at = max(reached, at + 1)
    return found


def _just_before(key: str) -> str:
    """A name that sorts before `key`, with little between them. ASCII alone, which every server takes."""
    last = ord(key[-1]) if key else 0
    return key[:-1] + (chr(last - 1) + "~" if 0x21 < last < 0x7F else "")
