"""The pre-night index as JSON, and as the same frame that the database gives."""

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any
from uuid import UUID

import pandas as pd

from archive_assets.errors import ArchiveError
from archive_assets.metadata.frames import typed_column
from pipeline_runtime.documents import DocumentError, parse_json
from visit_tables.time_scales import in_utc

__all__ = [
    "COLUMNS",
    "IndexFileError",
    "PrenightIndex",
    "as_text",
    "dump_index",
    "index_frame",
    "load_index",
    "source_sha256",
]

COLUMNS = {
    "sim_creation_day_obs": "date",
    "daily_id": "int",
    "visitseq_label": "text",
    "visitseq_url": "text",
    "telescope": "text",
    "first_day_obs": "date",
    "last_day_obs": "date",
    "creation_time": "time",
    "scheduler_version": "text",
    "config_url": "text",
    "sim_runner_kwargs": "json",
    "conda_env_sha256": "bytes",
    "parent_visitseq_uuid": "uuid",
    "parent_last_day_obs": "date",
    "tags": "json",
    "comments": "json",
    "files": "json",
    "stats": "json",
}
"""Columns of an index in the original's order, and how JSON holds each."""

_TIME_KEY = "index_time"
_HASH_KEY = "index_source_sha256"
_OIDS = {"time": 1184, "int": 20}


class IndexFileError(ArchiveError, ValueError):
    """An index in the store is not what it should be."""


class PrenightIndex:
    """An index read from a store.

    Attributes
    ----------
    frame
        One row a simulation, as `index_frame` gives it.
    generated
        When it was made; None if its maker did not say.
    source_sha256
        Hash of the rows it was made of; None if its maker did not say.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        generated: datetime | None,
        source_sha256: str | None,
    ) -> None:
        self.frame = frame
        self.generated = generated
        self.source_sha256 = source_sha256


def index_frame(simulations: pd.DataFrame) -> pd.DataFrame:
    """Return simulations with statistics as an index: by UUID, in `COLUMNS`."""
    return simulations.set_index("visitseq_uuid")[list(COLUMNS)]


def dump_index(index: pd.DataFrame, generated: datetime) -> str:
    """Return an index as the original's JSON, with its time and source in each row.

    Parameters
    ----------
    index
        As `index_frame` gives it.
    generated
        When the rows were read.
    """
    records = _records(index)
    digest = _sha256(records)
    stamp = {_TIME_KEY: _time_text(generated), _HASH_KEY: digest}
    return json.dumps(
        {uuid: {**record, **stamp} for uuid, record in records.items()},
        indent=4,
        allow_nan=False,
    )


def as_text(index: pd.DataFrame) -> pd.DataFrame:
    """Return an index with UUIDs, dates and hashes as the text that JSON has."""
    found = index.copy()
    found.attrs = dict(index.attrs)
    found.index = pd.Index(
        [str(uuid) for uuid in index.index], dtype="object", name=index.index.name
    )
    for name, kind in COLUMNS.items():
        if kind in {"date", "uuid", "bytes"}:
            texts = [_to_json(value, kind) for value in index[name]]
            found[name] = pd.Series(texts, found.index, dtype="object")
    return found


def source_sha256(index: pd.DataFrame) -> str:
    """Return the hash of an index's rows, in hexadecimal."""
    return _sha256(_records(index))


def load_index(text: str | bytes, origin: str) -> PrenightIndex:
    """Return what a JSON index holds, ours or the original's.

    Raises
    ------
    IndexFileError
        If it is not the JSON of an index.
    """
    try:
        records: dict[str, dict[str, Any]] = dict(parse_json(text, origin).items())
        uuids = [UUID(key) for key in records]
        frame = pd.DataFrame(
            {
                name: _column([record.get(name) for record in records.values()], kind)
                for name, kind in COLUMNS.items()
            },
            columns=list(COLUMNS),
        )
        first = next(iter(records.values()), {})
        generated = first.get(_TIME_KEY)
        moment = None if generated is None else datetime.fromisoformat(generated)
    except DocumentError as error:
        raise IndexFileError(str(error)) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise IndexFileError(f"{origin} is not a pre-night index: {error}") from error
    frame.index = pd.Index(uuids, dtype="object", name="visitseq_uuid")
    return PrenightIndex(frame, moment, first.get(_HASH_KEY))


def _records(index: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {
        str(uuid): {name: _to_json(row[name], kind) for name, kind in COLUMNS.items()}
        for uuid, row in zip(index.index, index.to_dict("records"), strict=True)
    }


def _sha256(records: Mapping[str, object]) -> str:
    text = json.dumps(records, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _to_json(value: Any, kind: str) -> object:
    if value is None or value is pd.NaT:
        return None
    convert = _TO_JSON.get(kind)
    return value if convert is None else convert(value)


def _time_text(time: datetime) -> str:
    return in_utc(time, "creation_time").replace(tzinfo=None).isoformat() + "Z"


_TO_JSON: dict[str, Callable[[Any], object]] = {
    "date": date.isoformat,
    "time": _time_text,
    "bytes": lambda value: bytes(value).hex(),
    "uuid": str,
    "int": int,
}


def _column(values: list[Any], kind: str) -> "pd.Series[Any]":
    read = [None if value is None else _from_json(value, kind) for value in values]
    return typed_column(read, _OIDS.get(kind, 0))


def _from_json(value: Any, kind: str) -> object:
    match kind:
        case "date":
            return date.fromisoformat(value[:10])
        case "time":
            return datetime.fromisoformat(value)
        case "bytes":
            return bytes.fromhex(value)
        case "uuid":
            return UUID(value)
        case _:
            return value
