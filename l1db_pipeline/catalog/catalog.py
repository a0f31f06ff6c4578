"""Columns of equal length with exact NULLs: what the store takes and gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Catalog"]


@dataclass(frozen=True, slots=True)
class Catalog:
    """A table in memory: one array per column, NULLs kept apart from values.

    Parameters
    ----------
    columns
        Column name to one-dimensional array; all of one length. Times are
        ``datetime64[us]``, UTC; blobs are object arrays of `bytes`.
    nulls
        Column name to boolean array, true where the value is NULL. A column
        that is absent here holds no NULL. NaN is a value, not NULL. What
        ``columns`` holds at a NULL is unspecified.

    Raises
    ------
    ValueError
        If lengths differ or ``nulls`` names an unknown column.
    """

    columns: Mapping[str, NDArray[Any]]
    nulls: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns differ in length: {lengths}")
        for name, mask in self.nulls.items():
            if name not in lengths:
                raise ValueError(f"NULL mask for unknown column {name!r}")
            if len(mask) != lengths[name]:
                raise ValueError(
                    f"NULL mask of {name!r} has {len(mask)} rows, not {lengths[name]}"
                )

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    @property
    def names(self) -> tuple[str, ...]:
        """Column names, in order."""
        return tuple(self.columns)

    def null_mask(self, name: str) -> NDArray[np.bool_]:
        """Return the NULL mask of a column, all false where it has none."""
        mask = self.nulls.get(name)
        return np.zeros(len(self), dtype=np.bool_) if mask is None else mask

    def take(self, rows: NDArray[np.bool_] | NDArray[np.integer[Any]]) -> "Catalog":
        """Return the rows that a boolean mask or an index array selects."""
        return Catalog(
            {name: column[rows] for name, column in self.columns.items()},
            {name: mask[rows] for name, mask in self.nulls.items()},
        )

    def select(self, names: Sequence[str]) -> "Catalog":
        """Return the named columns, in the order asked for."""
        return Catalog(
            {name: self.columns[name] for name in names},
            {name: self.nulls[name] for name in names if name in self.nulls},
        )

    @classmethod
    def concat(cls, parts: "Sequence[Catalog]") -> "Catalog":
        """Join catalogs that have the same columns, rows in the order given."""
        if not parts:
            raise ValueError("nothing to concatenate: pass at least one catalog")
        names = parts[0].names
        masked = {name for part in parts for name in part.nulls}
        return cls(
            {name: np.concatenate([part[name] for part in parts]) for name in names},
            {
                name: np.concatenate([part.null_mask(name) for part in parts])
                for name in names
                if name in masked
            },
        )
