"""The compiled metadata of the prototype archive: one HDF5 file instead of many YAML.

Tables ``simulations``, ``files``, ``kwargs`` and ``tags``, indexed by ``sim_uri``, as
the original's; NaN stands for what is not set.
"""

import tempfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from lsst.resources import ResourcePath

from archive_assets.objects.datastore import DataStore
from visit_tables.hdf5.batches import hdf5_tables
from visit_tables.hdf5.indexed_frames import read_frame, write_frames

__all__ = ["compile_tables", "metadata_differences", "read_cache", "write_cache"]

_INDEX = "sim_uri"


def compile_tables(
    simulations: Mapping[str, Mapping[str, Any]],
) -> dict[str, pd.DataFrame]:
    """Return metadata of simulations as the four tables; Any: as YAML has them."""
    rows: dict[str, list[dict[str, Any]]] = {
        "simulations": [],
        "files": [],
        "kwargs": [],
        "tags": [],
    }
    for uri, metadata in simulations.items():
        simulation = {_INDEX: uri}
        for key, value in metadata.items():
            match key:
                case "files":
                    rows["files"] += [
                        {_INDEX: uri, "file_type": kind, **entry}
                        for kind, entry in value.items()
                    ]
                case "sim_runner_kwargs":
                    rows["kwargs"].append({_INDEX: uri, **value})
                case "tags":
                    rows["tags"] += [{_INDEX: uri, "tag": tag} for tag in value]
                case "simulated_dates":
                    simulation["first_simulated_date"] = value["first"]
                    simulation["last_simulated_date"] = value["last"]
                case _:
                    simulation[key] = value
        rows["simulations"].append(simulation)
    return {key: _table(found) for key, found in rows.items() if found}


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    for name in table.columns:
        values = [value for value in table[name] if not _is_unset(value)]
        plain = [isinstance(v, str) for v in values]
        numeric = [isinstance(v, bool | int | float | np.generic) for v in values]
        if not all(plain) and not all(numeric):  # a column has one kind of values
            table[name] = [None if _is_unset(v) else _text(v) for v in table[name]]
    return table.set_index(_INDEX)


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _is_unset(value: object) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def write_cache(
    simulations: Mapping[str, Mapping[str, Any]], place: ResourcePath
) -> None:
    """Write the cache; an older one stays until the new one is proved."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cache.h5"
        write_frames(path, compile_tables(simulations))
        DataStore(place.dirname()).put(path, place, replace=True)


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


def metadata_differences(
    direct: Mapping[str, Mapping[str, Any]], compiled: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return where metadata differ from the compiled ones, and what is missing."""
    differences: list[dict[str, Any]] = []
    for uri, metadata in direct.items():
        for key, value in metadata.items():
            found = compiled.get(uri, {}).get(key, "MISSING")
            if found != value:
                differences.append(
                    {
                        "sim_uri": uri,
                        "key": key,
                        "direct_value": value,
                        "compiled_value": found,
                    }
                )
    for uri, metadata in compiled.items():
        if uri not in direct:
            differences.append({"sim_uri": uri, "direct_value": "MISSING"})
            continue
        differences += [
            {
                "sim_uri": uri,
                "key": key,
                "direct_value": "MISSING",
                "compiled_value": value,
            }
            for key, value in metadata.items()
            if key not in direct[uri]
        ]
    return differences
