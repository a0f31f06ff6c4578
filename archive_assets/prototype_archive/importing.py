"""Import simulations of the prototype archive, from its YAML and files."""

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

from lsst.resources import ResourcePath

from archive_assets.archiving.sequence import archive_visit_sequence
from archive_assets.metadata.archive_metadata import VisitSequenceArchiveMetadata
from archive_assets.metadata.errors import InvalidValueError
from archive_assets.metadata.files import RegisteredFile
from archive_assets.metadata.interchange import (
    metadata_yaml_from_prototype,
    parse_metadata,
    time_in_label,
)
from archive_assets.objects.datastore import DataStore

__all__ = ["import_from_prototype", "import_from_yaml"]


def import_from_yaml(
    vsarch: VisitSequenceArchiveMetadata,
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
        To add to those of the YAML, which may hold tags that are no text.

    Raises
    ------
    InvalidValueError
        If the label or the observations are missing.
    """
    metadata = parse_metadata(metadata_yaml)
    files: Mapping[str, Mapping[str, str]] = metadata.get("files", {})
    if "url" not in files.get("observations", {}):
        raise InvalidValueError("Metadata yaml must include the observations file")
    tags = [tag for tag in metadata.get("tags") or () if isinstance(tag, str)]
    known: dict[str, Any] = {
        "vsarch": vsarch,
        "label": metadata["label"],
        "tags": [*tags, *extra_tags],
        "comments": comments,
        "stats_columns": (),
        "creation_time": time_in_label(metadata["label"]) or _created(metadata),
        "scheduler_version": metadata.get("scheduler_version"),
        **_nights(metadata),
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
    thing = store.info(ResourcePath(url))
    return RegisteredFile(url, thing.sha256 or b"", thing.size)


def _created(metadata: Mapping[str, Any]) -> datetime | None:
    value = metadata.get("creation_time")
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value if isinstance(value, datetime) and value.tzinfo else None


def _nights(metadata: Mapping[str, Any]) -> dict[str, object]:
    nights = metadata.get("simulated_dates") or metadata.get("simulation_dates") or {}
    first = nights.get("first", nights.get("start"))
    last = nights.get("last", nights.get("end"))
    return {"first_day_obs": first, "last_day_obs": last}


def import_from_prototype(
    vsarch: VisitSequenceArchiveMetadata,
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
