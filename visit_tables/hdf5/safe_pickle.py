"""Read the pickles within pandas' HDF5 files without running code.

PyTables pickles lists of names in attributes and, in pandas' *fixed* format, whole
columns of text. A pickle may name any function to be called when it is read; this
reader only knows the few that rebuild numpy arrays of plain values, and what they
become is checked again.
"""

import io
import pickle  # only to derive a reader that admits nothing but plain values
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from visit_tables.errors import VisitTablesError

__all__ = ["UnsafePickleError", "load_names", "load_objects"]


class UnsafePickleError(VisitTablesError, ValueError):
    """A pickle asks for more than plain values."""


class _ArrayType:
    """Stands for ``numpy.ndarray``, which pickles name but must not call."""


def _reconstruct(
    subtype: object, shape: object, typecode: object
) -> NDArray[Any]:  # Any: the state that follows decides
    if (subtype, shape) != (_ArrayType, (0,)) or typecode not in {b"b", "b"}:
        raise UnsafePickleError("rebuilds an array in an unusual way")
    return np.ndarray((0,), dtype=np.int8)


def _scalar(dtype: object, state: bytes) -> object:
    if not isinstance(dtype, np.dtype) or dtype.kind not in "biufSU":
        raise UnsafePickleError("rebuilds a scalar that is not plain")
    return np.frombuffer(state, dtype=dtype, count=1)[0]


def _dtype(code: object, *_: object) -> "np.dtype[Any]":
    if not isinstance(code, str) or code[:1].strip("<>|=") not in "biufSUO":
        raise UnsafePickleError("names a dtype that is not plain")
    return np.dtype(code)


def _encode(text: object, encoding: object = "latin1") -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise UnsafePickleError("encodes a text in an unusual way")
    return text.encode("latin1")


def _missing(*_: object) -> None:
    return None


_KNOWN = {
    ("numpy", "ndarray"): _ArrayType,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
    ("pandas._libs.missing", "NA"): None,
    ("pandas._libs.tslibs.nattype", "_nat_unpickle"): _missing,
} | {
    (f"numpy.{core}.multiarray", name): function
    for core in ("core", "_core")
    for name, function in (("_reconstruct", _reconstruct), ("scalar", _scalar))
}


class _PlainUnpickler(pickle.Unpickler):
    @override
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        try:
            return _KNOWN[module_name, global_name]
        except KeyError:
            message = f"asks for {module_name}.{global_name}"
            raise UnsafePickleError(message) from None

    @override
    def persistent_load(self, pid: object) -> Any:
        raise UnsafePickleError("asks for an object outside of the file")


def _load(data: bytes) -> object:
    try:
        return _PlainUnpickler(io.BytesIO(data)).load()
    except UnsafePickleError:
        raise
    except (
        pickle.UnpicklingError,
        ArithmeticError,
        AttributeError,
        EOFError,
        ImportError,
        IndexError,
        KeyError,
        MemoryError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise UnsafePickleError(f"is damaged: {error}") from error


def load_names(data: bytes) -> Any:  # Any: nested lists, as PyTables made them
    """Read an attribute: nested lists, tuples and dictionaries of names.

    Raises
    ------
    UnsafePickleError
        If it holds anything else.
    """
    value = _load(data)
    _check_plain(value, depth=6)
    return value


def _check_plain(value: object, depth: int) -> None:
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return
    if depth and isinstance(value, list | tuple):
        for item in value:
            _check_plain(item, depth - 1)
    elif depth and isinstance(value, dict):
        _check_plain([*value.keys(), *value.values()], depth - 1)
    elif not isinstance(value, np.generic):
        raise UnsafePickleError(f"holds a {type(value).__name__}")


def load_objects(data: bytes) -> NDArray[np.object_]:
    """Read a pickled array of texts and other plain values.

    Returns
    -------
    values
        Array of str, bytes, bool, int, float or None, of any shape.

    Raises
    ------
    UnsafePickleError
        If it is not an array, or holds anything else.
    """
    value = _load(data)
    if isinstance(value, list):
        plain = np.empty(len(value), dtype=object)
        plain[:] = value
        value = plain
    if not isinstance(value, np.ndarray):
        raise UnsafePickleError(f"holds a {type(value).__name__}, not an array")
    if value.dtype != object:
        return value.astype(object)
    plain_types = (str, bytes, bool, int, float, np.generic, type(None))
    for item in value.ravel().tolist():
        if not isinstance(item, plain_types):
            raise UnsafePickleError(f"holds a {type(item).__name__}")
    return value
