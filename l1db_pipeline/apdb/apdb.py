"""`L1Apdb`: the class that a client's ``Apdb.from_uri`` gives it."""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import pandas as pd
from astropy.time import Time
from lsst.dax.apdb import (
    Apdb,
    ApdbUpdateRecord,
    DiaForcedSourceId,
    DiaObjectId,
    DiaSourceId,
    IncompatibleVersionError,
    ReplicaChunk,
    VersionTuple,
)
from lsst.dax.apdb.apdbAdmin import ApdbAdmin
from lsst.dax.apdb.apdbConfigFreezer import ApdbConfigFreezer
from lsst.dax.apdb.apdbSchema import ApdbSchema, ApdbTables
from lsst.dax.apdb.schema_model import Table as ApdbTable
from lsst.resources import ResourcePath
from lsst.sphgeom import Region
from typing_extensions import override

from l1db_pipeline.apdb.admin import L1ApdbAdmin
from l1db_pipeline.apdb.config import L1ApdbConfig, open_apdb_store
from l1db_pipeline.apdb.metadata import L1ApdbMetadata
from l1db_pipeline.apdb.reading import ApdbReader
from l1db_pipeline.apdb.replica import L1ApdbReplica
from l1db_pipeline.apdb.storing import prepare_unit
from l1db_pipeline.apdb.times import mjd_tai
from l1db_pipeline.apdb.updates import ApdbUpdates
from l1db_pipeline.apdb.visit_reads import VisitReads
from l1db_pipeline.schema.model import SchemaError
from l1db_pipeline.store.base import StoreOutcome

__all__ = ["L1Apdb"]

# below the logger of lsst.dax.apdb, which its clients listen to
_LOG = logging.getLogger("lsst.dax.apdb.l1")
_VERSION = VersionTuple(1, 0, 0)
"""Of what this class writes; a database of the same major version will do."""
_SCHEMA_VERSION = "version:schema"
_CODE_VERSION = "version:L1Apdb"
_REPLICA_VERSION = "version:L1ApdbReplica"
_FROZEN_CONFIG = "config:apdb-l1.json"
_DEDUP_TIME = "status:deduplication.json"
_FROZEN = ("enable_replica", "dia_object_index", "history", "replica_chunk_seconds")
"""Options that are as they were when the tables were made."""
_DAYS_PER_MONTH = 30


