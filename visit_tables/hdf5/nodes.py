"""Look into an HDF5 file that somebody else made, without following its tricks.

Only datasets reached through hard links, stored within the file, of plain types,
and not much larger than what is stored of them, are opened.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from visit_tables.columns import UnsupportedColumnError, VisitsFileError
from visit_tables.hdf5.safe_pickle import UnsafePickleError, load_names

__all__ = [
    "HDF5FileError",
    "attribute",
    "child_dataset",
    "child_group",
    "open_hdf5",
    "table_keys",
]

_MOST_COMPRESSION = 1100
"""Deflate cannot shrink more than 1032-fold; shuffled chunks included."""


class HDF5FileError(VisitsFileError):
    """An HDF5 file is damaged, unsafe, or not in a layout of pandas."""


@contextmanager
def open_hdf5(path: str | Path) -> Iterator[h5py.File]:
    """Open a file for reading; every failure within becomes a typed error.

    Raises
    ------
    HDF5FileError
        If the file is absent, truncated, damaged, unsafe, or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        what = "is not a regular file" if path.exists() else "no such file"
        raise HDF5FileError(path, what)
    if not path.stat().st_size:
        raise HDF5FileError(path, "the file is empty")
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except (UnsafePickleError, UnsupportedColumnError) as error:
        raise HDF5FileError(path, str(error)) from error
    except HDF5FileError as error:
        raise HDF5FileError(path, error.reason) from error
    except (OSError, RuntimeError, KeyError, TypeError, UnicodeDecodeError) as error:
        # h5py's own words for truncated files, failed checksums and unknown filters
        reason = f"cannot be read as HDF5: {error}"
        raise HDF5FileError(path, reason) from error


def table_keys(file: h5py.File) -> list[str]:
    """Return the tables of a file, which are the groups that pandas marked."""
    return [
        name
        for name in file
        if isinstance(file.get(name, getlink=True), h5py.HardLink)
        and isinstance(file[name], h5py.Group)
        and "pandas_type" in file[name].attrs
    ]


def child_group(parent: h5py.Group, name: str) -> h5py.Group:
    """Return a group of the same file.

    Raises
    ------
    HDF5FileError
        If it is absent, a link to elsewhere, or no group.
    """
    node = _child(parent, name)
    if not isinstance(node, h5py.Group):
        raise HDF5FileError("", f"{node.name} is not a group")
    return node


def child_dataset(
    parent: h5py.Group, name: str, *, is_pickled: bool = False
) -> h5py.Dataset:
    """Return a dataset that is safe to read.

    Parameters
    ----------
    parent, name
        Where it is.
    is_pickled
        Whether it is one of the variable-length byte arrays in which PyTables keeps
        pickles. No other dataset of variable length or of references is admitted.

    Raises
    ------
    HDF5FileError
        If it is absent, linked, virtual, kept in another file, of a type that is
        not plain, or claims to be far larger than what is stored.
    """
    node = _child(parent, name)
    if not isinstance(node, h5py.Dataset):
        raise HDF5FileError("", f"{node.name} is not a dataset")
    if node.is_virtual or node.external:
        raise HDF5FileError("", f"{node.name} keeps its values in another file")
    is_bytes = h5py.check_vlen_dtype(node.dtype) == np.dtype(np.uint8)
    if is_pickled and is_bytes and node.ndim == 1 and len(node) == 1:
        return node
    if is_pickled or _has_objects(node.dtype):
        raise HDF5FileError("", f"{node.name} holds objects, not plain values")
    stored = node.id.get_storage_size()
    if node.size * node.dtype.itemsize > _MOST_COMPRESSION * stored + 1_000_000:
        raise HDF5FileError("", f"{node.name} claims more rows than it stores")
    return node


def _child(parent: h5py.Group, name: str) -> Any:  # Any: h5py has no types
    if "/" in name or name in {"", "."}:
        raise HDF5FileError("", f"{name!r} cannot be a key")
    link = parent.get(name, getlink=True)
    if link is None:
        known = ", ".join(sorted(parent)) or "nothing"
        raise HDF5FileError("", f"has no {name!r} in {parent.name}, but {known}")
    if not isinstance(link, h5py.HardLink):
        raise HDF5FileError("", f"{name!r} is a link to elsewhere")
    return parent[name]


def _has_objects(dtype: "np.dtype[Any]") -> bool:
    if dtype.fields:
        return any(_has_objects(kind[0]) for kind in dtype.fields.values())
    return dtype.base.kind not in "iufbS"


def attribute(node: h5py.HLObject, name: str, default: Any = None) -> Any:
    """Return an attribute as PyTables would, but without unpickling objects.

    Any: attributes are texts, numbers, or nested lists of names.

    Raises
    ------
    HDF5FileError
        If it is of no plain type.
    UnsafePickleError
        If it is a pickle of more than names.
    """
    if name not in node.attrs:
        return default
    kind = h5py.h5a.open(node.id, name.encode()).get_type()
    if isinstance(kind, h5py.h5t.TypeStringID):
        value = node.attrs[name]
        if isinstance(value, h5py.Empty):
            return ""
        if isinstance(value, np.ndarray):
            raise HDF5FileError("", f"attribute {name!r} is an array of texts")
        data = value.encode() if isinstance(value, str) else bytes(value)
        is_pickle = kind.get_cset() == h5py.h5t.CSET_ASCII and data.endswith(b".")
        return load_names(data) if is_pickle else data.decode()
    if kind.get_class() in {h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.BITFIELD}:
        return node.attrs[name]
    raise HDF5FileError("", f"attribute {name!r} is of an unusual type")
