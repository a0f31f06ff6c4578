"""The store's own small tables: what each row of theirs must agree with.

A register steers reads and stores as chunks do: a column that it denies is not asked
for, an option that it states decides where rows are looked for.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.errors import L1dbError
from l1db_pipeline.schema.model import Table
from l1db_pipeline.store.backends.database import Database
from l1db_pipeline.store.base import Finding
from l1db_pipeline.store.errors import DatabaseUnavailableError, some
from l1db_pipeline.store.made_with import MadeWith
from l1db_pipeline.store.tables.layout import Layout

__all__ = [
    "ProvedColumns",
    "check_entries",
    "check_filled",
    "check_made_with",
    "check_timings",
]


@dataclass(frozen=True, slots=True)
class ProvedColumns:
    """Nullable columns, by table, of which the register's word was found to hold."""

    empty: dict[str, frozenset[str]] = field(default_factory=dict)
    """Those without any value."""
    null_free: dict[str, frozenset[str]] = field(default_factory=dict)
    """Those without any NULL."""


def check_made_with(made_with: MadeWith) -> Iterator[Finding]:
    """Find what the database says of its making, and no longer holds."""
    try:
        made_with.check(are_complete=True)
    except DatabaseUnavailableError:
        raise  # nothing was found out
    except L1dbError as error:
        yield Finding(invariant="settings", where="L1Settings", detail=str(error))


def check_entries(entries: Catalog) -> Iterator[Finding]:
    """Find the visits whose tiles disagree on its time or number, or are too many."""
    if not len(entries):
        return
    ordered = entries.take(np.argsort(entries["visitId"], kind="stable"))
    ids, starts, n_tiles = np.unique(
        ordered["visitId"], return_index=True, return_counts=True
    )
    said = {
        name: (np.minimum.reduceat(ordered[name], starts),
               np.maximum.reduceat(ordered[name], starts))
        for name in ("visitTime", "nTiles")
    }  # fmt: skip
    announced = said["nTiles"][0]
    split = {name: least != most for name, (least, most) in said.items()}
    for bad, detail in (
        (split["visitTime"], "its tiles state several times"),
        (split["nTiles"], "its tiles state several numbers of tiles"),
        ((announced > 0) & (n_tiles > announced), "more tiles than announced"),
    ):
        if bad.any():
            yield Finding(
                invariant="ledger entries",
                where=f"visit {some(ids[bad].tolist())}",
                detail=detail,
            )


def check_filled(
    database: Database, layout: Layout, tables: Sequence[Table]
) -> tuple[list[Finding], ProvedColumns]:
    """Find columns that hold what the register denies; return what it says rightly."""
    register = database.select(layout.filled, layout.filled.names)
    known = set(
        zip(register["tableName"], register["columnName"],
            register["hasNulls"].tolist(), strict=True)
    )  # fmt: skip
    columns = ProvedColumns()
    findings, with_rows = [], []
    for table in tables:
        with_rows += [table.name] if database.count(table) else []
        nullable = [column.name for column in table.columns if column.nullable]
        unregistered = [n for n in nullable if (table.name, n, 0) not in known]
        filled = _columns_with(database, table, unregistered, nulls=False)
        whole = [n for n in nullable if (table.name, n, 1) not in known]
        with_null = _columns_with(database, table, whole, nulls=True)
        columns.empty[table.name] = frozenset(unregistered) - filled
        columns.null_free[table.name] = frozenset(whole) - with_null
        findings += [
            Finding(invariant="filled", where=f"{table.name}.{name}", detail=detail)
            for names, detail in (
                (with_null, "holds a NULL, but is registered as without"),
                (filled, "holds values, but is registered as empty"),
            )
            for name in sorted(names)
        ]
    findings += _check_entries_of_columns(known, tables, with_rows)
    return findings, columns


def _columns_with(
    database: Database, table: Table, names: Sequence[str], *, nulls: bool
) -> set[str]:
    """Return the columns with a NULL, or a value, where as a rule there is none.

    One scan asks for all; only if it finds some is each asked for.
    """
    if not names or not database.holds(table, names, nulls=nulls):
        return set()
    return {name for name in names if database.holds(table, [name], nulls=nulls)}


def _check_entries_of_columns(
    entries: Collection[tuple[str, str, int]],
    tables: Sequence[Table],
    with_rows: Collection[str],
) -> Iterator[Finding]:
    """Find entries of no column, and columns that must be entered and are not."""
    entries = set(entries)
    columns = {(t.name, c.name): c for t in tables for c in t.columns}
    possible = {
        (table, name, flag)
        for (table, name), column in columns.items()
        for flag in ((0, 1) if column.nullable else (0,))
    }
    for table, name, flag in sorted(entries - possible):
        yield Finding(
            invariant="filled entries",
            where=f"{table}.{name}",
            detail=f"is entered with hasNulls {flag}, which no column has",
        )
    required = {
        (table, name, 0)
        for (table, name), column in columns.items()
        if not column.nullable and table in with_rows
    }
    for table, name, _ in sorted(required - entries):
        yield Finding(
            invariant="filled",
            where=f"{table}.{name}",
            detail="has a value in each row, but is registered as empty",
        )


def check_timings(
    database: Database, layout: Layout, tiles: Collection[tuple[int, str]]
) -> Iterator[Finding]:
    """Find timings of visits that the ledger lacks, and steps that are missing."""
    names = ["visitId", "tile", "place"]
    rows = database.select(layout.timings, names)
    visits = {visit for visit, _ in tiles}
    places: dict[tuple[int, str], list[int]] = {}
    for visit, tile, place in zip(*(rows[n].tolist() for n in names), strict=True):
        places.setdefault((visit, tile), []).append(place)
    for (visit, tile), found in sorted(places.items()):
        where = f"visit {visit} tile {tile!r}"
        if visit not in visits or (tile and (visit, tile) not in tiles):
            yield Finding(
                invariant="timings", where=where, detail="the ledger has no such visit"
            )
        if sorted(found) != list(range(len(found))):
            yield Finding(
                invariant="timings",
                where=where,
                detail=f"its steps are {sorted(found)}, not 0 to {len(found) - 1}",
            )
