"""Updates of rows by their key on PostgreSQL: one statement, joined with a stage."""

from abc import abstractmethod
from collections.abc import Sequence

import sqlalchemy as sa
from typing_extensions import override

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.model import Table
from l1db_pipeline.store.backends.database import Condition
from l1db_pipeline.store.backends.dbapi import DbapiDatabase

__all__ = ["StagedUpdates"]


class StagedUpdates(DbapiDatabase):
    """The part of a PostgreSQL database that sets values row by row."""

    @abstractmethod
    def _stage(self, table: Table, rows: Catalog) -> sa.Table:
        """Copy rows to a temporary table that ends with the transaction."""

    @override
    def set_rows(
        self,
        table: Table,
        rows: Catalog,
        *,
        keys: Sequence[str],
        where: Sequence[Condition] = (),
    ) -> int:
        if any(table.by_name[name].numpy_dtype.hasobject for name in rows.columns):
            # staged, blobs would be stored twice
            return super().set_rows(table, rows, keys=keys, where=where)
        if not len(rows):
            return 0
        stage = self._stage(table, rows)
        new = {n: stage.c[table.column(n).sql_name] for n in rows.names}
        cells = {name: self._cell(table, name) for name in rows.names}
        statement = (
            sa.update(self._tables[table])
            .values({cells[n]: new[n] for n in rows.names if n not in keys})
            .where(*(cells[k] == new[k] for k in keys), *self._clauses(table, where))
        )
        key = ("set rows", table.name, rows.names, tuple(keys), len(where))
        text, names = self._compiled(key, statement)
        bound = self._values(table, where)
        # a table without key is joined with the stage as a whole
        self._execute("SET LOCAL enable_hashjoin = on")
        values = [bound[name] for name in names]
        n_rows = int(self._execute(text, values, table.name).rowcount)
        self._execute("SET LOCAL enable_hashjoin = off")
        return n_rows
