"""What an attempt writes, and what forbids it to be stored beside others.

All is written under keys of the attempt's own, in any order; nothing of it counts
before the ledger says so. Then it looks for rivals. Whoever looks later sees what the
other has written, so of two that may not both be stored one always finds the other.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.catalog.id_set import IdSet
from l1db_pipeline.sky.htm import home_pixel
from l1db_pipeline.store.backends.cassandra.ledger import Ledger
from l1db_pipeline.store.backends.cassandra.reading import MERGED, Partition
from l1db_pipeline.store.backends.cassandra.session import CassandraSession, Row
from l1db_pipeline.store.backends.cassandra.tables import (
    CURRENT,
    FORCED,
    SOURCES,
    VERSIONS,
    Tag,
    month_at,
    month_of,
    place_number,
)
from l1db_pipeline.store.errors import (
    DuplicateIdError,
    InvalidCatalogError,
    VersionExistsError,
    some,
)
from l1db_pipeline.store.tables.chunk_group import ChunkGroup
from l1db_pipeline.store.tables.chunks import encode_chunks, group_chunks
from l1db_pipeline.store.tables.layout import HOME_PIXEL, VISIT_ID, VISIT_TIME
from l1db_pipeline.store.tables.packed_objects import IS_KNOWN, PackedObjects
from l1db_pipeline.store.tables.rows import by_pixel_and_object, with_constants
from l1db_pipeline.store.validate import CheckedVisit

__all__ = [
    "NAME_OF",
    "OBJECT_IDS",
    "Attempt",
    "HomelessError",
    "Rivals",
    "ids_of_prefixes",
]

NAME_OF = {
    CURRENT: "DiaObjectLast",
    VERSIONS: "DiaObject",
    SOURCES: "DiaSource",
    FORCED: "DiaForcedSource",
}
"""Whose rows the chunks of a table have."""
OBJECT_IDS, SOURCE_IDS, FORCED_VISITS = range(3)
"""Kinds of ids: of new objects, of sources, of the exposures of forced sources."""
_PREFIX_BITS = 20  # our ids carry the visit above them
_PUT = """INSERT INTO {}%s (pixel, month, kind, visit_id, tile, attempt, n_rows, data)
    VALUES (?, ?, 0, ?, ?, ?, ?, ?) USING TIMESTAMP 1"""
_PUT_IDS = """INSERT INTO {}ids (kind, prefix, visit_id, tile, attempt, month, ids,
    pixels) VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP 1"""
_PUT_STRAY = "INSERT INTO {}strays (pixel, home) VALUES (?, ?)"
_IDS = """SELECT visit_id, tile, attempt, month, ids, pixels FROM {}ids
    WHERE kind = ? AND prefix = ?"""
_SAME_TIME = """SELECT visit_id, tile, attempt FROM {}journal
    WHERE month = ? AND time = ?"""
_KEYS = """SELECT pixel, month, kind, visit_id, tile, attempt, n_rows, tags, base, epoch
    FROM {}%s WHERE pixel = ? AND month = ?"""
_ONE = """SELECT data FROM {}%s WHERE pixel = ? AND month = ? AND kind = ?
    AND visit_id = ? AND tile = ? AND attempt = ?"""

_Ids = NDArray[np.int64]
_Pixels = NDArray[np.int32]


class HomelessError(Exception):
    """An object that was taken for new has been stored meanwhile: look again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A visit's part with the pixel of each row, ready to be written."""

    tag: Tag
    visit: CheckedVisit
    homes: _Pixels
    """Of the objects."""
    is_new: NDArray[np.bool_]
    source_pixels: _Pixels
    forced_pixels: _Pixels

    @property
    def month(self) -> int:
        """That of the visit."""
        return month_of(self.visit.time)

    def _parts(self, packed: PackedObjects) -> Iterator[tuple[str, Catalog, _Pixels]]:
        visit = self.visit
        by_visit = {VISIT_ID: np.int64(visit.key.visit_id)}
        stamps = {**by_visit, VISIT_TIME: visit.time}
        versions = with_constants(
            visit.objects, {"validityStart": visit.time, **by_visit}
        )
        is_known = (~self.is_new).astype(np.int8)
        marked = with_constants(versions, {**stamps, IS_KNOWN: is_known})
        current = packed.kept_of(marked)
        yield CURRENT, current, self.homes
        yield VERSIONS, versions, self.homes
        yield SOURCES, with_constants(visit.sources, stamps), self.source_pixels
        yield FORCED, with_constants(visit.forced, stamps), self.forced_pixels

    def chunks(self, packed: PackedObjects) -> Iterator[tuple[int, tuple[str, Row]]]:
        """Yield each chunk's place, and the statement that writes it."""
        for table, rows, pixels in self._parts(packed):
            if not len(rows):
                continue
            order = by_pixel_and_object(rows, pixels)
            ordered, homes = rows.take(order), pixels[order]
            if table != CURRENT:
                ordered = with_constants(ordered, {HOME_PIXEL: homes})
            for pixel, n_rows, raw in encode_chunks(NAME_OF[table], ordered, homes):
                number = place_number(table, pixel)
                month = month_at(number, self.month)
                values = (pixel, month, *self.tag, n_rows, raw)
                yield number, (_PUT % table, values)

    def ids(self) -> Iterator[tuple[int, _Ids, _Pixels | None]]:
        """Yield kind, ids and homes of what may be stored once only."""
        visit = self.visit
        yield (
            OBJECT_IDS,
            visit.objects["diaObjectId"][self.is_new],
            self.homes[self.is_new],
        )
        yield SOURCE_IDS, visit.sources["diaSourceId"], None
        if len(visit.forced):
            yield FORCED_VISITS, np.unique(visit.forced["ccdVisitId"]), None

    def statements(self, level: int) -> list[tuple[str, Row]]:
        """Return the statements that write ids, and strays at a level of pixels."""
        work: list[tuple[str, Row]] = []
        for kind, given, pixels in self.ids():
            order = np.argsort(given, kind="stable")
            ids = given[order]
            prefixes, starts = np.unique(ids >> _PREFIX_BITS, return_index=True)
            bounds = [*starts.tolist(), len(ids)]
            for place, prefix in enumerate(prefixes.tolist()):
                part = slice(bounds[place], bounds[place + 1])
                homes = None if pixels is None else pixels[order][part].tobytes()
                values = (kind, prefix, *self.tag, self.month, ids[part].tobytes())
                work.append((_PUT_IDS, (*values, homes)))
        now = home_pixel(self.visit.objects["htmId20"], level)
        pairs = {*zip(now.tolist(), self.homes.tolist(), strict=True)}
        strayed = {pair for pair in pairs if pair[0] != pair[1]}
        return [*work, *((_PUT_STRAY, pair) for pair in strayed)]


