"""Snapshots of a scheduler and an observatory: a door with the original's names."""

from archive_assets.cli.ideal_model_observatory import (
    make_ideal_model_observatory_cli,
)
from archive_assets.cli.scheduler_snapshot import make_scheduler_snapshot_cli
from archive_assets.simulation.scheduler_snapshot import (
    add_make_scheduler_snapshot_args,
    get_scheduler,
    get_scheduler_from_config,
    get_scheduler_instance_from_repo,
    save_scheduler,
)

__all__ = [
    "add_make_scheduler_snapshot_args",
    "get_scheduler",
    "get_scheduler_from_config",
    "get_scheduler_instance_from_repo",
    "make_ideal_model_observatory_cli",
    "make_scheduler_snapshot_cli",
    "save_scheduler",
]
