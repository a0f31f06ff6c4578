"""The invariants of an L1 database, and who breaks them.

=================  ==========================================================
Invariant          What must hold
=================  ==========================================================
``ledger counts``  a visit has as many rows in each table as its ledger says
``ledger digest``  and they have the content whose digest the ledger keeps
``visits table``   it has exactly the visits whose last tile is stored
``current``        each object has one current version, its latest one
``validity``       versions of an object follow each other without gap or overlap
``object``         the object of every source is there
``home pixel``     all rows of an object are under one pixel
``position``       ``htmId20`` is that of ``ra`` and ``decl``
``packed``         packed history has exactly what the rows have
``chunk``          every chunk agrees with its checksum, its columns with its rows
``tiers``          merged chunks are marked, and no pixel has more than it may
``filled``         no column holds values or NULLs that the register denies
``time``           every row has the time that the ledger has of its visit
``tile count``     a visit's counter of tiles is the number of those in the ledger
=================  ==========================================================
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.model import Table
from l1db_pipeline.sky.htm import htm_index, radec_to_xyz
from l1db_pipeline.store.backends.database import Condition, Database, Op
from l1db_pipeline.store.base import Finding
from l1db_pipeline.store.digest import TableDigest, digest_by_group, row_hashes
from l1db_pipeline.store.errors import CorruptChunkError, some
from l1db_pipeline.store.ledger import Ledger
from l1db_pipeline.store.tables.history import HistoryTable
from l1db_pipeline.store.tables.last_chunks import IS_KNOWN, LAST_NAME, LastChunks
from l1db_pipeline.store.tables.layout import (
    HOME_PIXEL,
    OWN_COLUMNS,
    VISIT_ID,
    VISIT_TIME,
    Layout,
)
from l1db_pipeline.store.tables.objects import ObjectTables, latest_versions
from l1db_pipeline.store.tables.rows import add_empty_columns, public_columns
from l1db_pipeline.store.tables.tiers import CURRENT_TIERS, HISTORY_TIERS
from l1db_pipeline.store.upkeep.audit import SkyPart, sky_parts
from l1db_pipeline.store.upkeep.steering import (
    check_tiers,
    check_tile_counts,
    check_times,
    read_chunks,
)

__all__ = ["Verifier"]

_Digests = dict[int, TableDigest]
_TABLES = ("objects", "sources", "forcedSources")
_WITHOUT = frozenset({"validityStart", "validityEnd", *OWN_COLUMNS})


class Verifier:
    """Checks every invariant, a part of the sky at a time.

    `findings` gives what is broken; `bad_pixels` then names the pixels whose packed
    history must be rebuilt, by table, and `bad_current` those of current objects.
    """

    def __init__(
        self,
        database: Database,
        layout: Layout,
        objects: ObjectTables,
        histories: Sequence[HistoryTable],
    ) -> None:
        self._database = database
        self._layout = layout
        self._objects = objects
        self._histories = histories
        self._digests: dict[str, _Digests] = {name: {} for name in _TABLES}
        self._tiles: frozenset[tuple[int, str]] = frozenset()
        self._empty: dict[str, set[str]] = {}
        self.bad_current: set[int] = set()
        self.bad_pixels: dict[str, set[int]] = {h.table.name: set() for h in histories}

    @property
    def _is_last_mode(self) -> bool:
        return not (self._layout.last is None and self._layout.packed_last is None)

    def findings(self) -> Iterator[Finding]:
        """Yield every broken invariant."""
        yield from self._check_filled()
        entries = Ledger(self._database, self._layout).entries()
        yield from check_tile_counts(self._database, self._layout, entries)
        self._tiles = frozenset(
            zip(entries["visitId"].tolist(), entries["tile"].tolist(), strict=True)
        )
        for part in sky_parts(self._database, self._layout):
            versions = self._read_versions(part)
            self._add_digests("objects", versions)
            yield from self._check_positions(self._layout.objects, versions)
            yield from check_times("DiaObject", "validityStart", versions, entries)
            yield from self._check_validity(versions)
            yield from self._check_current(part, versions)
            for name, history in zip(_TABLES[1:], self._histories, strict=True):
                rows = self._read_all(history.table, part)
                self._add_digests(name, rows)
                yield from self._check_positions(history.table, rows)
                yield from check_times(history.table.name, VISIT_TIME, rows, entries)
                yield from self._check_objects(history.table, versions, rows)
                yield from self._check_packed(history, part, rows)
        yield from self._check_tiers()
        yield from self._check_ledger(entries)

    def _check_tiers(self) -> Iterator[Finding]:
        for history in self._histories:
            if history.packed is None:
                continue
            found = check_tiers(self._database, history.packed, HISTORY_TIERS)
            for pixel, finding in found:
                self.bad_pixels[history.table.name].add(pixel)
                yield finding
        last = self._layout.packed_last
        if last is not None:
            found = check_tiers(self._database, last.chunks, CURRENT_TIERS)
            for pixel, finding in found:
                self.bad_current.add(pixel >> last.shift)
                yield finding

    def _read_all(self, table: Table, part: SkyPart) -> Catalog:
        """Return all columns; those without any value are not asked for."""
        names = [n for n in table.names if n not in self._empty[table.name]]
        rows = self._database.select(table, names, [part.condition])
        return add_empty_columns(table, rows, table.names)

    def _read_versions(self, part: SkyPart) -> Catalog:
        tables = self._objects.version_tables
        return Catalog.concat([self._read_all(table, part) for table in tables])

    def _add_digests(self, name: str, rows: Catalog) -> None:
        hashes = row_hashes(rows, without=_WITHOUT)
        total = self._digests[name]
        for visit_id, digest in digest_by_group(hashes, rows[VISIT_ID]).items():
            total[visit_id] = total.get(visit_id, TableDigest()) + digest

    def _check_filled(self) -> Iterator[Finding]:
        register = self._database.select(self._layout.filled, self._layout.filled.names)
        known = set(
            zip(register["tableName"], register["columnName"],
                register["hasNulls"].tolist(), strict=True)
        )  # fmt: skip
        tables = [*self._objects.version_tables, *(h.table for h in self._histories)]
        if self._layout.last is not None:
            tables.append(self._layout.last)
        for table in tables:
            unregistered = [
                column.name
                for column in table.columns
                if column.nullable and (table.name, column.name, 0) not in known
            ]
            counts = self._database.count_values(table, unregistered)
            self._empty[table.name] = {
                name for name, n in zip(unregistered, counts, strict=True) if not n
            }
            null_free = [
                column.name
                for column in table.columns
                if column.nullable and (table.name, column.name, 1) not in known
            ]
            n_rows = self._database.count(table)
            with_value = self._database.count_values(table, null_free)
            for name, n_values in zip(null_free, with_value, strict=True):
                if n_values < n_rows:
                    yield Finding(
                        invariant="filled",
                        where=f"{table.name}.{name}",
                        detail="holds a NULL, but is registered as without",
                    )
            for name, n_values in zip(unregistered, counts, strict=True):
                if n_values:
                    yield Finding(
                        invariant="filled",
                        where=f"{table.name}.{name}",
                        detail="holds values, but is registered as empty",
                    )

    def _check_positions(self, table: Table, rows: Catalog) -> Iterator[Finding]:
        if "htmId20" not in rows or "ra" not in rows or not len(rows):
            return
        expected = htm_index(radec_to_xyz(rows["ra"], rows["decl"]))
        bad = np.flatnonzero(expected != rows["htmId20"])
        if len(bad):
            ids = rows[_id_of(table)][bad]
            yield Finding(
                invariant="position",
                where=f"{table.name} {_id_of(table)} {some(ids.tolist())}",
                detail=f"htmId20 is not that of ra and decl in {len(bad)} rows",
            )

    def _check_validity(self, versions: Catalog) -> Iterator[Finding]:
        if not len(versions):
            return
        ids, starts = versions["diaObjectId"], versions["validityStart"]
        order = np.lexsort((starts, ids))
        ids, starts = ids[order], starts[order]
        ends = versions["validityEnd"][order]
        is_open = versions.null_mask("validityEnd")[order]
        has_next = np.append(ids[1:] == ids[:-1], np.False_)
        following = np.append(starts[1:], starts[-1:])
        twice = has_next & (following == starts)
        yield from _report("validity", "two versions start at one time", ids, twice)
        if self._is_last_mode:
            yield from _report(
                "validity", "has an end, which this index mode derives", ids, ~is_open
            )
            return
        gap = has_next & ~is_open & (ends < following)
        overlap = has_next & ~twice & (is_open | (ends > following))
        yield from _report("validity", "a gap follows a version", ids, gap)
        yield from _report("validity", "a version overlaps the next", ids, overlap)
        yield from _report("current", "no version is open", ids, ~has_next & ~is_open)

    def _check_current(self, part: SkyPart, versions: Catalog) -> Iterator[Finding]:
        pixels, ids = versions[HOME_PIXEL], versions["diaObjectId"]
        order = np.lexsort((pixels, ids))
        split = (ids[order][1:] == ids[order][:-1]) & (
            pixels[order][1:] != pixels[order][:-1]
        )
        yield from _report(
            "home pixel", "versions under several pixels", ids[order][1:], split
        )
        if not self._is_last_mode:
            return
        latest = latest_versions(versions)
        try:
            found = list(self._check_latest(part, latest))
            found += self._check_current_chunks(part, versions)
        except CorruptChunkError as error:
            found = [Finding(
                invariant="chunk", where=error.where, detail=error.problem
            )]  # fmt: skip
        if found:
            self.bad_current.update(part.pixels.tolist())
        yield from found

    def _check_latest(self, part: SkyPart, latest: Catalog) -> Iterator[Finding]:
        names = [name for name in public_columns(self._layout.current)
                 if name in latest and name != "validityEnd"]  # fmt: skip
        last = self._objects.current.in_pixels(part.pixels, names)
        ids, last_ids = latest["diaObjectId"], last["diaObjectId"]
        missing = ~np.isin(ids, last_ids)
        yield from _report("current", "not in DiaObjectLast", ids, missing)
        lone = ~np.isin(last_ids, ids)
        yield from _report(
            "current", "in DiaObjectLast without any version", last_ids, lone
        )
        theirs = _sorted_by_id(last.take(~lone)).select(names)
        ours = latest.take(~missing).select(names)
        if len(ours) != len(theirs):
            _, counts = np.unique(last_ids, return_counts=True)
            twice = np.unique(last_ids)[counts > 1]
            every = np.ones(len(twice), dtype=np.bool_)
            yield from _report("current", "twice in DiaObjectLast", twice, every)
            return
        stale = row_hashes(ours) != row_hashes(theirs)
        yield from _report(
            "current",
            "DiaObjectLast differs from the latest version",
            ours["diaObjectId"],
            stale,
        )
        chunks = self._objects.current
        if isinstance(chunks, LastChunks):
            yield from self._check_homes(chunks, part, latest)

    def _check_current_chunks(
        self, part: SkyPart, versions: Catalog
    ) -> Iterator[Finding]:
        """Check all rows of current objects, those too that others supersede."""
        chunks = self._objects.current
        if not isinstance(chunks, LastChunks):
            return
        here, first = chunks.of_history(part.pixels), [np.empty(0, dtype=np.int64)]
        names = [name for name in public_columns(self._layout.current)
                 if name in versions and name != "validityEnd"]  # fmt: skip
        known = row_hashes(versions.select(names))
        for rows, wrong in read_chunks(
            self._database, chunks.table, LAST_NAME, here, self._tiles
        ):
            yield from wrong
            first.append(rows["diaObjectId"][rows[IS_KNOWN] == 0])
            said = row_hashes(rows.select([name for name in names if name in rows]))
            yield from _report(
                "current", "a row is not one of its versions", rows["diaObjectId"],
                ~np.isin(said, known),
            )  # fmt: skip
        ids, counts = np.unique(np.concatenate(first), return_counts=True)
        yield from _report(
            "current", "several rows are marked as its first", ids, counts > 1
        )

    def _check_homes(
        self, chunks: LastChunks, part: SkyPart, latest: Catalog
    ) -> Iterator[Finding]:
        ids, homes = latest["diaObjectId"], chunks.homes_in(part.pixels)
        wrong = ~np.isin(ids, homes.ids)
        yield from _report("current", "its home is not registered", ids, wrong)
        lone = ~np.isin(homes.ids, ids)
        yield from _report("current", "has a home but no version", homes.ids, lone)
        lost = chunks.unregistered_strays(latest, homes)
        yield from _report(
            "current", "is out of its home, unregistered", ids, np.isin(ids, lost)
        )

    @staticmethod
    def _check_objects(
        table: Table, versions: Catalog, rows: Catalog
    ) -> Iterator[Finding]:
        has_object = ~rows.null_mask("diaObjectId")
        ids = rows["diaObjectId"]
        orphan = has_object & ~np.isin(ids, versions["diaObjectId"])
        yield from _report(
            "object",
            f"{table.name} refers to an object that is not in its home pixel",
            ids,
            orphan,
        )
        if not len(versions):
            return
        known, first = np.unique(versions["diaObjectId"], return_index=True)
        places = np.minimum(np.searchsorted(known, ids), len(known) - 1)
        homes = versions[HOME_PIXEL][first][places]
        moved = has_object & ~orphan & (rows[HOME_PIXEL] != homes)
        yield from _report(
            "home pixel", f"{table.name} is not under its object's pixel", ids, moved
        )

    def _check_packed(
        self, history: HistoryTable, part: SkyPart, rows: Catalog
    ) -> Iterator[Finding]:
        name, packed = history.table.name, history.packed
        if packed is None:
            return
        bad = self.bad_pixels[name]
        found: dict[tuple[int, int], TableDigest] = {}
        for pixel in part.pixels.tolist():
            try:
                where = Condition("pixel", Op.EQUAL, pixel)
                read = read_chunks(self._database, packed, name, where, self._tiles)
                chunks = list(read)
            except CorruptChunkError as error:
                bad.add(pixel)
                yield Finding(
                    invariant="chunk", where=error.where, detail=error.problem
                )
                continue
            for held, wrong in chunks:
                if wrong:
                    bad.add(pixel)
                    yield from wrong
                hashes = row_hashes(held, without=(HOME_PIXEL,))
                for visit, digest in digest_by_group(hashes, held[VISIT_ID]).items():
                    total = found.get((pixel, visit), TableDigest())
                    found[pixel, visit] = total + digest
        expected = _by_pixel_and_visit(rows)
        for pixel, visit in sorted(expected.keys() | found.keys()):
            if pixel in bad:
                continue
            if expected.get((pixel, visit)) != found.get((pixel, visit)):
                bad.add(pixel)
                yield Finding(
                    invariant="packed",
                    where=f"{name} pixel {pixel} visit {visit}",
                    detail="packed history differs from the rows",
                )

    def _check_ledger(self, entries: Catalog) -> Iterator[Finding]:
        expected: dict[str, _Digests] = {name: {} for name in _TABLES}
        for place, visit_id in enumerate(entries["visitId"].tolist()):
            for name in _TABLES:
                digest = TableDigest.parse(str(entries[name][place]))
                total = expected[name].get(visit_id, TableDigest())
                expected[name][visit_id] = total + digest
        for name in _TABLES:
            found = self._digests[name]
            for visit_id in sorted(expected[name].keys() | found.keys()):
                yield from _compare(
                    visit_id,
                    name,
                    expected[name].get(visit_id),
                    found.get(visit_id, TableDigest()),
                )
        yield from self._check_visits(entries)

    def _check_visits(self, entries: Catalog) -> Iterator[Finding]:
        visits = self._database.select(self._layout.visits, ["visitId", "visitTime"])
        present = dict(
            zip(visits["visitId"].tolist(), visits["visitTime"].tolist(), strict=True)
        )
        wanted = {}
        ids = entries["visitId"]
        for visit_id in np.unique(ids).tolist():
            places = np.flatnonzero(ids == visit_id)
            if entries["nTiles"][places[0]] == 0:
                present.pop(visit_id, None)  # its end is told, not counted
            elif len(places) == entries["nTiles"][places[0]]:
                wanted[visit_id] = entries["visitTime"][places[0]].item()
        for visit_id in sorted(wanted.keys() | present.keys()):
            if wanted.get(visit_id) != present.get(visit_id):
                yield Finding(
                    invariant="visits table",
                    where=f"visit {visit_id}",
                    detail=(
                        f"the visits table says {present.get(visit_id)}, "
                        f"the ledger {wanted.get(visit_id)}"
                    ),
                )


def _compare(
    visit_id: int, name: str, expected: TableDigest | None, found: TableDigest
) -> Iterator[Finding]:
    where = f"visit {visit_id} {name}"
    if expected is None:
        yield Finding(
            invariant="ledger counts",
            where=where,
            detail=f"{found.n_rows} rows of a visit that the ledger lacks",
        )
    elif expected.n_rows != found.n_rows:
        yield Finding(
            invariant="ledger counts",
            where=where,
            detail=f"{found.n_rows} rows, the ledger says {expected.n_rows}",
        )
    elif expected != found:
        yield Finding(
            invariant="ledger digest",
            where=where,
            detail="the rows have other content than was stored",
        )


def _by_pixel_and_visit(rows: Catalog) -> dict[tuple[int, int], TableDigest]:
    pairs = np.stack([rows[HOME_PIXEL].astype(np.int64), rows[VISIT_ID]], axis=1)
    keys, groups = np.unique(pairs, axis=0, return_inverse=True)
    hashes = row_hashes(rows, without=(HOME_PIXEL,))
    by_group = digest_by_group(hashes, groups.astype(np.int64).ravel())
    return {
        (int(keys[group, 0]), int(keys[group, 1])): digest
        for group, digest in by_group.items()
    }


def _sorted_by_id(rows: Catalog) -> Catalog:
    return rows.take(np.argsort(rows["diaObjectId"]))


def _id_of(table: Table) -> str:
    return "diaSourceId" if "diaSourceId" in table else "diaObjectId"


def _report(
    invariant: str, detail: str, ids: NDArray[np.int64], bad: NDArray[np.bool_]
) -> Iterator[Finding]:
    if bad.any():
        found = np.unique(ids[bad]).tolist()
        yield Finding(
            invariant=invariant,
            where=f"diaObjectId {some(found)}",
            detail=f"{detail} ({len(found)} objects)",
        )
