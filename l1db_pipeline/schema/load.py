"""Schema files: Felis YAML, ours or another's, read into a `Schema`."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any

from l1db_pipeline.schema.column_map import ColumnMap
from l1db_pipeline.schema.felis import parse_felis
from l1db_pipeline.schema.model import Index, Keys, Schema, SchemaError, Table
from pipeline_runtime.documents import DocumentError, parse_yaml, read_file

__all__ = ["OWN_SCHEMA", "load_schema", "read_yaml"]

OWN_SCHEMA = Path(__file__).with_name("l1db.yaml")
_INDEX_MODES = Path(__file__).with_name("index_modes.yaml")
_LARGEST_FILE_BYTES = 10_000_000
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "DiaObject": (
        "diaObjectId",
        "validityStart",
        "validityEnd",
        "ra",
        "decl",
        "htmId20",
    ),
    "DiaObjectLast": ("diaObjectId", "ra", "decl", "htmId20"),
    "DiaSource": ("diaSourceId", "ccdVisitId", "diaObjectId", "ra", "decl", "htmId20"),
    "DiaForcedSource": ("diaObjectId", "ccdVisitId"),
    "L1DbProtoVisits": ("visitId", "visitTime"),
}
_OF_PROTOTYPE: Mapping[str, tuple[str, ...]] = {
    "DiaObject": ("lastNonForcedSource",),
    "DiaObjectLast": ("lastNonForcedSource",),
}
"""What the prototype's visits need, too."""


def load_schema(
    path: str | PathLike[str] | None = None,
    *,
    column_map: str | PathLike[str] | None = None,
) -> Schema:
    """Read the tables of the L1 database.

    Parameters
    ----------
    path
        Felis YAML; `None` or empty for this package's own.
    column_map
        YAML that gives the file's names for our columns, see `ColumnMap`.

    Returns
    -------
    schema
        The eight tables of the L1 database in our order, columns by our names.
        What the file lacks is there too: DiaObjectLast and DiaObjectNightly with
        the columns of its DiaObject, the other tables as ours. Tables of the file
        that the L1 database does not have are left out.

    Raises
    ------
    SchemaError
        If a file cannot be read or does not describe what the L1 database needs.
    """
    own = _own_schema()
    if not path and not column_map:
        return own
    file = Path(path or OWN_SCHEMA)
    schema = parse_felis(str(file), read_yaml(file))
    if column_map:
        map_file = Path(column_map)
        schema = ColumnMap.parse(map_file, read_yaml(map_file)).apply(schema, own)
    return _complete(str(file), schema, own)


@cache
def _own_schema() -> Schema:
    schema = parse_felis(str(OWN_SCHEMA), read_yaml(OWN_SCHEMA))
    return _complete(str(OWN_SCHEMA), schema, schema)


def read_yaml(file: Path) -> object:
    """Read a YAML file without making any object but plain ones.

    Raises
    ------
    SchemaError
        If it cannot be read, is too large or is not YAML.
    """
    try:
        return parse_yaml(read_file(file, _LARGEST_FILE_BYTES), file)
    except OSError as error:
        raise SchemaError(f"cannot read {file}: {error.strerror}") from error
    except DocumentError as error:
        raise SchemaError(str(error)) from error


def _complete(source: str, schema: Schema, own: Schema) -> Schema:
    if "DiaObject" not in schema:
        raise SchemaError(f"{source} has no table DiaObject")
    for table in schema.tables:
        needed = _NEEDED.get(table.name, ())
        needed += () if schema.has_images else _OF_PROTOTYPE.get(table.name, ())
        if missing := [name for name in needed if name not in table]:
            raise SchemaError(
                f"{source}: table {table.name} lacks {', '.join(missing)}; "
                "name its columns for these in a column_map"
            )
    tables = (_table(table.name, schema, own) for table in own.tables)
    return replace(schema, tables=tuple(_with_modes(table) for table in tables))


def _table(name: str, schema: Schema, own: Schema) -> Table:
    if name in schema:
        return schema.table(name)
    if name not in {"DiaObjectLast", "DiaObjectNightly"}:
        return own.table(name)
    objects = schema.table("DiaObject")
    return replace(own.table(name), columns=objects.columns, not_kept=objects.not_kept)


def _with_modes(table: Table) -> Table:
    modes = {
        mode: _keys(tables[table.name])
        for mode, tables in _index_modes().items()
        if table.name in tables
    }
    return replace(table, keys_by_mode=modes) if modes else table


@cache
def _index_modes() -> dict[str, Any]:
    content = read_yaml(_INDEX_MODES)
    if not isinstance(content, dict):
        raise SchemaError(f"{_INDEX_MODES} is not a mapping")
    return content


def _keys(content: Mapping[str, Any]) -> Keys:
    return Keys(
        tuple(content["primaryKey"]),
        tuple(Index(name, tuple(c)) for name, c in content["indexes"].items()),
    )
