"""Record visit sequences of every kind, and change what was recorded."""

from collections.abc import Mapping
from datetime import date
from typing import TypeAlias, TypedDict
from uuid import UUID

import pandas as pd

from archive_assets.metadata import sequences
from archive_assets.metadata.connection import ArchiveConnection
from archive_assets.metadata.errors import UnknownFieldError
from archive_assets.metadata.sequences import NewSequence, own_columns
from archive_assets.metadata.values import (
    checked_hash,
    checked_name,
    checked_nights,
    checked_text,
    checked_time,
    checked_uuid,
    json_kwargs,
    optional_day,
)
from archive_assets.util import DayObs
from archive_assets.visits.content_hash import HASH_ALGORITHM, visits_sha256

__all__ = ["Day", "Details", "SequenceRecorder", "checked_details"]

Day: TypeAlias = DayObs | None
"""A night in any of its spellings, or none."""
_DAYS = ("first_day_obs", "last_day_obs", "parent_last_day_obs",
         "last_early_day_obs", "first_late_day_obs")  # fmt: skip


class Details(TypedDict, total=False):
    """Columns that a sequence has by its kind; all are optional."""

    scheduler_version: str | None
    config_url: str | None
    conda_env_sha256: bytes | None
    parent_visitseq_uuid: UUID | str | None
    sim_runner_kwargs: Mapping[str, object] | None
    parent_last_day_obs: Day
    query: str | None
    last_early_day_obs: Day
    first_late_day_obs: Day
    early_parent_uuid: UUID | str
    late_parent_uuid: UUID | str


def checked_details(kind: str, details: Mapping[str, object]) -> dict[str, object]:
    """Return the columns of a kind's own table, checked; without those that are None.

    Raises
    ------
    UnknownTableError
        If there is no such kind.
    UnknownFieldError
        If the kind has no such column.
    InvalidValueError
        If a value cannot be stored.
    """
    own = own_columns(kind)
    given = {name: value for name, value in details.items() if value is not None}
    for name in given:
        if name not in own:
            raise UnknownFieldError(name, own)
    return {name: _field_value(name, value) for name, value in given.items()}


def _field_value(field: str, value: object) -> object:
    """Return a new value of a column, checked as far as its name tells."""
    checked = value
    if value is None:
        return None
    if field in _DAYS:
        day = value if isinstance(value, date | int) else str(value)
        checked = optional_day(day, field)
    elif field.endswith("sha256"):
        checked = checked_hash(value, field)
    elif field.endswith("_uuid"):
        checked = checked_uuid(value)
    elif field == "sim_runner_kwargs" and isinstance(value, Mapping):
        checked = json_kwargs(value)
    elif field == "telescope":
        checked = checked_name(value, "telescope")
    elif isinstance(value, str):
        checked = checked_text(value, field, allow_empty=field != "visitseq_label")
    return checked


