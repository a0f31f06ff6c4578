"""Files of visit sequences: a door with the names of the original's module."""

from archive_assets.archiving.add_file import add_file, construct_base_resource_path
from archive_assets.metadata.environments import compute_conda_env
from archive_assets.metadata.settings import VSARCHIVE_PGSCHEMA
from archive_assets.nights.index import PRENIGHT_INDEX_URL
from archive_assets.reading.files import (
    compute_nightly_stats,
    get_visits,
)
from archive_assets.vseqmetadata import VisitSequenceArchiveMetadata
from visit_tables.day_obs import dayobs_to_date
from visit_tables.files import SQLITE_EXTENSIONS, hdf5_to_opsimdb, opsimdb_to_hdf5

__all__ = [
    "ARCHIVE_URL",
    "PRENIGHT_INDEX_URL",
    "SQLITE_EXTENSIONS",
    "SQLITE_EXTINSIONS",
    "VSARCHIVE_PGSCHEMA",
    "VisitSequenceArchiveMetadata",
    "add_file",
    "compute_conda_env",
    "compute_nightly_stats",
    "construct_base_resource_path",
    "dayobs_to_date",
    "get_visits",
    "hdf5_to_opsimdb",
    "opsimdb_to_hdf5",
]

ARCHIVE_URL = "s3://rubin:rubin-scheduler-prenight/opsim/vseq/"
SQLITE_EXTINSIONS = SQLITE_EXTENSIONS  # the original's spelling


def __getattr__(name: str) -> object:
    # the original's module holds its commands, too; ours load only when asked for
    from archive_assets.cli.vseqarchive import command_named, main  # noqa: PLC0415 - as above

    found = main if name == "vseqarchive" else command_named(name)
    if found is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return found
