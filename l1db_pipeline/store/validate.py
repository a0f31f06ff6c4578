"""A visit's catalogs, checked and brought to the schema's dtypes before any write."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.errors import MissingColumnsError
from l1db_pipeline.schema.model import Column, Datatype, Table
from l1db_pipeline.schema.times import check_times_fit
from l1db_pipeline.sky.htm import htm_index, radec_to_xyz
from l1db_pipeline.store.base import VisitKey, VisitRecords
from l1db_pipeline.store.digest import TableDigest
from l1db_pipeline.store.errors import DuplicateIdError, InvalidCatalogError, some
from l1db_pipeline.store.tables.layout import OWN_COLUMNS, Layout
from l1db_pipeline.store.tables.tiers import TIER_MARK
from visit_tables.time_scales import utc64

__all__ = ["CheckedVisit", "check_visit", "visit_time64"]

_MAX_BIGINT = 2**63 - 1
_MAX_TILE_LENGTH = 32
_MAX_TILES = 1_000_000
_HTM20_RANGE = (8 * 4**20, 16 * 4**20)
_SET_BY_STORE = frozenset({"validityStart", "validityEnd"})
_KINDS = {
    "b": "a boolean column",
    "i": "an integer column",
    "f": "a real column",
    "M": "a time column",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedVisit:
    """Catalogs with the schema's dtypes, all-NULL columns left out, and digests."""

    key: VisitKey
    time: np.datetime64
    """Naive UTC, microseconds."""
    objects: Catalog
    sources: Catalog
    forced: Catalog
    digests: tuple[TableDigest, TableDigest, TableDigest]
    """Of the three catalogs, in that order."""


def check_visit(layout: Layout, key: VisitKey, records: VisitRecords) -> CheckedVisit:
    """Check a visit.

    Raises
    ------
    InvalidCatalogError
        If a value cannot be stored; the text names it.
    MissingColumnsError
        If a required column is absent.
    NaiveTimeError
        If the visit's time has no time zone.
    TimeRangeError
        If a time is one that its column does not hold.
    """
    place = f"visit {key.visit_id}" + (f" tile {key.tile}" if key.tile else "")
    _check_key(key, place)
    time = visit_time64(layout, key, place)
    objects = _prepare(layout.objects, records.objects, place, ignore=_SET_BY_STORE)
    sources = _prepare(layout.sources, records.sources, place)
    forced = _prepare(layout.forced, records.forced_sources, place)
    _check_unique(f"{place} DiaObject", objects, ("diaObjectId",))
    _check_unique(f"{place} DiaSource", sources, ("diaSourceId",))
    _check_unique(f"{place} DiaForcedSource", forced, ("diaObjectId", "ccdVisitId"))
    return CheckedVisit(
        key=key,
        time=time,
        objects=objects,
        sources=sources,
        forced=forced,
        digests=(
            TableDigest.of(objects),
            TableDigest.of(sources),
            TableDigest.of(forced),
        ),
    )


def visit_time64(layout: Layout, key: VisitKey, place: str) -> np.datetime64:
    """Return the time of a visit as columns keep it; errors as `check_visit`."""
    time = utc64(key.time, place)
    start = layout.objects.column("validityStart")
    for datatype in {Datatype.TIMESTAMP, start.datatype}:
        check_times_fit(np.asarray(time), datatype, f"{place} time")
    return time


def _check_key(key: VisitKey, place: str) -> None:
    if not 0 <= key.visit_id <= _MAX_BIGINT:
        raise InvalidCatalogError(
            place, "the visit id is not a 64-bit number >= 0", "use another id"
        )
    if len(key.tile) > _MAX_TILE_LENGTH:
        raise InvalidCatalogError(
            place,
            f"the tile's name has {len(key.tile)} characters",
            f"use at most {_MAX_TILE_LENGTH}",
        )
    if key.tile.startswith(TIER_MARK):
        raise InvalidCatalogError(
            place, f"a tile's name begins with {TIER_MARK!r}", "use another name"
        )
    if not 0 <= key.n_tiles <= _MAX_TILES:
        raise InvalidCatalogError(
            place, f"n_tiles is {key.n_tiles}", f"use 0..{_MAX_TILES}"
        )


def _prepare(
    table: Table, rows: Catalog, place: str, *, ignore: frozenset[str] = frozenset()
) -> Catalog:
    where = f"{place} {table.name}"
    known = {c.name: c for c in table.columns if c.name not in OWN_COLUMNS}
    if len(rows) == 0:
        return Catalog({c.name: np.empty(0, c.numpy_dtype) for c in known.values()
                        if c.name not in ignore})  # fmt: skip
    unknown = set(rows.names).difference(known, table.not_kept)
    if unknown:
        raise InvalidCatalogError(
            where,
            f"unknown columns {some(sorted(unknown), 5)}",
            f"the table has {', '.join(known)}",
        )
    given = rows.columns
    columns: dict[str, NDArray[Any]] = {}
    nulls: dict[str, NDArray[np.bool_]] = {}
    missing = []
    for name, column in known.items():
        if name in ignore:
            continue
        if name in given:
            _take_column(where, column, rows, columns, nulls)
        elif column.default is not None:
            columns[name] = np.full(len(rows), column.default, column.numpy_dtype)
        elif column.is_required and name != "htmId20":
            missing.append(name)
    if missing:
        raise MissingColumnsError(table.name, missing)
    _check_positions(where, known, columns)
    return Catalog(columns, nulls)


