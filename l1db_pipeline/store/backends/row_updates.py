"""Updates of rows one by one, each by its key: the statement that databases share."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.model import Column, Table
from l1db_pipeline.store.backends.database import Condition

__all__ = ["RowUpdates"]


class RowUpdates(ABC):
    """The part of a `DbapiDatabase` that sets values row by row."""

    _texts: dict[tuple[Any, ...], tuple[str, list[str]]]

    @abstractmethod
    def _cell(self, table: Table, name: str) -> ColumnElement[Any]:
        """Return a column as SQLAlchemy has it."""

    @abstractmethod
    def _compiled(
        self, key: tuple[Any, ...], statement: sa.ClauseElement
    ) -> tuple[str, list[str]]:
        """Return a statement's text and the names of its parameters; keep them."""

    @abstractmethod
    def _execute_many(
        self, text: str, rows: Iterable[Sequence[Any]], table: str
    ) -> int:
        """Run a statement for each row and return how many rows it changed."""

    @abstractmethod
    def _to_rows(
        self, columns: Sequence[Column], rows: Catalog
    ) -> Iterable[tuple[Any, ...]]:
        """Return rows as the driver takes them."""

    def set_rows(
        self,
        table: Table,
        rows: Catalog,
        *,
        keys: Sequence[str],
        where: Sequence[Condition] = (),  # noqa: ARG002 - for databases that join
    ) -> int:
        """Set all other columns of the rows that have these keys; return how many.

        Parameters
        ----------
        rows
            Keys, each once, and the columns to set.
        keys
            Names of the columns that are compared.
        where
            Conditions that all of the rows fulfil; they may help to find them.
        """
        if not len(rows):
            return 0
        cells = {name: self._cell(table, name) for name in rows.names}
        bound: dict[str, Any] = {
            name: sa.bindparam(f"b{place}", type_=cells[name].type)
            for place, name in enumerate(rows.names)
        }
        changed = {cells[n]: bound[n] for n in rows.names if n not in keys}
        shape = ("set rows", table.name, rows.names, tuple(keys))
        text, names = self._texts.get(shape) or self._compiled(
            shape,
            sa.update(cells[rows.names[0]].table)
            .values(changed)
            .where(*(cells[key] == bound[key] for key in keys)),
        )
        columns = [table.by_name[rows.names[int(name[1:])]] for name in names]
        return self._execute_many(text, self._to_rows(columns, rows), table.name)
