"""The visit sequence archive as these definitions see it: where visits come from.

No other module of this package imports from ``archive_assets``.
"""

from datetime import date
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from archive_assets.defs.names import NOMINAL, archived_key
from archive_assets.defs.partitions import nights
from archive_assets.defs.resources import (
    ArchiveMetadataResource,
    DataStoreResource,
    environment_resources,
)

if TYPE_CHECKING:
    from l1db_pipeline.survey.visits_table import VisitsTable

__all__ = [
    "ARCHIVED_KEY",
    "ArchiveMetadataResource",
    "ArchivedVisitsResource",
    "DataStoreResource",
    "archive_resources",
    "nights",
]

ARCHIVED_KEY = archived_key(NOMINAL)
"""The archived sequence whose visits drive the AP prototype."""


def archive_resources() -> dict[str, object]:
    """Return the archive's resources that the assets here need, by their names."""
    known = environment_resources()
    return {name: known[name] for name in ("archive_metadata", "data_store")}


class ArchivedVisitsResource(dg.ConfigurableResource["VisitsTable"]):
    """Where the visits that drive the AP prototype come from."""

    tags: list[str] = Field(
        default_factory=lambda: list(NOMINAL.variant.tags),
        description="Tags of the sequence: the newest that has them all is taken.",
    )
    telescope: str = Field(
        default=NOMINAL.telescope.value, description="Telescope of the sequence."
    )

    def read(
        self,
        archive_metadata: ArchiveMetadataResource,
        data_store: DataStoreResource,
        day_obs: date,
    ) -> "tuple[VisitsTable, str]":
        """Return the visits of the newest sequence of a night, and its UUID."""
        from l1db_pipeline.survey.visits_table import read_visits_table

        with archive_metadata.newest_visits(
            data_store, day_obs, tags=self.tags, telescope=self.telescope
        ) as found:
            return read_visits_table(found.path), str(found.visitseq_uuid)
