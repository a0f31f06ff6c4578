"""`L1db`, the original's interface to the L1 database: a thin face over `L1Store`.

Names, arguments and records are those of the prototype (lsst-dm/l1dbproto, March 2018),
so that its programs run unchanged. New code uses `l1db_pipeline.store.open.open_store`.
"""

import hashlib
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from os import PathLike
from types import TracebackType
from typing import Any, Self

import numpy as np
from lsst.sphgeom import Region
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.catalog.records import (
    DiaForcedSource,
    DiaObject,
    DiaObject_short,
    DiaSource,
    DiaSource_full,
    RecordError,
    Visit,
    naive_utc,
    to_catalog,
    to_records,
)
from l1db_pipeline.schema.config import L1dbConfig, ObjectIndex, SourceSelect
from l1db_pipeline.schema.load import load_schema
from l1db_pipeline.schema.model import Table
from l1db_pipeline.store.backends.explain import Plans
from l1db_pipeline.store.base import NO_RECORDS, L1Store, VisitKey, VisitRecords
from l1db_pipeline.store.open import open_store
from visit_tables.time_scales import utc_from_mjd_tai

__all__ = [
    "DiaForcedSource",
    "DiaObject",
    "DiaObject_short",
    "DiaSource",
    "DiaSource_full",
    "L1db",
    "Visit",
]