class L1Apdb(Apdb):
    """An APDB in an L1 database.

    Parameters
    ----------
    config
        Which one; `init_database` makes it.
    """

    def __init__(self, config: L1ApdbConfig) -> None:
        self._schema = _schema_of(config)
        self._opened = open_apdb_store(config)
        self._store, self._daytime = self._opened.store, self._opened.daytime
        self._metadata = L1ApdbMetadata(self._opened)
        held = dict(self._metadata.items())
        for key, mine in (
            (_CODE_VERSION, _VERSION),
            (_REPLICA_VERSION, L1ApdbReplica.version),
        ):
            _check_version(self._store.place, key, mine, held.get(key))
        self._db_schema_version = VersionTuple.fromString(held[_SCHEMA_VERSION])
        freezer = ApdbConfigFreezer[L1ApdbConfig](_FROZEN)
        self.config = freezer.update(config, held[_FROZEN_CONFIG])
        self._reader = ApdbReader(self._opened, self._schema)
        self._reads = VisitReads(self._store)

    @classmethod
    def init_database(
        cls, db_url: str, *, drop: bool = False, **options: Any
    ) -> L1ApdbConfig:
        """Make the tables of an APDB, and return its configuration.

        Parameters
        ----------
        db_url
            SQLAlchemy URL.
        drop
            Whether to drop the tables that are there first, with ALL DATA.
        options
            Fields of `L1ApdbConfig`.
        """
        config = L1ApdbConfig(db_url=db_url, **options)
        schema = _schema_of(config)
        metadata = L1ApdbMetadata(open_apdb_store(config, make=True, drop=drop))
        freezer = ApdbConfigFreezer[L1ApdbConfig](_FROZEN)
        items = {
            _SCHEMA_VERSION: str(schema.schemaVersion()),
            _CODE_VERSION: str(_VERSION),
            _FROZEN_CONFIG: freezer.to_json(config),
        }
        if config.enable_replica:
            items[_REPLICA_VERSION] = str(L1ApdbReplica.version)
        for key, value in items.items():
            metadata.set(key, value, force=True)
        return config

    def get_replica(self) -> L1ApdbReplica:
        """Return what a consumer of replica chunks asks."""
        return L1ApdbReplica(self._reader, self.config, self._db_schema_version)

    @override
    def getConfig(self) -> L1ApdbConfig:
        return self.config

    @override
    def tableDef(self, table: ApdbTables) -> ApdbTable | None:
        return self._schema.tableSchemas.get(table)

    @property
    @override
    def schema(self) -> ApdbSchema:
        return self._schema

    @property
    @override
    def metadata(self) -> L1ApdbMetadata:
        return self._metadata

    @property
    @override
    def admin(self) -> ApdbAdmin:
        return L1ApdbAdmin(self._store.config.history_pixel_level)

    @override
    def getDiaObjects(self, region: Region) -> pd.DataFrame:
        with self._reads.of(region, is_first=True):
            return self._reader.objects(region)

    @override
    def getDiaSources(
        self,
        region: Region,
        object_ids: Iterable[int] | None,
        visit_time: Time,
        start_time: Time | None = None,
    ) -> pd.DataFrame | None:
        months = self.config.read_sources_months
        if start_time is None and not months:
            return None
        start = _start(visit_time, start_time, months)
        with self._reads.of(region):
            if object_ids is None:
                return self._reader.sources_inside(region, start)
            return self._reader.history(ApdbTables.DiaSource, start, ids=object_ids)

    @override
    def getDiaForcedSources(
        self,
        region: Region,
        object_ids: Iterable[int] | None,
        visit_time: Time,
        start_time: Time | None = None,
    ) -> pd.DataFrame | None:
        months = self.config.read_forced_sources_months
        if start_time is None and not months:
            return None
        start = _start(visit_time, start_time, months)
        with self._reads.of(region):
            return self._reader.history(
                ApdbTables.DiaForcedSource, start, ids=object_ids, region=region
            )

    @override
    def getDiaObjectsForDedup(self, since: Time | None = None) -> pd.DataFrame:
        if since is None and (text := self._metadata.get(_DEDUP_TIME)):
            iso = json.loads(text)["dedup_time_iso_tai"]
            since = Time(iso, format="iso", scale="tai")
        return self._reader.objects_since(None if since is None else mjd_tai(since))

    @override
    def getDiaSourcesForDiaObjects(
        self,
        objects: list[DiaObjectId],
        start_time: Time,
        max_dist_arcsec: float = 1.0,
    ) -> pd.DataFrame:
        ids = {found.diaObjectId for found in objects}
        start = mjd_tai(start_time)
        return self._reader.history(ApdbTables.DiaSource, start, ids=ids)

    @override
    def containsVisitDetector(
        self,
        visit: int,
        detector: int,
        region: Region | None = None,
        visit_time: Time | None = None,
    ) -> bool:
        return self._daytime.has_image(int(visit), int(detector))

    @override
    def countUnassociatedObjects(self) -> int:
        return self._daytime.count_objects("nDiaSources", 1)

    @override
    def store(
        self,
        visit_time: Time,
        objects: pd.DataFrame,
        sources: pd.DataFrame | None = None,
        forced_sources: pd.DataFrame | None = None,
    ) -> None:
        if objects.empty:
            _LOG.debug("No objects to write to database.")
        config = self.config
        key, records = prepare_unit(
            self._store.layout,
            visit_time,
            objects,
            sources,
            forced_sources,
            is_only=config.one_store_per_image,
            chunk_s=config.replica_chunk_seconds if config.enable_replica else None,
        )
        token = self._reads.token_for(key, records)
        if self._store.store_visit(key, records, token) is StoreOutcome.ALREADY_STORED:
            _LOG.info("Unit %d %s is stored already.", key.visit_id, key.tile)
        self._reads.forget()

    @override
    def resetDedup(self, dedup_time: Time | None = None) -> None:
        time = self._current_time() if dedup_time is None else dedup_time
        data = json.dumps({"dedup_time_iso_tai": time.tai.to_value("iso")})
        self._metadata.set(_DEDUP_TIME, data, force=True)

    @override
    def reassignDiaSourcesToDiaObjects(
        self,
        idMap: Mapping[DiaSourceId, int],
        *,
        increment_nDiaSources: bool = True,
        decrement_nDiaSources: bool = True,
    ) -> None:
        self._updates.move(idMap, up=increment_nDiaSources, down=decrement_nDiaSources)

    @override
    def reassignDiaSources(self, idMap: Mapping[int, int]) -> None:
        self._updates.assign_to_solar_system(idMap)

    @override
    def setValidityEnd(
        self,
        objects: list[DiaObjectId],
        validityEnd: Time,
        raise_on_missing_id: bool = False,
    ) -> int:
        return self._updates.close(objects, validityEnd, is_strict=raise_on_missing_id)

    @override
    def withdrawDiaSources(
        self, diaSourceIds: Iterable[DiaSourceId], *, timeWithdrawn: Time | None = None
    ) -> None:
        self._updates.withdraw_sources(list(diaSourceIds), timeWithdrawn)

    @override
    def withdrawDiaForcedSources(
        self,
        diaForcedSourceIds: Iterable[DiaForcedSourceId],
        *,
        timeWithdrawn: Time | None = None,
    ) -> None:
        self._updates.withdraw_forced_sources(list(diaForcedSourceIds), timeWithdrawn)

    def store_update_records(
        self, records: Iterable[ApdbUpdateRecord], chunk: ReplicaChunk
    ) -> None:
        """Write update records of another's making into a replica chunk.

        Raises
        ------
        TypeError
            If there is no replica, as clients expect.
        """
        self._updates.add_records(records, chunk)

    @property
    def _updates(self) -> ApdbUpdates:
        return ApdbUpdates(self._daytime.updates, self.config, self._current_time)


