"""The PyTables *table* layout that ``pandas.read_hdf`` reads, as constants.

A frame is a group with an appendable compound dataset ``table``: a column ``index``
and one field for each column. A column whose name is not a plain identifier is a
field ``values_block_N`` instead, because PyTables forbids or warns about such names.
Lists of names are attributes in pickle's text protocol, which PyTables insists on.
They are composed here by hand, hold nothing but texts and integers, and are only
read through `visit_tables.hdf5.safe_pickle`.

References
----------
https://www.pytables.org/usersguide/file_format.html and ``pandas/io/pytables.py``
of pandas 2.3 and 3.1.
"""

import keyword
from collections.abc import Sequence
from dataclasses import dataclass

import h5py
import numpy as np
from numpy.typing import NDArray

from visit_tables.columns import MISSING_TEXT

__all__ = ["Field", "Shape", "fields_of", "mark_file", "mark_group", "mark_table"]

_INFO = b"(dI1\n(dVnames\n(lNasVtype\nVIndex\nssVindex\n(d%ss."

_PLAIN_PREFIXES = ("_v_", "_f_", "_g_", "_i_", "_c_")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """What pandas makes of a table.

    Attributes
    ----------
    is_series
        Whether it is a series, which has one column.
    index
        Values of the index, if it is not 0, 1, 2 and so on.
    index_name
        Name of that index.
    levels
        Columns that make up the index, if it has several levels.
    """

    is_series: bool = False
    index: NDArray[np.generic] | None = None
    index_name: str | None = None
    levels: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One column of a frame and the field of the compound dataset that holds it."""

    column: str
    name: str
    dtype: np.dtype[np.generic]

    @property
    def is_plain(self) -> bool:
        """Whether the field is named as the column."""
        return self.column == self.name

    @property
    def stored(self) -> np.dtype[np.generic]:
        """The dtype within the file: little-endian, bools and times as integers."""
        if self.dtype.kind == "b":
            return np.dtype(np.uint8)
        if self.dtype.kind == "M":
            return np.dtype("<i8")
        return self.dtype.newbyteorder("<")


def fields_of(columns: Sequence[tuple[str, np.dtype[np.generic]]]) -> list[Field]:
    """Choose a field for each column, in order."""
    fields = []
    n_blocks = 0
    for column, dtype in columns:
        name = column
        if not _is_plain(column):
            name = f"values_block_{n_blocks}"
            n_blocks += 1
        fields.append(Field(column=column, name=name, dtype=dtype))
    return fields


def _is_plain(column: str) -> bool:
    return (
        column.isascii()
        and column.isidentifier()
        and not keyword.iskeyword(column)
        and column != "index"
        and not column.startswith(_PLAIN_PREFIXES)
        and not column.startswith(("values_block_", "FIELD_"))
        # pandas keeps column x's facts in attributes x_kind, x_dtype and x_meta
        and column not in {"CLASS", "NROWS", "TITLE", "VERSION", "FILTERS"}
        and len(column) <= 200
    )


def mark_file(file: h5py.File) -> None:
    """Mark a file as one of PyTables."""
    _texts(file, CLASS="GROUP", PYTABLES_FORMAT_VERSION="2.1", TITLE="", VERSION="1.0")


def mark_group(group: h5py.Group, fields: Sequence[Field], shape: Shape) -> None:
    """Mark a group as a frame or series in table format."""
    kind, multi = (
        ("series", "multiseries") if shape.is_series else ("frame", "multiframe")
    )
    _texts(
        group,
        CLASS="GROUP",
        TITLE="",
        VERSION="1.0",
        encoding="UTF-8",
        errors="strict",
        nan_rep=MISSING_TEXT.decode(),
        pandas_type=f"{kind}_table",
        table_type=f"appendable_{multi if shape.levels else kind}",
    )
    columns = _listed([field.column for field in fields])
    _pickles(
        group,
        data_columns=_listed([f.name for f in fields if f.is_plain]) + b".",
        index_cols=b"(l(I0\nVindex\nta.",
        info=_INFO % _named_index(shape.index_name),
        non_index_axes=b"(l(I1\n" + columns + b"ta.",
        values_cols=_listed([field.name for field in fields]) + b".",
    )
    if shape.levels:
        _pickles(group, levels=_listed(shape.levels) + b".")
    else:
        group.attrs["levels"] = np.int64(1)


def _named_index(name: str | None) -> bytes:
    return b"" if name is None else b"Vindex_name\nV" + _escaped(name) + b"\ns"


def mark_table(table: h5py.Dataset, fields: Sequence[Field]) -> None:
    """Mark a compound dataset as the table of a frame or series."""
    index_kind = "float" if table.dtype["index"].kind == "f" else "integer"
    _texts(table, CLASS="TABLE", TITLE="", VERSION="2.7", index_kind=index_kind)
    table.attrs["NROWS"] = np.int64(table.shape[0])
    for position, name in enumerate(["index", *(field.name for field in fields)]):
        _texts(table, **{f"FIELD_{position}_NAME": name})
    for field in fields:
        kind = _listed([field.column]) + b"."
        _pickles(table, **{f"{field.name}_kind": kind})
        _texts(table, **{f"{field.name}_dtype": _pandas_dtype(field.dtype)})
        if field.dtype.kind == "S":
            _texts(table, **{f"{field.name}_meta": "str"})


def _pandas_dtype(dtype: np.dtype[np.generic]) -> str:
    if dtype.kind == "S":
        return f"bytes{dtype.itemsize * 8}"
    return str(dtype.newbyteorder("="))


def _listed(names: Sequence[str]) -> bytes:
    """Return a list of texts in pickle protocol 0, without the final stop."""
    return b"(l" + b"".join(b"V" + _escaped(name) + b"\na" for name in names)


def _escaped(name: str) -> bytes:
    for plain, escape in (
        ("\\", "\\u005c"),
        ("\0", "\\u0000"),
        ("\n", "\\u000a"),
        ("\r", "\\u000d"),
        ("\x1a", "\\u001a"),
    ):
        name = name.replace(plain, escape)
    return name.encode("raw-unicode-escape")


def _texts(node: h5py.HLObject, **attributes: str) -> None:
    """Write text attributes as PyTables does: fixed size, marked as UTF-8."""
    for name, text in attributes.items():
        _write(node, name, text.encode(), h5py.h5t.CSET_UTF8)


def _pickles(node: h5py.HLObject, **attributes: bytes) -> None:
    """Write pickled attributes: PyTables tells them by the ASCII character set."""
    for name, text in attributes.items():
        _write(node, name, text, h5py.h5t.CSET_ASCII)


def _write(node: h5py.HLObject, name: str, text: bytes, character_set: int) -> None:
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(max(1, len(text)))
    kind.set_cset(character_set)
    space = h5py.h5s.create(h5py.h5s.SCALAR if text else h5py.h5s.NULL)
    attribute = h5py.h5a.create(node.id, name.encode(), kind, space)
    if text:
        attribute.write(np.array(text, dtype=f"S{len(text)}"), mtype=kind)
