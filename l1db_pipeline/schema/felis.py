"""The part of Felis (https://felis.lsst.io) that makes a database, read and written.

Read are names, versions, columns with type, length, NULL, default, unit and
description, primary keys and indexes. The rest (UCDs, TAP hints, constraints, types
of single databases) is skipped: the store makes its own tables.
"""

from collections.abc import Mapping
from typing import Any

from l1db_pipeline.schema.model import (
    Column,
    Datatype,
    Index,
    Schema,
    SchemaError,
    Table,
)

__all__ = ["dump_felis", "parse_felis"]

_FELIS_TYPES = {t.value: t for t in Datatype if t is not Datatype.MJD_TAI}
_MAX_NAME = 63


def parse_felis(source: str, content: object) -> Schema:
    """Return the schema of a parsed Felis file.

    Parameters
    ----------
    source
        Name of the file, for messages.
    content
        What `yaml.safe_load` gave.

    Raises
    ------
    SchemaError
        If a name or type is missing, unknown or of the wrong kind.
    """
    top = _mapping(source, content)
    version = top.get("version", "0")
    if isinstance(version, dict):  # Felis allows {current: ..., compatible: [...]}
        version = version.get("current", "0")
    return Schema(
        _name(source, top),
        str(version),
        tuple(_table(source, table) for table in _list(source, top, "tables")),
        str(top.get("description", "")),
    )


def dump_felis(schema: Schema) -> dict[str, Any]:
    """Return plain data that `yaml.safe_dump` writes as valid Felis."""
    return {
        "name": schema.name,
        "version": schema.version,
        **({"description": schema.description} if schema.description else {}),
        "tables": [_dump_table(table) for table in schema.tables],
    }


def _table(source: str, content: object) -> Table:
    part = _mapping(f"{source}: a table", content)
    name = _name(f"{source}: a table", part)
    where = f"{source}: table {name}"
    primary_key = part.get("primaryKey") or []
    references = [primary_key] if isinstance(primary_key, str) else primary_key
    if not isinstance(references, list):
        raise SchemaError(f"{where}: primaryKey is not a name or a list of names")
    columns = tuple(_column(where, column) for column in _list(where, part, "columns"))
    indexes = tuple(_index(where, index) for index in _list(where, part, "indexes"))
    key = tuple(_referred(where, reference) for reference in references)
    try:
        return Table(name, columns, key, indexes, str(part.get("description", "")))
    except SchemaError as error:
        raise SchemaError(f"{source}: {error}") from error


def _column(where: str, content: object) -> Column:
    part = _mapping(f"{where}: a column", content)
    name = _name(f"{where}: a column", part)
    where = f"{where}: column {name}"
    word = part.get("datatype")
    datatype = _FELIS_TYPES.get(word) if isinstance(word, str) else None
    if datatype is None:
        raise SchemaError(
            f"{where}: datatype {word!r} is not one of: {', '.join(_FELIS_TYPES)}"
        )
    nullable = part.get("nullable", True)
    if not isinstance(nullable, bool):
        raise SchemaError(f"{where}: nullable is {nullable!r}, not true or false")
    length = part.get("length")
    if length is not None and (not isinstance(length, int) or length < 1):
        raise SchemaError(f"{where}: length {length!r} is not a positive number")
    return Column(
        name,
        datatype,
        nullable,
        str(part.get("fits:tunit") or part.get("ivoa:unit") or ""),
        str(part.get("description", "")),
        length,
        _default(where, datatype, part.get("value")),
    )


def _default(
    where: str, datatype: Datatype, value: object
) -> bool | float | str | None:
    """Return a column's default if it is of the column's kind."""
    kind = datatype.numpy_dtype.kind
    wanted: tuple[type, ...] = {"b": (bool,), "i": (int,), "f": (int, float)}.get(
        kind, (str,)
    )
    if value is None:
        return None
    is_number_as_flag = isinstance(value, bool) and kind != "b"
    if not isinstance(value, wanted) or is_number_as_flag:
        raise SchemaError(f"{where}: value {value!r} is not of type {datatype.value}")
    return value  # type: ignore[return-value]  # narrowed by ``wanted``


def _index(where: str, content: object) -> Index:
    part = _mapping(f"{where}: an index", content)
    name = _name(f"{where}: an index", part)
    columns = _list(f"{where}: index {name}", part, "columns")
    return Index(name, tuple(_referred(where, column) for column in columns))


def _referred(where: str, reference: object) -> str:
    """Return the column that ``#Table.column`` or ``column`` means."""
    if not isinstance(reference, str):
        raise SchemaError(f"{where}: {reference!r} is not a reference to a column")
    return reference.removeprefix("#").rpartition(".")[2]


def _mapping(where: str, content: object) -> Mapping[str, Any]:
    if not isinstance(content, dict):
        raise SchemaError(f"{where} is not a mapping")
    return content


def _list(where: str, part: Mapping[str, Any], key: str) -> list[object]:
    value = part.get(key) or []
    if not isinstance(value, list):
        raise SchemaError(f"{where}: {key} is not a list")
    return value


def _name(where: str, part: Mapping[str, Any]) -> str:
    name = part.get("name")
    if isinstance(name, bool):
        raise SchemaError(
            f"{where} has the name {name}: put on, off, yes and no in quotes"
        )
    if not isinstance(name, str) or not name or "\0" in name:
        raise SchemaError(f"{where} has no name")
    if len(name.encode()) > _MAX_NAME:
        raise SchemaError(f"{where} has a name of more than {_MAX_NAME} bytes: {name}")
    return name


def _dump_table(table: Table) -> dict[str, Any]:
    content: dict[str, Any] = {"name": table.name}
    if table.description:
        content["description"] = table.description
    content["columns"] = [_dump_column(column) for column in table.columns]
    if table.primary_key:
        content["primaryKey"] = [f"#{table.name}.{c}" for c in table.primary_key]
    if table.indexes:
        content["indexes"] = [
            {
                "name": index.name,
                "columns": [f"#{table.name}.{c}" for c in index.columns],
            }
            for index in table.indexes
        ]
    return content


def _dump_column(column: Column) -> dict[str, Any]:
    content: dict[str, Any] = {"name": column.name, "datatype": column.datatype.value}
    if column.length is not None:
        content["length"] = column.length
    if not column.nullable:
        content["nullable"] = False
    if column.default is not None:
        content["value"] = column.default
    if column.description:
        content["description"] = column.description
    if column.unit:
        content["fits:tunit"] = column.unit
    return content
