"""Tables as SQLAlchemy Core objects: the one place that knows the dialects' types.

====================  ================  =======================  ==============
Our type              PostgreSQL        SQLite                   MariaDB
====================  ================  =======================  ==============
byte, short, int      smallint/integer  INTEGER                  TINYINT, ...
float, double         real, double      REAL                     FLOAT, DOUBLE
timestamp             timestamp         INTEGER, us since 1970   DATETIME(6)
binary                bytea             BLOB                     LONGBLOB
====================  ================  =======================  ==============
"""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.types import TypeEngine

from l1db_pipeline.schema.model import Column, Datatype, Table
from l1db_pipeline.store.tables.layout import BLOCK_RANGE

__all__ = ["DIALECTS", "Tables"]

DIALECTS: Mapping[str, Dialect] = {
    "postgresql": postgresql.dialect(paramstyle="format"),  # type: ignore[no-untyped-call]  # SQLAlchemy 2.1
    "sqlite": sqlite.dialect(paramstyle="qmark"),
    "mysql": mysql.dialect(paramstyle="format"),
}
_COMMON: Mapping[Datatype, TypeEngine[Any]] = {
    Datatype.BOOLEAN: sa.Boolean(),
    Datatype.BYTE: sa.SmallInteger(),
    Datatype.SHORT: sa.SmallInteger(),
    Datatype.INT: sa.Integer(),
    Datatype.LONG: sa.BigInteger(),
    Datatype.FLOAT: sa.REAL(),
    Datatype.DOUBLE: sa.Double(),
    Datatype.BLOB: sa.LargeBinary(),
    Datatype.TEXT: sa.Text(),
    Datatype.TIMESTAMP: sa.TIMESTAMP(),
    Datatype.MJD_TAI: sa.Double(),
}
_SPECIAL: Mapping[str, Mapping[Datatype, TypeEngine[Any]]] = {
    "postgresql": {},
    "sqlite": {
        Datatype.LONG: sa.Integer(),
        Datatype.BOOLEAN: sa.Integer(),
        Datatype.DOUBLE: sa.REAL(),
        Datatype.MJD_TAI: sa.REAL(),
        Datatype.TIMESTAMP: sa.Integer(),
    },
    "mysql": {
        Datatype.FLOAT: mysql.FLOAT(),
        Datatype.TIMESTAMP: mysql.DATETIME(fsp=6),
        Datatype.BLOB: mysql.LONGBLOB(),
        Datatype.TEXT: mysql.LONGTEXT(),
    },
}
_BLOCK_RANGE: Mapping[str, Any] = {
    "postgresql_using": "brin",
    "postgresql_with": {"pages_per_range": 8, "autosummarize": "on"},
}
_APPENDED: Mapping[str, Any] = {
    # pages that only fill are logged once, not again by each vacuum of inserts
    "postgresql_with": {"autovacuum_vacuum_insert_threshold": -1}
}
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "DiaObject": _APPENDED,
    "DiaSource": _APPENDED,
    "DiaForcedSource": _APPENDED,
    "L1ObjectHome": _APPENDED,
    # room for a new version of every row on its page: updates leave indexes alone
    "DiaObjectLast": {"postgresql_with": {"fillfactor": 50}},
    "L1Cell": {"postgresql_with": {"fillfactor": 40}},
}


class Tables:
    """The tables of one database, by logical name.

    Parameters
    ----------
    dialect_name
        A key of `DIALECTS`.
    prefix
        Of every table's and index's name.
    namespace
        PostgreSQL schema; empty for the connection's default.
    """

    def __init__(
        self, dialect_name: str, *, prefix: str = "", namespace: str = ""
    ) -> None:
        self.dialect = DIALECTS[dialect_name]
        self._prefix = prefix
        self._metadata = sa.MetaData(schema=namespace or None)
        self._made: dict[str, sa.Table] = {}

    def __getitem__(self, table: Table) -> sa.Table:
        made = self._made.get(table.name)
        if made is None:
            made = self._made[table.name] = self._make(table)
        return made

    def sql_name(self, table: Table) -> str:
        """Return the name in the database, with prefix."""
        return self._prefix + table.name

    def create_statements(self, table: Table) -> list[str]:
        """Return CREATE TABLE and CREATE INDEX statements."""
        made = self[table]
        statements = [str(CreateTable(made).compile(dialect=self.dialect))]
        indexes = sorted(made.indexes, key=lambda index: str(index.name))
        creations = [
            CreateIndex(index).compile(dialect=self.dialect) for index in indexes
        ]
        return [*statements, *map(str, creations)]

    def compile(self, statement: sa.ClauseElement) -> str:
        """Return a statement's text; its parameters are bound by the caller."""
        return str(statement.compile(dialect=self.dialect))

    def _make(self, table: Table) -> sa.Table:
        columns = [
            # every id is given; MariaDB would take a 0 for a wish to be given one
            sa.Column(
                column.sql_name,
                self._type(column),
                nullable=column.nullable,
                autoincrement=False,
            )
            for column in table.columns
        ]
        sql_names = {column.name: column.sql_name for column in table.columns}
        name = self.sql_name(table)
        options = {"mysql_engine": "InnoDB", **_OPTIONS.get(table.name, {})}
        made = sa.Table(name, self._metadata, *columns, **options)
        if table.primary_key:
            keys = [made.c[sql_names[key]] for key in table.primary_key]
            made.append_constraint(sa.PrimaryKeyConstraint(*keys, name=f"PK_{name}"))
        for index in table.indexes:
            is_block_range = index.name.startswith(BLOCK_RANGE)
            options = dict(_BLOCK_RANGE) if is_block_range else {}
            sa.Index(
                self._prefix + index.name,
                *(made.c[sql_names[column]] for column in index.columns),
                **options,
            )
        return made

    def _type(self, column: Column) -> TypeEngine[Any]:
        special = _SPECIAL[self.dialect.name].get(column.datatype)
        if special is not None:
            return special
        if self.dialect.name == "mysql" and column.length:
            # keys tell "a" from "A" and from "a ", as the other databases do
            return mysql.VARCHAR(
                column.length, charset="utf8mb4", collation="utf8mb4_nopad_bin"
            )
        common = _COMMON.get(column.datatype)
        if common is not None:
            return common
        return sa.String(column.length) if column.length else sa.Text()
