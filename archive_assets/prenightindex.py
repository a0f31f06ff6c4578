"""The pre-night index: a door with the original's names."""

from archive_assets.nights.index import (
    MAX_AGE,
    PRENIGHT_INDEX_URL,
    PUBLISHED_AGE,
    TELESCOPES,
    IndexFileError,
    get_prenight_index,
    get_prenight_index_from_database,
    get_sim_metadata,
    get_sim_uuid,
    prenight_index_path,
    select_latest_prenight_sim,
    write_prenight_index,
)
from archive_assets.nights.index_text import get_prenight_index_from_bucket

__all__ = [
    "MAX_AGE",
    "PRENIGHT_INDEX_URL",
    "PUBLISHED_AGE",
    "TELESCOPES",
    "IndexFileError",
    "get_prenight_index",
    "get_prenight_index_from_bucket",
    "get_prenight_index_from_database",
    "get_sim_metadata",
    "get_sim_uuid",
    "prenight_index_path",
    "select_latest_prenight_sim",
    "write_prenight_index",
]