def _take_column(
    where: str,
    column: Column,
    rows: Catalog,
    columns: dict[str, NDArray[Any]],
    nulls: dict[str, NDArray[np.bool_]],
) -> None:
    mask = rows.nulls.get(column.name)
    if mask is not None and not mask.any():
        mask = None
    if mask is not None and not column.nullable:
        raise InvalidCatalogError(
            f"{where} column {column.name}",
            f"NULL in rows {some(np.flatnonzero(mask).tolist())}",
            "the column takes no NULL: give a value",
        )
    if mask is not None and mask.all():
        return  # as if it were absent
    columns[column.name] = _cast(where, column, rows.columns[column.name], mask)
    if mask is not None:
        nulls[column.name] = np.asarray(mask, dtype=np.bool_)


def _cast(
    where: str, column: Column, values: NDArray[Any], mask: NDArray[np.bool_] | None
) -> NDArray[Any]:
    wanted = column.numpy_dtype
    place = f"{where} column {column.name}"
    if values.ndim != 1:
        raise InvalidCatalogError(place, f"shape {values.shape}", "give one dimension")
    if wanted.hasobject:
        return _check_texts(place, column, values, mask)
    if not np.can_cast(values.dtype, wanted, "same_kind"):
        kind = _KINDS.get(wanted.kind, str(wanted))
        raise InvalidCatalogError(
            place,
            f"dtype {values.dtype} cannot be stored in {kind}",
            f"convert it to {wanted}",
        )
    cast = values if values.dtype == wanted else _narrow(place, values, wanted, mask)
    if wanted.kind == "M":
        bad = np.isnat(cast) if mask is None else np.isnat(cast) & ~mask
        if bad.any():
            raise InvalidCatalogError(
                place,
                f"NaT in rows {some(np.flatnonzero(bad).tolist())}",
                "mark NULL times in Catalog.nulls",
            )
        check_times_fit(cast, column.datatype, place, False if mask is None else mask)
    return cast


def _narrow(
    place: str,
    values: NDArray[Any],
    wanted: np.dtype[Any],
    mask: NDArray[np.bool_] | None,
) -> NDArray[Any]:
    with np.errstate(over="ignore", invalid="ignore"):
        cast = values.astype(wanted)
        if wanted.kind == "f":
            lost = np.isinf(cast) & np.isfinite(values)
        elif wanted.kind == "M":
            lost = (cast.astype(values.dtype) != values) & ~np.isnat(values)
        else:
            lost = cast.astype(values.dtype) != values
            lost |= (cast < 0) != (values < 0)
    if mask is not None:
        lost &= ~mask
    if lost.any():
        rows = np.flatnonzero(lost)
        raise InvalidCatalogError(
            place,
            f"{values[rows[0]]} in row {rows[0]} does not fit {wanted}",
            "give values that the schema's type can hold",
        )
    return cast


def _check_texts(
    place: str, column: Column, values: NDArray[Any], mask: NDArray[np.bool_] | None
) -> NDArray[Any]:
    kind: type[bytes | str] = bytes if column.datatype is Datatype.BLOB else str
    items = values.astype(object)
    plain = items.tolist() if mask is None else items[~mask].tolist()
    if kind is bytes and set(map(type, plain)) <= {bytes}:  # many, and quickly
        limit = column.length
        if limit is None or max(map(len, plain), default=0) <= limit:
            return items
    for row, item in enumerate(items.tolist()):
        if mask is not None and mask[row]:
            continue
        if not isinstance(item, kind):
            raise InvalidCatalogError(
                place,
                f"row {row} has a {type(item).__name__}",
                f"give {kind.__name__}, and mark NULL in Catalog.nulls",
            )
        if column.length is not None and len(item) > column.length:
            raise InvalidCatalogError(
                place, f"row {row} has length {len(item)}", f"at most {column.length}"
            )
        if kind is str and "\0" in item:
            raise InvalidCatalogError(
                place, f"row {row} has a NUL character", "databases take none in text"
            )
    return items


def _check_positions(
    where: str, known: Mapping[str, Column], columns: dict[str, NDArray[Any]]
) -> None:
    if "ra" not in columns or "decl" not in columns or "htmId20" not in known:
        return
    ra, decl = columns["ra"], columns["decl"]
    for name, values, good in (
        ("ra", ra, (ra >= 0) & (ra < 360)),
        ("decl", decl, (decl >= -90) & (decl <= 90)),
    ):
        if not good.all():
            row = int(np.flatnonzero(~good)[0])
            limits = "0 <= ra < 360" if name == "ra" else "-90 <= decl <= 90"
            raise InvalidCatalogError(
                f"{where} column {name}",
                f"row {row}: {name}={values[row]} is out of range ({limits})",
                "give degrees, ICRS",
            )
    if "htmId20" not in columns:
        columns["htmId20"] = htm_index(radec_to_xyz(ra, decl))
        return
    htm = columns["htmId20"]
    bad = (htm < _HTM20_RANGE[0]) | (htm >= _HTM20_RANGE[1])
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise InvalidCatalogError(
            f"{where} column htmId20",
            f"row {row}: {htm[row]} is not an HTM id of level 20",
            "omit the column to let the store compute it",
        )


def _check_unique(where: str, rows: Catalog, key: tuple[str, ...]) -> None:
    if len(rows) < 2:
        return
    columns = [rows[name] for name in key]
    order = np.lexsort(columns[::-1]) if len(columns) > 1 else np.argsort(columns[0])
    same = np.ones(len(rows) - 1, dtype=np.bool_)
    for column in columns:
        ordered = column[order]
        same &= ordered[1:] == ordered[:-1]
    if same.any():
        row = int(order[np.flatnonzero(same)[0]])
        value = ", ".join(f"{name} {rows[name][row]}" for name in key)
        raise DuplicateIdError(where, f"{value} appears twice", "give each id once")
