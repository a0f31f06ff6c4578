"""Digests of what can be read, and checks of what tables state of one another."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.model import Table
from l1db_pipeline.sky.htm import home_pixel
from l1db_pipeline.store.backends.cassandra.journal import Journal, StoredPart
from l1db_pipeline.store.backends.cassandra.ledger import OPEN, Ledger
from l1db_pipeline.store.backends.cassandra.merging import partitions_of
from l1db_pipeline.store.backends.cassandra.reading import Reading
from l1db_pipeline.store.backends.cassandra.session import CassandraSession
from l1db_pipeline.store.backends.cassandra.tables import (
    CHUNK_TABLES,
    CURRENT,
    FORCED,
    SAVED,
    SOURCES,
    TABLES,
    VERSIONS,
    Tag,
    month_of,
)
from l1db_pipeline.store.backends.cassandra.writing import NAME_OF, OBJECT_IDS
from l1db_pipeline.store.base import Finding, Verification
from l1db_pipeline.store.digest import TableDigest, digest_by_group, row_hashes
from l1db_pipeline.store.errors import CorruptChunkError, some
from l1db_pipeline.store.tables.chunk_group import ChunkGroup
from l1db_pipeline.store.tables.chunks import group_chunks
from l1db_pipeline.store.tables.history import TimeWindow, rows_of
from l1db_pipeline.store.tables.layout import OWN_COLUMNS, VISIT_ID, VISIT_TIME, Layout
from l1db_pipeline.store.tables.objects import latest_versions, with_ends
from l1db_pipeline.store.tables.packed_objects import PackedObjects
from l1db_pipeline.store.tables.rows import add_empty_columns, public_columns

__all__ = ["Prover", "table_bytes"]

_NOT_GIVEN = (*OWN_COLUMNS, "validityStart", "validityEnd")
"""Columns that the store sets: a visit's digest has none."""
_HISTORY = (VERSIONS, SOURCES, FORCED)
_HOMES = "SELECT kind, visit_id, tile, attempt, ids, pixels FROM {}ids"
_SIZES = (
    "SELECT table_name, mebibytes FROM system_views.disk_usage WHERE keyspace_name = ?"
)
_MIB = 1 << 20


def table_bytes(session: CassandraSession) -> dict[str, int]:
    """Return the size of each table on the node that is asked, in whole MiB."""
    sizes = dict.fromkeys(TABLES, 0)
    for name, mebibytes in session.run(_SIZES, session.place.keyspace):
        if name in sizes:
            sizes[name] = int(mebibytes) * _MIB
    return sizes


