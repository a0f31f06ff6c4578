"""What a client stores, as a unit of the store."""

import numpy as np
import pandas as pd
from astropy.time import Time

from l1db_pipeline.apdb.frames import catalog_of
from l1db_pipeline.apdb.reading import MOST_MINUTES_FROM_VISIT
from l1db_pipeline.apdb.times import exposure_of_unit, mjd_tai, unit_id, utc_of_mjd_tai
from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.store.base import VisitKey, VisitRecords
from l1db_pipeline.store.digest import TableDigest
from l1db_pipeline.store.errors import InvalidCatalogError
from l1db_pipeline.store.tables.images import DETECTORS
from l1db_pipeline.store.tables.layout import Layout

__all__ = ["prepare_unit"]

_NO_IMAGE = DETECTORS
_MINUTES_PER_DAY = 1440


def prepare_unit(
    layout: Layout,
    time: Time,
    objects: pd.DataFrame,
    sources: pd.DataFrame | None,
    forced_sources: pd.DataFrame | None,
    *,
    is_only: bool,
    chunk_s: int | None,
) -> tuple[VisitKey, VisitRecords]:
    """Return the unit of one call, and its records.

    The same call again is the same unit; other content for the same image is another
    one, unless a unit is to be its image's only one.

    Parameters
    ----------
    layout
        Of the store.
    time, objects, sources, forced_sources
        Of the call.
    is_only
        Whether other content for a stored image is refused.
    chunk_s
        Length of a replica chunk in seconds; `None` without replica.

    Raises
    ------
    InvalidCatalogError
        If a catalog has a value that cannot be stored.
    """
    mjd = mjd_tai(time)
    records = VisitRecords(
        objects=_objects(catalog_of(layout.objects, objects), mjd),
        sources=_sources("DiaSource", catalog_of(layout.sources, sources), mjd),
        forced_sources=_sources(
            "DiaForcedSource", catalog_of(layout.forced, forced_sources), mjd
        ),
    )
    image = _first_image(records)
    number = unit_id(time, _NO_IMAGE if image is None else image % DETECTORS)
    name = "" if image is None else f"{image // DETECTORS}.{image % DETECTORS}"
    if image is None or not is_only:
        name += f".{_content(records):08x}"
    key = VisitKey(
        visit_id=number,
        time=utc_of_mjd_tai(mjd),
        tile=name,
        n_tiles=0,
        is_only=is_only,
        replica_chunk=None if chunk_s is None else _chunk(time, chunk_s),
        part_of=exposure_of_unit(number),
    )
    return key, records


def _chunk(time: Time, chunk_s: int) -> int:
    """Return the replica chunk of a time, as ``ReplicaChunk`` numbers them."""
    return int(time.unix_tai) // chunk_s * chunk_s


def _objects(rows: Catalog, mjd: float) -> Catalog:
    if not len(rows):
        return rows
    start = np.full(len(rows), mjd)
    columns = {**rows.columns, "validityStartMjdTai": start}
    # ends are the store's: that of a call's objects comes with the next version
    for name in ("validityStart", "validityEnd", "validityEndMjdTai"):
        columns.pop(name, None)
    nulls = {name: mask for name, mask in rows.nulls.items() if name in columns}
    nulls.pop("validityStartMjdTai", None)
    return _within_circle(Catalog(columns, nulls))


def _sources(table: str, rows: Catalog, mjd: float) -> Catalog:
    if not len(rows) or "visit" not in rows or "detector" not in rows:
        return rows  # the store names what is missing
    _check_midpoints(table, rows, mjd)
    visits = rows["visit"].astype(np.int64)
    detectors = rows["detector"].astype(np.int64)
    _check_detectors(table, visits, detectors)
    columns = {**rows.columns, "ccdVisitId": visits * DETECTORS + detectors}
    nulls = dict(rows.nulls)
    if "diaObjectId" in rows:
        none = rows["diaObjectId"] == 0  # as clients have it, too
        if none.any():
            nulls["diaObjectId"] = rows.null_mask("diaObjectId") | none
    return _within_circle(Catalog(columns, nulls))


def _within_circle(rows: Catalog) -> Catalog:
    """Return rows with right ascensions as the store takes them, 360 as 0."""
    ra = rows.columns.get("ra")
    if ra is None or ra.dtype.kind != "f" or ((ra >= 0) & (ra < 360)).all():
        return rows
    return Catalog({**rows.columns, "ra": np.mod(ra, 360.0)}, rows.nulls)


def _check_midpoints(table: str, rows: Catalog, mjd: float) -> None:
    """Refuse what a read of a time window, by visits, could miss."""
    if "midpointMjdTai" not in rows:
        return
    apart = np.abs(rows["midpointMjdTai"] - mjd) * _MINUTES_PER_DAY
    far = (apart > MOST_MINUTES_FROM_VISIT) & ~rows.null_mask("midpointMjdTai")
    if far.any():
        row = int(np.flatnonzero(far)[0])
        raise InvalidCatalogError(
            f"{table} column midpointMjdTai",
            f"row {row}: {rows['midpointMjdTai'][row]} is {apart[row]:.0f} minutes "
            f"from the visit time {mjd} (at most {MOST_MINUTES_FROM_VISIT})",
            "store sources with the time of their own visit",
        )


def _check_detectors(
    table: str,
    visits: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    detectors: "np.ndarray[tuple[int], np.dtype[np.int64]]",
) -> None:
    for name, values, end in (
        ("visit", visits, 2**53),
        ("detector", detectors, DETECTORS),
    ):
        bad = (values < 0) | (values >= end)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise InvalidCatalogError(
                f"{table} column {name}",
                f"row {row}: {values[row]} is out of range (0 <= {name} < {end})",
                "give the numbers of the image",
            )


def _first_image(records: VisitRecords) -> int | None:
    for rows in (records.sources, records.forced_sources):
        if len(rows) and "ccdVisitId" in rows:
            return int(rows["ccdVisitId"].min())
    return None


def _content(records: VisitRecords) -> int:
    """Return 32 bits that tell a call's content from another's of its image.

    Where they fail to, the ledger's digests refuse the second call.
    """
    digests = [
        TableDigest.of(
            rows.select([n for n in rows.names if rows[n].dtype.kind in "biuf"])
        )
        for rows in (records.objects, records.sources, records.forced_sources)
    ]
    mixed = digests[0].value + 3 * digests[1].value + 5 * digests[2].value
    return (mixed ^ mixed >> 32) & 0xFFFFFFFF
