"""Visit sequences of any kind, and everything about one of them, as data frames."""

from typing import Any
from uuid import UUID

import pandas as pd
import yaml
from lsst.resources import ResourcePath
from sqlalchemy import Connection, text

from archive_assets.metadata.errors import UnknownSequenceError
from archive_assets.metadata.frames import frame, series
from archive_assets.metadata.selects import (
    SearchCriteria,
    select_comments,
    select_row,
    select_sequences,
)
from archive_assets.metadata.sequences import check_sequences

__all__ = [
    "packages_of_simulation",
    "read_comments",
    "row_of_sequence",
    "search_sequences",
    "simulation_yaml",
]


def search_sequences(connection: Connection, criteria: SearchCriteria) -> pd.DataFrame:
    """Return the sequences that match, newest first.

    Raises
    ------
    UnknownTableError
        If the kind is not one of the four tables.
    """
    return frame(select_sequences(connection, criteria))


def row_of_sequence(
    connection: Connection, uuid: UUID, table: str
) -> "pd.Series[Any]":  # Any: columns of every type
    """Return the row of a sequence in one of the tables, or in ``simulations_extra``.

    Raises
    ------
    UnknownTableError
        If it is not a table of sequences.
    UnknownSequenceError
        If the sequence is not in it.
    """
    found = series(select_row(connection, uuid, table))
    if found is None:
        raise UnknownSequenceError(uuid, table)
    return found


def read_comments(connection: Connection, uuid: UUID) -> pd.DataFrame:
    """Return the comments of a sequence, oldest first; columns as in the table."""
    return frame(select_comments(connection, uuid)).astype({"comment": "string"})


def packages_of_simulation(connection: Connection, uuid: UUID) -> pd.DataFrame:
    """Return the packages that a simulation ran with, indexed by their names."""
    check_sequences(connection, uuid)
    query = (
        "SELECT * FROM simulation_packages WHERE visitseq_uuid = :uuid "
        "ORDER BY package_name"
    )
    found = frame(connection.execute(text(query), {"uuid": uuid}))
    return found.set_index("package_name")


def simulation_yaml(row: "pd.Series[Any]") -> str:
    """Return a row of ``simulations_extra`` as the prototype's YAML.

    The nights stand under both names in use: ``simulated_dates``, which importers
    read, and ``simulation_dates``, which the original writes.
    """
    metadata: dict[str, object] = {
        "uuid": str(row["visitseq_uuid"]),
        "label": str(row["visitseq_label"]),
    }
    for key in ("telescope", "tags", "scheduler_version"):
        if row[key] is not None:
            metadata[key] = row[key]
    if not pd.isna(row["creation_time"]):
        metadata["creation_time"] = row["creation_time"].isoformat()
    days = {
        side: row[f"{side}_day_obs"]
        for side in ("first", "last")
        if row[f"{side}_day_obs"] is not None
    }
    if days:
        metadata["simulated_dates"] = days
        metadata["simulation_dates"] = dict(days)
    metadata["files"] = {
        file_type: {"url": url, "name": ResourcePath(url).basename()}
        for file_type, url in row["files"].items()
        if url is not None
    }
    return yaml.safe_dump(metadata)