def _schema_of(config: L1ApdbConfig) -> ApdbSchema:
    files = (config.schema_file, config.ss_schema_file)
    schema = _read_schema(*files, *map(_digest, files))
    if not schema.has_mjd_timestamps:
        raise SchemaError(
            f"{config.schema_file} keeps times as timestamps: use a schema with "
            "MJD TAI columns (validityStartMjdTai, ...)"
        )
    return schema


def _digest(file: str) -> str:
    try:
        return hashlib.sha256(ResourcePath(file).read()).hexdigest() if file else ""
    except FileNotFoundError:  # felis says so if the file is needed
        return ""


@lru_cache(maxsize=4)
def _read_schema(schema_file: str, ss_schema_file: str, *_digests: str) -> ApdbSchema:
    """Read a schema once for each content: felis takes seconds for today's."""
    return ApdbSchema(schema_file, ss_schema_file)


def _check_version(place: str, key: str, mine: VersionTuple, held: str | None) -> None:
    if held and not mine.checkCompatibility(VersionTuple.fromString(held)):
        raise IncompatibleVersionError(
            f"{place} has {key} {held}, this package {mine}: use the package that "
            "made the database, or a newer one of the same major version"
        )


def _start(visit_time: Time, start_time: Time | None, months: int) -> float:
    if start_time is not None:
        return mjd_tai(start_time)
    return mjd_tai(visit_time) - months * _DAYS_PER_MONTH