def ids_of_prefixes(
    session: CassandraSession, kind: int, ids: _Ids
) -> list[tuple[Tag, int, _Ids, _Pixels]]:
    """Return what any attempt has written of ids like some: who, when, ids, homes."""
    prefixes = np.unique(ids >> _PREFIX_BITS).tolist()
    found = session.many([(_IDS, (kind, prefix)) for prefix in prefixes])
    return [
        (
            Tag(*row[:3]),
            row[3],
            np.frombuffer(row[4], dtype="<i8"),
            np.frombuffer(row[5] or b"", dtype="<i4"),
        )
        for rows in found
        for row in rows
    ]


class Rivals:
    """Looks for what forbids an attempt, all of which is written, to be stored."""

    def __init__(
        self, session: CassandraSession, ledger: Ledger, attempt: Attempt
    ) -> None:
        self._session = session
        self._ledger = ledger
        self._attempt = attempt
        self._place = f"visit {attempt.tag.visit_id}"

    def check(self) -> None:
        """Raise what the store of this attempt has to raise, if anything.

        Raises
        ------
        HomelessError
            If a new object has been stored by another.
        VersionExistsError
            If an object has a version of this time.
        DuplicateIdError
            If a source's id is stored.
        GiveWayError
            If one that goes first may be about to store such a thing.
        """
        for kind, ids, _ in self._attempt.ids():
            if len(ids):
                self._check_ids(kind, ids)
            if kind == OBJECT_IDS:
                self._check_times()

    def _others(self, tags: Iterable[Tag]) -> set[Tag]:
        own = self._attempt.tag
        return {
            tag for tag in tags if tag[:2] != own[:2] and not self._ledger.is_dead(tag)
        }

    def _check_ids(self, kind: int, ids: _Ids) -> None:
        wanted = IdSet(ids)
        for tag, month, theirs, _ in ids_of_prefixes(self._session, kind, ids):
            both = theirs[wanted.holds(theirs)]
            if not len(both) or not self._others([tag]):
                continue
            if kind == FORCED_VISITS:
                self._check_forced(tag, month)
            elif self._ledger.is_stored_rival(tag, self._attempt.tag):
                if kind == OBJECT_IDS:
                    raise HomelessError
                raise self._duplicate("DiaSource", f"diaSourceId {some(both.tolist())}")

    def _duplicate(self, table: str, ids: str) -> InvalidCatalogError:
        return DuplicateIdError(
            f"{self._place} {table}",
            f"an id is in the database already ({ids})",
            "give every source an id of its own",
        )

    def _check_forced(self, tag: Tag, month: int) -> None:
        """Look whether another attempt has forced sources of our keys."""
        rows = self._attempt.visit.forced
        ours = {*zip(rows["diaObjectId"].tolist(), rows["ccdVisitId"].tolist(),
                     strict=True)}  # fmt: skip
        pixels = np.unique(self._attempt.forced_pixels).tolist()
        for group in self._chunks_of(FORCED, {tag}, pixels, month):
            theirs = zip(
                group.column("diaObjectId")[0].tolist(),
                group.column("ccdVisitId")[0].tolist(),
                strict=True,
            )
            both = ours.intersection(theirs)
            if both and self._ledger.is_stored_rival(tag, self._attempt.tag):
                object_id, visit = min(both)
                raise self._duplicate(
                    "DiaForcedSource", f"diaObjectId {object_id}, ccdVisitId {visit}"
                )

    def _check_times(self) -> None:
        """Look whether another attempt of the same time has one of our objects."""
        visit, month = self._attempt.visit, self._attempt.month
        if not len(visit.objects):
            return
        at = int(visit.time.astype(np.int64))
        rows = self._session.run(_SAME_TIME, month, at)
        pixels = np.unique(self._attempt.homes).tolist()
        ids = IdSet(visit.objects["diaObjectId"])
        for tag in sorted(self._others(Tag(*row) for row in rows)):
            for group in self._chunks_of(VERSIONS, {tag}, pixels, month):
                theirs = group.column("diaObjectId")[0]
                same = ids.holds(theirs) & (
                    group.column("validityStart")[0] == visit.time
                )
                if same.any() and self._ledger.is_stored_rival(tag, self._attempt.tag):
                    raise VersionExistsError(
                        f"{self._place} DiaObject",
                        f"an object has a version that starts at {visit.time} already "
                        f"(objects {some(theirs[same].tolist())})",
                        "visits and tiles that share an object need different times",
                    )

    def _chunks_of(
        self, table: str, tags: Collection[Tag], pixels: Sequence[int], month: int
    ) -> list[ChunkGroup]:
        """Return the chunks of attempts, and merged ones that have rows of them."""
        keys = self._session.many([(_KEYS % table, (p, month)) for p in pixels])
        attempts = {tag.attempt for tag in tags}
        wanted: list[Row] = []
        for pixel, rows in zip(pixels, keys, strict=True):
            part = Partition(pixel, month, rows)
            wanted += [(pixel, month, 0, *tag) for tag in part.originals if tag in tags]
            if part.merged_attempts & attempts:
                wanted += [(pixel, month, MERGED, *tag) for tag, _ in part.merged]
        found = self._session.many([(_ONE % table, key) for key in wanted])
        if not all(found):  # merged just now: its rows are in another chunk
            return self._chunks_of(table, tags, pixels, month)
        chunks = [(key[0], rows[0][0]) for key, rows in zip(wanted, found, strict=True)]
        return group_chunks(NAME_OF[table], chunks)
