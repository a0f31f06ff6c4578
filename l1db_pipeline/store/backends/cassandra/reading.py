"""One state of the store, for as many reads as belong together.

A visit counts for a reading wholly or not at all. Most were stored before it began,
and all their chunks can be seen. Of a visit that is learnt of during the reading the
ledger says where its chunks are: if one is missing where was read, the visit was stored
too late for this reading, and nothing of it counts.

What a merged chunk says of the attempts in it holds for its own partition only.
"""

import time
from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import UUID

from l1db_pipeline.store.backends.cassandra.ledger import Ledger, Places
from l1db_pipeline.store.backends.cassandra.session import CassandraSession, Row
from l1db_pipeline.store.backends.cassandra.tables import (
    Tag,
    month_at,
    place_number,
)
from l1db_pipeline.store.errors import DatabaseError

__all__ = ["MERGED", "Partition", "Reading", "pack_attempts", "read_partitions"]

MERGED = 1
"""Kind of a merged chunk."""
_BYTES_OF_UUID = 16
_CHUNKS = """SELECT pixel, month, kind, visit_id, tile, attempt, data, tags, base, epoch
    FROM {}%s WHERE pixel = ? AND month IN ?"""


def pack_attempts(attempts: Iterable[UUID]) -> bytes:
    """Return attempts as a merged chunk lists them."""
    return b"".join(sorted(attempt.bytes for attempt in attempts))


def _attempts(packed: bytes | None) -> set[UUID]:
    raw = packed or b""
    starts = range(0, len(raw), _BYTES_OF_UUID)
    return {UUID(bytes=raw[start : start + _BYTES_OF_UUID]) for start in starts}


class Partition:
    """The chunks of a pixel and month, those aside that a merged one replaces."""

    def __init__(self, pixel: int, month: int, rows: Sequence[Row]) -> None:
        self.pixel = pixel
        self.month = month
        self.epoch: int | None = rows[-1][9] if rows else None
        self.merged_attempts: set[UUID] = set()
        """Attempts whose rows the merged chunk has; of this partition alone."""
        self.merged: list[tuple[Tag, bytes]] = []
        """The merged chunk that counts, if there is one."""
        self.stale: list[tuple[int, Tag]] = []
        """Kind and tag of chunks that a merge has replaced, or made in vain."""
        originals = []
        for row in rows:
            kind, tag = row[2], Tag(*row[3:6])
            if kind is None:
                continue  # only the static columns are left
            if kind != MERGED:
                originals.append((tag, row[6]))
            # the base of its own row: the page before may be of before the merge
            elif row[8] == tag.attempt:
                self.merged = [(tag, row[6])]
                self.merged_attempts = _attempts(row[7])
            else:
                self.stale.append((MERGED, tag))
        self.originals: dict[Tag, bytes] = {}
        for tag, data in originals:
            if tag.attempt in self.merged_attempts:
                self.stale.append((0, tag))
            else:
                self.originals[tag] = data


def read_partitions(
    session: CassandraSession,
    table: str,
    pixels: Collection[int],
    months: Sequence[int],
) -> list[Partition]:
    """Return the partitions of some pixels and months that have chunks."""
    if not months:
        return []
    found = session.many([(_CHUNKS % table, (pixel, list(months))) for pixel in pixels])
    by_place: dict[tuple[int, int], list[Any]] = {}
    for rows in found:
        for row in rows:
            by_place.setdefault((row[0], row[1]), []).append(row)
    return [Partition(*place, rows) for place, rows in by_place.items()]


class Reading:
    """Reads that see one state.

    Parameters
    ----------
    session, ledger
        Where, and who knows what is stored.
    hidden_visit
        A visit of which nothing is to be seen, `None` for none.
    """

    def __init__(
        self,
        session: CassandraSession,
        ledger: Ledger,
        hidden_visit: int | None = None,
    ) -> None:
        self._session = session
        self._ledger = ledger
        self.hidden_visit = hidden_visit
        self._hidden = (
            set()
            if hidden_visit is None
            else {tag.attempt for tag in ledger.tiles(hidden_visit)}
        )
        self.is_hidden_merged = False
        """Whether rows of the hidden visit are in merged chunks, and so not hidden."""
        self._counted: dict[Tag, bool] = {}
        self._began = time.monotonic()
        self._n_known = ledger.n_known
        self._covered: set[tuple[int, int]] = set()
        """Places and months that were read."""
        self._seen: set[tuple[int, UUID]] = set()
        """Places with the attempts whose chunks were seen there at the first look."""

    def chunks(
        self, table: str, pixels: Collection[int], months: Sequence[int]
    ) -> list[tuple[int, bytes]]:
        """Return pixel and bytes of the chunks that count.

        Raises
        ------
        DatabaseError
            If the reading has lasted so long that a merge may have overtaken it.
        """
        partitions = read_partitions(self._session, table, pixels, months)
        self._check_age()
        for part in partitions:
            self._look_at(part, place_number(table, part.pixel))
        self._covered.update(
            (place_number(table, pixel), month) for pixel in pixels for month in months
        )
        self._decide({tag for part in partitions for tag in part.originals})
        return [
            (part.pixel, data)
            for part in partitions
            for data in [
                *(data for _, data in part.merged),
                *(d for tag, d in part.originals.items() if self._counted[tag]),
            ]
        ]

    def _look_at(self, part: Partition, number: int) -> None:
        self.is_hidden_merged |= not self._hidden.isdisjoint(part.merged_attempts)
        if (number, part.month) not in self._covered:
            self._seen.update((number, tag.attempt) for tag in part.originals)
            self._seen.update((number, a) for a in part.merged_attempts)

    def _check_age(self) -> None:
        limit = self._session.place.merge_age_s
        if limit and time.monotonic() - self._began > limit:
            raise DatabaseError(
                str(self._session.place),
                f"a read took longer than {limit:.0f} s (merge_age_s), after which "
                "merges may overtake it: read less at once",
            )

    def _decide(self, tags: set[Tag]) -> None:
        """Decide for each attempt that is new to this reading whether it counts."""
        new = [tag for tag in tags if tag not in self._counted]
        late = []
        for tag in new:
            if tag.visit_id == self.hidden_visit:
                self._counted[tag] = False
            elif self._ledger.was_known(tag, self._n_known):
                self._counted[tag] = True
            else:
                late.append(tag)
        stored = self._ledger.stored_among(late)
        for tag in late:
            places = stored.get(tag)
            self._counted[tag] = places is not None and self._has_all(tag, places)

    def _has_all(self, tag: Tag, places: Places) -> bool:
        """Tell whether all chunks were seen that an attempt has where was read."""
        return all(
            (number, tag.attempt) in self._seen
            for number in places.numbers
            if (number, month_at(number, places.month)) in self._covered
        )
