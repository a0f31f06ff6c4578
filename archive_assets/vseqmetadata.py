"""The metadata database of visit sequences: a door with the original's names."""

from archive_assets.metadata import archive_metadata
from archive_assets.metadata.settings import (
    VSARCHIVE_PGDATABASE,
    VSARCHIVE_PGHOST,
    VSARCHIVE_PGPORT,
    VSARCHIVE_PGSCHEMA,
    VSARCHIVE_PGUSER,
)
from archive_assets.metadata.values import JSON_DUMP_LIMIT
from archive_assets.prototype_archive.importing import (
    import_from_prototype,
    import_from_yaml,
    metadata_yaml_from_prototype,
)
from visit_tables.content_hash import visits_sha256 as compute_visits_sha256
from visit_tables.day_obs import dayobs_to_date

__all__ = [
    "JSON_DUMP_LIMIT",
    "VSARCHIVE_PGDATABASE",
    "VSARCHIVE_PGHOST",
    "VSARCHIVE_PGPORT",
    "VSARCHIVE_PGSCHEMA",
    "VSARCHIVE_PGUSER",
    "VisitSequenceArchiveMetadata",
    "compute_visits_sha256",
    "dayobs_to_date",
    "metadata_yaml_from_prototype",
]


class VisitSequenceArchiveMetadata(archive_metadata.VisitSequenceArchiveMetadata):
    """The class of the metadata, and the imports from the prototype archive."""

    import_sim_from_yaml = import_from_yaml
    import_sim_from_prototype_sim_archive = import_from_prototype
