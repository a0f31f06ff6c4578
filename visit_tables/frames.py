"""Visits as pandas frames: to batches and back."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from visit_tables.columns import (
    MISSING_TEXT,
    Batch,
    UnsupportedColumnError,
    number_array,
    text_array,
)

__all__ = [
    "batch_of_frame",
    "frame_of_batch",
    "frame_of_batches",
    "with_band",
]


_INFERS_STR = isinstance(pd.Series(["a"]).dtype, pd.StringDtype)  # pandas 3
_TEXT_KINDS = {"string", "bytes", "empty"}
_NUMBER_KINDS = {"integer", "floating", "mixed-integer-float", "boolean", "decimal"}
_TIME_KINDS = {"date", "datetime", "datetime64"}


def batch_of_frame(frame: pd.DataFrame) -> Batch:
    """Return the columns of a frame; its index is left out.

    Raises
    ------
    UnsupportedColumnError
        If two columns share a name, a name is not a text, or values of a column
        are of mixed or unknown kinds.
    """
    batch: Batch = {}
    for position, name in enumerate(frame.columns):
        if not isinstance(name, str):
            raise UnsupportedColumnError(str(name), "has a name that is not a text")
        if name in batch:
            raise UnsupportedColumnError(name, "occurs twice")
        batch[name] = array_of_series(name, frame.iloc[:, position])
    return batch


def array_of_series(name: str, series: "pd.Series[Any]") -> NDArray[np.generic]:
    """Return one column as integers, floats, bools, times or UTF-8 bytes.

    Integers with missing values become floats, as in every reader of opsim files.
    """
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return array_of_series(name, series.astype(dtype.categories.dtype))
    if isinstance(dtype, pd.DatetimeTZDtype):
        return array_of_series(name, series.dt.tz_convert("UTC").dt.tz_localize(None))
    if isinstance(dtype, np.dtype) and dtype.kind in "iufbM":
        return _native(series.to_numpy())
    if isinstance(dtype, pd.StringDtype) or dtype == np.dtype(object):
        return _array_of_objects(name, series.to_numpy(dtype=object))
    kinds = pd.api.types
    if kinds.is_bool_dtype(dtype) or kinds.is_any_real_numeric_dtype(dtype):
        # masked or Arrow numbers
        return _numbers(name, series.to_numpy(dtype=object))
    raise UnsupportedColumnError(name, f"has the unsupported type {dtype}")


def _native(values: NDArray[np.generic]) -> NDArray[np.generic]:
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _array_of_objects(name: str, values: NDArray[np.object_]) -> NDArray[np.generic]:
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind in _TEXT_KINDS:
        missing = pd.isna(values)
        return text_array(
            name,
            [
                None if gone else value if isinstance(value, bytes) else _encode(value)
                for value, gone in zip(values, missing, strict=True)
            ],
        )
    if kind in _NUMBER_KINDS:
        return _numbers(name, values)
    if kind in _TIME_KINDS:
        times = pd.DatetimeIndex(pd.to_datetime(pd.Index(values), utc=True))
        return times.tz_localize(None).to_numpy()
    raise UnsupportedColumnError(name, f"holds values of kind {kind}")


def _encode(value: str) -> bytes:
    # lone surrogates cannot be UTF-8; check_text then names the column
    return value.encode(errors="surrogatepass")


def _numbers(name: str, values: NDArray[np.object_]) -> NDArray[np.generic]:
    missing = np.asarray(pd.isna(values))
    try:
        present = np.where(missing, None, values)  # type: ignore[call-overload]
        numbers = number_array(name, present.tolist())
        return numbers.astype(np.float64) if missing.any() else _native(numbers)
    except UnsupportedColumnError:
        raise
    except (OverflowError, TypeError, ValueError) as error:
        raise UnsupportedColumnError(name, "holds numbers out of range") from error


def frame_of_batch(batch: Batch) -> pd.DataFrame:
    """Return a frame with the dtypes that ``pandas.read_hdf`` gives.

    Texts become ``str`` columns with pandas 3, ``object`` with pandas 2.
    """
    columns = {name: _series_of_array(values) for name, values in batch.items()}
    return pd.DataFrame(columns, copy=False)


def frame_of_batches(batches: Iterable[Batch]) -> pd.DataFrame:
    """Return one frame of all batches; their columns must be the same."""
    parts = list(batches)
    if not parts:
        return pd.DataFrame()
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return frame_of_batch(whole)


def _series_of_array(values: NDArray[np.generic]) -> "pd.Series[Any]":
    if values.dtype.kind != "S":
        return pd.Series(values)
    # few texts occur in a column: decode each once
    unique, inverse = np.unique(values, return_inverse=True)
    texts = np.array(
        [None if text == MISSING_TEXT else text.decode() for text in unique.tolist()],
        dtype=object,
    )
    if any(text is None for text in texts):
        texts[[text is None for text in texts]] = np.nan
    if _INFERS_STR:
        return pd.Series(pd.array(texts, dtype="str")[inverse])
    return pd.Series(texts[inverse])


def with_band(visits: pd.DataFrame) -> pd.DataFrame:
    """Return visits with a column ``band``, taken from ``filter`` where it is absent.

    Opsim files from before rubin_scheduler 3 have ``filter`` alone, which was the band
    then (every public baseline up to v4). A physical filter such as ``r_57`` gives
    ``r``. Visits with neither are returned as they are.
    """
    if "band" in visits.columns or "filter" not in visits.columns:
        return visits
    return visits.assign(band=visits["filter"].str.partition("_")[0])
