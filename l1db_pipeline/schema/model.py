"""What a table is: columns, types, keys; every other module asks these classes."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np

from l1db_pipeline.errors import L1dbError
from l1db_pipeline.schema.config import ObjectIndex

__all__ = ["Column", "Datatype", "Index", "Keys", "Schema", "SchemaError", "Table"]


class SchemaError(L1dbError, ValueError):
    """A schema, or a file that describes one, cannot be used."""


class Datatype(Enum):
    """Type of a column; values are the words of Felis, but for the last."""

    BOOLEAN = "boolean"
    BYTE = "byte"
    SHORT = "short"
    INT = "int"
    LONG = "long"
    FLOAT = "float"
    """Four bytes, really: ``REAL`` in PostgreSQL."""
    DOUBLE = "double"
    CHAR = "char"
    STRING = "string"
    UNICODE = "unicode"
    TEXT = "text"
    BLOB = "binary"
    TIMESTAMP = "timestamp"
    """UTC, microseconds, without zone."""
    MJD_TAI = "mjd_tai"
    """A time to us, kept in the database as a double, Modified Julian Date TAI."""

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """Type of the column in a `Catalog`; text and blobs are objects."""
        return _DTYPES[self]

    @property
    def n_bytes(self) -> int | None:
        """Bytes of a value in a row, `None` if it varies."""
        dtype = self.numpy_dtype
        return None if dtype.hasobject else dtype.itemsize

    @property
    def is_time(self) -> bool:
        """Whether a `Catalog` holds it as ``datetime64[us]``, UTC."""
        return self in {Datatype.TIMESTAMP, Datatype.MJD_TAI}


_OBJECT = np.dtype(object)
_DTYPES: Mapping[Datatype, np.dtype[Any]] = {
    Datatype.BOOLEAN: np.dtype(np.bool_),
    Datatype.BYTE: np.dtype(np.int8),
    Datatype.SHORT: np.dtype(np.int16),
    Datatype.INT: np.dtype(np.int32),
    Datatype.LONG: np.dtype(np.int64),
    Datatype.FLOAT: np.dtype(np.float32),
    Datatype.DOUBLE: np.dtype(np.float64),
    Datatype.CHAR: _OBJECT,
    Datatype.STRING: _OBJECT,
    Datatype.UNICODE: _OBJECT,
    Datatype.TEXT: _OBJECT,
    Datatype.BLOB: _OBJECT,
    Datatype.TIMESTAMP: np.dtype("datetime64[us]"),
    Datatype.MJD_TAI: np.dtype("datetime64[us]"),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: our name for it, its type and what it means."""

    name: str
    """Logical name, as catalogs and the API spell it."""
    datatype: Datatype
    nullable: bool = True
    unit: str = ""
    """Unit in FITS words (``nmgy``, ``deg``), empty for none."""
    description: str = ""
    length: int | None = None
    """Maximum characters of a text, bytes of a blob; `None` for unlimited."""
    default: bool | float | str | None = None
    """What a catalog without this column stores; `None` for NULL, or an error."""
    physical: str = ""
    """Name in the database where that differs; ask for `sql_name`."""
    sql_name: str = field(init=False, repr=False, compare=False)
    """Name in the database, case kept: quote it."""
    numpy_dtype: np.dtype[Any] = field(init=False, repr=False, compare=False)
    """Type of the column in a `Catalog`."""
    is_required: bool = field(init=False, repr=False, compare=False)
    """Whether a catalog must give it: neither NULL nor a default will do."""

    def __post_init__(self) -> None:
        # worked out once: a visit asks for them a thousand times
        object.__setattr__(self, "sql_name", self.physical or self.name)
        object.__setattr__(self, "numpy_dtype", self.datatype.numpy_dtype)
        is_required = not self.nullable and self.default is None
        object.__setattr__(self, "is_required", is_required)