class Prover:
    """Reads everything, pixel after pixel.

    Parameters
    ----------
    session, ledger, journal, reading, layout, packed
        Of the store; ``reading`` begins a reading.
    window, scope
        Which visits are verified, and who receives what was proved.
    """

    def __init__(
        self,
        session: CassandraSession,
        ledger: Ledger,
        journal: Journal,
        reading: Callable[[], Reading],
        *,
        layout: Layout,
        packed: PackedObjects,
        window: TimeWindow,
        scope: Verification,
    ) -> None:
        self._session = session
        self._ledger = ledger
        self._journal = journal
        self._reading = reading
        self._layout = layout
        self._packed = packed
        self._window = window
        self._scope = scope
        self._tables: Mapping[str, Table] = {
            VERSIONS: layout.objects, SOURCES: layout.sources, FORCED: layout.forced
        }  # fmt: skip

    def _pixels(self) -> dict[int, dict[str, list[int]]]:
        """Return the months of each table for each pixel that has any."""
        found: dict[int, dict[str, list[int]]] = defaultdict(dict)
        for table in CHUNK_TABLES:
            for pixel, month in partitions_of(self._session, table):
                found[pixel].setdefault(table, []).append(month)
        return dict(sorted(found.items()))

    def _groups(
        self, reading: Reading, table: str, pixel: int, months: Sequence[int]
    ) -> list[ChunkGroup]:
        return group_chunks(NAME_OF[table], reading.chunks(table, [pixel], months))

    def science_digest(self) -> dict[str, str]:
        """Digest what can be read, as the other backends do."""
        layout = self._layout
        current = [name for name in public_columns(layout.current)
                   if name in layout.current_names]  # fmt: skip
        totals = {name: TableDigest() for name in (
            "versions", "objects", "DiaSource", "DiaForcedSource")}  # fmt: skip
        for pixel, tables in self._pixels().items():
            reading = self._reading()
            for table, months in tables.items():
                groups = self._groups(reading, table, pixel, months)
                if not groups:
                    continue
                if table == CURRENT:
                    rows = self._packed.current(groups, current)[0]
                    totals["objects"] += TableDigest.of(rows)
                    continue
                of_table = self._tables[table]
                names = public_columns(of_table)
                rows = add_empty_columns(of_table, rows_of(of_table, groups)[0], names)
                if table == VERSIONS:
                    totals["versions"] += TableDigest.of(with_ends(rows))
                else:
                    totals[NAME_OF[table]] += TableDigest.of(rows)
        return {name: str(total) for name, total in totals.items()}

    def findings(self, *, repair: bool) -> Iterator[Finding]:
        """Yield every broken invariant; with ``repair`` give abandoned claims up."""
        months = self._journal.months_of(self._window)
        stored = [p for p in self._journal.stored(months) if self._holds(p)]
        yield from self._check_entries(stored)
        homes = self._stored_homes()
        sums: dict[tuple[str, int], TableDigest] = defaultdict(TableDigest)
        pixels = self._pixels()
        for n_done, (pixel, tables) in enumerate(pixels.items(), 1):
            try:
                yield from self._check_pixel(pixel, tables, homes, sums)
            except CorruptChunkError as error:
                yield _finding("chunk", f"pixel {pixel}", error.problem)
            if self._scope.progress is not None:
                self._scope.progress(n_done, len(pixels))
        yield from self._check_sums(stored, sums)
        yield from self._check_claims(repair=repair)

    def _holds(self, part: StoredPart) -> bool:
        time = np.array([part.time_us], dtype="datetime64[us]")
        return bool(self._window.holds(time)[0])

    def _prove(self, invariant: str, number: int) -> None:
        proved = self._scope.proved
        proved[invariant] = proved.get(invariant, 0) + number

    def _check_entries(self, stored: Sequence[StoredPart]) -> Iterator[Finding]:
        """Compare the journal and the list of parts with the ledger."""
        self._prove("ledger entries", len(stored))
        for part in stored:
            where = f"visit {part.visit_id} tile {part.tile!r}"
            entry = self._ledger.entry(part.visit_id, part.tile)
            if entry is None or entry.attempt != part.attempt:
                yield _finding("ledger", where, "the journal has it, the ledger not")
                continue
            words = entry.content.split()
            time = np.datetime64(part.time_us, "us")
            counts = (part.versions, part.sources, part.forced)
            said = [TableDigest.parse(word).n_rows for word in words[-3:]]
            if (
                words[:2] != [str(time), str(part.n_tiles)]
                or said != list(counts)
                or part.month != month_of(time)
                or (part.tile != SAVED and entry.places.month != part.month)
                or entry.new_objects != part.new_objects
            ):
                yield _finding("journal", where, "the ledger has other time or counts")
            listed = self._ledger.tiles(part.visit_id)
            if listed.get(part.tag) != (part.time_us, part.n_tiles):
                yield _finding("parts", where, "is not listed, or with another time")

    def _stored_homes(self) -> dict[int, int]:
        rows = [row for row in self._session.run(_HOMES) if row[0] == OBJECT_IDS]
        stored = self._ledger.stored_tags({Tag(*row[1:4]) for row in rows})
        homes: dict[int, int] = {}
        for row in rows:
            if Tag(*row[1:4]) in stored:
                ids = np.frombuffer(row[4], dtype="<i8").tolist()
                pixels = np.frombuffer(row[5] or b"", dtype="<i4").tolist()
                homes.update(zip(ids, pixels, strict=True))
        return homes

    def _check_pixel(
        self,
        pixel: int,
        tables: Mapping[str, Sequence[int]],
        homes: Mapping[int, int],
        sums: dict[tuple[str, int], TableDigest],
    ) -> Iterator[Finding]:
        reading = self._reading()
        where = f"pixel {pixel}"
        versions: list[Catalog] = []
        for table in _HISTORY:
            of_table = self._tables[table]
            for month in tables.get(table, ()):
                groups = self._groups(reading, table, pixel, [month])
                if not groups:
                    continue
                rows = add_empty_columns(
                    of_table, rows_of(of_table, groups)[0], of_table.names
                )
                yield from self._check_month(table, where, month, rows)
                yield from _check_homes(table, where, pixel, rows, homes)
                hashes = row_hashes(rows, without=_NOT_GIVEN)
                for visit, total in digest_by_group(hashes, rows[VISIT_ID]).items():
                    sums[table, visit] += total
                self._prove(NAME_OF[table], len(rows))
                if table == VERSIONS:
                    versions.append(rows)
        yield from self._check_current(reading, pixel, versions)

    def _check_month(
        self, table: str, where: str, month: int, rows: Catalog
    ) -> Iterator[Finding]:
        times = rows["validityStart" if table == VERSIONS else VISIT_TIME]
        months = times.astype("M8[M]").astype(np.int64)
        if (months != month).any():
            yield _finding(
                "month", f"{where} {NAME_OF[table]}", f"rows of other months in {month}"
            )

    def _check_current(
        self, reading: Reading, pixel: int, versions: Sequence[Catalog]
    ) -> Iterator[Finding]:
        """Compare current objects with the latest versions, and find lost strays."""
        layout, where = self._layout, f"pixel {pixel}"
        names = [n for n in public_columns(layout.current)
                 if n in layout.current_names and n != "validityEnd"]  # fmt: skip
        groups = self._groups(reading, CURRENT, pixel, [0])
        current = self._packed.current(groups, names)[0]
        self._prove("current", len(current))
        every = Catalog.concat(versions) if versions else None
        latest = None if every is None else latest_versions(every).select(names)
        wanted = TableDigest() if latest is None else TableDigest.of(latest)
        if TableDigest.of(current) != wanted:
            yield _finding("current", where, "differs from the latest versions")
        if latest is None:
            return
        level = _level_of(self._layout)
        now = {*home_pixel(latest["htmId20"], level).tolist()} - {pixel}
        text = "SELECT home FROM {}strays WHERE pixel = ?"
        found = self._session.many([(text, (other,)) for other in now])
        for other, rows in zip(now, found, strict=True):
            if pixel not in {row[0] for row in rows}:
                yield _finding(
                    "strays", where, f"objects in {other} are not registered"
                )

    def _check_sums(
        self,
        stored: Sequence[StoredPart],
        sums: Mapping[tuple[str, int], TableDigest],
    ) -> Iterator[Finding]:
        wanted: dict[tuple[str, int], TableDigest] = defaultdict(TableDigest)
        for part in stored:
            entry = self._ledger.entry(part.visit_id, part.tile)
            if entry is not None:
                words = entry.content.split()[-3:]
                for table, word in zip(_HISTORY, words, strict=True):
                    wanted[table, part.visit_id] += TableDigest.parse(word)
        visits = {part.visit_id for part in stored}
        self._prove("digest", len(visits))
        is_all = self._window == TimeWindow()
        for table, visit in sorted(sums.keys() | wanted.keys()):
            if not is_all and visit not in visits:
                continue
            found = sums.get((table, visit), TableDigest())
            if found != wanted.get((table, visit), TableDigest()):
                yield _finding(
                    "digest", f"visit {visit} {NAME_OF[table]}",
                    f"{found.n_rows} rows differ from what was stored",
                )  # fmt: skip

    def _check_claims(self, *, repair: bool) -> Iterator[Finding]:
        """Find parts that were claimed and left; they count for nothing."""
        rows = self._session.run("SELECT visit_id, tile, state, attempt FROM {}ledger")
        for visit_id, tile, state, attempt in sorted(rows):
            if state != OPEN:
                continue
            tag = Tag(visit_id, tile, attempt)
            yield _finding(
                "open claim", f"visit {visit_id} tile {tile!r}",
                "is being stored, or its writer has died",
                repaired=repair and not self._ledger.wait_for(tag),
            )  # fmt: skip


def _finding(
    invariant: str, where: str, detail: str, *, repaired: bool = False
) -> Finding:
    return Finding(invariant=invariant, where=where, detail=detail, repaired=repaired)


def _level_of(layout: Layout) -> int:
    """Return the HTM level of pixels."""
    last = layout.packed_last
    return 0 if last is None else last.level - last.shift // 2


def _check_homes(
    table: str,
    where: str,
    pixel: int,
    rows: Catalog,
    homes: Mapping[int, int],
) -> Iterator[Finding]:
    """Find rows of an object that lie where its home is not."""
    known: NDArray[np.int64] = rows["diaObjectId"][~rows.null_mask("diaObjectId")]
    wrong = [i for i in np.unique(known).tolist() if homes.get(i) != pixel]
    if wrong:
        yield _finding(
            "home", f"{where} {NAME_OF[table]}",
            f"the home of objects {some(wrong)} is not here",
        )  # fmt: skip
