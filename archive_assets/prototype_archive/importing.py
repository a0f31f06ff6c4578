"""Import simulations of the prototype archive, from its YAML and files."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import yaml
from lsst.resources import ResourcePath

from archive_assets.archiving.sequence import HasTransactions, archive_visit_sequence
from archive_assets.metadata.errors import InvalidValueError
from archive_assets.metadata.files import RegisteredFile
from archive_assets.objects.datastore import DataStore
from archive_assets.objects.transfer import ObjectNotFoundError
from archive_assets.prototype_archive.layout import (
    PROTOTYPE_URL,
    metadata_of_yaml,
    prototype_folder,
    read_metadata,
)
from pipeline_runtime.urls import check_url

__all__ = [
    "import_from_prototype",
    "import_from_yaml",
    "metadata_yaml_from_prototype",
    "time_in_label",
]


def metadata_yaml_from_prototype(
    sim_date: str | date,
    sim_index: str | int,
    proto_sim_archive_uri: str = PROTOTYPE_URL,
) -> str:
    """Return the YAML of a simulation in the prototype archive, made complete.

    A missing creation time is taken from the end of the label (``run at <ISO>``),
    else noon UTC of the date plus the index in seconds. Files get their URL.

    Parameters
    ----------
    sim_date, sim_index
        Day (``YYYY-MM-DD``) and number in the prototype archive.
    proto_sim_archive_uri
        URL of the prototype archive.

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
            f"there is no prototype simulation {sim_date}/{sim_index}: {error}"
        ) from error
    folder = prototype_folder(proto_sim_archive_uri).join(
        f"{day}/{index}/", forceDirectory=True
    )
    try:
        metadata = _labelled(read_metadata(folder))
    except ObjectNotFoundError as error:
        raise InvalidValueError(
            f"No simulation metadata found at {folder.geturl()}"
        ) from error
    if "creation_time" not in metadata:
        time = time_in_label(metadata["label"])
        time = time or noon + timedelta(hours=12, seconds=index)
        metadata["creation_time"] = time.isoformat()
    for entry in metadata.get("files", {}).values():
        if "url" not in entry:
            entry["url"] = folder.join(entry["name"]).geturl()
    return yaml.safe_dump(metadata)


def _labelled(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return metadata that can be imported: with a label, and files to be found."""
    if not isinstance(metadata.get("label"), str):
        raise InvalidValueError("Metadata yaml must include a label")
    if not all(
        "name" in entry or "url" in entry
        for entry in metadata.get("files", {}).values()
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


def import_from_yaml(
    vsarch: HasTransactions,
    metadata_yaml: str,
    archive_base: str | None = None,
    *,
    extra_tags: tuple[str, ...] = (),
    comments: tuple[str, ...] = (),
) -> UUID:
    """Record a simulation that a YAML describes, in one transaction.

    Parameters
    ----------
    vsarch
        The metadata database.
    metadata_yaml
        With ``label`` and ``files.observations``; the nights are read under
        ``simulated_dates`` or ``simulation_dates``, as ``first`` and ``last`` or
        ``start`` and ``end``.
    archive_base
        Where to archive the visits; None leaves them where they are.
    extra_tags, comments
        To add to those of the YAML, which may hold tags that are not text.

    Raises
    ------
    InvalidValueError
        If the label or the observations are missing.
    """
    metadata = _labelled(metadata_of_yaml(metadata_yaml, "the metadata"))
    files: Mapping[str, Mapping[str, str]] = metadata.get("files", {})
    if "url" not in files.get("observations", {}):
        raise InvalidValueError("Metadata yaml must include the observations file")
    nights = metadata.get("simulated_dates", {})
    tags = [tag for tag in metadata.get("tags") or () if isinstance(tag, str)]
    known: dict[str, Any] = {
        "vsarch": vsarch,
        "label": metadata["label"],
        "tags": [*tags, *extra_tags],
        "comments": comments,
        "stats_columns": (),
        "creation_time": time_in_label(metadata["label"]) or _created(metadata),
        "scheduler_version": metadata.get("scheduler_version"),
        "first_day_obs": nights.get("first"),
        "last_day_obs": nights.get("last"),
    }
    if "telescope" in metadata:
        known["telescope"] = metadata["telescope"]
    with TemporaryDirectory(prefix="vseqarchive-") as folder:
        elsewhere = DataStore(folder)
        known["registered"] = {
            file_type: _registered(elsewhere, entry["url"])
            for file_type, entry in files.items()
            if "url" in entry and file_type != "visits"
        }
        observations = elsewhere.get(files["observations"]["url"])
        store = None if archive_base is None else DataStore(archive_base)
        known["visits"] = Path(observations)
        return archive_visit_sequence(store=store, **known).uuid


def _registered(store: DataStore, url: str) -> RegisteredFile:
    check_url(url, "a file of the simulation")
    thing = store.info(ResourcePath(url))
    return RegisteredFile(url, thing.sha256 or b"", thing.size)


def _created(metadata: Mapping[str, Any]) -> datetime | None:
    value = metadata.get("creation_time")
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value if isinstance(value, datetime) and value.tzinfo else None


def import_from_prototype(
    vsarch: HasTransactions,
    archive_base: str,
    sim_date: str | date,
    sim_index: str | int,
    proto_sim_archive_uri: str,
) -> UUID:
    """Import a simulation of the prototype archive; tag and comment it as such."""
    text = metadata_yaml_from_prototype(sim_date, sim_index, proto_sim_archive_uri)
    day = sim_date.isoformat() if isinstance(sim_date, date) else sim_date
    return import_from_yaml(
        vsarch,
        text,
        archive_base,
        extra_tags=("from_prototype_sim_archive",),
        comments=(f"Imported from prototype sim_archive {day}, {sim_index}",),
    )