class SequenceRecorder(ArchiveConnection):
    """The methods of `VisitSequenceArchiveMetadata` that record sequences."""

    def record_visitseq_metadata(  # noqa: PLR0917 - the original's order
        self,
        visits: pd.DataFrame,
        label: str,
        telescope: str = "simonyi",
        table: str = "visitseq",
        url: str | None = None,
        first_day_obs: Day = None,
        last_day_obs: Day = None,
        creation_time: object = None,
    ) -> UUID:
        """Record a visit sequence and return its new UUID.

        Parameters
        ----------
        visits
            Its visits, of which the content hash is stored.
        label, telescope, url
            Words for people; the telescope's name; where the visits are.
        table
            ``visitseq``, ``simulations``, ``completed`` or ``mixedvisitseq``.
        first_day_obs, last_day_obs
            Window of nights.
        creation_time
            Astropy ``Time`` or aware datetime; now by default.

        Raises
        ------
        InvalidValueError, UnknownTableError
            If an argument cannot be stored.
        """
        return self._record(
            visits, label, telescope, table, url, first_day_obs, last_day_obs,
            creation_time, Details(),
        )  # fmt: skip

    def _record(  # noqa: PLR0917 - the original's order
        self,
        visits: pd.DataFrame,
        label: str,
        telescope: str,
        kind: str,
        url: str | None,
        first_day_obs: Day,
        last_day_obs: Day,
        creation_time: object,
        details: Details,
    ) -> UUID:
        first, last = checked_nights(first_day_obs, last_day_obs)
        new = NewSequence(
            kind=kind,
            label=checked_text(label, "the label"),
            telescope=checked_name(telescope, "telescope"),
            visits_sha256=visits_sha256(visits),
            hash_algorithm=HASH_ALGORITHM,
            url=None if url is None else checked_text(url, "the URL"),
            first_day_obs=first,
            last_day_obs=last,
            creation_time=checked_time(creation_time),
            details=checked_details(kind, details),
        )
        with self.transaction() as connection:
            return sequences.insert_sequence(connection, new)

    def record_simulation_metadata(  # noqa: PLR0917 - the original's order
        self,
        visits: pd.DataFrame,
        label: str,
        telescope: str = "simonyi",
        url: str | None = None,
        first_day_obs: Day = None,
        last_day_obs: Day = None,
        creation_time: object = None,
        scheduler_version: str | None = None,
        config_url: str | None = None,
        conda_env_sha256: bytes | None = None,
        parent_visitseq_uuid: UUID | None = None,
        sim_runner_kwargs: Mapping[str, object] | None = None,
        parent_last_day_obs: Day = None,
    ) -> UUID:
        """Record a simulation, in one transaction, and return its new UUID.

        The arguments are those of `record_visitseq_metadata` and the columns of the
        table ``simulations``; an argument of the simulation that JSON cannot hold is
        stored as its ``repr``.
        """
        details = Details(
            scheduler_version=scheduler_version,
            config_url=config_url,
            conda_env_sha256=conda_env_sha256,
            parent_visitseq_uuid=parent_visitseq_uuid,
            sim_runner_kwargs=sim_runner_kwargs,
            parent_last_day_obs=parent_last_day_obs,
        )
        return self._record(
            visits, label, telescope, "simulations", url, first_day_obs, last_day_obs,
            creation_time, details,
        )  # fmt: skip

    def record_completed_metadata(  # noqa: PLR0917 - the original's order
        self,
        visits: pd.DataFrame,
        label: str,
        telescope: str = "simonyi",
        url: str | None = None,
        first_day_obs: Day = None,
        last_day_obs: Day = None,
        creation_time: object = None,
        query: str | None = None,
    ) -> UUID:
        """Record completed visits and the consdb query they came from."""
        details = Details(query=query)
        return self._record(
            visits, label, telescope, "completed", url, first_day_obs, last_day_obs,
            creation_time, details,
        )  # fmt: skip

    def record_mixed_metadata(  # noqa: PLR0917 - the original's order
        self,
        visits: pd.DataFrame,
        label: str,
        last_early_day_obs: DayObs,
        first_late_day_obs: DayObs,
        early_parent_uuid: UUID,
        late_parent_uuid: UUID,
        telescope: str = "simonyi",
        url: str | None = None,
        first_day_obs: Day = None,
        last_day_obs: Day = None,
        creation_time: object = None,
    ) -> UUID:
        """Record a sequence made of an early and a late parent."""
        details = Details(
            last_early_day_obs=last_early_day_obs,
            first_late_day_obs=first_late_day_obs,
            early_parent_uuid=early_parent_uuid,
            late_parent_uuid=late_parent_uuid,
        )
        return self._record(
            visits, label, telescope, "mixedvisitseq", url, first_day_obs,
            last_day_obs, creation_time, details,
        )  # fmt: skip

    def set_visitseq_url(self, visitseq_uuid: UUID, visitseq_url: str) -> None:
        """Set where the visits are."""
        url = checked_text(visitseq_url, "the URL")
        with self.transaction() as connection:
            sequences.set_url(connection, checked_uuid(visitseq_uuid), url)

    def update_visitseq_metadata(
        self, visitseq_uuid: UUID, field: str, value: object
    ) -> None:
        """Set one column, in whichever table holds the sequence."""
        with self.transaction() as connection:
            sequences.update_field(
                connection,
                checked_uuid(visitseq_uuid),
                field,
                _field_value(field, value),
            )
