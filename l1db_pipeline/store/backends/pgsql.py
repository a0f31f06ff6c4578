"""SQL of columns and conditions for psycopg: identifiers quoted, values apart."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from psycopg import sql
from psycopg.adapt import Dumper
from psycopg.pq import Format
from typing_extensions import override

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.model import Column, Table
from l1db_pipeline.store.backends.database import Condition, Op
from l1db_pipeline.store.backends.pgbinary import encode_int8_array
from l1db_pipeline.store.backends.tabular import to_python

__all__ = [
    "Int8Array",
    "Int8ArrayDumper",
    "column_name",
    "columns_of",
    "from_clause",
    "name_list",
    "python_value",
    "where_clause",
]


class Int8Array:
    """An int64 array that goes to the server as a binary ``bigint[]``."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values, dtype=np.int64)


class Int8ArrayDumper(Dumper):
    """Sends an `Int8Array` in the binary format of ``bigint[]``."""

    oid = 1016
    format = Format.BINARY

    @override
    def dump(self, obj: Int8Array) -> bytes:
        return encode_int8_array(obj.values)


def where_clause(
    table: Table, where: Sequence[Condition]
) -> tuple[sql.SQL | sql.Composed, list[Any]]:
    """Return WHERE with its values, or nothing without conditions."""
    parts: list[sql.Composable] = []
    values: list[Any] = []
    for condition in where:
        column = table.column(condition.column)
        name = column_name(column)
        match condition.op:
            case Op.IS_NULL:
                parts.append(sql.SQL("{} IS NULL").format(name))
            case Op.ONE_OF:
                parts.append(sql.SQL("{} = ANY(%s)").format(name))
                values.append(Int8Array(condition.value))
            case Op.IN_RANGES:
                raise NotImplementedError("ranges select rows, they do not change them")
            case _:
                operator = sql.SQL(condition.op.value)
                parts.append(sql.SQL("{} {} %s").format(name, operator))
                values.append(python_value(column, condition.value))
    if not parts:
        return sql.SQL(""), values
    return sql.SQL("WHERE {}").format(sql.SQL(" AND ").join(parts)), values


def from_clause(
    name: sql.Composable, table: Table, where: Sequence[Condition]
) -> tuple[sql.SQL | sql.Composed, list[Any]]:
    """Return FROM and WHERE with values; ranges are joined, which is faster than OR."""
    source: sql.SQL | sql.Composed = sql.SQL("FROM {} AS t").format(name)
    values: list[Any] = []
    plain = []
    for condition in where:
        if condition.op is not Op.IN_RANGES:
            plain.append(condition)
            continue
        source = sql.SQL(
            "{} JOIN unnest(%s, %s) AS r(low, high) ON {} >= low AND {} < high"
        ).format(source, *[column_name(table.column(condition.column))] * 2)
        ranges = condition.value
        values += [Int8Array(ranges[:, 0]), Int8Array(ranges[:, 1])]
    clause, more = where_clause(table, plain)
    return sql.SQL("{} {}").format(source, clause), values + more


def python_value(column: Column, value: Any) -> Any:
    """Return a value as what psycopg sends for a column."""
    if value is None:
        return None
    array = np.asarray([value], dtype=column.numpy_dtype)
    return next(iter(to_python([column], Catalog({column.name: array}))))[0]


def columns_of(table: Table, names: Sequence[str]) -> list[Column]:
    """Return the named columns of a table."""
    return [table.column(name) for name in names]


def name_list(columns: Sequence[Column]) -> sql.Composable:
    """Return the quoted names of columns, with commas between."""
    return sql.SQL(", ").join(sql.Identifier(column.sql_name) for column in columns)


def column_name(column: Column, *, alias: bool = True) -> sql.Composable:
    """Return the quoted name of a column, of the table called ``t`` if aliased."""
    parts = ("t", column.sql_name) if alias else (column.sql_name,)
    return sql.Identifier(*parts)
