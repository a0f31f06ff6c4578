"""The visits of a night's newest nominal sequence, brought from the archive."""

from datetime import date
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from archive_assets.defs.names import NOMINAL
from archive_assets.defs.resources import ArchiveMetadataResource, DataStoreResource

if TYPE_CHECKING:
    from l1db_pipeline.survey.visits_table import VisitsTable

__all__ = ["ArchivedVisitsResource"]


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
        from archive_assets.reading.newest_visits import newest_visits_file
        from l1db_pipeline.survey.visits_table import read_visits_table

        with (
            archive_metadata.open() as archive,
            newest_visits_file(
                archive,
                data_store.open(),
                day_obs,
                tags=self.tags,
                telescope=self.telescope,
            ) as found,
        ):
            return read_visits_table(found.path), str(found.visitseq_uuid)
