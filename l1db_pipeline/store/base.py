"""The L1 store protocol: all that the pipeline may ask of a database.

Implementable on a wide-column store: no joins, deterministic keys, idempotent
writes. Times are aware `datetime` (naive ones are refused), angles degrees, ICRS.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Protocol, Self

import numpy as np
from lsst.sphgeom import Region
from numpy.typing import NDArray
from typing_extensions import override

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.config import L1dbConfig
from l1db_pipeline.store.errors import no_months
from l1db_pipeline.store.meter import UNKNOWN, ServerMeter
from l1db_pipeline.store.months import Month
from l1db_pipeline.store.tables.layout import Layout
from l1db_pipeline.store.timing import StepTiming, Timings
from l1db_pipeline.store.token import ReadToken

__all__ = [
    "NO_RECORDS",
    "Finding",
    "L1Store",
    "LastVisit",
    "LightCurve",
    "StoreOutcome",
    "Verification",
    "VisitKey",
    "VisitRecords",
]


class StoreOutcome(Enum):
    """What `L1Store.store_visit` did; other content raises `VisitConflictError`."""

    STORED = "stored"
    ALREADY_STORED = "already stored"


@dataclass(frozen=True, kw_only=True, slots=True)
class VisitKey:
    """The unit that is stored whole or not at all: a visit, or a tile of it."""

    visit_id: int
    time: datetime
    """Mid-exposure time, aware."""
    tile: str = ""
    """Name of the tile (``"2x3"``), empty for the whole field of view."""
    n_tiles: int = 1
    """How many tiles make the visit; the visits table gets its row with the last.
    With 0 that is not known, and only `L1Store.save_visit` completes the visit."""
    is_only: bool = False
    """Whether to refuse the unit if another one has stored one of its images; for
    databases whose schema has images."""
    replica_chunk: int | None = None
    """Number of the replica chunk that is to have the unit, if any."""
    part_of: int | None = None
    """Number of the visit whose parts do not make each other stale, if it is not
    ``visit_id``; Cassandra has no such visits."""

    @property
    def read_as(self) -> int:
        """The number that a token of the unit's reads has."""
        return self.visit_id if self.part_of is None else self.part_of

    @property
    def words(self) -> str:
        """The unit in words."""
        return f"visit {self.visit_id}" + (f" tile {self.tile}" if self.tile else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class VisitRecords:
    """The rows that a visit (or tile) adds, columns as the schema names them."""

    objects: Catalog
    """New DiaObject versions. ``validityStart`` is the visit time and
    ``validityEnd`` NULL: the store sets both; callers need not give them."""
    sources: Catalog
    forced_sources: Catalog


NO_RECORDS = VisitRecords(
    objects=Catalog({}), sources=Catalog({}), forced_sources=Catalog({})
)
"""Of a visit that adds nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LastVisit:
    """Where a database stands: the latest complete visit and the largest ids."""

    visit_id: int
    time: datetime
    last_object_id: int
    last_source_id: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LightCurve:
    """Everything about one object, each part ordered by time."""

    versions: Catalog
    sources: Catalog
    forced_sources: Catalog


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One broken invariant that `L1Store.verify` found."""

    invariant: str
    where: str
    detail: str
    repaired: bool = False

    @override
    def __str__(self) -> str:
        return f"{self.invariant}: {self.where}: {self.detail}"


@dataclass(kw_only=True, slots=True)
class Verification:
    """What to verify, who receives the progress, and then what was proved."""

    since: datetime | None = None
    """Aware; only visits from then on are verified."""
    until: datetime | None = None
    """Aware; only visits before it."""
    progress: Callable[[int, int], None] | None = None
    """Called with the parts of the sky that are done, and how many there are."""
    proved: dict[str, int] = field(default_factory=dict)
    """How many rows (visits, chunks, ...) each invariant was tried on."""


class L1Store(Protocol):
    """A database of DIAObjects, DIASources and DIAForcedSources."""

    timings: Timings
    config: L1dbConfig
    layout: Layout
    """Tables and columns, as far as the backend has any."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def place(self) -> str:
        """The database in words, without credentials."""

    def close(self) -> None:
        """Release every connection; the store cannot be used afterwards."""

    def create_schema(self, *, drop: bool = False) -> None:
        """Create every table that the configuration asks for, once.

        Parameters
        ----------
        drop
            Drop the tables, with all their rows, first.
        """

    def reading_unit(
        self, visit_id: int, region: Region
    ) -> AbstractContextManager[ReadToken]:
        """Return a block whose reads see one state of the database.

        It is the state without what other parts of the visit have stored, so that a
        part finds the same objects whether it comes first or last.

        Parameters
        ----------
        visit_id
            The visit that reads.
        region
            Sky region, ICRS, that holds everything that is read.

        Returns
        -------
        block
            Gives the token for `store_visit`.
        """

    def read_objects(
        self,
        region: Region,
        *,
        columns: Sequence[str] | None = None,
        at: datetime | None = None,
    ) -> Catalog:
        """Return the current DIAObject versions inside a region, exactly trimmed.

        Parameters
        ----------
        region
            Sky region, ICRS.
        columns
            Names, in the order wanted; by default the short record (all with
            ``read_full_objects``).
        at
            Aware; asks for the versions that were valid at a past time.
        """

    def read_sources(
        self,
        *,
        region: Region | None = None,
        object_ids: NDArray[np.int64] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        columns: Sequence[str] | None = None,
    ) -> Catalog:
        """Return DIASource history of objects, of a region, or of both.

        Parameters
        ----------
        region
            ICRS. Selects the sources of objects whose current position is in it, and,
            without ``object_ids``, sources without object that are in it themselves.
        object_ids
            ``diaObjectId`` of the objects; shape ``(n,)``, any order.
        since, until
            Aware; half-open window ``[since, until)`` in visit time.
        columns
            Names, in the order wanted; all by default.

        Returns
        -------
        sources
            A column with one value everywhere may be an array of stride 0, read-only:
            make a copy to write in it.
        """

    def read_forced_sources(
        self,
        *,
        region: Region | None = None,
        object_ids: NDArray[np.int64] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        columns: Sequence[str] | None = None,
    ) -> Catalog:
        """Return DIAForcedSource history of objects, of a region, or of both.

        Parameters
        ----------
        region
            ICRS. Selects the forced sources of objects whose current position is in it.
        object_ids
            ``diaObjectId`` of the objects; shape ``(n,)``, any order.
        since, until
            Aware; half-open window ``[since, until)`` in visit time.
        columns
            Names, in the order wanted; all by default.
        """

    def store_visit(
        self, key: VisitKey, records: VisitRecords, token: ReadToken | None = None
    ) -> StoreOutcome:
        """Store a visit (or a tile of it) in one transaction.

        Parameters
        ----------
        key
            The visit, its time, and the tile; the ledger knows it by them.
        records
            Its objects, sources and forced sources.
        token
            Of the reads that the records follow from (see `reading_unit`). Given one,
            the visit is stored only if no other visit has meanwhile stored where was
            read; without one it is stored whatever the others did.

        Returns
        -------
        outcome
            Whether it was stored now or already before.

        Raises
        ------
        VisitConflictError
            If other content is stored under the same visit and tile.
        StaleReadError
            If another visit has stored there: nothing is stored, read again.
        """

    def save_visit(self, visit_id: int, time: datetime) -> None:
        """Enter a visit into the visits table whose parts were stored one by one.

        Parameters
        ----------
        visit_id
            The visit.
        time
            Its time; aware.

        Raises
        ------
        VisitConflictError
            If the visit is there with another time.
        """

    def stored_tiles(self, visit_id: int) -> frozenset[str]:
        """Return the tiles of a visit that are stored; empty if none is.

        Parameters
        ----------
        visit_id
            The visit, whether complete or not.
        """

    def read_visits(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> Catalog:
        """Return ``visitId`` and ``visitTime`` of the complete visits, by time.

        Parameters
        ----------
        since, until
            Aware; half-open window ``[since, until)`` in visit time.
        """

    def visit_time(self, visit_id: int) -> datetime | None:
        """Return the time of a visit that is stored, if in part; `None` if none is.

        Parameters
        ----------
        visit_id
            The visit, whether complete or not.
        """

    def last_visit(self) -> LastVisit | None:
        """Return the complete visit with the latest time, `None` if none."""

    def light_curve(self, object_id: int) -> LightCurve:
        """Return the versions, sources and forced sources of one object.

        Parameters
        ----------
        object_id
            Its ``diaObjectId``; an unknown one gives empty catalogs.
        """

    def cone_search(
        self,
        ra_deg: float,
        dec_deg: float,
        radius_arcsec: float,
        *,
        columns: Sequence[str] | None = None,
    ) -> Catalog:
        """Return current objects within a radius, nearest first.

        Parameters
        ----------
        ra_deg, dec_deg
            Centre, ICRS, degrees.
        radius_arcsec
            Radius, arcseconds; objects on it are found.
        columns
            Names, in the order wanted; the default is that of `read_objects`.
        """

    def row_counts(self) -> Mapping[str, int]:
        """Return the exact number of rows of each table."""

    def table_bytes(self) -> Mapping[str, int]:
        """Return the size of each table with its indexes."""

    def merge_nightly(self) -> int:
        """Move DiaObjectNightly into DiaObject, and vacuum; return the rows moved.

        Databases leave it to this call to freeze the tables that only grow.
        """

    def meter(self) -> ServerMeter:
        """Return what counts the server's work for this store."""
        return UNKNOWN

    def compact_history(self, *, before: datetime | None = None) -> int:
        """Merge packed chunks of each pixel and month; return how many went away.

        Current objects become one chunk a pixel, whatever the month. Off-line work:
        reads give the same before, during and after. Without packed history nothing
        happens.

        Parameters
        ----------
        before
            Aware; only chunks of visits before it. All by default.
        """

    def horizon(self) -> datetime | None:
        """Return from when on a database keeps what it was given, `None` for all."""
        return None

    def months(self) -> list[Month]:
        """Return the months that have visits, in order, with what they take."""
        raise no_months(self.place)

    def expire(self, before: datetime) -> None:
        """Delete history of the months that end by a time.

        Versions that were valid then stay, and all visits in the ledger. What is
        asked for of an earlier time is refused from then on. Whoever is killed
        calls it again, as may several at once, beside any reader and writer.

        Parameters
        ----------
        before
            Aware; the beginning of a month (UTC).

        Raises
        ------
        ExpiryError
            If the database cannot, or a month is not over.
        """
        raise no_months(self.place, before)

    def rebuild_history(self) -> int:
        """Rebuild packed history from the rows; return the pixels done."""

    def verify(
        self, *, repair: bool = False, scope: Verification | None = None
    ) -> list[Finding]:
        """Check every invariant and return those that are broken.

        Of some visits only (see `Verification`) what belongs to them is checked:
        their rows, chunks and entries, not what all visits share.

        Parameters
        ----------
        repair
            Rebuild packed history from the rows where they disagree.
        scope
            Which visits; it also receives the progress, and what was proved. All by
            default.
        """

    def science_digest(self) -> Mapping[str, str]:
        """Digest objects, sources and forced sources as the API reads them.

        Equal for equal science content on every backend, index mode and layout.
        """

    def get_setting(self, name: str) -> str | None:
        """Return a setting of the run that the database keeps; `None` if it has none.

        Parameters
        ----------
        name
            Such as ``seed``.
        """

    def read_settings(self, prefix: str) -> Mapping[str, str]:
        """Return the settings whose names begin with a prefix.

        Parameters
        ----------
        prefix
            Compared exactly; empty for all settings.
        """

    def put_setting(self, name: str, value: str, *, replace: bool = False) -> str:
        """Keep a setting unless there is one; return the value that holds.

        Parameters
        ----------
        name
            Such as ``seed``.
        value
            Its text.
        replace
            Keep the given value even if there is another one.
        """

    def record_timings(
        self, visit_id: int, tile: str, steps: Sequence[StepTiming]
    ) -> None:
        """Write the timings of a visit to the timings table.

        Parameters
        ----------
        visit_id
            The visit.
        tile
            Its tile; empty for the whole visit.
        steps
            Times in seconds, in the order in which the steps ended.
        """

    def read_timings(self) -> Catalog:
        """Return the timings table, ordered by visit, tile and step."""
