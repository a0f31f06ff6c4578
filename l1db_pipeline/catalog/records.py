"""The original's records, and their way into catalogs and back.

The field names and their order are those of the prototype. Times in records are naive
datetimes, UTC; NULL is `None`.
"""
# ruff: noqa: PYI024  # plain named tuples: the values of 20 to 108 fields are what the
# database gives, which its schema types and a class of annotations would only repeat

from collections import namedtuple
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.errors import L1dbError
from l1db_pipeline.schema.model import Column, Table

__all__ = [
    "DiaForcedSource",
    "DiaObject",
    "DiaObject_short",
    "DiaSource",
    "DiaSource_full",
    "RecordError",
    "Visit",
    "naive_utc",
    "to_catalog",
    "to_records",
]

Visit = namedtuple("Visit", "visitId visitTime lastObjectId lastSourceId")
"""Last visit, and the largest ids that are stored."""

DiaObject_short = namedtuple(
    "DiaObject_short",
    "diaObjectId lastNonForcedSource ra decl raSigma declSigma ra_decl_Cov htmId20",
)
"""What `L1db.getDiaObjects` returns unless ``read_full_objects`` is set."""

DiaObject = namedtuple(
    "DiaObject",
    "diaObjectId validityStart validityEnd lastNonForcedSource "
    "ra decl raSigma declSigma ra_decl_Cov "
    "radecTai pmRa pmRaSigma pmDecl pmDeclSigma pmRa_pmDecl_Cov "
    "parallax parallaxSigma pmRa_parallax_Cov pmDecl_parallax_Cov "
    "pmParallaxLnL pmParallaxChi2 pmParallaxNdata "
    "flags htmId20",
)
"""A version of a DIAObject, as it is stored."""

DiaSource = namedtuple(
    "DiaSource",
    "diaSourceId ccdVisitId diaObjectId prv_procOrder midPointTai "
    "ra raSigma decl declSigma ra_decl_Cov x xSigma y ySigma x_y_Cov "
    "apFlux apFluxErr snr flags htmId20",
)
"""A DIASource, as it is stored."""

DiaSource_full = namedtuple(
    "DiaSource_full",
    "diaSourceId ccdVisitId diaObjectId ssObjectId parentDiaSourceId "
    "prv_procOrder ssObjectReassocTime midPointTai "
    "ra raSigma decl declSigma ra_decl_Cov x xSigma y ySigma x_y_Cov "
    "apFlux apFluxErr snr psFlux psFluxSigma psRa psRaSigma psDecl psDeclSigma "
    "psFlux_psRa_Cov psFlux_psDecl_Cov psRa_psDecl_Cov psLnL psChi2 psNdata "
    "trailFlux trailFluxSigma trailRa trailRaSigma trailDecl trailDeclSigma "
    "trailLength trailLengthSigma trailAngle trailAngleSigma "
    "trailFlux_trailRa_Cov trailFlux_trailDecl_Cov trailFlux_trailLength_Cov "
    "trailFlux_trailAngle_Cov trailRa_trailDecl_Cov trailRa_trailLength_Cov "
    "trailRa_trailAngle_Cov trailDecl_trailLength_Cov trailDecl_trailAngle_Cov "
    "trailLength_trailAngle_Cov trailLnL trailChi2 trailNdata "
    "dipMeanFlux dipMeanFluxSigma dipFluxDiff dipFluxDiffSigma "
    "dipRa dipRaSigma dipDecl dipDeclSigma "
    "dipLength dipLengthSigma dipAngle dipAngleSigma "
    "dipMeanFlux_dipFluxDiff_Cov dipMeanFlux_dipRa_Cov dipMeanFlux_dipDecl_Cov "
    "dipMeanFlux_dipLength_Cov dipMeanFlux_dipAngle_Cov "
    "dipFluxDiff_dipRa_Cov dipFluxDiff_dipDecl_Cov dipFluxDiff_dipLength_Cov "
    "dipFluxDiff_dipAngle_Cov dipRa_dipDecl_Cov dipRa_dipLength_Cov "
    "dipRa_dipAngle_Cov dipDecl_dipLength_Cov dipDecl_dipAngle_Cov "
    "dipLength_dipAngle_Cov dipLnL dipChi2 dipNdata "
    "totFlux totFluxErr diffFlux diffFluxErr fpBkgd fpBkgdErr "
    "ixx ixxSigma iyy iyySigma ixy ixySigma ixx_iyy_Cov ixx_ixy_Cov iyy_ixy_Cov "
    "ixxPSF iyyPSF ixyPSF extendedness spuriousness flags htmId20",
)
"""A DIASource, as `L1db.getDiaSources` returns it."""

