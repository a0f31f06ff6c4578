"""The compiled metadata of the prototype archive: one HDF5 file instead of many YAML.

Tables ``simulations``, ``files``, ``kwargs`` and ``tags``, indexed by ``sim_uri``, as
the original's; NaN stands for what is not set.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from lsst.resources import ResourcePath

from archive_assets.objects.datastore import DataStore
from visit_tables.hdf5.batches import hdf5_tables
from visit_tables.hdf5.read import read_frame

__all__ = ["read_cache"]


def read_cache(place: ResourcePath) -> dict[str, dict[str, Any]]:
    """Return metadata by URI, as they were read from YAML; Any: as YAML has them.

    Raises
    ------
    ObjectNotFoundError
        If there is no cache.
    HDF5FileError
        If it is damaged, or not safe to read.
    """
    store = DataStore(place.dirname())
    path = store.get(place)
    tables = {key: read_frame(path, key) for key in hdf5_tables(path)}
    if "simulations" not in tables:
        return {}
    found = {uri: _set_values(row) for uri, row in _records(tables["simulations"])}
    for metadata in found.values():
        nights = {
            end: metadata.pop(f"{end}_simulated_date", None)
            for end in ("first", "last")
        }
        if any(nights.values()):
            metadata["simulated_dates"] = nights
    for uri, row in _records(tables.get("files")):
        entry = _set_values(row)
        found[uri].setdefault("files", {})[entry.pop("file_type")] = entry
    for uri, row in _records(tables.get("kwargs")):
        found[uri]["sim_runner_kwargs"] = _set_values(row)
    for uri, row in _records(tables.get("tags")):
        found[uri].setdefault("tags", []).append(row["tag"])
    return found


def _records(table: pd.DataFrame | None) -> list[tuple[str, dict[str, Any]]]:
    if table is None:
        return []
    rows = [
        {str(key): value for key, value in row.items()}
        for row in table.to_dict(orient="records")
    ]
    return list(zip(map(str, table.index), rows, strict=True))


def _set_values(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if not _is_unset(value)}


def _is_unset(value: object) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))
