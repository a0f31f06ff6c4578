"""Deleting versions of objects that others have followed, without reading them."""

from abc import ABC
from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

import numpy as np
import sqlalchemy as sa
from typing_extensions import override

from l1db_pipeline.schema.model import Table
from l1db_pipeline.store.backends.database import Condition, Op
from l1db_pipeline.store.backends.dbapi import DbapiDatabase
from l1db_pipeline.store.tables.layout import HOME_PIXEL

__all__ = ["SupersedingDatabase"]

_KIND = "delete superseded"
_START = "validityStart"


class SupersedingDatabase(DbapiDatabase, ABC):
    """What all databases share, and the deletion of versions by those that follow."""

    _before_joins: ClassVar[tuple[str, ...]] = ()
    """Statements that let the rest of a transaction join whole tables."""

    @override
    def _statement(self, kind: Hashable, table: Table, columns: Sequence[str]) -> Any:
        if kind != _KIND:
            return super()._statement(kind, table, columns)
        made = self._tables[table]
        later = made.alias("later")
        object_id, pixel, start = (
            table.column(name).sql_name for name in ("diaObjectId", HOME_PIXEL, _START)
        )
        until = sa.bindparam("until", type_=made.c[start].type)
        follows = sa.exists().where(
            later.c[object_id] == made.c[object_id],
            later.c[pixel] == made.c[pixel],  # an object's versions are under one
            later.c[start] > made.c[start],
            later.c[start] <= until,
        )
        return sa.delete(made).where(follows)

    @override
    def delete_superseded(self, table: Table, until: np.datetime64) -> int:
        value = {"until": self._value(table.column(_START), until)}
        where = [Condition(_START, Op.LESS, until)]
        for text in self._before_joins:
            self._execute(text)
        return int(self._run(_KIND, table, (), where, value).rowcount)
