"""Whose column is ours: a schema of other names and time types, made to speak ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from l1db_pipeline.schema.model import (
    Column,
    Datatype,
    Index,
    Schema,
    SchemaError,
    Table,
)

__all__ = ["ColumnMap", "TableMap"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TableMap:
    """What one table of another schema needs to serve as ours."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """Our name to theirs, in this table only; takes precedence over the common ones."""
    add: tuple[str, ...] = ()
    """Columns of ours that theirs has nothing for: added, as ours."""
    unfilled: tuple[str, ...] = ()
    """NOT NULL columns of theirs for which we have no value: made nullable."""
    defaults: Mapping[str, bool | float | str] = field(default_factory=dict)
    """Value of a column of theirs that our catalogs do not give."""
    indexes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """More indexes: name to columns by our names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnMap:
    """Our column names and those of another schema."""

    source: str
    """The map's file, for messages."""
    columns: Mapping[str, str]
    """Our name to theirs, in every table that has theirs."""
    tables: Mapping[str, TableMap]

    @classmethod
    def parse(cls, file: Path, content: object) -> "ColumnMap":
        """Check the content of a map file; `SchemaError` says what is wrong."""
        source = str(file)
        top = _mapping(source, content, {"columns", "tables"})
        tables = _mapping(f"{source}: tables", top.get("tables") or {})
        return cls(
            source=source,
            columns=_words(f"{source}: columns", top.get("columns")),
            tables={
                name: _table_map(f"{source}: table {name}", part)
                for name, part in tables.items()
            },
        )

    def apply(self, schema: Schema, own: Schema) -> Schema:
        """Rename the columns of ``schema`` to the names of ``own``.

        A time of ours that theirs keeps as a double becomes `Datatype.MJD_TAI`.

        Raises
        ------
        SchemaError
            If the map names a table or column that is not there, or pairs
            columns whose types cannot hold the same values.
        """
        for name in self.tables:
            schema.table(name)
        theirs = {column.name for table in schema.tables for column in table.columns}
        if unknown := sorted(set(self.columns.values()) - theirs):
            raise SchemaError(
                f"{self.source}: schema {schema.name} has no column "
                f"{', '.join(unknown)} in any table"
            )
        return replace(
            schema,
            tables=tuple(
                self._apply_to(
                    table, own.table(table.name) if table.name in own else None
                )
                for table in schema.tables
            ),
        )

    def _apply_to(self, table: Table, own: Table | None) -> Table:
        where = f"{self.source}: table {table.name}"
        mine = self.tables.get(table.name, TableMap())
        _check_known(where, table, [*mine.columns.values(), *mine.unfilled])
        _check_known(where, table, list(mine.defaults))
        pairs = {o: t for o, t in self.columns.items() if t in table}
        pairs.update(mine.columns)
        if keyed := sorted({*mine.unfilled}.intersection(table.primary_key)):
            raise SchemaError(
                f"{where}: {', '.join(keyed)} of the primary key cannot stay unfilled"
            )
        ours = {theirs: our for our, theirs in pairs.items()}
        if len(ours) < len(pairs):
            raise SchemaError(f"{where}: two of our columns have one of theirs")
        columns = [
            _renamed(where, column, ours.get(column.name, column.name), mine, own)
            for column in table.columns
        ]
        columns += _added(where, mine.add, own)
        names = {column.name for column in columns}
        indexes = [
            _index(index.name, [ours.get(c, c) for c in index.columns])
            for index in table.indexes
        ]
        indexes += [_index(name, named) for name, named in mine.indexes.items()]
        try:
            return replace(
                table,
                columns=tuple(columns),
                primary_key=tuple(ours.get(c, c) for c in table.primary_key),
                indexes=tuple(indexes),
                not_kept=frozenset(own.names if own else ()) - names,
            )
        except SchemaError as error:
            raise SchemaError(f"{self.source}: {error}") from error


def _index(name: str, columns: Sequence[str]) -> Index:
    return Index(name, tuple(columns))


def _renamed(
    where: str, column: Column, name: str, mine: TableMap, own: Table | None
) -> Column:
    datatype = column.datatype
    if own is not None and name in own:
        datatype = _common_type(where, own.column(name), column)
    return replace(
        column,
        name=name,
        datatype=datatype,
        nullable=column.nullable or column.name in mine.unfilled,
        default=mine.defaults.get(column.name, column.default),
        physical=column.name if name != column.name else "",
    )


def _common_type(where: str, ours: Column, theirs: Column) -> Datatype:
    if ours.datatype.is_time and theirs.datatype is Datatype.DOUBLE:
        return Datatype.MJD_TAI
    if ours.numpy_dtype.kind != theirs.numpy_dtype.kind:
        raise SchemaError(
            f"{where}: {theirs.name} is {theirs.datatype.value} and cannot hold our "
            f"{ours.name}, {ours.datatype.value}"
        )
    return theirs.datatype


def _added(where: str, names: Sequence[str], own: Table | None) -> list[Column]:
    if names and own is None:
        raise SchemaError(f"{where}: we have no such table to add columns from")
    return [own.column(name) for name in names] if own else []


def _check_known(where: str, table: Table, names: Sequence[str]) -> None:
    if unknown := sorted(set(names).difference(table.names)):
        raise SchemaError(f"{where} has no column {', '.join(unknown)}")


def _table_map(where: str, part: object) -> TableMap:
    keys = {"columns", "add", "unfilled", "defaults", "indexes"}
    values = _mapping(where, part or {}, keys)
    indexes = _mapping(f"{where}: indexes", values.get("indexes") or {})
    defaults = _mapping(f"{where}: defaults", values.get("defaults") or {})
    for name, value in defaults.items():
        if not isinstance(value, bool | int | float | str):
            raise SchemaError(
                f"{where}: default of {name} is not a plain value: {value}"
            )
    return TableMap(
        columns=_words(f"{where}: columns", values.get("columns")),
        add=_names(f"{where}: add", values.get("add")),
        unfilled=_names(f"{where}: unfilled", values.get("unfilled")),
        defaults=defaults,
        indexes={
            name: _names(f"{where}: index {name}", columns)
            for name, columns in indexes.items()
        },
    )


def _mapping(
    where: str, value: object, known: set[str] | None = None
) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise SchemaError(f"{where} is not a mapping with text keys")
    if known is not None and (unknown := sorted(set(value) - known)):
        raise SchemaError(
            f"{where} has unknown keys {', '.join(unknown)}; "
            f"known: {', '.join(sorted(known))}"
        )
    return value


def _words(where: str, value: object) -> dict[str, str]:
    words = _mapping(where, {} if value is None else value)
    for ours, theirs in words.items():
        if not isinstance(theirs, str):
            raise SchemaError(f"{where}: {ours} is mapped to {theirs!r}, not to a name")
    return words


def _names(where: str, value: object) -> tuple[str, ...]:
    names = [] if value is None else value
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise SchemaError(f"{where} is not a list of names")
    return tuple(names)
