"""What a client reads, as data frames."""

from collections.abc import Iterable
from datetime import timedelta

import numpy as np
import pandas as pd
from felis.datamodel import DataType
from lsst.dax.apdb.apdbSchema import ApdbSchema, ApdbTables
from lsst.sphgeom import Region

from l1db_pipeline.apdb.config import OpenStore
from l1db_pipeline.apdb.frames import frame_of
from l1db_pipeline.apdb.times import utc_of_mjd_tai
from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.config import ObjectIndex
from l1db_pipeline.schema.model import Table

__all__ = ["MOST_MINUTES_FROM_VISIT", "ApdbReader"]

MOST_MINUTES_FROM_VISIT = 60
"""So far from its visit's time the midpoint of a source may be."""
_MARGIN = timedelta(minutes=MOST_MINUTES_FROM_VISIT, seconds=1)
_START = "validityStartMjdTai"


class ApdbReader:
    """Reads of the tables of an APDB.

    Parameters
    ----------
    opened
        The store of the APDB.
    schema
        Which columns clients want, in which order and types.
    """

    def __init__(self, opened: OpenStore, schema: ApdbSchema) -> None:
        self.opened = opened
        self._store = store = opened.store
        self._schema = schema
        layout = store.layout
        self._tables = {
            ApdbTables.DiaObject: layout.objects,
            ApdbTables.DiaObjectLast: layout.current,
            ApdbTables.DiaSource: layout.sources,
            ApdbTables.DiaForcedSource: layout.forced,
        }
        is_last = store.config.dia_object_index is ObjectIndex.LAST_OBJECT_TABLE
        self._objects = ApdbTables.DiaObjectLast if is_last else ApdbTables.DiaObject

    def table(self, name: ApdbTables) -> Table:
        """Return a table as the store has it."""
        return self._tables[name]

    def columns(self, name: ApdbTables) -> list[str]:
        """Return our names of a table's columns, as far as the database has them."""
        held = self._tables[name]
        ours = {column.sql_name: column.name for column in held.columns}
        theirs = (column.name for column in self._schema.tableSchemas[name].columns)
        return [ours[column] for column in theirs if column in ours]

    def felis_types(self, name: ApdbTables) -> dict[str, DataType]:
        """Return the types of a table's columns in the schema."""
        columns = self._schema.tableSchemas[name].columns
        return {c.name: c.datatype for c in columns if isinstance(c.datatype, DataType)}

    def frame(self, name: ApdbTables, rows: Catalog) -> pd.DataFrame:
        """Return rows with every column of the schema; what is not held is NULL."""
        definition = self._schema.tableSchemas[name]
        held = {column.name: column.sql_name for column in self._tables[name].columns}
        names = [held[column] for column in rows.names]
        frame = frame_of(rows, definition, names)
        wanted = [column.name for column in definition.columns]
        if names == wanted:
            return frame
        types = {column.name: column.pandas_type for column in definition.columns}
        for column in set(wanted) - set(names):
            missing = np.nan if types[column].startswith("float") else None
            frame[column] = pd.Series([missing] * len(frame), dtype=types[column])
        return frame[wanted]

    def objects(self, region: Region) -> pd.DataFrame:
        """Return the current objects in a region."""
        name = self._objects
        rows = self._store.read_objects(region, columns=self.columns(name))
        return self.frame(name, rows)

    def objects_since(self, since_mjd: float | None) -> pd.DataFrame:
        """Return the current objects stored at or after a time."""
        name = self._objects
        columns = self.columns(name)
        if since_mjd is None:
            rows = self.opened.daytime.objects_since(None, columns=columns)
            return self.frame(name, rows)
        # to a microsecond, and then exactly
        time = utc_of_mjd_tai(since_mjd) - timedelta(microseconds=2)
        rows = self.opened.daytime.objects_since(time, columns=columns)
        if _START in rows:
            rows = rows.take(rows[_START] >= since_mjd)
        return self.frame(name, rows)

    def sources_inside(self, region: Region, start_mjd: float) -> pd.DataFrame:
        """Return the sources whose own position is in a region, from a time on."""
        name = ApdbTables.DiaSource
        rows = self.opened.daytime.sources_inside(
            region,
            since=utc_of_mjd_tai(start_mjd) - _MARGIN,
            columns=self.columns(name),
        )
        return self.frame(name, _from(rows, start_mjd))

    def history(
        self,
        name: ApdbTables,
        start_mjd: float,
        *,
        ids: Iterable[int] | None = None,
        region: Region | None = None,
    ) -> pd.DataFrame:
        """Return sources or forced sources of objects, given or in a region."""
        read = (
            self._store.read_sources
            if name is ApdbTables.DiaSource
            else self._store.read_forced_sources
        )
        rows = read(
            region=region if ids is None else None,
            object_ids=None if ids is None else _as_ids(ids),
            since=utc_of_mjd_tai(start_mjd) - _MARGIN,
            columns=self.columns(name),
        )
        return self.frame(name, _from(rows, start_mjd))


def _as_ids(ids: Iterable[int]) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.array([int(number) for number in ids], dtype=np.int64)


def _from(rows: Catalog, start_mjd: float) -> Catalog:
    late = rows["midpointMjdTai"] >= start_mjd
    return rows if late.all() else rows.take(late)
