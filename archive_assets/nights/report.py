"""The sequences of a night that its report draws."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
from lsst.resources import ResourcePath

from archive_assets.archiving.finished_simulation import SYNTHETIC_TAG
from archive_assets.errors import ArchiveError
from archive_assets.nights.index import get_prenight_index
from archive_assets.objects.transfer import store_errors
from visit_tables.frame_files import read_visits_file

__all__ = [
    "NoSimulationsError",
    "archived_sequences",
    "newest_sequences",
    "read_sequences",
]

_NOMINAL_TAGS = {"nominal", "ideal"}


class NoSimulationsError(ArchiveError):
    """There is nothing to draw."""


def read_sequences(paths: Mapping[str, Path]) -> dict[str, pd.DataFrame]:
    """Read visits of opsim or HDF5 files.

    Raises
    ------
    VisitsFileError
        If a file cannot be read.
    """
    return {name: read_visits_file(path) for name, path in paths.items()}


def archived_sequences(
    day_obs: date, telescope: str
) -> tuple[dict[str, pd.DataFrame], str]:
    """Return the visits of the newest simulation of each variant, nominal first.

    Returns
    -------
    sequences
        Visits by the name of the variant.
    note
        What the pictures must state of them: whether site data were synthetic.

    Raises
    ------
    NoSimulationsError
        If no simulation of the night is archived.
    """
    index = get_prenight_index(day_obs, telescope)
    if index.empty:
        raise NoSimulationsError(
            f"no simulation of {telescope} for the night {day_obs} is archived"
        )
    return newest_sequences(index)


def newest_sequences(index: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], str]:
    """Return the visits of an index's newest simulation of each variant, and a note.

    As `archived_sequences`; nothing of an index without visits.
    """
    newest: dict[str, Any] = {}
    for _, row in index.sort_values("creation_time").iterrows():
        if row["visitseq_url"]:
            newest[_variant_name(row)] = row
    ordered = sorted(newest.items(), key=lambda item: _rank(item[1]))
    sequences = {name: _visits(str(row["visitseq_url"])) for name, row in ordered}
    is_synthetic = any(SYNTHETIC_TAG in row["tags"] for row in newest.values())
    return sequences, "synthetic site data" if is_synthetic else ""


def _variant_name(row: "pd.Series[Any]") -> str:
    """Return the variant that a simulation says it is; else its label."""
    kwargs = row["sim_runner_kwargs"]
    variant = kwargs.get("variant") if isinstance(kwargs, dict) else None
    name = variant.get("name") if isinstance(variant, dict) else None
    return str(name or row["visitseq_label"].partition(", run at")[0])


def _rank(row: "pd.Series[Any]") -> tuple[bool, Any]:
    """Sort nominal simulations first, then by the order in which they were made."""
    return not set(row["tags"]) >= _NOMINAL_TAGS, row["creation_time"]


def _visits(url: str) -> pd.DataFrame:
    place = ResourcePath(url)
    with store_errors(place), place.as_local() as local:
        return read_visits_file(local.ospath)
