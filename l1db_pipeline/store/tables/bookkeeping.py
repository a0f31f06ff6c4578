"""The store's own small tables: settings, timings, and which columns hold values."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.model import Table
from l1db_pipeline.store.backends.database import Condition, Database, Op
from l1db_pipeline.store.tables.layout import Layout
from l1db_pipeline.store.timing import StepTiming

__all__ = ["FilledColumns", "Settings", "TimingsTable", "catalog_of", "one_row"]


class FilledColumns:
    """The register of columns that hold a value, and of those that hold a NULL.

    The prototype fills 20 of 108 columns: a read need not ask for the others, and
    need not ask for the NULLs of a column that has none. The register is written
    in the transaction of the visit that first fills a column, and only grows.
    """

    def __init__(self, database: Database, layout: Layout) -> None:
        self._database = database
        self._layout = layout
        self._table = layout.filled
        self._known: set[tuple[str, str, int]] = set()
        self._pending: set[tuple[str, str, int]] = set()

    def refresh(self) -> None:
        """Read what other processes have added; part of every transaction."""
        if self._database.count(self._table) == len(self._known):
            return
        rows = self._database.select(self._table, self._table.names)
        self._known = set(
            zip(*(rows[name].tolist() for name in self._table.names), strict=True)
        )

    def forget(self) -> None:
        """Drop what is known, after the tables were dropped or a write failed."""
        self._known.clear()
        self._pending.clear()

    def commit(self) -> None:
        """Keep what the transaction that just ended has written."""
        self._known |= self._pending
        self._pending.clear()

    def note(self, table: Table, rows: Catalog) -> None:
        """Register what rows about to be written hold."""
        if not len(rows):
            return
        given = rows.columns
        found = {(table.name, name, 0) for name in given}
        for column in table.columns:
            mask = rows.nulls.get(column.name)
            if column.name not in given or (mask is not None and mask.any()):
                found.add((table.name, column.name, 1))
        self._add(found)

    def note_value(self, table: Table, column: str) -> None:
        """Register that a column holds a value in some rows, and NULL in others."""
        flags = (0, 1) if table.column(column).nullable else (0,)
        self._add({(table.name, column, flag) for flag in flags})

    def repair(self, places: Iterable[str]) -> None:
        """Register columns, as ``table.column``, in a transaction of their own."""
        with self._database.transaction(write=True):
            for place in places:
                name, _, column = place.partition(".")
                table = next(t for t in self._layout.tables if t.name == name)
                self.note_value(table, column)
        self.commit()

    def note_move(self, source: Table, target: Table) -> None:
        """Register for a table what another one holds."""
        known = self._known | self._pending
        self._add(
            {
                (target.name, column, flag)
                for name, column, flag in known
                if name == source.name
            }
        )

    def _add(self, found: set[tuple[str, str, int]]) -> None:
        new = sorted(found - self._known - self._pending)
        if new:
            self._database.add_if_absent(self._table, catalog_of(self._table, new))
            self._pending.update(new)

    def filled(self, table: Table, columns: Sequence[str]) -> list[str]:
        """Return those of the columns that hold a value anywhere."""
        known = self._known | self._pending
        of_table = table.by_name
        return [
            name
            for name in columns
            if not of_table[name].nullable or (table.name, name, 0) in known
        ]

    def null_free(self, table: Table) -> frozenset[str]:
        """Return the nullable columns that hold no NULL."""
        known = self._known | self._pending
        return frozenset(
            column.name
            for column in table.columns
            if (table.name, column.name, 1) not in known
        )


class Settings:
    """Names and values that the database keeps for its users, and for itself."""

    def __init__(self, database: Database, layout: Layout) -> None:
        self._database = database
        self._table = layout.settings

    def get(self, name: str) -> str | None:
        """Return the value of a setting, `None` if there is none."""
        where = [Condition("name", Op.EQUAL, name)]
        rows = self._database.select(self._table, ["value"], where)
        return str(rows["value"][0]) if len(rows) else None

    def beginning_with(self, prefix: str) -> dict[str, str]:
        """Return the settings whose names begin with a prefix."""
        rows = self._database.select(self._table, self._table.names)
        pairs = zip(rows["name"].tolist(), rows["value"].tolist(), strict=True)
        return {name: value for name, value in pairs if name.startswith(prefix)}

    def put(self, name: str, value: str, *, replace: bool = False) -> str:
        """Keep a setting; return the value that holds, another's unless replaced."""
        row = catalog_of(self._table, [(name, value)])
        with self._database.transaction(write=True):
            self._database.add_if_absent(self._table, row)
            kept = self.get(name)
            if replace and kept not in {None, value}:
                self._database.delete(self._table, [Condition("name", Op.EQUAL, name)])
                self._database.append(self._table, row)
                return value
        return value if kept is None else kept


class TimingsTable:
    """What the steps of each visit cost."""

    def __init__(self, database: Database, layout: Layout) -> None:
        self._database = database
        self._table = layout.timings

    def write(self, visit_id: int, tile: str, steps: Sequence[StepTiming]) -> None:
        """Replace the timings of a visit (or a tile of it).

        Of two that write at once the first one's are kept, whole.
        """
        table = self._table
        rows = Catalog(
            {
                "visitId": np.full(len(steps), visit_id, dtype=np.int64),
                "tile": _objects([tile] * len(steps)),
                "place": np.arange(len(steps), dtype=np.int32),
                "step": _objects([step.step for step in steps]),
                "real_s": np.array([step.real_s for step in steps], dtype=np.float64),
                "user_s": np.array([step.user_s for step in steps], dtype=np.float64),
                "sys_s": np.array([step.sys_s for step in steps], dtype=np.float64),
                "n_rows": _counts([step.n_rows for step in steps]),
                "n_bytes": _counts([step.n_bytes for step in steps]),
            },
            {
                "n_rows": np.array([s.n_rows is None for s in steps], dtype=np.bool_),
                "n_bytes": np.array([s.n_bytes is None for s in steps], dtype=np.bool_),
            },
        )
        where = [
            Condition("visitId", Op.EQUAL, visit_id),
            Condition("tile", Op.EQUAL, tile),
        ]
        with self._database.transaction(write=True):
            self._database.delete(table, where)
            first = rows.take(np.arange(min(len(rows), 1)))
            if len(rows) and self._database.add_if_absent(table, first):
                self._database.append(table, rows.take(np.arange(1, len(rows))))

    def read(self) -> Catalog:
        """Return the timings, ordered by visit, tile and step."""
        with self._database.transaction(write=False):
            rows = self._database.select(self._table, self._table.names)
        keys = sorted(
            range(len(rows)),
            key=lambda row: (rows["visitId"][row], rows["tile"][row],
                             rows["place"][row]),
        )  # fmt: skip
        return rows.take(np.array(keys, dtype=np.int64))


def one_row(table: Table, *values: Any) -> Catalog:
    """Return a catalog of one row, values in the order of the table's columns."""
    return catalog_of(table, [values])


def catalog_of(table: Table, rows: Sequence[tuple[Any, ...]]) -> Catalog:
    """Return rows of Python values, at least one, as a catalog of a table."""
    columns = {}
    for column, items in zip(table.columns, zip(*rows, strict=True), strict=True):
        if column.numpy_dtype.hasobject:
            columns[column.name] = _objects(items)
        else:
            columns[column.name] = np.array(items, dtype=column.numpy_dtype)
    return Catalog(columns)


def _objects(items: Sequence[Any]) -> np.ndarray[Any, np.dtype[np.object_]]:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def _counts(items: Sequence[int | None]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array([item or 0 for item in items], dtype=np.int64)