DiaForcedSource = namedtuple(
    "DiaForcedSource", "diaObjectId ccdVisitId psFlux psFluxSigma x y flags"
)
"""A DIAForcedSource, as it is stored and read."""


class RecordError(L1dbError, ValueError):
    """A record has a value that its column cannot hold, or lacks a field."""


def naive_utc(time: datetime) -> datetime:
    """Return a time as naive UTC; a naive one is UTC already."""
    if time.tzinfo is None:
        return time
    return time.astimezone(UTC).replace(tzinfo=None)


def to_catalog(table: Table, fields: Sequence[str], records: Iterable[Any]) -> Catalog:
    """Return records as a catalog; fields that the table does not keep are left out.

    Parameters
    ----------
    table
        Says the types.
    fields
        Fields that every record has.
    records
        Named tuples, or any objects with these attributes.

    Raises
    ------
    RecordError
        If a record lacks a field, or has a value of another type; NULL is left to
        the store, which knows which columns take it.
    """
    rows = list(records)
    columns, nulls = {}, {}
    for name in fields:
        if name not in table:
            continue
        try:
            values = [getattr(row, name) for row in rows]
        except AttributeError as error:
            raise RecordError(f"{table.name} record: {error}") from error
        columns[name], mask = _array(table, table.column(name), values)
        if mask is not None:
            nulls[name] = mask
    return Catalog(columns, nulls)


def _array(
    table: Table, column: Column, values: list[Any]
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    mask = None
    if None in values:
        mask = np.array([value is None for value in values])
        zero = np.datetime64(0, "us") if column.datatype.is_time else 0
        blank = next((value for value in values if value is not None), zero)
        values = [blank if value is None else value for value in values]
    if column.numpy_dtype.hasobject:
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array, mask
    if column.datatype.is_time:
        values = [_time(table, column, value) for value in values]
    try:
        array = np.array(values)
        if array.size == 0 or _fits(array, column.numpy_dtype):
            return array.astype(column.numpy_dtype), mask
    except (OverflowError, TypeError, ValueError):
        pass
    place = next((p for p, v in enumerate(values) if not _is_plain(v)), 0)
    raise RecordError(
        f"{table.name} record {place}: {column.name} = {values[place]!r} is not "
        f"of type {column.datatype.value}"
    )


def _is_plain(value: object) -> bool:
    return isinstance(value, int | float | np.number | np.datetime64)


def _fits(array: NDArray[Any], wanted: np.dtype[Any]) -> bool:
    """Tell whether an array's values keep their meaning in another type."""
    if not np.can_cast(array.dtype, wanted, "same_kind"):
        return False
    if wanted.kind != "i":
        return True
    limits = np.iinfo(wanted)
    return bool(array.min() >= limits.min and array.max() <= limits.max)


def _time(table: Table, column: Column, value: object) -> np.datetime64:
    if isinstance(value, datetime):
        return np.datetime64(naive_utc(value), "us")
    if isinstance(value, np.datetime64):
        time: np.datetime64 = value.astype("datetime64[us]")
        return time
    raise RecordError(
        f"{table.name} record: {column.name} = {value!r} is not a datetime"
    )


def to_records(catalog: Catalog, record_type: Any) -> list[Any]:
    """Return a catalog's rows as records; a field without a column is `None`.

    Parameters
    ----------
    catalog
        Times come out as naive datetimes, UTC.
    record_type
        One of the named tuples of this module.
    """
    columns = []
    for name in record_type._fields:
        if name not in catalog:
            columns.append([None] * len(catalog))
            continue
        values = catalog[name].tolist()
        mask = catalog.nulls.get(name)
        if mask is not None:
            for row in np.flatnonzero(mask).tolist():
                values[row] = None
        columns.append(values)
    return [record_type._make(row) for row in zip(*columns, strict=True)]
