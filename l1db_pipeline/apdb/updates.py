"""A client's updates, as those of the store, with the records for a replica."""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from astropy.time import Time
from lsst.dax.apdb import (
    ApdbCloseDiaObjectValidityRecord,
    ApdbReassignDiaSourceToDiaObjectRecord,
    ApdbReassignDiaSourceToSSObjectRecord,
    ApdbUpdateNDiaSourcesRecord,
    ApdbUpdateRecord,
    ApdbWithdrawDiaForcedSourceRecord,
    ApdbWithdrawDiaSourceRecord,
    DiaForcedSourceId,
    DiaObjectId,
    DiaSourceId,
    ReplicaChunk,
)

from l1db_pipeline.apdb.config import L1ApdbConfig
from l1db_pipeline.apdb.times import mjd_tai, utc_of_mjd_tai
from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.store.errors import UnknownRecordError
from l1db_pipeline.store.tables.images import DETECTORS
from l1db_pipeline.store.tables.replica import UpdateRecord
from l1db_pipeline.store.tables.update_ledger import Stamp
from l1db_pipeline.store.updates import Updates

__all__ = ["ApdbUpdates"]

_Make = Callable[..., ApdbUpdateRecord]


class ApdbUpdates:
    """Updates at one time.

    Parameters
    ----------
    updates
        Of the store.
    config
        Of the APDB: whether there is a replica, and how long its chunks are.
    clock
        Gives the time of an update.
    """

    def __init__(
        self, updates: Updates, config: L1ApdbConfig, clock: Callable[[], Time]
    ) -> None:
        self._updates = updates
        self._config = config
        self._now = clock()

    @property
    def _stamp(self) -> Stamp:
        seconds = self._now.unix_tai
        length = self._config.replica_chunk_seconds
        return Stamp(
            update_id="",
            time_ns=int(seconds * 1e9),
            chunk=int(seconds) // length * length
            if self._config.enable_replica
            else None,
        )

    def withdraw_sources(self, ids: Sequence[DiaSourceId], time: Time | None) -> None:
        """Withdraw sources, all or none; `LookupError` if one is not stored."""
        mjd = mjd_tai(self._now if time is None else time)

        def describe(rows: Catalog) -> list[str]:
            changed = set(rows["diaSourceId"].tolist())
            return [
                _payload(
                    ApdbWithdrawDiaSourceRecord,
                    timeWithdrawnMjdTai=mjd,
                    **_source(source),
                )
                for source in ids
                if source.diaSourceId in changed
            ]

        numbers = np.array([s.diaSourceId for s in ids], dtype=np.int64)
        self._updates.withdraw_sources(self._stamp, numbers, mjd, describe)

    def withdraw_forced_sources(
        self, ids: Sequence[DiaForcedSourceId], time: Time | None
    ) -> None:
        """Withdraw forced sources, as `withdraw_sources`."""
        mjd = mjd_tai(self._now if time is None else time)

        def describe(rows: Catalog) -> list[str]:
            names = ("diaObjectId", "ccdVisitId")
            changed = set(zip(*(rows[n].tolist() for n in names), strict=True))
            return [
                _payload(
                    ApdbWithdrawDiaForcedSourceRecord,
                    timeWithdrawnMjdTai=mjd,
                    diaObjectId=int(source.diaObjectId),
                    visit=int(source.visit),
                    detector=int(source.detector),
                    **_place(source),
                )
                for source in ids
                if (source.diaObjectId, _image(source)) in changed
            ]

        pairs = sorted({(int(s.diaObjectId), _image(s)) for s in ids})
        both = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        keys = Catalog({"diaObjectId": both[:, 0], "ccdVisitId": both[:, 1]})
        self._updates.withdraw_forced_sources(self._stamp, keys, mjd, describe)

    def assign_to_solar_system(self, moves: Mapping[int, int]) -> None:
        """Give sources to SSObjects; `ValueError` if one is not stored."""
        mjd = mjd_tai(self._now)

        def describe(rows: Catalog) -> list[str]:
            names = ("diaSourceId", "ra", "decl", "midpointMjdTai", "ssObjectId")
            return [
                _payload(
                    ApdbReassignDiaSourceToSSObjectRecord,
                    diaSourceId=source,
                    ra=ra,
                    dec=dec,
                    midpointMjdTai=midpoint,
                    ssObjectId=target,
                    ssObjectReassocTimeMjdTai=mjd,
                )
                for source, ra, dec, midpoint, target in zip(
                    *(rows[name].tolist() for name in names), strict=True
                )
            ]

        pairs = _pairs(moves, "diaSourceId", "ssObjectId")
        try:
            self._updates.assign_to_solar_system(self._stamp, pairs, mjd, describe)
        except UnknownRecordError as error:
            missing = ",".join(map(str, error.ids))
            raise ValueError(
                f"Following DiaSource IDs do not exist in the database: {missing}"
            ) from error

    def move(self, moves: Mapping[DiaSourceId, int], *, up: bool, down: bool) -> None:
        """Give sources to objects; `LookupError` if one of either is not stored."""

        def describe(_rows: Catalog) -> list[str]:
            return [
                _payload(
                    ApdbReassignDiaSourceToDiaObjectRecord,
                    diaObjectId=int(target),
                    **_source(source),
                )
                for source, target in moves.items()
            ]

        def describe_counts(rows: Catalog) -> list[str]:
            names = ("diaObjectId", "ra", "decl", "nDiaSources")
            return [
                _payload(
                    ApdbUpdateNDiaSourcesRecord,
                    diaObjectId=number,
                    ra=ra,
                    dec=dec,
                    nDiaSources=count,
                )
                for number, ra, dec, count in zip(
                    *(rows[name].tolist() for name in names), strict=True
                )
            ]

        numbers = {source.diaSourceId: target for source, target in moves.items()}
        self._updates.move_sources(
            self._stamp,
            _pairs(numbers, "diaSourceId", "diaObjectId"),
            up=up,
            down=down,
            describe=describe,
            describe_counts=describe_counts,
        )

    def close(
        self, objects: Sequence[DiaObjectId], end: Time, *, is_strict: bool
    ) -> int:
        """End the validity of objects; return how many were current."""
        mjd = mjd_tai(end)

        def describe(rows: Catalog) -> list[str]:
            changed = set(rows["diaObjectId"].tolist())
            return [
                _payload(
                    ApdbCloseDiaObjectValidityRecord,
                    diaObjectId=int(found.diaObjectId),
                    ra=float(found.ra),
                    dec=float(found.dec),
                    validityEndMjdTai=mjd,
                    nDiaSources=None,
                )
                for found in objects
                if found.diaObjectId in changed
            ]

        return self._updates.close_objects(
            self._stamp,
            np.array([found.diaObjectId for found in objects], dtype=np.int64),
            utc_of_mjd_tai(mjd),
            mjd,
            is_strict=is_strict,
            describe=describe,
        )

    def add_records(
        self, records: Iterable[ApdbUpdateRecord], chunk: ReplicaChunk
    ) -> None:
        """Write records of another's making into a replica chunk."""
        if not self._config.enable_replica:
            raise TypeError("Replication is not enabled for this APDB instance.")
        rows = [
            UpdateRecord(r.update_time_ns, r.update_order, r.to_json()) for r in records
        ]
        self._updates.add_records(chunk.id, str(uuid.uuid4()), rows)


def _payload(make: _Make, **fields: Any) -> str:  # Any: the record's own fields
    # the store has time and order beside the payload
    return make(update_time_ns=0, update_order=0, **fields).to_json()


def _place(item: DiaSourceId | DiaForcedSourceId) -> dict[str, float]:
    return {
        "ra": float(item.ra),
        "dec": float(item.dec),
        "midpointMjdTai": float(item.midpointMjdTai),
    }


def _source(item: DiaSourceId) -> dict[str, Any]:
    return {"diaSourceId": int(item.diaSourceId), **_place(item)}


def _image(item: DiaForcedSourceId) -> int:
    return int(item.visit) * DETECTORS + int(item.detector)


def _pairs(moves: Mapping[int, int], source: str, target: str) -> Catalog:
    return Catalog(
        {
            source: np.array([int(number) for number in moves], dtype=np.int64),
            target: np.array([int(n) for n in moves.values()], dtype=np.int64),
        }
    )
