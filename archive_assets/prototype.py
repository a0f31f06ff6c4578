"""The prototype archive: a door with the original's names, all deprecated."""

from lsst.resources import ResourcePath
from typing_extensions import deprecated

from archive_assets.prototype_archive.prototype import (
    DEPRECATED,
    NoMatchingSimulationsFoundError,
    PrototypeError,
    check_opsim_archive_resource,
    compile_sim_metadata,
    export_sim_to_prototype_sim_archive,
    fetch_obsloctap_visits,
    fetch_sim_for_nights,
    fetch_sim_stats_for_night,
    find_latest_prenight_sim_for_nights,
    make_sim_archive_dir,
    read_archived_sim_metadata,
    read_sim_metadata_from_hdf,
    transfer_archive_dir,
    verify_compiled_sim_metadata,
)

__all__ = [
    "NoMatchingSimulationsFoundError",
    "PrototypeError",
    "check_opsim_archive_resource",
    "compile_sim_archive_metadata_cli",
    "compile_sim_metadata",
    "export_sim_to_prototype_sim_archive",
    "fetch_obsloctap_visits",
    "fetch_sim_for_nights",
    "fetch_sim_stats_for_night",
    "find_latest_prenight_sim_for_nights",
    "make_sim_archive_cli",
    "make_sim_archive_dir",
    "read_archived_sim_metadata",
    "read_sim_metadata_from_hdf",
    "transfer_archive_dir",
    "verify_compiled_sim_metadata",
]


@deprecated(DEPRECATED)
def make_sim_archive_cli(*args: str) -> ResourcePath:
    """Run the command ``archive_sim`` and return where it put the simulation.

    Parameters
    ----------
    *args
        Its arguments; those of the process if there are none.
    """
    from archive_assets.cli.archive_sim import main  # noqa: PLC0415 - a cycle

    place: ResourcePath = main(args=list(args) or None, standalone_mode=False)
    return place


@deprecated(DEPRECATED)
def compile_sim_archive_metadata_cli(*args: str) -> None:
    """Run the command ``compile_sim_archive_metadata_resource``.

    Parameters
    ----------
    *args
        Its arguments; those of the process if there are none.
    """
    from archive_assets.cli.compile_metadata import main  # noqa: PLC0415 - a cycle

    main(args=list(args) or None, standalone_mode=False)
