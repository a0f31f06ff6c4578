"""The visit sequence archive as these definitions see it: where visits come from.

No other module of this package imports from ``archive_assets``.
"""

from datetime import date
from typing import TYPE_CHECKING
from uuid import UUID

import dagster as dg
from pydantic import Field

from archive_assets.defs.names import NOMINAL, archived_key
from archive_assets.defs.partitions import night_at, nights
from archive_assets.defs.resources import (
    ArchiveMetadataResource,
    DataStoreResource,
    environment_resources,
)
from pipeline_runtime.dagster.materializations import latest_text

if TYPE_CHECKING:
    from l1db_pipeline.survey.visits_table import VisitsTable

__all__ = [
    "ARCHIVED_KEY",
    "NIGHT_VISITS_KEY",
    "SEQUENCE",
    "ArchiveMetadataResource",
    "ArchivedVisitsResource",
    "DataStoreResource",
    "archive_resources",
    "archived_nights",
    "night_at",
    "nights",
]

ARCHIVED_KEY = archived_key(NOMINAL)
"""The archived sequence whose visits drive the AP prototype."""

archived_nights = dg.AssetSpec(ARCHIVED_KEY, partitions_def=nights)
"""Its partitions, which must be known while the other location is away: else its news
would count for every night."""

NIGHT_VISITS_KEY = dg.AssetKey(["l1db", "night_visits"])
SEQUENCE = "visitseq_uuid"
"""Name under which events tell the sequence that visits are from."""


def archive_resources() -> dict[str, object]:
    """Return the archive's resources that the assets here need, by their names."""
    known = environment_resources()
    return {name: known[name] for name in ("archive_metadata", "data_store")}


class ArchivedVisitsResource(dg.ConfigurableResource["VisitsTable"]):
    """Where the visits that drive the AP prototype come from."""

    tags: list[str] = Field(
        default_factory=lambda: list(NOMINAL.variant.tags),
        description=(
            "Tags of the sequence: of those that have them all, the one that the "
            "night's own partition archived is taken, else the newest."
        ),
    )
    telescope: str = Field(
        default=NOMINAL.telescope.value, description="Telescope of the sequence."
    )

    def choose(
        self,
        instance: dg.DagsterInstance,
        archive_metadata: ArchiveMetadataResource,
        data_store: DataStoreResource,
        day_obs: date,
    ) -> "tuple[VisitsTable, str]":
        """Return the visits of the sequence that a night is to use, and its UUID."""
        from l1db_pipeline.survey.visits_table import read_visits_table

        own = latest_text(instance, ARCHIVED_KEY, day_obs, SEQUENCE)
        with archive_metadata.newest_visits(
            data_store,
            day_obs,
            tags=self.tags,
            telescope=self.telescope,
            preferred=UUID(own) if own else None,
        ) as found:
            return read_visits_table(found.path), str(found.visitseq_uuid)

    def read(
        self,
        instance: dg.DagsterInstance,
        archive_metadata: ArchiveMetadataResource,
        data_store: DataStoreResource,
        day_obs: date,
    ) -> "tuple[VisitsTable, str]":
        """Return the visits with which a night was registered, and their UUID."""
        from l1db_pipeline.survey.visits_table import read_visits_table

        registered = latest_text(instance, NIGHT_VISITS_KEY, day_obs, SEQUENCE)
        if not registered:
            return self.choose(instance, archive_metadata, data_store, day_obs)
        with archive_metadata.visits_of(data_store, UUID(registered)) as found:
            return read_visits_table(found.path), registered
