"""Questions to an open L1 database, each one function; results are `Rows`."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
from lsst.sphgeom import Circle, Region

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.queries.rows import Rows
from l1db_pipeline.runs.kept_pointings import kept_pointings
from l1db_pipeline.schema.model import Column, Datatype
from l1db_pipeline.store.base import L1Store

__all__ = ["cone_search", "digest", "objects", "visits"]

_VISIT_COLUMNS = (
    Column("visitId", Datatype.LONG, nullable=False, description="The visit."),
    Column("visitTime", Datatype.TIMESTAMP, description="Middle of the visit."),
    Column("ra", Datatype.DOUBLE, unit="deg", description="Centre of the field."),
    Column("decl", Datatype.DOUBLE, unit="deg", description="Centre of the field."),
    Column("band", Datatype.STRING, description="Band, u to y."),
)


def cone_search(
    store: L1Store,
    ra_deg: float,
    dec_deg: float,
    radius_arcsec: float,
    *,
    columns: Sequence[str] | None = None,
) -> Rows:
    """Return the current objects within a radius, nearest first.

    Parameters
    ----------
    store
        From `open_store`.
    ra_deg, dec_deg
        Centre, degrees, ICRS.
    radius_arcsec
        Radius, arc seconds.
    columns
        Columns of DiaObject; those of the short record by default.

    Returns
    -------
    rows
        One object a row.
    """
    found = store.cone_search(ra_deg, dec_deg, radius_arcsec, columns=columns)
    return _of_objects(store, found)


def objects(
    store: L1Store,
    region: Region | None = None,
    *,
    at: datetime | None = None,
    columns: Sequence[str] | None = None,
) -> Rows:
    """Return the objects in a region, as they are or as they were at a past time.

    Parameters
    ----------
    store
        From `open_store`.
    region
        Region of `lsst.sphgeom`, ICRS; the whole sky by default.
    at
        Aware time; the current versions by default.
    columns
        Columns of DiaObject; those of the short record by default.

    Returns
    -------
    rows
        One object a row, ordered by id.

    Raises
    ------
    NaiveTimeError
        If ``at`` has no time zone.
    """
    everywhere = Circle.full() if region is None else region
    names = None if columns is None else list(dict.fromkeys(["diaObjectId", *columns]))
    found = store.read_objects(everywhere, columns=names, at=at)
    found = found.take(np.argsort(found["diaObjectId"], kind="stable"))
    return _of_objects(store, found if columns is None else found.select(columns))


def visits(
    store: L1Store, *, since: datetime | None = None, until: datetime | None = None
) -> Rows:
    """Return the complete visits: id, time, centre of the field, band.

    Parameters
    ----------
    store
        From `open_store`.
    since, until
        Half-open window of aware times; open by default.

    Returns
    -------
    rows
        One visit a row, by time. ``ra``, ``decl`` and ``band`` are NULL where the
        database does not keep them.
    """
    found = store.read_visits(since=since, until=until)
    kept = kept_pointings(store)
    places = [kept.get(visit_id) for visit_id in found["visitId"].tolist()]
    unknown = np.array([place is None for place in places], dtype=np.bool_)
    angles = [(0.0, 0.0) if place is None else place.radec_deg for place in places]
    ra, decl = np.array(angles, dtype=np.float64).reshape(-1, 2).T
    bands = [place.band if place else None for place in places]
    no_band = np.array([band is None for band in bands], dtype=np.bool_)
    catalog = Catalog(
        {**found.columns, "ra": ra, "decl": decl,
         "band": np.array(bands, dtype=object)},
        {"ra": unknown, "decl": unknown, "band": no_band},
    )  # fmt: skip
    return Rows(catalog, _VISIT_COLUMNS)


def digest(store: L1Store) -> Mapping[str, str]:
    """Return a digest of each table's science content; equal ones mean equal content.

    They do not depend on the backend, the index mode or the layout of history.

    Parameters
    ----------
    store
        An open store, whose every row is read.
    """
    return store.science_digest()


def _of_objects(store: L1Store, found: Catalog) -> Rows:
    of_table = store.layout.objects.by_name
    return Rows(found, [of_table[name] for name in found.names])
