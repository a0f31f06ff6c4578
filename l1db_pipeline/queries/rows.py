"""Rows that a query returned, with their units, and what they convert to."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from typing_extensions import override

from l1db_pipeline.catalog.catalog import Catalog
from l1db_pipeline.schema.model import Column, Datatype
from visit_tables.time_scales import mjd_tai_from_utc

__all__ = ["Rows"]

# Any: pandas, Astropy and pyarrow are imported only by who converts to them

_SHOWN_NAMES = 8
_PANDAS_NAMES = {"i": "IntegerArray", "f": "FloatingArray", "b": "BooleanArray"}


class Rows:
    """Columns of equal length with units; NULL is kept apart from every value.

    Parameters
    ----------
    catalog
        The values.
    columns
        Types and units of its columns, in the order in which they are shown.
    """

    def __init__(self, catalog: Catalog, columns: Sequence[Column]) -> None:
        self.catalog = catalog.select([column.name for column in columns])
        self.columns = {column.name: column for column in columns}

    def __len__(self) -> int:
        return len(self.catalog)

    def __getitem__(self, name: str) -> "np.ma.MaskedArray[Any, Any]":
        """Return a column as a masked array; times are UTC, ``datetime64[us]``."""
        mask = self.catalog.null_mask(name)
        return np.ma.MaskedArray(self.catalog[name], mask=mask)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(self.columns)

    @property
    def units(self) -> dict[str, str]:
        """Units of the columns that have one, in FITS words."""
        return {name: c.unit for name, c in self.columns.items() if c.unit}

    @override
    def __repr__(self) -> str:
        named = [
            f"{name} [{column.unit}]" if column.unit else name
            for name, column in self.columns.items()
        ]
        shown = ", ".join(named[:_SHOWN_NAMES])
        more = f", … ({len(named)} columns)" if len(named) > _SHOWN_NAMES else ""
        return f"<{type(self).__name__}: {len(self)} rows: {shown}{more}>"

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame` of nullable columns.

        NULL becomes `pandas.NA` (`NaT` in times) and never a number; NaN stays NaN.
        Times are aware, UTC. ``frame.attrs["units"]`` has the units.
        """
        import pandas as pd  # noqa: PLC0415 - 0.4 s, for those who want it

        frame = pd.DataFrame({name: self._series(name) for name in self.columns})
        frame.attrs["units"] = self.units
        return frame

    def _series(self, name: str) -> Any:
        import pandas as pd  # noqa: PLC0415 - as above

        values, mask = self.catalog[name], self.catalog.null_mask(name)
        kind = values.dtype.kind
        if kind == "M":
            times = np.where(mask, np.datetime64("NaT", "us"), values)
            return pd.to_datetime(pd.Series(times), utc=True).astype(
                "datetime64[us, UTC]"
            )
        if kind in _PANDAS_NAMES:
            filled = np.where(mask, values.dtype.type(0), values)
            make = getattr(pd.arrays, _PANDAS_NAMES[kind])
            return pd.Series(make(filled, mask.copy()))
        texts = values.copy()
        texts[mask] = None
        is_blob = self.columns[name].datatype is Datatype.BLOB
        return pd.Series(texts, dtype="object" if is_blob else "string")

    def to_astropy(self) -> Any:
        """Return an `astropy.table.QTable`: quantities with units, masked at NULL.

        Times become `astropy.time.Time` of scale TAI.
        """
        from astropy.table import QTable  # noqa: PLC0415 - 0.5 s, for those who want it

        table = QTable()
        for name, column in self.columns.items():
            table[name] = self._astropy(name, column)
            table[name].info.description = column.description
        return table

    def _astropy(self, name: str, column: Column) -> Any:
        from astropy import units  # noqa: PLC0415 - as above
        from astropy.table import MaskedColumn  # noqa: PLC0415 - as above
        from astropy.time import Time  # noqa: PLC0415 - as above
        from astropy.utils.masked import Masked  # noqa: PLC0415 - as above

        values, mask = self.catalog[name], self.catalog.null_mask(name)
        if column.datatype.is_time or _is_mjd_tai(column):
            mjd = mjd_tai_from_utc(values) if column.datatype.is_time else values
            mjd = np.where(mask, 0.0, mjd)
            given = Masked(mjd, mask=mask) if mask.any() else mjd
            return Time(given, format="mjd", scale="tai")
        if column.unit:
            quantity = np.where(mask, values.dtype.type(0), values) * units.Unit(
                column.unit
            )
            return Masked(quantity, mask=mask) if mask.any() else quantity
        if values.dtype.hasobject and column.datatype is not Datatype.BLOB:
            values = np.where(mask, "", values).astype(str)
        return MaskedColumn(values, mask=mask)

    def to_arrow(self) -> Any:
        """Return a `pyarrow.Table`; fields have their ``unit`` as metadata.

        Times are timestamps in microseconds, UTC.
        """
        import pyarrow as pa  # noqa: PLC0415 - 0.1 s, for those who want it

        arrays, fields = [], []
        for name, column in self.columns.items():
            values = self.catalog[name]
            kind = pa.timestamp("us", tz="UTC") if values.dtype.kind == "M" else None
            # a mask of its own, for NaN is a value
            array = pa.array(values, mask=self.catalog.null_mask(name))
            array = array.cast(kind) if kind else array
            about = {"unit": column.unit, "description": column.description}
            metadata = {key: value for key, value in about.items() if value}
            arrays.append(array)
            fields.append(pa.field(name, array.type, metadata=metadata or None))
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _is_mjd_tai(column: Column) -> bool:
    """Tell whether a column holds Modified Julian Dates TAI as numbers."""
    return column.name.endswith("Tai") and column.datatype is Datatype.DOUBLE
