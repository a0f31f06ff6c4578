"""The folders of the prototype archive: ``base/date added/index/`` with a YAML each.

The date is that of the addition, UTC; indexes count from 1. The YAML is written last,
so a folder that has one is complete.
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from lsst.resources import ResourcePath

from archive_assets.errors import EXPECTED_ERRORS, ArchiveError
from archive_assets.objects.names import check_name
from archive_assets.objects.transfer import (
    ObjectExistsError,
    put_empty_s3,
    store_errors,
)

__all__ = [
    "METADATA_NAME",
    "PrototypeError",
    "archived_simulations",
    "check_files",
    "claim_next_folder",
    "parse_yaml",
    "read_metadata",
    "read_or_skip",
    "transfer_folder",
    "window",
    "write_metadata",
]

METADATA_NAME = "sim_metadata.yaml"
_LOGGER = logging.getLogger(__name__)
_DATE_KEYS = ("simulated_dates", "simulation_dates")


class PrototypeError(ArchiveError, ValueError):
    """Something in the prototype archive is not as it must be."""


def parse_yaml(data: bytes | str, where: object) -> dict[str, Any]:
    """Return the metadata of a simulation; Any: whatever YAML can say.

    The nights are under ``simulated_dates`` as ISO texts ``first`` and ``last``,
    however they were spelt (``simulation_dates``; ``start`` and ``end``).

    Raises
    ------
    PrototypeError
        If it is not a mapping in plain YAML, or asks for objects.
    """
    try:
        metadata = yaml.safe_load(data)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PrototypeError(f"{where} is not plain YAML: {error}") from error
    if not isinstance(metadata, dict):
        raise PrototypeError(f"{where} is not a mapping")
    files = metadata.get("files", {})
    if not isinstance(files, dict) or not all(
        isinstance(f, dict) for f in files.values()
    ):
        raise PrototypeError(f"{where} has files that are no mappings")
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


def claim_next_folder(base: str | ResourcePath, today: date) -> ResourcePath:
    """Make the next folder of a day, which nobody else gets.

    Parameters
    ----------
    base
        The prototype archive.
    today
        Date of addition, UTC.
    """
    day = ResourcePath(base, forceDirectory=True).join(
        today.isoformat(), forceDirectory=True
    )
    index = max(_indexes(day), default=0) + 1
    while True:
        folder = day.join(str(index), forceDirectory=True)
        try:
            _make_new(folder)
        except FileExistsError:  # somebody else was faster
            index += 1
        else:
            return folder


def _make_new(folder: ResourcePath) -> None:
    if folder.scheme == "file":
        path = Path(folder.ospath)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()
    elif folder.scheme == "s3":
        put_empty_s3(folder)
    elif folder.exists():
        raise ObjectExistsError(folder, "exists")
    else:
        with store_errors(folder):
            folder.mkdir()


def _children(folder: ResourcePath) -> list[str]:
    with store_errors(folder):
        if folder.scheme == "file" and not folder.exists():
            return []
        for _, names, _ in folder.walk():
            return [name.rstrip("/") for name in names]
    return []


def _indexes(day: ResourcePath) -> list[int]:
    return [int(name) for name in _children(day) if name.isdecimal()]


def transfer_folder(
    folder: str | Path, base: str | ResourcePath, today: date
) -> ResourcePath:
    """Copy a simulation's files to the next folder of the archive; return it.

    Raises
    ------
    PrototypeError
        If the YAML is absent or not plain.
    UnsafeNameError
        If it names a file elsewhere.
    """
    source = Path(folder)
    if not (source / METADATA_NAME).is_file():
        raise PrototypeError(f"{folder} has no {METADATA_NAME}")
    metadata = parse_yaml((source / METADATA_NAME).read_bytes(), folder)
    names = [
        check_name(str(entry["name"]), "file name")
        for entry in metadata.get("files", {}).values()
        if "name" in entry
    ]
    for name in names:
        if not (source / name).is_file():
            raise PrototypeError(f"{folder} has no {name}, which its YAML names")
    target = claim_next_folder(base, today)
    with store_errors(target):
        for name in [*(n for n in names if n != METADATA_NAME), METADATA_NAME]:
            target.join(name).transfer_from(ResourcePath(source / name), "copy")
    return target


def write_metadata(folder: ResourcePath, metadata: Mapping[str, object]) -> None:
    """Write the YAML of a folder, after everything else."""
    place = folder.join(METADATA_NAME)
    with store_errors(place):
        place.write(yaml.safe_dump(dict(metadata)).encode(), overwrite=False)


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
    with store_errors(place):
        data = place.read()
    return parse_yaml(data, place)


def check_files(uri: str | ResourcePath) -> dict[str, bool]:
    """Return, for each file of a simulation, whether its MD5 is the recorded one."""
    folder = ResourcePath(uri, forceDirectory=True)
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
    whole = ResourcePath(base, forceDirectory=True)
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
            if one.join(METADATA_NAME).exists():
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
