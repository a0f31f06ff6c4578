"""`L1ApdbReplica`: what a consumer of replica chunks asks of an `L1Apdb`."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from astropy.time import Time
from felis.datamodel import DataType
from lsst.dax.apdb import (
    ApdbReplica,
    ApdbTableData,
    ApdbUpdateRecord,
    ReplicaChunk,
    VersionTuple,
)
from lsst.dax.apdb.apdbSchema import ApdbTables
from numpy.typing import NDArray
from typing_extensions import override

from l1db_pipeline.apdb.config import L1ApdbConfig
from l1db_pipeline.apdb.reading import ApdbReader
from l1db_pipeline.apdb.times import unix_tai_of_unit
from l1db_pipeline.store.tables.replica import PendingChunk

__all__ = ["L1ApdbReplica"]

_CHUNK = "apdb_replica_chunk"
_TABLES = (ApdbTables.DiaObject, ApdbTables.DiaSource, ApdbTables.DiaForcedSource)
_NS = 1_000_000_000


@dataclass(frozen=True)
class _TableData(ApdbTableData):
    """Rows of a table, each a tuple."""

    columns: Sequence[tuple[str, DataType]]
    values: Collection[tuple[Any, ...]]  # Any: of the column's type

    @override
    def column_names(self) -> Sequence[str]:
        return tuple(name for name, _ in self.columns)

    @override
    def column_defs(self) -> Sequence[tuple[str, DataType]]:
        return self.columns

    @override
    def rows(self) -> Collection[tuple[Any, ...]]:
        return self.values


class L1ApdbReplica(ApdbReplica):
    """The store calls, and updates, of ten minutes each.

    Parameters
    ----------
    reader
        Of the APDB.
    config
        Of the APDB, what was frozen included.
    schema_version
        Of the database.
    """

    version: ClassVar[VersionTuple] = VersionTuple(1, 0, 0)
    """Of what is written for a replica."""

    def __init__(
        self,
        reader: ApdbReader,
        config: L1ApdbConfig,
        schema_version: VersionTuple,
    ) -> None:
        self._reader = reader
        self._is_enabled = config.enable_replica
        self._schema_version = schema_version

    @classmethod
    @override
    def apdbReplicaImplementationVersion(cls) -> VersionTuple:
        return cls.version

    @override
    def schemaVersion(self) -> VersionTuple:
        return self._schema_version

    def _check(self) -> None:
        if not self._is_enabled:
            raise ValueError("APDB is not configured for replication")

    @override
    def getReplicaChunks(self) -> list[ReplicaChunk] | None:
        if not self._is_enabled:
            return None
        return [
            ReplicaChunk(
                id=chunk.number,
                last_update_time=_last_time(chunk),
                unique_id=chunk.unique_id,
            )
            for chunk in self._reader.opened.daytime.replica_chunks()
        ]

    @override
    def deleteReplicaChunks(self, chunks: Iterable[int]) -> None:
        self._check()
        self._reader.opened.daytime.delete_replica_chunks(_numbers(chunks))

    @override
    def getTableDataChunks(
        self, table: ApdbTables, chunks: Iterable[int]
    ) -> ApdbTableData:
        if table not in _TABLES:
            raise ValueError(f"Table {table} does not support replica chunks.")
        self._check()
        reader = self._reader
        rows, numbers = reader.opened.daytime.replica_rows(
            reader.table(table), _numbers(chunks), reader.columns(table)
        )
        frame = reader.frame(table, rows)
        values = [numbers.tolist()]
        for name in frame.columns:
            known = frame[name].notna()
            values.append(frame[name].astype(object).where(known, None).tolist())
        types = reader.felis_types(table)
        columns = ((_CHUNK, DataType.long), *((n, types[n]) for n in frame.columns))
        return _TableData(columns, list(zip(*values, strict=True)))

    @override
    def getUpdateRecordChunks(
        self, chunks: Iterable[int]
    ) -> Sequence[ApdbUpdateRecord]:
        self._check()
        return [
            ApdbUpdateRecord.from_json(record.time_ns, record.place, record.payload)
            for record in self._reader.opened.daytime.replica_records(_numbers(chunks))
        ]


def _numbers(chunks: Iterable[int]) -> NDArray[np.int64]:
    return np.array([int(chunk) for chunk in chunks], dtype=np.int64)


def _last_time(chunk: PendingChunk) -> Time:
    times = []
    if chunk.last_visit_id is not None:
        times.append(unix_tai_of_unit(chunk.last_visit_id))
    if chunk.last_update_ns is not None:
        times.append(chunk.last_update_ns / _NS)
    return Time(max(times), format="unix_tai")
