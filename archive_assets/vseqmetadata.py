"""The metadata database of visit sequences: a door with the original's names."""

from archive_assets.metadata.archive_metadata import (
    JSON_DUMP_LIMIT,
    VSARCHIVE_PGDATABASE,
    VSARCHIVE_PGHOST,
    VSARCHIVE_PGPORT,
    VSARCHIVE_PGSCHEMA,
    VSARCHIVE_PGUSER,
    VisitSequenceArchiveMetadata,
    compute_visits_sha256,
    metadata_yaml_from_prototype,
)

__all__ = [
    "JSON_DUMP_LIMIT",
    "VSARCHIVE_PGDATABASE",
    "VSARCHIVE_PGHOST",
    "VSARCHIVE_PGPORT",
    "VSARCHIVE_PGSCHEMA",
    "VSARCHIVE_PGUSER",
    "VisitSequenceArchiveMetadata",
    "compute_visits_sha256",
    "metadata_yaml_from_prototype",
]
