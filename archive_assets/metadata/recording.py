"""Record visit sequences of every kind, and change what was recorded."""

from collections.abc import Mapping
from uuid import UUID

import pandas as pd

from archive_assets.metadata import sequences
from archive_assets.metadata.connection import ArchiveConnection
from archive_assets.metadata.details import (
    Day,
    Details,
    checked_details,
    checked_field,
)
from archive_assets.metadata.sequences import NewSequence
from archive_assets.metadata.values import (
    checked_name,
    checked_nights,
    checked_text,
    checked_time,
    checked_uuid,
)
from visit_tables.content_hash import HASH_ALGORITHM, visits_sha256
from visit_tables.day_obs import DayObs

__all__ = ["SequenceRecorder"]


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
                checked_field(field, value),
            )
