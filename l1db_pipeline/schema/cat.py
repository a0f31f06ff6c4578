"""The ``CREATE TABLE`` text of LSST's old `cat` package, read line by line.

Nothing in the text is executed. The layout is that of ``sql/baselineSchema.sql``: one
column a line, followed by comment lines with ``<descr>``, ``<unit>`` and others.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from l1db_pipeline.schema.model import (
    Column,
    Datatype,
    Index,
    Schema,
    SchemaError,
    Table,
)

__all__ = ["L1_TABLES", "CatColumn", "CatTable", "as_schema", "as_source", "read_cat"]

L1_TABLES = (
    "DiaObject",
    "SSObject",
    "DiaSource",
    "DiaForcedSource",
    "DiaObject_To_Object_Match",
)
_TYPES = {
    "BIGINT": Datatype.LONG,
    "BINARY": Datatype.BLOB,
    "BLOB": Datatype.BLOB,
    "BOOL": Datatype.BOOLEAN,
    "BOOLEAN": Datatype.BOOLEAN,
    "CHAR": Datatype.CHAR,
    "DATETIME": Datatype.TIMESTAMP,
    "DOUBLE": Datatype.DOUBLE,
    "FLOAT": Datatype.FLOAT,
    "INT": Datatype.INT,
    "INTEGER": Datatype.INT,
    "SMALLINT": Datatype.SHORT,
    "TEXT": Datatype.TEXT,
    "TIMESTAMP": Datatype.TIMESTAMP,
    "TINYINT": Datatype.BYTE,
    "VARBINARY": Datatype.BLOB,
    "VARCHAR": Datatype.STRING,
}
_CREATE = re.compile(r"CREATE TABLE\s+(?:IF NOT EXISTS\s+)?[`\"]?(\w+)")
_KEY = re.compile(
    r"(PRIMARY KEY|UNIQUE INDEX|UNIQUE KEY|UNIQUE|INDEX|KEY|CONSTRAINT|FOREIGN KEY)\b"
    r"\s*[`\"]?(\w*)[^(]*(?:\(([^)]*)\))?"
)
_TYPE = re.compile(r"(\w+)(?:\((\d+)\))?")
_INDEX_WORDS = {"INDEX", "KEY"}


@dataclass(slots=True)
class CatColumn:
    """A column as the text has it."""

    name: str
    sql_type: str
    nullable: bool
    default: str | None
    comment: str = ""

    def tag(self, name: str) -> str:
        """Return the text of a tag of the comment, white space made single."""
        return _tag(self.comment, name)


@dataclass(slots=True)
class CatTable:
    """A table as the text has it."""

    name: str
    line: int
    columns: list[CatColumn] = field(default_factory=list)
    primary_key: tuple[str, ...] = ()
    indexes: list[Index] = field(default_factory=list)
    comment: str = ""


def read_cat(
    source: str, lines: Iterable[str], names: Iterable[str] = L1_TABLES
) -> list[CatTable]:
    """Return the tables with the given names, in the order of the text.

    Parameters
    ----------
    source
        Name of the file, for messages.
    lines
        Its lines.
    names
        Tables to read; others are skipped.

    Raises
    ------
    SchemaError
        If none of the tables is there, one is not closed, or a line in one is no
        column and no key.
    """
    wanted = set(names)
    tables: list[CatTable] = []
    table: CatTable | None = None
    for number, text in enumerate(lines, 1):
        line = text.strip()
        if match := _CREATE.match(line):
            if table is not None:
                break
            table = CatTable(match[1], number)
        elif table is None:
            continue
        elif line.startswith(")"):
            tables += [table] if table.name in wanted else []
            table = None
        elif table.name in wanted:
            _read_line(f"{source}, line {number}", table, line)
    if table is not None:
        raise SchemaError(
            f"{source}: table {table.name} of line {table.line} is not closed by a "
            "line that begins with )"
        )
    if not tables:
        raise SchemaError(f"{source} creates none of {', '.join(sorted(wanted))}")
    return tables


def as_source(table: CatTable) -> Iterator[str]:
    """Yield the lines that the original ``parse_cat`` prints for a table."""
    yield ""
    yield f"table = Table('{table.name}', self._metadata,"
    for column in table.columns:
        arguments = [repr(column.name), column.sql_type, f"nullable={column.nullable}"]
        if column.default is not None:
            arguments.append(f"default={column.default}")
        yield f"              Column({', '.join(arguments)}),"
    yield "              )"
    yield f"-- all columns for table {table.name}"
    yield " ".join(column.name for column in table.columns)
    yield f"-- non-nullable columns for table {table.name}"
    yield " ".join(column.name for column in table.columns if not column.nullable)


def as_schema(source: str, tables: Iterable[CatTable]) -> Schema:
    """Return the tables as a schema, units and descriptions from the comments.

    Raises
    ------
    SchemaError
        If a type is unknown or a key names no column.
    """
    return Schema(
        "cat",
        "0",
        tuple(_table(source, table) for table in tables),
        "L1 tables of the baseline schema of cat.",
    )


def _read_line(where: str, table: CatTable, line: str) -> None:
    if line.startswith("--"):
        comment = f" {line.removeprefix('--').strip()}"
        if table.columns:
            table.columns[-1].comment += comment
        else:
            table.comment += comment
    elif not line or line.startswith("("):
        return
    elif key := _KEY.match(line):
        _read_key(table, key)
    else:
        table.columns.append(_read_column(where, line))


def _read_key(table: CatTable, key: re.Match[str]) -> None:
    word, name, listed = key.groups()
    columns = tuple(part.strip(' `"') for part in (listed or "").split(",") if part)
    if word == "PRIMARY KEY":
        table.primary_key = columns
    elif word in _INDEX_WORDS and columns:
        table.indexes.append(Index(name, columns))


def _read_column(where: str, line: str) -> CatColumn:
    definition = line.partition("--")[0].strip().rstrip(",")
    words = definition.split()
    if len(words) < 2 or not words[0].strip('`"').isidentifier():
        raise SchemaError(f"{where}: neither a column nor a key: {line!r}")
    default = None
    if "DEFAULT" in words[:-1]:
        default = words[words.index("DEFAULT") + 1]
    return CatColumn(
        words[0].strip('`"'), words[1], "NOT NULL" not in definition, default
    )


def _table(source: str, table: CatTable) -> Table:
    where = f"{source}: table {table.name}"
    try:
        return Table(
            table.name,
            tuple(_column(where, column) for column in table.columns),
            table.primary_key,
            tuple(table.indexes),
            _tag(table.comment, "descr"),
        )
    except SchemaError as error:
        raise SchemaError(f"{source}: {error}") from error


def _column(where: str, column: CatColumn) -> Column:
    match = _TYPE.fullmatch(column.sql_type)
    datatype = _TYPES.get(match[1].upper()) if match else None
    if match is None or datatype is None:
        raise SchemaError(
            f"{where}: column {column.name}: type {column.sql_type} is not one of: "
            f"{', '.join(sorted(_TYPES))}"
        )
    sized = datatype.numpy_dtype.hasobject and match[2]
    return Column(
        column.name,
        datatype,
        column.nullable,
        column.tag("unit"),
        column.tag("descr"),
        int(match[2]) if sized else None,
        _default(f"{where}: column {column.name}", datatype, column.default),
    )


def _default(where: str, datatype: Datatype, text: str | None) -> float | str | None:
    if text is None or text.upper() == "NULL":
        return None
    try:
        match datatype.numpy_dtype.kind:
            case "i":
                return int(text)
            case "f":
                return float(text)
            case "b":
                return bool(int(text))
            case _:
                return text.strip("'\"")
    except ValueError as error:
        raise SchemaError(f"{where}: default {text} is not a number") from error


def _tag(comment: str, name: str) -> str:
    found = re.search(rf"<{name}>(.*?)</{name}>", comment)
    return " ".join(found[1].split()) if found else ""
