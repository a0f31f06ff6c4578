"""Simulations as the prototype archive's YAML: import one, or describe one."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
import yaml
from lsst.resources import ResourcePath

from archive_assets.metadata.errors import InvalidValueError
from archive_assets.objects.transfer import ObjectNotFoundError, store_errors

__all__ = [
    "PROTOTYPE_URL",
    "metadata_yaml_from_prototype",
    "parse_metadata",
    "simulation_yaml",
    "time_in_label",
]

PROTOTYPE_URL = "s3://rubin:rubin-scheduler-prenight/opsim/"


def metadata_yaml_from_prototype(
    sim_date: str | date,
    sim_index: str | int,
    proto_sim_archive_uri: str = PROTOTYPE_URL,
) -> str:
    """Return the YAML of a simulation in the prototype archive, made complete.

    A missing creation time is taken from the end of the label (``run at <ISO>``),
    else noon UTC of the date plus the index in seconds. Files get their URL.

    Raises
    ------
    InvalidValueError
        If there is no such simulation, or its YAML has no label.
    """
    day = sim_date.isoformat() if isinstance(sim_date, date) else str(sim_date)
    try:
        noon = datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC)
        index = int(sim_index)
    except ValueError as error:
        raise InvalidValueError(
            f"{sim_date}/{sim_index} names no prototype simulation: {error}"
        ) from error
    folder = ResourcePath(proto_sim_archive_uri, forceDirectory=True).join(
        f"{day}/{index}/", forceDirectory=True
    )
    origin = folder.join("sim_metadata.yaml")
    try:
        with store_errors(origin):
            content = origin.read()
    except ObjectNotFoundError as error:
        raise InvalidValueError(
            f"No simulation metadata found at {origin.geturl()}"
        ) from error
    metadata = parse_metadata(content.decode(errors="replace"))
    if "creation_time" not in metadata:
        time = time_in_label(metadata["label"])
        time = time or noon + timedelta(hours=12, seconds=index)
        metadata["creation_time"] = time.isoformat()
    for entry in metadata.get("files", {}).values():
        if "url" not in entry:
            entry["url"] = folder.join(entry["name"]).geturl()
    return yaml.safe_dump(metadata)


def parse_metadata(text: str) -> dict[str, Any]:
    """Return the metadata of a YAML text; it can hold no objects.

    Raises
    ------
    InvalidValueError
        If it is not YAML, not a mapping, has no label, or files without names.
    """
    try:
        metadata = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidValueError(f"the metadata is not plain YAML: {error}") from error
    if not isinstance(metadata, dict) or not isinstance(metadata.get("label"), str):
        raise InvalidValueError("Metadata yaml must include a label")
    files = metadata.get("files", {})
    if not isinstance(files, dict) or not all(
        isinstance(entry, dict) and ("name" in entry or "url" in entry)
        for entry in files.values()
    ):
        raise InvalidValueError("each file of the metadata needs a name or URL")
    return metadata


def time_in_label(label: str) -> datetime | None:
    """Return the time at the end of a label, ``... run at <ISO>``; None if not there.

    A time without a zone is taken as UTC.
    """
    words = label.split()
    if len(words) < 3 or words[-3:-1] != ["run", "at"]:
        return None
    try:
        time = datetime.fromisoformat(words[-1])
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


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
