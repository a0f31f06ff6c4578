"""The Rubin visit sequence archive and the visit simulations that fill it.

What people ask it in Python is here: `search`, `visits`, `compare` and `index`. The
public names of the original's modules are here, too. A module is imported when one of
its names is asked for.
"""

import importlib
from typing import Any

_HOME = {
    **dict.fromkeys(("compare", "index", "search", "visits"), "reading.answers"),
    **dict.fromkeys(
        (
            "add_make_scheduler_snapshot_args", "get_scheduler",
            "get_scheduler_from_config", "get_scheduler_instance_from_repo",
            "make_scheduler_snapshot_cli", "save_scheduler",
        ),
        "make_snapshot",
    ),
    **dict.fromkeys(("AnomalousOverheadFunc", "run_prenight_sim_cli"), "prenight"),
    **dict.fromkeys(
        (
            "get_prenight_index", "get_sim_metadata", "get_sim_uuid",
            "select_latest_prenight_sim",
        ),
        "prenightindex",
    ),
    **dict.fromkeys(
        (
            "NoMatchingSimulationsFoundError", "drive_sim", "fetch_obsloctap_visits",
            "fetch_sim_for_nights", "fetch_sim_stats_for_night",
            "find_latest_prenight_sim_for_nights", "make_sim_data_dir",
        ),
        "sim_archive",
    ),
    **dict.fromkeys(
        (
            "ARCHIVE_URL", "PRENIGHT_INDEX_URL", "add_nightly_stats", "archive_file",
            "comment", "compute_nightly_stats", "export_proto", "get_comments",
            "get_file", "get_visits", "get_visitseq_url", "import_proto", "is_tagged",
            "query_nightly_stats", "record_conda_env", "record_visitseq_metadata",
            "set_visitseq_url", "tag", "untag", "update_visitseq_metadata",
        ),
        "vseqarchive",
    ),
    **dict.fromkeys(
        (
            "VSARCHIVE_PGDATABASE", "VSARCHIVE_PGHOST", "VSARCHIVE_PGSCHEMA",
            "VSARCHIVE_PGUSER", "VisitSequenceArchiveMetadata",
            "compute_visits_sha256",
        ),
        "vseqmetadata",
    ),
}  # fmt: skip


def __getattr__(name: str) -> Any:  # functions and classes of every kind
    if name not in _HOME:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
