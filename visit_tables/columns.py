"""How a table is held between formats: one plain numpy array a column.

No pandas is needed to move visits from opsim to HDF5, which keeps commands quick to
start and memory bounded.
"""

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from visit_tables.errors import VisitTablesError

__all__ = [
    "MISSING_TEXT",
    "Batch",
    "UnsupportedColumnError",
    "VisitsFileError",
    "check_regular",
    "check_text",
    "number_array",
    "text_array",
]

MISSING_TEXT = b"\x1a"
"""Stands for a missing text: ASCII SUBSTITUTE, which no visits table holds."""

# Any: columns differ in dtype
Batch: TypeAlias = dict[str, NDArray[np.generic]]
"""Equally long one-dimensional arrays, in column order.

Integers, float64 (NaN is missing), bool, datetime64 (NaT is missing) or UTF-8 bytes
(``S``, `MISSING_TEXT` is missing).
"""


class VisitsFileError(VisitTablesError, ValueError):
    """A file of visits cannot be used; the text names the file and the reason."""

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    @override
    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def check_regular(path: str | Path) -> None:
    """Refuse what is not a regular file: a FIFO is waited for, a device read, for ever.

    Raises
    ------
    VisitsFileError
        If it is something else, or is not there.
    """
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        raise VisitsFileError(path, f"cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        raise VisitsFileError(path, "is not a regular file")


class UnsupportedColumnError(VisitTablesError, ValueError):
    """A column holds values that no visits file can represent."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(column, reason)
        self.column = column
        self.reason = reason

    @override
    def __str__(self) -> str:
        return f"column {self.column!r} {self.reason}"


def number_array(name: str, items: Sequence[Any]) -> NDArray[np.generic]:
    """Return numbers as they are, or as floats, NaN where one is None.

    Raises
    ------
    UnsupportedColumnError
        If a float cannot hold an integer that stands beside a fraction or None.
    """
    array = np.array([np.nan if item is None else item for item in items])
    if array.dtype.kind == "f":
        for item, found in zip(items, array.tolist(), strict=True):
            if isinstance(item, int | np.integer) and int(found) != int(item):
                raise UnsupportedColumnError(
                    name,
                    f"holds {item} beside a missing value or a fraction, and no float "
                    "can hold it: store it as a text, or fill what is missing",
                )
    return array


def check_text(column: str, values: list[bytes]) -> None:
    """Refuse texts that fixed-size UTF-8 bytes cannot represent.

    Raises
    ------
    UnsupportedColumnError
        If a text is not UTF-8, holds a NUL, or is the marker of missing texts.
    """
    joined = b"".join(values)
    if b"\0" in joined:
        raise UnsupportedColumnError(column, "holds a text with a NUL character")
    if MISSING_TEXT in joined and MISSING_TEXT in values:
        raise UnsupportedColumnError(
            column, "holds the control character 0x1A, which marks missing texts"
        )
    if not joined.isascii():
        try:
            for value in values:
                value.decode()
        except UnicodeDecodeError as error:
            raise UnsupportedColumnError(column, "holds text not in UTF-8") from error


def text_array(column: str, values: list[bytes | None]) -> NDArray[np.bytes_]:
    """Return texts as fixed-size bytes, `MISSING_TEXT` where there was none."""
    present = [value for value in values if value is not None]
    check_text(column, present)
    if len(present) < len(values):
        present = [MISSING_TEXT if value is None else value for value in values]
    width = max(map(len, present), default=1)
    return np.array(present, dtype=f"S{max(width, 1)}")
