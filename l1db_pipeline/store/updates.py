"""Updates by day, each a transaction of the ledger: rows, chunks, journal, records.

An update locks what it changes, reads it, changes rows and chunks together, and writes
a row of the journal for each unit whose digest changes, so that at any time the ledger
and the journal together say what the rows are. Last it raises the versions of the cells
of the sky that it changes: a visit that has read them before is refused.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.catalog.id_set import IdSet
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.sky.htm import home_pixel
from l1db_pipeline.store.backends.database import Condition, Database, Op
from l1db_pipeline.store.cells import Cells
from l1db_pipeline.store.errors import UnknownRecordError
from l1db_pipeline.store.tables.bookkeeping import FilledColumns
from l1db_pipeline.store.tables.daytime_tables import DaytimeTables
from l1db_pipeline.store.tables.history import HistoryTable
from l1db_pipeline.store.tables.images import SourceStrays
from l1db_pipeline.store.tables.layout import HOME_PIXEL
from l1db_pipeline.store.tables.object_updates import ObjectUpdates
from l1db_pipeline.store.tables.objects import ObjectTables
from l1db_pipeline.store.tables.replica import ReplicaTables, UpdateRecord
from l1db_pipeline.store.tables.rows import read_rows
from l1db_pipeline.store.tables.update_ledger import Stamp, UpdateLedger
from visit_tables.time_scales import utc64

__all__ = ["Describe", "Updates"]

_Ids = NDArray[np.int64]
_WITHDRAWN = "timeWithdrawnMjdTai"

Describe = Callable[[Catalog], Sequence[str]]
"""From the rows that an update changed, as they are now, to payloads of records."""


class Updates:
    """Changes of rows that are stored.

    Every method takes the update's `Stamp` and ``describe``, which gives the records
    for a replica; an update that was made before does nothing.
    """

    def __init__(
        self,
        database: Database,
        tables: DaytimeTables,
        config: L1dbConfig,
        *,
        filled: FilledColumns,
        objects: ObjectTables,
        histories: Sequence[HistoryTable],
        strays: SourceStrays,
        cells: Cells,
    ) -> None:
        self._database = database
        self._filled = filled
        self._objects = objects
        self._versions = ObjectUpdates(database, filled, objects)
        self._sources, self._forced = histories
        self._strays = strays
        self._cells = cells
        self._touched: list[Catalog] = []  # rows whose positions the update concerns
        self._level = config.history_pixel_level
        self.ledger = UpdateLedger(database, tables)
        self.replica = ReplicaTables(database, tables, filled)

    @contextmanager
    def _update(self, stamp: Stamp, kind: str, content: Catalog) -> Iterator[str]:
        """Open an update's transaction and give its id; '' if it was made before."""
        self._touched.clear()
        try:
            with self._database.transaction(write=True):
                self._filled.refresh()
                yield self.ledger.claim(stamp, kind, content) or ""
                self._cells.touch(self._touched)
        except BaseException:
            self._filled.forget()
            raise
        self._filled.commit()

    def withdraw_sources(
        self, stamp: Stamp, ids: _Ids, mjd_tai: float, describe: Describe
    ) -> int:
        """Mark sources as withdrawn, unless they are; return how many were not.

        Raises
        ------
        UnknownRecordError
            If a source is not stored.
        """
        ids = np.unique(ids)
        content = Catalog({"diaSourceId": ids, "time": np.full(len(ids), mjd_tai)})
        with self._update(stamp, "withdraw_diasource", content) as name:
            if not name or not len(ids):
                return 0
            rows = self._find_sources(ids)
            return self._withdraw(
                stamp, name, self._sources, rows,
                keys=("diaSourceId",), mjd_tai=mjd_tai, describe=describe,
            )  # fmt: skip

    def withdraw_forced_sources(
        self, stamp: Stamp, keys: Catalog, mjd_tai: float, describe: Describe
    ) -> int:
        """Mark forced sources as withdrawn, unless they are.

        ``keys`` has ``diaObjectId`` and ``ccdVisitId``; otherwise as
        `withdraw_sources`.
        """
        content = Catalog({**keys.columns, "time": np.full(len(keys), mjd_tai)})
        with self._update(stamp, "withdraw_diaforcedsource", content) as name:
            if not name or not len(keys):
                return 0
            rows = self._find_forced(keys)
            own = (HOME_PIXEL, "diaObjectId", "ccdVisitId")
            return self._withdraw(
                stamp, name, self._forced, rows,
                keys=own, mjd_tai=mjd_tai, describe=describe,
            )  # fmt: skip

    def _withdraw(
        self,
        stamp: Stamp,
        name: str,
        history: HistoryTable,
        rows: Catalog,
        *,
        keys: Sequence[str],
        mjd_tai: float,
        describe: Describe,
    ) -> int:
        old = rows.take(rows.null_mask(_WITHDRAWN))
        if not len(old):
            return 0
        new = _with(old, {_WITHDRAWN: np.full(len(old), mjd_tai)})
        self._touch_owners(old)
        self._change(name, history, old, new, keys=keys, names=[_WITHDRAWN])
        self._tell(stamp, name, describe(new))
        return len(new)

    def assign_to_solar_system(
        self, stamp: Stamp, moves: Catalog, mjd_tai: float, describe: Describe
    ) -> None:
        """Give sources to objects of the solar system, and take them off others.

        ``moves`` has ``diaSourceId`` and ``ssObjectId``, each source once.
        """
        content = Catalog({**moves.columns, "time": np.full(len(moves), mjd_tai)})
        kind = "reassign_diasource_to_ssobject"
        with self._update(stamp, kind, content) as name:
            if not name or not len(moves):
                return
            old = self._find_sources(moves["diaSourceId"])
            places = IdSet(moves["diaSourceId"]).places(old["diaSourceId"])
            homes = home_pixel(old["htmId20"], self._level).astype(np.int32)
            n_rows = len(old)
            new = _with(
                old,
                {
                    "ssObjectId": moves["ssObjectId"][places],
                    "ssObjectReassocTimeMjdTai": np.full(n_rows, mjd_tai),
                    "diaObjectId": np.zeros(n_rows, dtype=np.int64),
                    HOME_PIXEL: homes,
                },
            )
            nulls = {**new.nulls, "diaObjectId": np.ones(n_rows, dtype=np.bool_)}
            new = Catalog(new.columns, nulls)
            self._touch_owners(old)
            names = ["ssObjectId", "ssObjectReassocTimeMjdTai", "diaObjectId"]
            self._change(
                name, self._sources, old, new,
                keys=["diaSourceId"], names=[*names, HOME_PIXEL],
            )  # fmt: skip
            self._tell(stamp, name, describe(new))

    def move_sources(
        self,
        stamp: Stamp,
        moves: Catalog,
        *,
        up: bool,
        down: bool,
        describe: Describe,
        describe_counts: Describe,
    ) -> None:
        """Give sources to other objects, whose numbers of sources follow.

        Parameters
        ----------
        moves
            ``diaSourceId``, each once, and the new ``diaObjectId``.
        up, down
            Whether the new and the old objects' ``nDiaSources`` follow.
        describe, describe_counts
            Payloads of the sources' records, and of the objects'.

        Raises
        ------
        UnknownRecordError
            If a source is not stored, or a new object is not a current one.
        """
        flags = {"up": up, "down": down}
        content = Catalog(
            {**moves.columns, **{n: np.full(len(moves), v) for n, v in flags.items()}}
        )
        kind = "reassign_diasource_to_diaobject"
        with self._update(stamp, kind, content) as name:
            if not name or not len(moves):
                return
            old = self._find_sources(moves["diaSourceId"])
            lone = old.null_mask("diaObjectId")
            ids = moves["diaObjectId"]
            every = np.unique(np.concatenate([ids, old["diaObjectId"][~lone]]))
            objects = self._versions.hold(every)
            self._touched.append(objects)
            objects = objects.take(objects.null_mask("validityEnd"))
            missing = np.setdiff1d(ids, objects["diaObjectId"])
            if len(missing):
                raise UnknownRecordError("DiaObject", missing.tolist())
            places = IdSet(moves["diaSourceId"]).places(old["diaSourceId"])
            targets = ids[places]
            of_target = IdSet(objects["diaObjectId"]).places(targets)
            new = _with(
                old,
                {
                    "diaObjectId": targets,
                    HOME_PIXEL: objects[HOME_PIXEL][of_target],
                },
            )
            nulls = {n: m for n, m in new.nulls.items() if n != "diaObjectId"}
            new = Catalog(new.columns, nulls)
            self._strays.note(new, new[HOME_PIXEL])
            changed = ["diaObjectId", HOME_PIXEL]
            self._change(
                name, self._sources, old, new, keys=["diaSourceId"], names=changed
            )
            payloads = list(describe(new))
            steps = np.concatenate([targets] * up + [old["diaObjectId"][~lone]] * down
                                   or [np.empty(0, np.int64)])  # fmt: skip
            signs = np.repeat([1, -1], [len(targets) * up, (~lone).sum() * down])
            payloads += self._count(name, objects, steps, signs, describe_counts)
            self._tell(stamp, name, payloads)

    def _count(
        self,
        name: str,
        objects: Catalog,
        ids: _Ids,
        signs: NDArray[np.int64],
        describe: Describe,
    ) -> Sequence[str]:
        """Add to the numbers of sources of objects, those alone that are open."""
        places = IdSet(objects["diaObjectId"]).places(ids)
        known = places >= 0
        if not known.any():
            return []
        total = np.zeros(len(objects), dtype=np.int64)
        np.add.at(total, places[known], signs[known])
        touched = np.unique(places[known])
        old = objects.take(touched)
        column = "nDiaSources"
        counts = (old[column] + total[touched]).astype(old[column].dtype)
        new = _with(old, {column: counts})
        self._change_objects(name, old, new, [column])
        return describe(new)

    def close_objects(
        self,
        stamp: Stamp,
        ids: _Ids,
        end: datetime,
        mjd_tai: float,
        *,
        is_strict: bool,
        describe: Describe,
    ) -> int:
        """End the validity of current objects; return how many there were.

        Parameters
        ----------
        ids
            Objects; those that are not current are left out.
        end, mjd_tai
            When, aware, and the double that is kept.
        is_strict
            Whether to refuse all if one is not current.

        Raises
        ------
        UnknownRecordError
            If one is not, with ``is_strict``.
        """
        ids = np.unique(ids)
        content = Catalog({"diaObjectId": ids, "end": np.full(len(ids), mjd_tai)})
        with self._update(stamp, "close_diaobject_validity", content) as name:
            if not name or not len(ids):
                return 0
            latest = self._versions.hold(ids)
            old = latest.take(latest.null_mask("validityEnd"))
            missing = np.setdiff1d(ids, old["diaObjectId"])
            if is_strict and len(missing):
                raise UnknownRecordError("DiaObject", missing.tolist())
            if not len(old):
                return 0
            time = utc64(end, "close_objects end")
            new = _with(
                old,
                {
                    "validityEnd": np.full(len(old), time),
                    "validityEndMjdTai": np.full(len(old), mjd_tai),
                },
            )
            self._change_objects(name, old, new, ["validityEnd", "validityEndMjdTai"])
            self._tell(stamp, name, describe(new))
            return len(new)

    def add_records(
        self, chunk: int, update_id: str, records: Sequence[UpdateRecord]
    ) -> None:
        """Write records for a replica in a transaction of their own."""
        with self._database.transaction(write=True):
            self.replica.add(chunk, update_id, records)

    def _tell(self, stamp: Stamp, name: str, payloads: Sequence[str]) -> None:
        if stamp.chunk is not None:
            records = [
                UpdateRecord(stamp.time_ns, place, payload)
                for place, payload in enumerate(payloads)
            ]
            self.replica.add(stamp.chunk, name, records)

    def _change(
        self,
        name: str,
        history: HistoryTable,
        old: Catalog,
        new: Catalog,
        *,
        keys: Sequence[str],
        names: Sequence[str],
    ) -> None:
        self._touched.append(old)
        self.ledger.note(name, history.table, old, new)
        history.change(old, new, keys=keys, names=names)

    def _change_objects(
        self, name: str, old: Catalog, new: Catalog, names: Sequence[str]
    ) -> None:
        self._touched.append(old)
        self.ledger.note(name, self._versions.table, old, new)
        self._versions.change(new, names)

    def _touch_owners(self, rows: Catalog) -> None:
        """Note where the objects of sources are: a visit reads the rows by these."""
        ids = np.unique(rows["diaObjectId"][~rows.null_mask("diaObjectId")])
        if len(ids):
            self._touched.append(self._objects.of_objects(ids, ["htmId20"]))

    def _find_sources(self, ids: _Ids) -> Catalog:
        """Return all columns of sources, and keep other updates from them."""
        table = self._sources.table
        where = [Condition("diaSourceId", Op.ONE_OF, np.unique(ids))]
        self._database.lock_rows(table, where)
        rows = read_rows(self._database, self._filled, table, table.names, where)
        missing = np.setdiff1d(ids, rows["diaSourceId"])
        if len(missing):
            raise UnknownRecordError(table.name, missing.tolist())
        return rows

    def _find_forced(self, keys: Catalog) -> Catalog:
        """Return all columns of forced sources, and keep other updates from them."""
        table = self._forced.table
        objects, images = keys["diaObjectId"], keys["ccdVisitId"]
        pixels, _ = self._objects.home_pixels_of(np.unique(objects))
        where = [
            Condition(HOME_PIXEL, Op.ONE_OF, np.unique(pixels).astype(np.int64)),
            Condition("diaObjectId", Op.ONE_OF, np.unique(objects)),
            Condition("ccdVisitId", Op.ONE_OF, np.unique(images)),
        ]
        self._database.lock_rows(table, where)
        rows = read_rows(self._database, self._filled, table, table.names, where)
        wanted = set(zip(objects.tolist(), images.tolist(), strict=True))
        found = list(
            zip(rows["diaObjectId"].tolist(), rows["ccdVisitId"].tolist(), strict=True)
        )
        if missing := sorted(wanted.difference(found)):
            raise UnknownRecordError(f"{table.name} (diaObjectId, ccdVisitId)", missing)
        return rows.take(np.array([key in wanted for key in found], dtype=np.bool_))


def _with(rows: Catalog, values: dict[str, NDArray[np.generic]]) -> Catalog:
    """Return rows with other values, none of them NULL, in some columns."""
    nulls = {name: mask for name, mask in rows.nulls.items() if name not in values}
    return Catalog({**rows.columns, **values}, nulls)