# the name under which users of the class set its level
_log = logging.getLogger("l1db_pipeline.l1db")
_MONTH = timedelta(days=30)
_ORIGINAL_OPTIONS = (
    "dia_object_index",
    "dia_object_nightly",
    "read_sources_months",
    "read_forced_sources_months",
    "read_full_objects",
    "source_select",
    "object_last_replace",
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class L1db:
    """Interface to the L1 database; hides all details of database access.

    Parameters
    ----------
    config
        Name of the configuration file, see `L1dbConfig.from_ini`.

    Notes
    -----
    Naive times are UTC, as they always were here. Each ``store...`` method is one
    transaction; what it stores again is not stored twice. A fork (as of the
    original's tiles) gets a connection of its own. Where `None` is possible, it
    is NULL.

    With ``explain`` a method also logs the database's plan of each statement.
    """

    def __init__(self, config: str | PathLike[str]) -> None:
        self._config = L1dbConfig.from_ini(config)
        self._schema = load_schema(
            self._config.schema_file, column_map=self._config.column_map or None
        )
        self._opened: L1Store | None = None
        self._process = os.getpid()
        self._visit_time: datetime | None = None
        self._plans = Plans(lambda line: _log.info("explain: %s", line))
        _log.info("L1DB Configuration:")
        for name in _ORIGINAL_OPTIONS:
            value = getattr(self._config, name)
            _log.info("    %s: %s", name, getattr(value, "value", value))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the connection; the next call makes another one."""
        if self._opened is not None and self._process == os.getpid():
            self._opened.close()
        self._opened = None

    def lastVisit(self) -> Any:
        """Return the last visit as a `Visit`, `None` if no visit was saved."""
        last = self._store.last_visit()
        if last is None:
            return None
        return Visit(
            last.visit_id,
            naive_utc(last.time),
            last.last_object_id,
            last.last_source_id,
        )

    def saveVisit(self, visitId: int, visitTime: datetime) -> None:
        """Enter a visit into the visits table, once its rows are stored.

        Parameters
        ----------
        visitId
            The visit.
        visitTime
            Its time; without a zone it is UTC, as the original has it.

        Raises
        ------
        VisitConflictError
            If the visit is there with another time.
        """
        self._store.save_visit(visitId, _aware(visitTime))
        self._visit_time = None

    def tableRowCount(self) -> dict[str, int]:
        """Return the number of rows of each main table; this may take long."""
        counts = self._store.row_counts()
        names = ["DiaObject", "DiaSource", "DiaForcedSource"]
        if self._config.dia_object_index is ObjectIndex.LAST_OBJECT_TABLE:
            names.append("DiaObjectLast")
        return {name: counts[name] for name in names}

    def getDiaObjects(self, region: Region, explain: bool = False) -> list[Any]:
        """Return the current versions of the DIAObjects in a region.

        They are `DiaObject_short`, or `DiaObject` with ``read_full_objects``.

        Parameters
        ----------
        region
            Sky region of a visit or tile, ICRS.
        explain
            Log the plans of the database too.
        """
        kind = DiaObject if self._config.read_full_objects else DiaObject_short
        is_last = self._config.dia_object_index is ObjectIndex.LAST_OBJECT_TABLE
        table = self._schema.table("DiaObjectLast" if is_last else "DiaObject")
        with self._plans.asked(explain):
            found = self._store.read_objects(region, columns=_kept(table, kind))
        _log.debug("found %d DiaObjects", len(found))
        return to_records(found, kind)

    def getDiaSources(
        self, region: Region, objects: Sequence[Any], explain: bool = False
    ) -> list[Any]:
        """Return the DIASources of a region or of objects, as ``source_select`` says.

        Only those of the last ``read_sources_months`` before the last saved visit;
        none if that is 0 or there are no objects.

        Parameters
        ----------
        region
            Sky region of a visit or tile.
        objects
            Records with a ``diaObjectId``.
        explain
            Log the plans of the database too.
        """
        months = self._config.read_sources_months
        if _is_skipped("DiaSources", months, objects):
            return []
        by_fov = self._config.source_select is SourceSelect.BY_FOV
        table = self._schema.table("DiaSource")
        with self._plans.asked(explain):
            found = self._store.read_sources(
                region=region if by_fov else None,
                object_ids=None if by_fov else _ids(objects),
                since=self._since(months),
                columns=_kept(table, DiaSource_full),
            )
        _log.debug("found %d DiaSources", len(found))
        return to_records(found, DiaSource_full)

    def getDiaFSources(
        self, objects: Sequence[Any], explain: bool = False
    ) -> list[Any]:
        """Return the DIAForcedSources of DIAObjects.

        Only those of the last ``read_forced_sources_months`` before the last saved
        visit; none if that is 0 or there are no objects.

        Parameters
        ----------
        objects
            Records with a ``diaObjectId``.
        explain
            Log the plans of the database too.
        """
        months = self._config.read_forced_sources_months
        if _is_skipped("DiaForcedSources", months, objects):
            return []
        table = self._schema.table("DiaForcedSource")
        with self._plans.asked(explain):
            found = self._store.read_forced_sources(
                object_ids=_ids(objects),
                since=self._since(months),
                columns=_kept(table, DiaForcedSource),
            )
        _log.debug("found %d DiaForcedSources", len(found))
        return to_records(found, DiaForcedSource)

    def storeDiaObjects(
        self, objs: Sequence[Any], dt: datetime, explain: bool = False
    ) -> None:
        """Store a version of each DIAObject of a visit.

        Parameters
        ----------
        objs
            `DiaObject` records, open and valid from ``dt``; may be empty.
        dt
            Time of the visit. Sources that are stored next are of this visit.
        explain
            Log the plans of the database too.

        Raises
        ------
        RecordError
            If a record is of another time or closed.
        """
        self._visit_time = _aware(dt)
        objects = to_catalog(self._schema.table("DiaObject"), DiaObject._fields, objs)
        _check_versions(objs, naive_utc(dt))
        ids = _values(objects, "diaObjectId")
        records = replace(NO_RECORDS, objects=objects)
        self._store_part("objects", ids, records, self._visit_time, explain)

    def storeDiaSources(self, sources: Sequence[Any], explain: bool = False) -> None:
        """Store the DIASources of a visit.

        Their time is that of the last `storeDiaObjects`; without one since the last
        `saveVisit`, their ``midPointTai`` if that is given, else now.

        Parameters
        ----------
        sources
            `DiaSource` records; may be empty.
        explain
            Log the plans of the database too.
        """
        table = self._schema.table("DiaSource")
        rows = to_catalog(table, DiaSource._fields, sources)
        ids = _values(rows, "diaSourceId")
        records = replace(NO_RECORDS, sources=rows)
        time = self._visit_time or _mid_point(sources) or datetime.now(UTC)
        self._store_part("sources", ids, records, time, explain)

    def storeDiaForcedSources(
        self, sources: Sequence[Any], explain: bool = False
    ) -> None:
        """Store the DIAForcedSources of a visit.

        Their time is that of the last `storeDiaObjects`; without one since the last
        `saveVisit`, now.

        Parameters
        ----------
        sources
            `DiaForcedSource` records; may be empty.
        explain
            Log the plans of the database too.
        """
        table = self._schema.table("DiaForcedSource")
        rows = to_catalog(table, DiaForcedSource._fields, sources)
        ids = np.append(_values(rows, "diaObjectId"), _values(rows, "ccdVisitId"))
        records = replace(NO_RECORDS, forced_sources=rows)
        time = self._visit_time or datetime.now(UTC)
        self._store_part("forced", ids, records, time, explain)

    def dailyJob(self) -> None:
        """Merge DiaObjectNightly into DiaObject if it is used, and vacuum."""
        self._store.merge_nightly()

    def makeSchema(self, drop: bool = False) -> None:
        """Create all tables.

        Parameters
        ----------
        drop
            Drop the tables, with all their rows, first.
        """
        self._store.create_schema(drop=drop)

    @property
    def _store(self) -> L1Store:
        if self._opened is None or self._process != os.getpid():
            self._opened = open_store(self._config, plans=self._plans)
            self._process = os.getpid()
        return self._opened

    def _store_part(
        self,
        part: str,
        ids: NDArray[np.int64],
        records: VisitRecords,
        time: datetime,
        explain: bool,
    ) -> None:
        """Store one part of a visit whose other parts come apart, or never.

        The ledger knows it by the visit's time, for the original's calls do not all
        know the visit's id, and by a digest of the ids.
        """
        if not len(ids):
            return
        digest = hashlib.sha256(np.sort(ids).tobytes()).hexdigest()[:16]
        key = VisitKey(
            visit_id=(time - _EPOCH) // timedelta(microseconds=1),
            time=time,
            tile=f"{part}-{digest}",
            n_tiles=0,
        )
        with self._plans.asked(explain):
            self._store.store_visit(key, records)

    def _since(self, months: int) -> datetime | None:
        """Return where a window of months ends that goes back from the last visit."""
        last = self._store.last_visit()
        return None if last is None else last.time - months * _MONTH


def _aware(time: datetime) -> datetime:
    return naive_utc(time).replace(tzinfo=UTC)


def _kept(table: Table, record_type: Any) -> list[str]:
    """Return the fields of a record that a table of another schema may lack."""
    return [name for name in record_type._fields if name in table]


def _values(rows: Catalog, name: str) -> NDArray[np.int64]:
    return rows[name].astype(np.int64)


def _ids(objects: Sequence[Any]) -> NDArray[np.int64]:
    return np.unique(np.array([row.diaObjectId for row in objects], dtype=np.int64))


def _is_skipped(what: str, months: int, objects: Sequence[Any]) -> bool:
    if months and objects:
        return False
    _log.info("Skip %s fetching%s", what, " - no Objects" if months else "")
    return True


def _check_versions(objs: Sequence[Any], time: datetime) -> None:
    for row in objs:
        if naive_utc(row.validityStart) != time or row.validityEnd is not None:
            raise RecordError(
                f"DiaObject {row.diaObjectId}: version {row.validityStart} to "
                f"{row.validityEnd} is not open from the visit's time {time}"
            )


def _mid_point(sources: Sequence[Any]) -> datetime | None:
    """Return the time of a visit's sources if they tell it, MJD TAI in days."""
    days = [row.midPointTai for row in sources if row.midPointTai]
    if not days:
        return None
    (time,) = utc_from_mjd_tai(np.array(days[:1])).tolist()
    return _aware(time)
