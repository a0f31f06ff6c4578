"""The invariants of an L1 database, and who breaks them.

=================  ==========================================================
Invariant          What must hold
=================  ==========================================================
``ledger counts``  a visit has as many rows in each table as its ledger says
``ledger digest``  and they have the content whose digest the ledger keeps, with
                   what the journal says that updates have changed
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
``ledger entries`` the tiles of a visit agree on its time and number of tiles
``settings``       the options are those with which the tables were made
``timings``        they are of visits in the ledger, without a step missing
``expiry``         before the horizon is what was valid then, and nothing else
``duplicate``      no two visits have made objects of one place, see `duplicates`
``images``         the register has the images of all sources, and no others
``strays``         a source out of its home pixel is registered
=================  ==========================================================
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.catalog.id_set import IdSet
from l1db_pipeline.schema.model import Table
from l1db_pipeline.sky.htm import htm_index, radec_to_xyz
from l1db_pipeline.store.backends.database import Condition, Database, Op
from l1db_pipeline.store.base import Finding, Verification
from l1db_pipeline.store.digest import TableDigest, digest_by_group, row_hashes
from l1db_pipeline.store.errors import CorruptChunkError, some
from l1db_pipeline.store.ledger import Ledger
from l1db_pipeline.store.made_with import MadeWith
from l1db_pipeline.store.tables.history import HistoryTable, TimeWindow
from l1db_pipeline.store.tables.last_chunks import LAST_NAME, LastChunks
from l1db_pipeline.store.tables.layout import (
    HOME_PIXEL,
    NOT_DIGESTED,
    VISIT_ID,
    VISIT_TIME,
    Layout,
)
from l1db_pipeline.store.tables.objects import ObjectTables, latest_versions
from l1db_pipeline.store.tables.packed_objects import IS_KNOWN
from l1db_pipeline.store.tables.rows import add_empty_columns, public_columns
from l1db_pipeline.store.tables.tiers import CURRENT_TIERS, HISTORY_TIERS
from l1db_pipeline.store.upkeep.audit import SkyPart, sky_parts
from l1db_pipeline.store.upkeep.daytime_checks import DaytimeChecks
from l1db_pipeline.store.upkeep.duplicates import find_duplicates
from l1db_pipeline.store.upkeep.expire import Retention
from l1db_pipeline.store.upkeep.expiry_checks import ExpiryChecks
from l1db_pipeline.store.upkeep.ledger_checks import check_digests, check_visits
from l1db_pipeline.store.upkeep.registers import (
    ProvedColumns,
    check_entries,
    check_filled,
    check_made_with,
    check_timings,
)
from l1db_pipeline.store.upkeep.steering import (
    CorruptPixel,
    ReadChunks,
    check_tiers,
    check_tile_counts,
    check_times,
    digests_of_rows,
    read_chunks,
)
from l1db_pipeline.store.upkeep.validity import check_validity, report

__all__ = ["Verifier"]

_Digests = dict[int, TableDigest]
_TABLES = ("objects", "sources", "forcedSources")


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
        *,
        made_with: MadeWith,
        retention: Retention,
        window: TimeWindow,
        scope: Verification,
    ) -> None:
        self._made_with = made_with
        self._daytime = DaytimeChecks.of(database, layout, objects.history_level)
        self._science_tables = [layout.objects, *(h.table for h in histories)]
        self._retention = retention
        self._window = window
        self._is_whole = window == TimeWindow()
        self._scope = scope
        self._database = database
        self.layout = layout
        self.objects = objects
        self.histories = histories
        self._digests: dict[str, _Digests] = {name: {} for name in _TABLES}
        self._tiles: frozenset[tuple[int, str]] = frozenset()
        self._visits: frozenset[int] = frozenset()
        self._columns = ProvedColumns()
        self.bad_current: set[int] = set()
        self.bad_pixels: dict[str, set[int]] = {h.table.name: set() for h in histories}

    @property
    def _is_last_mode(self) -> bool:
        return not (self.layout.last is None and self.layout.packed_last is None)

    def findings(self) -> Iterator[Finding]:
        """Yield every broken invariant."""
        self._expiry = ExpiryChecks(self._retention)
        ledger = Ledger(self._database, self.layout).entries()
        self._tiles = frozenset(
            zip(ledger["visitId"].tolist(), ledger["tile"].tolist(), strict=True)
        )
        entries = ledger.take(self._window.holds(ledger["visitTime"]))
        if self._is_whole:
            yield from self._check_registers(entries)
        yield from self._prove("ledger entries", len(entries), check_entries(entries))
        # those that were merged may hold other visits, too
        self._visits = frozenset(entries["visitId"].tolist())
        parts = list(sky_parts(self._database, self.layout, self._window))
        for n_done, part in enumerate(parts, 1):
            yield from self._check_part(part, entries)
            if self._scope.progress is not None:
                self._scope.progress(n_done, len(parts))
        if self._is_whole:
            yield from self._check_tiers()
            since = self._expiry.horizon
            yield from find_duplicates(self._database, self.layout, self.objects, since)
            yield from self._expiry.check_kept(entries, self._digests["objects"])
        known = {visit for visit, _ in self._tiles}
        if self._daytime is not None:
            if self._is_whole:
                yield from self._daytime.check_images()
            for name, table in zip(_TABLES, self._science_tables, strict=True):
                for unit, change in self._daytime.changes(table).items():
                    found = self._digests[name]
                    found[unit] = found.get(unit, TableDigest()) - change
        for name, found in self._digests.items():
            expected = self._expiry.expected(name, entries)
            wrong = check_digests(name, expected, found, known)
            yield from self._prove(f"ledger of {name}", len(entries), wrong)
        visits = check_visits(self._database, self.layout, entries, self._window)
        yield from self._prove("visits table", len(entries), visits)

    def _check_registers(self, entries: Catalog) -> Iterator[Finding]:
        """Check what all visits share, and no row says the time of."""
        database, layout = self._database, self.layout
        yield from self._prove("settings", 1, check_made_with(self._made_with))
        yield from self._check_filled()
        counts = check_tile_counts(database, layout, entries)
        yield from self._prove("tile count", len(entries), counts)
        timings = check_timings(database, layout, self._tiles)
        yield from self._prove("timings", database.count(layout.timings), timings)

    def _check_part(self, part: SkyPart, entries: Catalog) -> Iterator[Finding]:
        versions = self._read_versions(part)
        yield from self._check_rows(
            "objects", self.layout.objects, "validityStart", versions, entries
        )
        if self._is_whole:
            n_versions = len(versions)
            validity = check_validity(versions, derives_ends=self._is_last_mode)
            yield from self._prove("validity", n_versions, validity)
            ended = self._expiry.check_superseded(versions)
            yield from self._prove("expiry", n_versions, ended)
            current = self._check_current(part, versions)
            yield from self._prove("current", n_versions, current)
        for name, history in zip(_TABLES[1:], self.histories, strict=True):
            table = history.table
            rows = self._read_all(table, part, VISIT_TIME)
            yield from self._check_rows(name, table, VISIT_TIME, rows, entries)
            owners = (
                self._check_objects(table, versions, rows)
                if self._is_whole
                else self._check_owners(table, rows)
            )
            yield from self._prove("object", len(rows), owners)
            yield from self._check_packed(history, part, rows)
            if self._daytime is not None:
                yield from self._daytime.check(table, rows)

    def _check_rows(
        self, name: str, table: Table, time: str, rows: Catalog, entries: Catalog
    ) -> Iterator[Finding]:
        self._add_digests(name, rows)
        positions = self._check_positions(table, rows)
        if "htmId20" in rows:
            yield from self._prove("position", len(rows), positions)
        times = check_times(table.name, time, rows, entries)
        yield from self._prove("time", len(rows), times)

    def _prove(
        self, invariant: str, n_tried: int, findings: Iterable[Finding]
    ) -> Iterator[Finding]:
        """Yield findings, and count on how much an invariant was tried."""
        yield from findings
        proved = self._scope.proved
        proved[invariant] = proved.get(invariant, 0) + n_tried

    def _check_tiers(self) -> Iterator[Finding]:
        for history in self.histories:
            if history.packed is None:
                continue
            found = check_tiers(self._database, history.packed, HISTORY_TIERS)
            for pixel, finding in found:
                self.bad_pixels[history.table.name].add(pixel)
                yield finding
        last = self.layout.packed_last
        if last is not None:
            found = check_tiers(self._database, last.chunks, CURRENT_TIERS)
            for pixel, finding in found:
                self.bad_current.add(pixel >> last.shift)
                yield finding

    def _read_all(self, table: Table, part: SkyPart, time: str) -> Catalog:
        """Return all columns; those without any value are not asked for."""
        empty = self._columns.empty.get(table.name, ())
        null_free = self._columns.null_free.get(table.name, frozenset())
        names = [n for n in table.names if n not in empty]
        where = [part.condition, *self._window.conditions(time, time)]
        rows = self._database.select(table, names, where, null_free=null_free)
        return add_empty_columns(table, rows, table.names)

    def _read_versions(self, part: SkyPart) -> Catalog:
        tables = self.objects.version_tables
        return Catalog.concat(
            [self._read_all(table, part, "validityStart") for table in tables]
        )

    def _add_digests(self, name: str, rows: Catalog) -> None:
        hashes = row_hashes(rows, without=NOT_DIGESTED)
        total = self._digests[name]
        for visit_id, digest in digest_by_group(hashes, rows[VISIT_ID]).items():
            total[visit_id] = total.get(visit_id, TableDigest()) + digest

    def _check_filled(self) -> Iterator[Finding]:
        tables = [*self.objects.version_tables, *(h.table for h in self.histories)]
        if self.layout.last is not None:
            tables.append(self.layout.last)
        findings, self._columns = check_filled(self._database, self.layout, tables)
        n_columns = sum(len(table.columns) for table in tables)
        yield from self._prove("filled", n_columns, findings)

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

    def _check_current(self, part: SkyPart, versions: Catalog) -> Iterator[Finding]:
        pixels, ids = versions[HOME_PIXEL], versions["diaObjectId"]
        order = np.lexsort((pixels, ids))
        split = (ids[order][1:] == ids[order][:-1]) & (
            pixels[order][1:] != pixels[order][:-1]
        )
        yield from report(
            "home pixel", "versions under several pixels", ids[order][1:], split
        )
        if not self._is_last_mode:
            return
        every = latest_versions(versions)
        latest = every.take(every.null_mask("validityEnd"))  # the others are closed
        try:
            found = list(self._check_latest(part, latest))
            found += self._check_current_chunks(part, versions)
            found += self._check_homes(part, every)
        except CorruptChunkError as error:
            found = [Finding(
                invariant="chunk", where=error.where, detail=error.problem
            )]  # fmt: skip
        if found:
            self.bad_current.update(part.pixels.tolist())
        yield from found

    def _check_latest(self, part: SkyPart, latest: Catalog) -> Iterator[Finding]:
        names = [name for name in public_columns(self.layout.current)
                 if name in latest and name != "validityEnd"]  # fmt: skip
        is_packed = self.layout.packed_last is not None
        names += [] if is_packed else [HOME_PIXEL, VISIT_ID]
        wanted = names if is_packed else [*names, VISIT_TIME]
        last = self.objects.current.in_pixels(part.pixels, wanted)
        ids, last_ids = latest["diaObjectId"], last["diaObjectId"]
        missing = ~np.isin(ids, last_ids)
        yield from report("current", "not in DiaObjectLast", ids, missing)
        lone = ~np.isin(last_ids, ids)
        yield from report(
            "current", "in DiaObjectLast without any version", last_ids, lone
        )
        known = last.take(~lone)
        known = known.take(np.argsort(known["diaObjectId"]))
        theirs = known.select(names)
        ours = latest.take(~missing).select(names)
        if len(ours) != len(theirs):
            _, counts = np.unique(last_ids, return_counts=True)
            twice = np.unique(last_ids)[counts > 1]
            every = np.ones(len(twice), dtype=np.bool_)
            yield from report("current", "twice in DiaObjectLast", twice, every)
            return
        stale = row_hashes(ours) != row_hashes(theirs)
        if not is_packed:
            stale |= known[VISIT_TIME] != latest["validityStart"][~missing]
        yield from report(
            "current",
            "DiaObjectLast differs from the latest version",
            ours["diaObjectId"],
            stale,
        )

    def _check_current_chunks(
        self, part: SkyPart, versions: Catalog
    ) -> Iterator[Finding]:
        """Check all rows of current objects, those too that others supersede."""
        chunks = self.objects.current
        if not isinstance(chunks, LastChunks):
            return
        here, first = chunks.of_history(part.pixels), [np.empty(0, dtype=np.int64)]
        homes = chunks.homes_in(part.pixels)
        of_home = IdSet(homes.ids)
        names = [name for name in public_columns(self.layout.current)
                 if name in versions and name != "validityEnd"]  # fmt: skip
        known = IdSet(row_hashes(versions.select(names)).view(np.int64))
        for read in read_chunks(
            self._database, chunks.table, LAST_NAME, [here], self._tiles
        ):
            wrong = (finding for _, finding in read.findings)
            yield from self._prove("chunk", read.n_chunks, wrong)
            ids = read.rows["diaObjectId"]
            first.append(ids[read.rows[IS_KNOWN] == 0])
            # one without a home was told of
            elsewhere = of_home.places(ids) >= 0
            elsewhere[elsewhere] = (
                homes.pixels[of_home.places(ids[elsewhere])] != read.pixels[elsewhere]
            )
            yield from report(
                "current", "is not in the chunk of its home", ids, elsewhere
            )
            said = row_hashes(read.rows.select([n for n in names if n in read.rows]))
            unknown = ~known.holds(said.view(np.int64))
            unknown &= ~self._expiry.is_gone(read.rows, versions)
            yield from report(
                "current", "a row is not one of its versions", ids, unknown
            )
        ids, counts = np.unique(np.concatenate(first), return_counts=True)
        yield from report(
            "current", "several rows are marked as its first", ids, counts > 1
        )

    def _check_homes(self, part: SkyPart, latest: Catalog) -> Iterator[Finding]:
        chunks = self.objects.current
        if not isinstance(chunks, LastChunks):
            return
        ids, homes = latest["diaObjectId"], chunks.homes_in(part.pixels)
        wrong = ~np.isin(ids, homes.ids)
        yield from report("current", "its home is not registered", ids, wrong)
        lone = ~np.isin(homes.ids, ids)
        yield from report("current", "has a home but no version", homes.ids, lone)
        lost = chunks.unregistered_strays(latest, homes)
        yield from report(
            "current",
            "is outside its home pixel and not registered as a stray",
            ids,
            np.isin(ids, lost),
        )

    @staticmethod
    def _check_objects(
        table: Table, versions: Catalog, rows: Catalog
    ) -> Iterator[Finding]:
        has_object = ~rows.null_mask("diaObjectId")
        ids = rows["diaObjectId"]
        owners = IdSet(versions["diaObjectId"])
        places = owners.places(ids)
        orphan = has_object & (places < 0)
        yield from report(
            "object",
            f"{table.name} refers to an object that is not in its home pixel",
            ids,
            orphan,
        )
        if not len(versions):
            return
        homes = versions[HOME_PIXEL][places]
        moved = has_object & ~orphan & (rows[HOME_PIXEL] != homes)
        yield from report(
            "home pixel", f"{table.name} is not under its object's pixel", ids, moved
        )

    def _check_owners(self, table: Table, rows: Catalog) -> Iterator[Finding]:
        """Check objects whose versions were not read: those of some visits."""
        has_object = ~rows.null_mask("diaObjectId")
        own, pixels = rows["diaObjectId"][has_object], rows[HOME_PIXEL][has_object]
        ids, places = np.unique(own, return_inverse=True)
        homes, exists = self.objects.home_pixels_of(ids)
        yield from report(
            "object",
            f"{table.name} refers to an object that does not exist",
            ids,
            ~exists,
        )
        moved = exists[places] & (pixels != homes[places])
        yield from report(
            "home pixel", f"{table.name} is not under its object's pixel", own, moved
        )

    def _check_packed(
        self, history: HistoryTable, part: SkyPart, rows: Catalog
    ) -> Iterator[Finding]:
        name, packed = history.table.name, history.packed
        if packed is None:
            return
        bad = self.bad_pixels[name]
        found: dict[tuple[int, int], TableDigest] = {}
        for read in self._read_packed(packed, name, part.pixels):
            if isinstance(read, CorruptPixel):
                bad.add(read.pixel)
                yield read.finding
                continue
            bad.update(pixel for pixel, _ in read.findings)
            wrong = (finding for _, finding in read.findings)
            yield from self._prove("chunk", read.n_chunks, wrong)
            for key, digest in self._digests_of(read).items():
                found[key] = found.get(key, TableDigest()) + digest
        yield from self._prove("packed", len(rows), ())
        expected = digests_of_rows(rows, rows[HOME_PIXEL])
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

    def _read_packed(
        self, packed: Table, name: str, pixels: NDArray[np.int64]
    ) -> Iterator[ReadChunks | CorruptPixel]:
        """Read the chunks of pixels, each pixel by itself if one is corrupt."""
        window = self._window.conditions("firstTime", "lastTime")
        where = [Condition("pixel", Op.ONE_OF, pixels), *window]
        try:
            found = read_chunks(self._database, packed, name, where, self._tiles)
            yield from list(found)
        except CorruptChunkError as error:
            if len(pixels) == 1:
                yield CorruptPixel(int(pixels[0]), error)
                return
            for place in range(len(pixels)):
                yield from self._read_packed(packed, name, pixels[place : place + 1])

    def _digests_of(self, read: ReadChunks) -> dict[tuple[int, int], TableDigest]:
        """Return the digests of chunks' rows, of the visits that are verified."""
        digests = digests_of_rows(read.rows, read.pixels)
        if self._is_whole:
            return digests
        return {key: one for key, one in digests.items() if key[1] in self._visits}


def _id_of(table: Table) -> str:
    return "diaSourceId" if "diaSourceId" in table else "diaObjectId"