@dataclass(frozen=True, slots=True)
class Index:
    """A secondary index; ``name`` is without the tables' prefix."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Keys:
    """Primary key (may be empty) and indexes of a table."""

    primary_key: tuple[str, ...] = ()
    indexes: tuple[Index, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A table by logical names; keys name columns logically too.

    Raises
    ------
    SchemaError
        If a column appears twice or a key names none of the columns.
    """

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    indexes: tuple[Index, ...] = ()
    description: str = ""
    keys_by_mode: Mapping[str, Keys] = field(default_factory=dict)
    """Other keys, by the value of an `ObjectIndex`."""
    not_kept: frozenset[str] = frozenset()
    """Columns that a catalog may have and this table does not keep."""
    names: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """Logical column names, in the order of the table."""
    by_name: Mapping[str, Column] = field(init=False, repr=False, compare=False)
    """The columns by logical name, for names that are known to be right."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {c.name: c for c in self.columns})
        object.__setattr__(self, "names", tuple(self.by_name))
        logical = tuple(c.name for c in self.columns)
        for names in (logical, tuple(c.sql_name.lower() for c in self.columns)):
            if twice := {name for name in names if names.count(name) > 1}:
                raise SchemaError(f"{self.name} has {', '.join(sorted(twice))} twice")
        used = {*self.primary_key, *(c for i in self.indexes for c in i.columns)}
        for keys in self.keys_by_mode.values():
            used |= {*keys.primary_key, *(c for i in keys.indexes for c in i.columns)}
        if unknown := used.difference(self.names):
            raise SchemaError(
                f"keys of {self.name} name unknown columns {', '.join(sorted(unknown))}"
            )

    @property
    def required(self) -> tuple[str, ...]:
        """Columns that every catalog must give."""
        return tuple(column.name for column in self.columns if column.is_required)

    def __contains__(self, name: object) -> bool:
        return name in self.by_name

    def column(self, name: str) -> Column:
        """Return a column by its logical name; `SchemaError` if there is none."""
        column = self.by_name.get(name)
        if column is None:
            raise SchemaError(
                f"{self.name} has no column {name!r}; it has {', '.join(self.names)}"
            )
        return column

    def without(self, names: Collection[str]) -> "Table":
        """Return the table without some columns and the indexes that need them."""
        if not names:
            return self
        kept = tuple(c for c in self.columns if c.name not in names)
        indexes = tuple(
            i for i in self.indexes if not set(names).intersection(i.columns)
        )
        return replace(self, columns=kept, indexes=indexes)

    def for_mode(self, mode: ObjectIndex) -> "Table":
        """Return the table with the keys of an index mode."""
        keys = self.keys_by_mode.get(mode.value)
        if keys is None:
            return self
        return replace(self, primary_key=keys.primary_key, indexes=keys.indexes)


@dataclass(frozen=True, slots=True)
class Schema:
    """A named, versioned set of tables."""

    name: str
    version: str
    tables: tuple[Table, ...]
    description: str = ""

    def table(self, name: str) -> Table:
        """Return a table by name; `SchemaError` if there is none."""
        for table in self.tables:
            if table.name == name:
                return table
        names = ", ".join(self.names)
        raise SchemaError(f"schema {self.name} has no table {name!r}; it has {names}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tables."""
        return tuple(table.name for table in self.tables)

    def __contains__(self, name: object) -> bool:
        return any(table.name == name for table in self.tables)

    @property
    def has_images(self) -> bool:
        """Whether sources name visit and detector in columns of their own.

        So they do where clients of ``lsst.dax.apdb`` write, who give all values
        themselves; then the tables for updates by day are made, too.
        """
        return "DiaSource" in self and all(
            name in self.table("DiaSource") for name in ("visit", "detector")
        )

    def tables_for(
        self, mode: ObjectIndex, *, nightly: bool = False
    ) -> tuple[Table, ...]:
        """Return the tables that a configuration has, with their keys.

        DiaObjectLast exists in `ObjectIndex.LAST_OBJECT_TABLE` only,
        DiaObjectNightly with ``nightly`` only.
        """
        unwanted = set() if nightly else {"DiaObjectNightly"}
        if mode is not ObjectIndex.LAST_OBJECT_TABLE:
            unwanted.add("DiaObjectLast")
        return tuple(t.for_mode(mode) for t in self.tables if t.name not in unwanted)
