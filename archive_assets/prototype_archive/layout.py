"""The folders of the prototype archive: ``base/date added/index/`` with a YAML each.

The date is that of the addition, UTC; indexes count from 1. The YAML is written last,
so a folder that has one is complete.
"""

import hashlib
import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from lsst.resources import ResourcePath

from archive_assets.errors import EXPECTED_ERRORS, ArchiveError
from archive_assets.objects.names import check_name
from archive_assets.objects.transfer import read_object, store_errors
from pipeline_runtime.documents import DocumentError, parse_yaml
from pipeline_runtime.urls import check_url

__all__ = [
    "METADATA_NAME",
    "PROTOTYPE_URL",
    "PrototypeError",
    "archived_simulations",
    "check_files",
    "metadata_of_yaml",
    "prototype_folder",
    "read_metadata",
    "read_or_skip",
    "window",
]

PROTOTYPE_URL = "s3://rubin:rubin-scheduler-prenight/opsim/"
METADATA_NAME = "sim_metadata.yaml"
_LOGGER = logging.getLogger(__name__)
_DATE_KEYS = ("simulated_dates", "simulation_dates")


class PrototypeError(ArchiveError, ValueError):
    """Something in the prototype archive is not as it must be."""


def metadata_of_yaml(data: bytes | str, where: object) -> dict[str, Any]:
    """Return the metadata of a simulation; Any: whatever YAML can say.

    The nights are under ``simulated_dates`` as ISO texts ``first`` and ``last``,
    however they were spelt (``simulation_dates``; ``start`` and ``end``).

    Raises
    ------
    PrototypeError
        If it is not a mapping in plain YAML, or asks for objects.
    """
    try:
        metadata = parse_yaml(data, where)
    except DocumentError as error:
        raise PrototypeError(str(error)) from error
    if not isinstance(metadata, dict):
        raise PrototypeError(f"{where} is not a mapping")
    files = metadata.get("files", {})
    if not isinstance(files, dict) or not all(
        isinstance(f, dict) for f in files.values()
    ):
        raise PrototypeError(f"{where} has files that are not mappings")
    for key in _DATE_KEYS:
        nights = metadata.pop(key, None)
        if isinstance(nights, dict) and "simulated_dates" not in metadata:
            metadata["simulated_dates"] = {
                end: _iso(nights.get(end, nights.get(other)))
                for end, other in (("first", "start"), ("last", "end"))
            }
    return metadata


def _iso(day: object) -> object:
    return day.isoformat() if isinstance(day, date) else day


def _children(folder: ResourcePath) -> list[str]:
    with store_errors(folder):
        if folder.scheme == "file" and not folder.exists():
            return []
        for _, names, _ in folder.walk():
            return [name.rstrip("/") for name in names]
    return []


def _indexes(day: ResourcePath) -> list[int]:
    return [int(name) for name in _children(day) if name.isdecimal()]


def read_metadata(folder: ResourcePath) -> dict[str, Any]:
    """Return the metadata of a folder; Any: whatever YAML can say.

    Raises
    ------
    ObjectNotFoundError
        If it has no YAML.
    PrototypeError
        If the YAML is not plain.
    """
    place = folder.join(METADATA_NAME)
    return metadata_of_yaml(read_object(place), place)


def prototype_folder(uri: str | ResourcePath) -> ResourcePath:
    """Return a folder of the prototype archive.

    Raises
    ------
    CredentialsError
        If the URL holds a key or a password.
    """
    check_url(uri, "the prototype archive")
    return ResourcePath(uri, forceDirectory=True)


def check_files(uri: str | ResourcePath) -> dict[str, bool]:
    """Return, for each file of a simulation, whether its MD5 is the recorded one."""
    folder = prototype_folder(uri)
    found: dict[str, bool] = {}
    for entry in read_metadata(folder).get("files", {}).values():
        if "md5" not in entry:
            continue
        name = check_name(str(entry.get("name")), "file name")
        digest = hashlib.md5(usedforsecurity=False)
        with store_errors(folder.join(name)), folder.join(name).open("rb") as stream:
            while piece := stream.read(1 << 20):
                digest.update(piece)
        found[name] = digest.hexdigest() == entry["md5"]
    return found


def archived_simulations(
    base: str | ResourcePath, earliest: date, latest: date
) -> Iterator[tuple[str, date, ResourcePath]]:
    """Yield URI, date of addition and folder of each simulation, in their order."""
    whole = prototype_folder(base)
    days = []
    for name in _children(whole):
        try:
            days.append(date.fromisoformat(name))
        except ValueError:
            continue
    for day in sorted(day for day in days if earliest <= day <= latest):
        folder = whole.join(day.isoformat(), forceDirectory=True)
        for index in sorted(_indexes(folder)):
            one = folder.join(str(index), forceDirectory=True)
            with store_errors(one):
                is_whole = one.join(METADATA_NAME).exists()
            if is_whole:
                yield one.geturl(), day, one


def read_or_skip(folder: ResourcePath) -> dict[str, Any] | None:
    """Return metadata; None, and a warning in the log, if they are unusable."""
    try:
        return read_metadata(folder)
    except EXPECTED_ERRORS as error:
        _LOGGER.warning("Skipped a simulation of the prototype archive: %s", error)
        return None


def window(latest: str | date | None, n_nights: int) -> tuple[date, date]:
    """Return the first and last date of addition, UTC, of a window."""
    if latest is None:
        latest = datetime.now(UTC).date()
    elif isinstance(latest, str):
        latest = date.fromisoformat(latest[:10])
    return latest - timedelta(days=n_nights - 1), latest
