"""The metadata database of visit sequences: a door with the original's names."""

from datetime import date
from sys import modules
from uuid import UUID

from archive_assets.metadata import archive_metadata
from archive_assets.metadata.settings import (
    VSARCHIVE_PGDATABASE,
    VSARCHIVE_PGHOST,
    VSARCHIVE_PGPORT,
    VSARCHIVE_PGSCHEMA,
    VSARCHIVE_PGUSER,
    SettableConstants,
)
from archive_assets.metadata.values import JSON_DUMP_LIMIT
from archive_assets.prototype_archive import importing
from archive_assets.prototype_archive.importing import metadata_yaml_from_prototype
from visit_tables.day_obs import dayobs_to_date
from visit_tables.frame_summaries import visits_sha256 as compute_visits_sha256

__all__ = [
    "JSON_DUMP_LIMIT", "VSARCHIVE_PGDATABASE", "VSARCHIVE_PGHOST", "VSARCHIVE_PGPORT",
    "VSARCHIVE_PGSCHEMA", "VSARCHIVE_PGUSER", "VisitSequenceArchiveMetadata",
    "compute_visits_sha256", "dayobs_to_date", "metadata_yaml_from_prototype",
]  # fmt: skip


class VisitSequenceArchiveMetadata(archive_metadata.VisitSequenceArchiveMetadata):
    """The class of the metadata, and the imports from the prototype archive."""

    def import_sim_from_yaml(
        self, metadata_yaml: str, archive_base: str | None = None
    ) -> UUID:
        """Record a simulation that a prototype's YAML describes, with its files.

        Parameters
        ----------
        metadata_yaml
            Text of the YAML.
        archive_base
            URL of a store where its visits are archived too; they stay where they are
            by default.
        """
        return importing.import_from_yaml(self, metadata_yaml, archive_base)

    def import_sim_from_prototype_sim_archive(
        self, archive_base: str, sim_date: str | date, sim_index: str | int,
        proto_sim_archive_uri: str,
    ) -> UUID:  # fmt: skip
        """Import a simulation of the prototype archive; tag and comment it as such.

        Parameters
        ----------
        archive_base
            URL of the store where its visits are archived.
        sim_date, sim_index
            Day (``YYYY-MM-DD``) and number in the prototype archive.
        proto_sim_archive_uri
            URL of the prototype archive.
        """
        return importing.import_from_prototype(
            self, archive_base, sim_date, sim_index, proto_sim_archive_uri
        )


modules[__name__].__class__ = SettableConstants
